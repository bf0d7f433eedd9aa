"""Carries out people's decisions about the doubtful results of one folder.

Used only by the folder's delivery thread. An accepted result is published like any other: plan, journal, renames, sidecar,
commit mark. This module must not decide, nor look at a picture.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd.delivery.steps import Decide, Done, MakePlan
from cutoutd.errnos import NO_WAY
from cutoutd.errors import CutoutdError, FailureCode, StorageError, TemporaryError
from cutoutd.failure import to_valid_utf8
from cutoutd.fs.tree import Tree
from cutoutd.job_detail import JobResult, is_rejected
from cutoutd.jobs import Cut, Failure, JobState
from cutoutd.journal.commands import ReviewDecision
from cutoutd.lease.lease import NotOwnerError
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.originals import open_put_away
from cutoutd.publish.reviews import NotAcceptableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.delivery.context import Context
    from cutoutd.delivery.failures import FailedJobs, PendingRetries
    from cutoutd.delivery.steps import Retry
    from cutoutd.jobs import Job, Published
    from cutoutd.publish.reviews import Doubtful, Reviews


PUT_BACK: Final = "a person has put it back into review"

_WAS_HELD: Final = "it was held back for review"

_ACCEPTED: Final = "and published as a person decided"

_REPUBLISHED: Final = frozenset({ReviewDecision.REPUBLISH, ReviewDecision.REPUBLISH_DOUBTFUL})


@dataclass(frozen=True, kw_only=True, slots=True)
class DecidedReviews:
    """Carries out the decisions about the results of one folder.

    Attributes:
        context: context of the folder's delivery.
        pending: decisions that wait for a disk or share.
        failed_jobs: fails the jobs whose results were rejected.
    """

    context: Context
    pending: PendingRetries
    failed_jobs: FailedJobs

    @property
    def _files(self) -> Reviews:
        return self.context.publisher.reviews

    @property
    def _output(self) -> Path:
        return self.context.folder.output

    def carry_out(self, step: Decide) -> MakePlan | Decide | Retry | Done:
        """Carry out the decision about a job, if it is still pending.

        Raises:
            StorageError: the disk or share fails; to be called again.
        """
        job = self.context.journal.review_decisions.pending_one(step.job.id)
        if job is None:
            return Done()  # retried, or replaced by a newer version
        try:
            self.context.prove_ownership()
        except TemporaryError as error:
            return self.pending.wait(Decide(job=job), error)
        decision = JobResult.of(job).decision
        try:
            if decision == ReviewDecision.REJECT:
                self._reject(job)
                return self.next_decision(job)
            if decision in _REPUBLISHED:
                return self._republish(job, is_doubtful=decision == ReviewDecision.REPUBLISH_DOUBTFUL)
            return self._accept(job) if decision == ReviewDecision.ACCEPT else self._hold(job)
        except NotAcceptableError as error:
            self.refuse(job, error)
            return Done()
        except StorageError:
            self.unstage(job)
            raise

    def next_decision(self, job: Job) -> Decide | Done:
        """Return the step for a decision that was made about a job meanwhile."""
        decided = self.context.journal.review_decisions.pending_one(job.id)
        return Done() if decided is None else Decide(job=decided)

    def unstage(self, job: Job) -> None:
        """Discard what is staged: many may wait for a full disk, and must not take more of it meanwhile."""
        with suppress(CutoutdError):
            self._files.discard(job.id)

    def refuse(self, job: Job, error: CutoutdError) -> None:
        """Record that a decision cannot be carried out: the result stays in review, and the person sees the reason."""
        self.context.journal.review_decisions.refuse(job.id, to_valid_utf8(str(error)))
        self.context.log.warning("review.not-accepted", job=job.id, path=job.path, why=str(error))
        try:
            self._files.discard(job.id)
        except CutoutdError as refusal:
            # The answer stands; staged files are swept at the end of the run.
            self.context.log.warning("review.not-unstaged", job=job.id, path=job.path, why=str(refusal))

    def tell_sidecar(self, job: Job) -> None:
        """Have the sidecar say whether a published result is doubtful, after a person said so or took that back.

        Raises:
            StorageError: the disk or share fails; to be called again.
        """
        decisions = self.context.journal.review_decisions
        now = decisions.sidecar_behind(job.id)
        if now is None:
            return  # published anew, or told already
        try:
            self.context.prove_ownership()
        except NotOwnerError:
            return  # it is told once the folder is this machine's again
        doubtful = JobResult.of(now).doubtful
        self.context.publisher.sidecars.tell_doubt(now, self._results_under_own_names(now), doubtful=doubtful)
        decisions.sidecar_written(now.id, doubtful=doubtful)

    def recall(self, job: Job) -> None:
        """Remove a source's published results, since they are in review again; files changed by hand stay.

        Raises:
            StorageError: the disk or share fails; to be called again.
        """
        self._files.clear(job.path, self._results_under_own_names(job))

    def clear(self, job: Job) -> None:
        """Remove a source's results in ``review/``, since it has a good result now."""
        if shown := self._results_in_review(job):
            try:
                self._files.clear(job.path, shown)
            except CutoutdError as error:
                # As with a failure's record: the refusal of a full disk does not undo the publication.
                self.context.log.warning("review.not-cleared", job=job.id, path=job.path, why=str(error))

    def _hold(self, job: Job) -> MakePlan | Done:
        """Put a job back into review, whatever was decided about it."""
        if job.state is JobState.REVIEW:
            self.context.journal.review_decisions.withdraw(job.id)
            return Done()
        if job.state is JobState.FAILED:
            if not is_rejected(job):
                raise NotAcceptableError("it has failed, and no person rejected it")
            self.context.journal.queue.hold_rejected(job.id)
            self.context.log.info("review.again", job=job.id, path=job.path)
            return Done()
        taken = self._take(job, self._results_under_own_names(job))
        # One that was accepted was in review before: it is as it was then.
        kept = _warnings(taken.document, without_hold=False)
        warnings = kept if JobResult.of(job).accepted else (*kept, PUT_BACK)
        cut = _cut(taken, review=True, warnings=warnings)
        document = {**taken.document, "warnings": []}
        return MakePlan(job=job, cut=cut, publication=self.context.publication(job, cut, document=document))

    def _republish(self, job: Job, *, is_doubtful: bool) -> MakePlan:
        """Publish a result in review as it was before decisions that are undone."""
        taken = self._take(job, self._results_in_review(job))
        cut = _cut(taken, review=False, warnings=_warnings(taken.document, without_hold=True))
        document = {**taken.document, "warnings": []}
        publication = self.context.publication(job, cut, document=document, doubtful=is_doubtful)
        return MakePlan(job=job, cut=cut, publication=replace(publication, is_restored=True))

    def _take(self, job: Job, shown: tuple[Published, ...]) -> Doubtful:
        """Read a job's results back, and stage them again.

        Raises:
            NotAcceptableError: they are not as they were published, or the folder's renditions have changed.
        """
        renditions = self.context.renditions(job)
        found = sorted(one.rendition for one in shown if not one.is_overlay)
        if found != list(range(len(renditions))):
            raise NotAcceptableError("the folder's renditions have changed since it was cut")
        taken = self._files.take(job.id, job.path, job.sha256 or "", shown)
        if any(one.format != renditions[one.rendition].format for one in taken.staged):
            raise NotAcceptableError("the folder's renditions have changed since it was cut")
        return taken

    def _accept(self, job: Job) -> MakePlan:
        doubtful = self._take(job, self._results_in_review(job))
        doubt = f" ({'; '.join(doubtful.quality.reasons)})" if doubtful.quality.reasons else ""
        cut = _cut(doubtful, review=False, warnings=(f"{_WAS_HELD}{doubt}, {_ACCEPTED}",))
        publication = self.context.publication(job, cut, document=doubtful.document)
        return MakePlan(job=job, cut=cut, publication=publication)

    def _reject(self, job: Job) -> None:
        shown = self._results_in_review(job)
        if not self._has_original(job) and any(_is_there(self._output, one.path) for one in shown):
            raise NotAcceptableError(
                "its original is not there any more, so the cutout is all that is left of the picture, and is kept",
                advice="Put the original back, or remove the cutout yourself.",
            )
        self._files.clear(job.path, shown)
        why = JobResult.of(job).why
        doubt = (
            "" if why == PUT_BACK else why
        )  # a published one is put back before it is rejected: that is no reason
        self.failed_jobs.fail(
            job,
            Failure(
                code=FailureCode.REJECTED,
                title="Rejected in review",
                cause=f"rejected in review{f': {doubt}' if doubt else ''}",
                advice="The original is untouched. Put a better picture in its place, or `cutoutd retry` it.",
                permanent=True,
            ),
            forgets_results=True,
        )

    def _has_original(self, job: Job) -> bool:
        """Whether a job's original exists in the input, or where originals are moved to.

        Raises:
            StorageError: the disk or share fails.
        """
        folder = self.context.folder
        if _is_there(folder.input, job.path):
            return True
        if folder.originals_dir is None or job.sha256 is None:
            return False
        descriptor = open_put_away(folder.originals_dir, job.path, job.sha256)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def _results_under_own_names(self, job: Job) -> tuple[Published, ...]:
        """Return the results that are published under their own names."""
        return tuple(
            one
            for one in self.context.published(job.path, job.generation)
            if not one.review and not one.is_overlay
        )

    def _results_in_review(self, job: Job) -> tuple[Published, ...]:
        return tuple(one for one in self.context.published(job.path, job.generation) if one.review)


def _cut(taken: Doubtful, *, review: bool, warnings: tuple[str, ...]) -> Cut:
    """Return the report about a result that was read back."""
    return Cut(
        source=taken.source,
        staged=taken.staged,
        quality=taken.quality,
        review=review,
        timings_ms={},
        warnings=warnings,
    )


def _warnings(document: Mapping[str, Any], *, without_hold: bool) -> tuple[str, ...]:
    """Return a sidecar's warnings without those about an acceptance that is undone, and perhaps the return to review."""
    said = document.get("warnings")
    return tuple(
        one
        for one in map(str, said if isinstance(said, list) else ())
        if not (one.startswith(_WAS_HELD) and one.endswith(_ACCEPTED))
        and not (without_hold and one == PUT_BACK)
    )


def _is_there(root: Path, path: str) -> bool:
    """Whether a path below a folder exists, reached through no link.

    Raises:
        StorageError: the disk or share fails.
    """
    with storage_faults(root):
        try:
            return Tree(root).exists(path)
        except OSError as error:
            if error.errno in NO_WAY:
                return False
            raise
