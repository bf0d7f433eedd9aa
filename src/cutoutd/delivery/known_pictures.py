"""Pictures that need no cut: they are published and unchanged, were renamed or moved, or are results themselves.

    a worker reports the bytes of a vanished source -> its result is staged again -> published like any other, with its
    sidecar -> the earlier names are released

A moved picture's result moves along, or stays where it is, by the settings. A doubtful result always moves along, and so does a
person's rejection. Any other failed picture is tried at its new path. What doubtful and failed pictures left for their earlier
paths is removed.

Used only by the folder's delivery thread. A result that was changed by hand is left alone, and the picture is cut.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd.delivery.failures import INVENTED
from cutoutd.delivery.steps import DeliverMoved, DeliverResult, DeliverUnchanged, Done, MakePlan
from cutoutd.errors import CutoutdError, StorageError
from cutoutd.fs.tree import Tree
from cutoutd.intake.scan import scan_file
from cutoutd.intake.verification import sha256_of
from cutoutd.job_detail import OWN_RESULT_DETAIL, failure_in
from cutoutd.jobs import Cut, JobState
from cutoutd.publish.displaced import DIRECTORY
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import claim_key
from cutoutd.publish.reviews import NotAcceptableError
from cutoutd.publish.sidecar import with_source
from cutoutd.settings.types import Moves

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cutoutd.delivery.context import Context
    from cutoutd.delivery.displaced import DisplacedResults
    from cutoutd.delivery.failure_records import FailureRecords
    from cutoutd.delivery.failures import FailedJobs
    from cutoutd.delivery.former_paths import FormerPaths
    from cutoutd.delivery.originals import OriginalsCleanup
    from cutoutd.jobs import Job, Origin, Published
    from cutoutd.journal.reservations import LastPublished

NOT_MOVED = {"moved": False}
"""In the detail of a job whose result cannot move along: it is cut."""

_REMOVED: Final = "unchanged; its cutout is not there any more, and `cutoutd retry` makes it again"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPictures:
    """Handles the known pictures of one folder.

    Each method raises StorageError if the disk or share fails, and may be called again then.

    Attributes:
        context: context of the folder's delivery.
        failures: the failure records.
        failed_jobs: fails jobs.
        originals: moves or deletes originals.
        displaced: the displaced results.
        former_paths: removes what pictures left at their earlier paths.
    """

    context: Context
    failures: FailureRecords
    failed_jobs: FailedJobs
    originals: OriginalsCleanup
    displaced: DisplacedResults
    former_paths: FormerPaths

    def deliver(self, step: DeliverUnchanged | DeliverMoved | DeliverResult) -> MakePlan | Done:
        """Handle a known picture; if a result moves along with it, that is to be published."""
        match step:
            case DeliverMoved():
                return self.deliver_moved(step)
            case DeliverUnchanged():
                self.deliver_unchanged(step)
            case DeliverResult():
                self.leave_out_result(step)
        return Done()

    def deliver_unchanged(self, step: DeliverUnchanged) -> None:
        """Finish the job of a picture that is published already; its original is moved or deleted if the settings say so."""
        job, sha256, image_sha256 = step.job, step.sha256, step.image_sha256
        published = self.context.journal.reservations.last_published(job.folder, job.path)
        known = () if published is None else (published.sha256, published.image_sha256 or published.sha256)
        if job.forced or published is None or not {sha256, image_sha256}.intersection(known):
            # Else a false report would move or delete an original that was never cut.
            self.failed_jobs.fail(job, INVENTED)
            return
        there = present(self.context.folder.output, self.context.published(job.path, published.generation))
        if not there and job.generation > published.generation and sha256 == published.sha256:
            # It did not stay there but came again, and its cutout is gone: the owner wants a new one.
            self.context.log.info("job.cut-again", job=job.id, path=job.path)
            self.context.journal.cut_again(
                job, generation=published.generation, detail=job.detail | NOT_MOVED
            )
            return
        self.failures.clear(job)
        self.former_paths.clear_entries(job)
        self._update_sidecar(job, sha256, published)
        detail = self.context.journal.reservations.last_result(job.folder, job.path)
        state = self.context.journal.leave_unchanged(
            job,
            sha256=sha256,
            generation=published.generation,
            detail=detail,
            cleanup_pending=self.originals.wanted,
        )
        if self.originals.wanted and state is JobState.UNCHANGED:
            self.originals.add(replace(job, generation=published.generation, detail=detail), sha256)
        outputs = self.context.outputs(there)
        self.context.job_ended(job, state, "" if outputs else _REMOVED, outputs=outputs)

    def _update_sidecar(self, job: Job, sha256: str, published: LastPublished) -> None:
        """Update the sidecar to the picture as it is now; before the journal is updated, since this is not retried."""
        shown = self.context.published(job.path, published.generation)
        try:
            self.context.prove_ownership()
            self.context.publisher.sidecars.update(job, sha256, known={published.sha256, sha256}, shown=shown)
        except CutoutdError as error:
            # The journal knows the picture all the same; after a lost journal it would be cut again.
            self.context.log.warning("sidecar.not-updated", job=job.id, path=job.path, why=str(error))

    def deliver_moved(self, step: DeliverMoved) -> MakePlan | Done:
        """Handle a picture with the bytes of a vanished one; if its result cannot move along, it is queued to be cut."""
        job, sha256, moves = step.job, step.sha256, self.context.journal.moves
        if not self.context.has_bytes(job, sha256):
            # The worker may report false bytes, and must not get another picture's result by that.
            self._cut(job)
            return Done()
        with storage_faults(self.context.folder.input):
            origin = next(
                (one for one in moves.origins(job, sha256) if self._has_moved_away(job, one, sha256)), None
            )
            candidates = moves.rejected(job, sha256) if origin is None else []
            rejected = next(
                (one for one in candidates if self._is_elsewhere(job, one.job.path, sha256)), None
            )
        if origin is not None:
            job = replace(job, options=self.context.journal.queue.inherit_options(job, origin))
        failure = None if rejected is None else failure_in(rejected.job)
        if rejected is not None and failure is not None:
            self.failed_jobs.fail(job, failure, sha256)
            if rejected.vanished:
                self.former_paths.drop(job, rejected.job)
            else:  # the files under its names may be another picture's
                moves.end_rejected(job, rejected.job)
        elif origin is not None and self._keeps_names(origin):
            self._keep(job, origin, sha256)
        elif origin is not None and (following := self._follow(job, origin, sha256)) is not None:
            return following
        else:
            self._cut(job)
        return Done()

    def leave_out_result(self, step: DeliverResult) -> None:
        """Skip a picture that is a published result, which a person has moved or copied into the input."""
        job = step.job
        if not self.context.has_bytes(job, step.sha256):
            self.failed_jobs.reject_report(job)  # else a false report would keep a picture from being cut
            return
        self.context.publisher.discard(job.id)
        self.failures.clear(job)
        self.context.journal.leave_out_result(job, step.sha256)
        why = OWN_RESULT_DETAIL["why"]
        self.context.log.info("file.own-result", job=job.id, path=job.path, why=why)
        self.context.job_ended(job, JobState.SKIPPED, why)

    def _cut(self, job: Job) -> None:
        """Queue a job to be cut as a new picture."""
        self.context.publisher.reviews.discard(job.id)
        self.context.journal.queue.plan(job.id, job.detail | NOT_MOVED)

    def _keeps_names(self, origin: Origin) -> bool:
        """Whether a picture's result keeps its names; a result without names gets new ones, whatever the setting."""
        if self.context.folder.moves is not Moves.KEEP or origin.review:
            return False
        shown = self.context.published(origin.path, origin.generation)
        return not any(one.path.startswith(f"{DIRECTORY}/") for one in shown)

    def _follow(self, job: Job, origin: Origin, sha256: str) -> MakePlan | None:
        """Return the step that publishes a picture's result under its new names; None if it has to be cut."""
        earlier = self.context.published(origin.path, origin.generation)
        shown = tuple(one for one in earlier if one.review is origin.review)
        renditions = self.context.renditions(job)
        if sorted(one.rendition for one in shown if not one.is_overlay) != list(range(len(renditions))):
            return None
        if origin.review and shown != earlier:
            return None  # an earlier version of the source has a good result
        try:
            result = self.context.publisher.reviews.take(
                job.id, origin.path, None, shown, with_overlay=origin.review
            )
        except NotAcceptableError as error:
            self.context.log.info("move.not-followed", job=job.id, path=job.path, why=str(error))
            return None
        except StorageError:
            # Many may wait for a full disk, and must not take more of it meanwhile.
            with suppress(CutoutdError):
                self.context.publisher.reviews.discard(job.id)
            raise
        if any(one.format != renditions[one.rendition].format for one in result.staged if not one.is_overlay):
            return None
        cut = Cut(
            source=replace(result.source, bytes=job.size, sha256=sha256),
            staged=result.staged,
            quality=result.quality,
            review=origin.review,
            timings_ms={},
            warnings=(),
        )
        self.displaced.displace_for(job, origin)
        publication = self.context.publication(
            job,
            cut,
            # A result that could not be displaced, since a part was changed by hand, is replaced where it was not.
            earlier=shown,
            known=frozenset({sha256}),
            document=dict(result.document),
            moved_from=origin,
        )
        document = _at(job, sha256, dict(result.document), publication.facts.marker)
        self.context.log.info("job.moved", job=job.id, path=job.path, before=origin.path)
        return MakePlan(job=job, cut=cut, publication=replace(publication, document=document))

    def _has_moved_away(self, job: Job, origin: Origin, sha256: str) -> bool:
        if origin.generation < 0:
            return True
        return not self.originals.has_taken(origin.path) and self._is_elsewhere(job, origin.path, sha256)

    def _is_elsewhere(self, job: Job, before: str, sha256: str) -> bool:
        """Whether a picture is not at its earlier path any more: there is no file, or one with other bytes.

        On some file systems both paths are the same.

        Raises:
            OSError: it cannot be found out now.
        """
        if claim_key(before) == claim_key(job.path):
            return True
        root = str(self.context.folder.input)
        seen = scan_file(root, before)
        return seen is None or seen.size != job.size or sha256_of(root, before) not in (None, sha256)

    def _keep(self, job: Job, origin: Origin, sha256: str) -> None:
        """Finish the job of a moved picture whose result stays where it is."""
        detail = self.context.journal.reservations.last_result(
            job.folder, origin.path, generation=origin.generation
        )
        if detail:
            earlier = self.context.published(origin.path, origin.generation)
            detail["outputs"] = list(self.context.outputs([one for one in earlier if not one.review]))
        disposable = self.originals.wanted
        self.context.journal.leave_moved(
            job, origin, sha256=sha256, detail=detail, cleanup_pending=disposable
        )
        if disposable:
            self.originals.add(replace(job, detail=detail), sha256)
        self.context.job_ended(job, JobState.UNCHANGED, "", outputs=tuple(detail.get("outputs", ())))


def present(output: Path, published: Iterable[Published]) -> tuple[Published, ...]:
    """Return the results that exist, good ones before those in review; by their names, even if changed by hand.

    Args:
        output: path of the folder's output.
        published: what was published for a picture.

    Raises:
        StorageError: the output is missing, or cannot be read.
    """
    with storage_faults(output):
        output.stat()  # a share that is not mounted has no results either
        there = [one for one in published if Tree(output).exists(one.path)]
    return tuple(sorted(there, key=lambda one: (one.review, one.rendition)))


def _at(job: Job, sha256: str, document: dict[str, Any], marker: str) -> dict[str, Any]:
    """Return a sidecar updated to the picture at its current path."""
    now = with_source(document, path=job.path, size=job.size, mtime_ns=job.mtime_ns, sha256=sha256)
    now |= {"job": job.id, "folder": job.folder}
    return now | ({"folder_id": marker} if marker else {})
