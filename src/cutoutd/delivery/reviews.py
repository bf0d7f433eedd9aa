"""Carries out what a person decided about the doubtful results of one folder.

Used by the folder's delivery thread alone. An accepted result takes the same way as any other: plan, journal, renames,
sidecar, commit mark. It must not decide, nor look at a picture.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.delivery.reservations import is_another
from cutoutd.errors import CutoutdError, StorageError, TemporaryError
from cutoutd.failure import to_valid_utf8
from cutoutd.jobs import Cut, Failure
from cutoutd.journal.review_decisions import ReviewDecision
from cutoutd.logs import get
from cutoutd.publish.naming import forms
from cutoutd.publish.plan import Publication
from cutoutd.publish.reviews import NotAcceptableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.jobs import Job, Published
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.reviews import Reviews
    from cutoutd.settings.schema import Folder

REJECTED = "Rejected"
"""Code of the failure that a rejected picture has; `cutoutd retry --failed` leaves it alone."""


class DecidedReviews:
    """The folder's decided results.

    Args:
        folder: its settings.
        files: where the doubtful results lie.
        journal: knows the decisions.
        sidecar_factory: knows what a sidecar says.
        publish: has a publication carried out.
        fail: has a job given up.
        wait: has something done again later.
        prove: raises a TemporaryError where this machine may not publish.
    """

    def __init__(
        self,
        folder: Folder,
        files: Reviews,
        *,
        journal: Journal,
        sidecar_factory: SidecarFactory,
        publish: Callable[[Job, Cut, Publication], None],
        fail: Callable[[Job, Failure], None],
        wait: Callable[[Job, TemporaryError, Callable[[], None]], None],
        prove: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._files = files
        self._journal = journal
        self._provenance = sidecar_factory
        self._publish = publish
        self._fail = fail
        self._wait = wait
        self._prove = prove
        self._log = get(folder=folder.name)

    def carry_out(self, number: int) -> None:
        """Do what was decided about a job, if it still waits for that.

        Raises:
            StorageError: the disk or share does not answer as it should; to be called again.
        """
        job = self._journal.review_decisions.pending_one(number)
        if job is None:
            return  # retried, or overtaken by a newer version
        try:
            self._prove()
        except TemporaryError as error:
            self._wait(job, error, partial(self.carry_out, number))
            return
        if job.detail["decision"] == ReviewDecision.REJECT:
            self._reject(job)
            return
        try:
            self._accept(job)
        except NotAcceptableError as error:
            self.refuse(job, error)
        except StorageError:
            # Many wait where a disk is full, and none may take more of it meanwhile.
            with suppress(CutoutdError):
                self._files.discard(job.id)
            raise

    def refuse(self, job: Job, error: CutoutdError) -> None:
        """A decision cannot be carried out: the result stays in review, and the person is told why."""
        self._journal.review_decisions.refuse(job.id, to_valid_utf8(str(error)))
        self._log.warning("review.not-accepted", job=job.id, path=job.path, why=str(error))
        try:
            self._files.discard(job.id)
        except CutoutdError as refusal:
            # The answer stands; what stays staged is swept at the end of the run.
            self._log.warning("review.not-unstaged", job=job.id, path=job.path, why=str(refusal))

    def clear(self, job: Job) -> None:
        """A source has a good result now: nothing of it waits in ``review/`` any more."""
        if shown := self._shown(job):
            try:
                self._files.clear(job.path, shown)
            except CutoutdError as error:
                # As with a failure's record: that it is published cannot be undone by a full disk.
                self._log.warning("review.not-cleared", job=job.id, path=job.path, why=str(error))

    def _accept(self, job: Job) -> None:
        shown = self._shown(job)
        renditions = self._folder.recipe().renditions
        found = sorted(one.rendition for one in shown if one.rendition >= 0)
        if found != list(range(len(renditions))):
            raise NotAcceptableError("the folder's renditions are others than when it was cut")
        doubtful = self._files.take(job.id, job.path, job.sha256 or "", shown)
        if any(one.format != renditions[one.rendition].format for one in doubtful.staged):
            raise NotAcceptableError("the folder's renditions are others than when it was cut")
        doubt = f" ({'; '.join(doubtful.quality.reasons)})" if doubtful.quality.reasons else ""
        cut = Cut(
            source=doubtful.source,
            staged=doubtful.staged,
            quality=doubtful.quality,
            review=False,
            timings_ms={},
            warnings=(f"it was held back for review{doubt}, and a person accepted it",),
        )
        publication = Publication(
            facts=self._provenance.sidecar_facts(job, cut),
            staged=cut.staged,
            renditions=renditions,
            review=False,
            earlier=self._journal.reservations.earlier(job.folder, job.path, job.generation),
            known=self._journal.reservations.known(job),
            document=doubtful.document,
            again=is_another(self._journal, job),
            forms=forms(portable=self._folder.has_portable_names),
        )
        self._publish(job, cut, publication)

    def _reject(self, job: Job) -> None:
        self._files.clear(job.path, self._shown(job))
        self._journal.forget_doubtful(job)
        doubt = str(job.detail.get("why", ""))
        self._fail(
            job,
            Failure(
                code=REJECTED,
                title="Rejected in review",
                cause=f"rejected in review{f': {doubt}' if doubt else ''}",
                advice="The original is untouched. Put a better picture in its place, or `cutoutd retry` it.",
                permanent=True,
            ),
        )

    def _shown(self, job: Job) -> tuple[Published, ...]:
        return tuple(
            one
            for one in self._journal.reservations.earlier(job.folder, job.path, job.generation)
            if one.review
        )
