"""The journal as the daemon uses it: one file, its parts, and the transactions that span several parts.

Each part is a module of its own.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cutoutd.failure import to_valid_utf8
from cutoutd.job_detail import OWN_RESULT_DETAIL, with_size_of
from cutoutd.jobs import WITHOUT_RESULT, JobState, Wanted
from cutoutd.journal.commands import Commands, ReviewDecisions
from cutoutd.journal.corrections import Corrections
from cutoutd.journal.displaced import DisplacedSources
from cutoutd.journal.ended import EndedJobs
from cutoutd.journal.fix_request import FixAction
from cutoutd.journal.folders import Folders
from cutoutd.journal.history import History
from cutoutd.journal.moves import PictureMoves
from cutoutd.journal.queue import Queue
from cutoutd.journal.rebuild import open_or_rebuild
from cutoutd.journal.reservations import Reservations
from cutoutd.journal.sources import Sources
from cutoutd.journal.state import DaemonSessions
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.journal.submissions import Submissions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.jobs import Failure, Job, Origin, Published
    from cutoutd.journal.fix_request import FixRequest


class Journal:
    """All that is stored, opened for one session of the daemon.

    Args:
        directory: the state directory; None: keep the journal in memory.
        session: id of this session of the daemon.
        clock: clock for the times that are written.

    Raises:
        JournalNewerError: the file was written by a newer cutoutd.
        JournalError: the disk refuses.
    """

    def __init__(self, directory: Path | None, *, session: str, clock: Clock) -> None:
        self.store = (
            Store(None, create=True) if directory is None else open_or_rebuild(directory / FILE_NAME, clock)
        )
        self.sources = Sources(self.store, clock)
        self.history = History(self.store, clock, self.sources)
        self.queue = Queue(self.store, clock, session)
        self.reservations = Reservations(self.store)
        self.corrections = Corrections(self.store, clock)
        self.moves = PictureMoves(self.store, self.sources)
        self.displaced = DisplacedSources(self.store)
        self.ended = EndedJobs(self.store)
        self.folders = Folders(self.store, clock, self.sources.reread)
        self.commands = Commands(self.store, clock)
        self.submissions = Submissions(self.store, clock)
        self.review_decisions = ReviewDecisions(self.store)
        self.sessions = DaemonSessions(self.store, clock, session)

    def begin_publishing(
        self,
        job: Job,
        *,
        sha256: str,
        claims: Iterable[bytes],
        detail: dict[str, Any],
        origin: Origin | None = None,
    ) -> None:
        """Write the plan of a publication, and the names it needs, before its first rename.

        Args:
            job: the job.
            sha256: SHA-256 of the source's bytes.
            claims: keys of the names.
            detail: the plan, and what is needed to finish it after a crash.
            origin: where the picture was before, if it was moved.
        """
        keys = tuple(claims)
        if origin is not None:
            detail = detail | self.moves.detail(job, origin)
        with self.store.transaction():
            if origin is not None:
                self.moves.take_names_within(job, origin, keys)
            self.reservations.keep_within(job.folder, job.path, keys, generation=job.generation)
            self.queue.publish_within(job.id, sha256=sha256, detail=detail)
        self.reservations.release(job.folder, job.path)

    def finish_publishing(
        self,
        job: Job,
        state: JobState,
        *,
        sha256: str,
        published: Iterable[Published],
        detail: dict[str, Any],
        cleanup_pending: bool = False,
        recalled: bool = False,
    ) -> int:
        """Commit a publication: the job's end and what is published now, in one transaction.

        Args:
            job: the job.
            state: DONE or REVIEW.
            sha256: SHA-256 of the source's bytes.
            published: the results that have their names.
            detail: the detail of the job's row.
            cleanup_pending: whether the original is still to be moved or deleted.
            recalled: whether a published result goes back into review.

        Returns:
            The number of corrections that are dropped, because they belong to other bytes of the source.
        """
        origin, image_sha256 = self.moves.planned_move(job)
        with self.store.transaction():
            # A job that is cut again although its source is missing was read from where the original was put away.
            is_put_away = job.forced and self.sources.missing_us(job.folder, job.path) is not None
            is_gone = is_put_away or (recalled and self.reservations.is_gone(job))
            left = None if origin is None else self.moves.end_within(job, origin)
            self.reservations.record_within(
                job.folder,
                job.path,
                generation=job.generation,
                source_sha256=sha256,
                image_sha256=image_sha256,
                published=published,
                looks=(job.size, job.mtime_ns),
                now_us=self.sources.now_us(),
            )
            if state is JobState.DONE:
                self.reservations.forget_doubtful_within(job.folder, job.path, generation=job.generation)
            if recalled:
                self.reservations.forget_recalled_within(job.folder, job.path, generation=job.generation)
            if is_gone:
                self.reservations.note_gone_within(job.folder, job.path, generation=job.generation)
            dropped = self.corrections.keep_only_within(job, sha256)
            self.queue.finish(job.id, state, detail=detail, sha256=sha256, cleanup_pending=cleanup_pending)
        if left is not None:
            self.moves.forget_moved(job, left)
        return dropped

    def is_own_result(self, job: Job, sha256: str) -> bool:
        """Whether a picture is a published result that nobody asked to have cut.

        Args:
            job: job of the picture.
            sha256: SHA-256 of its bytes.
        """
        if job.forced or self.submissions.has(job.id):
            return False
        return self.reservations.is_result(sha256) or self.reservations.was_left_out(job.folder, sha256)

    def leave_out_result(self, job: Job, sha256: str) -> None:
        """Finish the job of a picture that is a result itself: it is not cut."""
        self.queue.finish(job.id, JobState.SKIPPED, detail=dict(OWN_RESULT_DETAIL), sha256=sha256)

    def correct(self, job: Job, request: FixRequest, detail: Mapping[str, Any]) -> bool:
        """Write, undo or clear a correction of a job's cutout, and queue the job to be cut accordingly.

        Args:
            job: the job; it must not be in work, and its SHA-256 must be known.
            request: the request.
            detail: the detail of the job's row; see `cutoutd.offload.routing`.

        Returns:
            Whether there was anything to do.
        """
        with self.store.transaction():
            wanted, undone = None, None
            shown = self.reservations.earlier(job.folder, job.path, job.generation)
            # The result of a rejected job was in review before.
            was_held = job.state in WITHOUT_RESULT or (bool(shown) and all(one.review for one in shown))
            match request.action:
                case FixAction.DRAW:
                    self.corrections.add_within(
                        job, request.strokes, suggestion=request.suggestion, was_held=was_held
                    )
                case FixAction.UNDO:
                    undone = self.corrections.undo_within(job)
                case FixAction.CLEAR:
                    undone = self.corrections.clear_within(job, was_held=was_held)
            if undone is None and request.action is not FixAction.DRAW:
                return False
            correction = self.corrections.of(job)
            if undone is not None and (correction is None or not correction.strokes):
                wanted = Wanted.RECALLED if undone.was_held else Wanted.PUBLISHED
            self.queue.correct_within(job.id, wanted, {**detail, **with_size_of(job)})
        return True

    def leave_moved(
        self, job: Job, origin: Origin, *, sha256: str, detail: dict[str, Any], cleanup_pending: bool
    ) -> None:
        """Finish the job of a moved picture whose result stays where it is, and belongs to the new path from now on."""
        detail = detail | {"why": f"moved from {to_valid_utf8(origin.path)}, whose result it keeps"}
        with self.store.transaction():
            self.displaced.displace_earlier_within(job)
            left = self.moves.own_names_within(job, origin)
            self.queue.finish(
                job.id, JobState.UNCHANGED, detail=detail, sha256=sha256, cleanup_pending=cleanup_pending
            )
        if left is not None:
            self.moves.forget_moved(job, left)

    def undo_publishing(self, job: Job, *, published: Iterable[Published]) -> None:
        """Queue a job again whose result was lost in a crash; the results that already have names are recorded."""
        with self.store.transaction():
            self.reservations.record_within(
                job.folder,
                job.path,
                generation=job.generation,
                source_sha256=None,
                published=published,
            )
            self.queue.put_back(job.id)

    def keep_published(self, job: Job, *, published: Iterable[Published]) -> None:
        """Abandon a plan halfway: results that already have their names stay the source's."""
        with self.store.transaction():
            self.reservations.record_within(
                job.folder,
                job.path,
                generation=job.generation,
                source_sha256=None,
                published=published,
            )

    def fail(
        self,
        job: Job,
        failure: Failure,
        *,
        sha256: str | None = None,
        cleanup_pending: bool = False,
        forgets_results: bool = False,
    ) -> None:
        """Fail a job.

        Args:
            job: the job.
            failure: the reason.
            sha256: SHA-256 of the source's bytes, if the failure is to be recognised by it; None: not.
            cleanup_pending: whether the record of the failure is still to be written.
            forgets_results: whether a person has rejected the cutout of this version, of which nothing is published from then on.
        """
        with self.store.transaction():
            if forgets_results:
                self.reservations.forget_doubtful_within(job.folder, job.path, generation=job.generation)
                self.reservations.forget_published_within(job.folder, job.path, generation=job.generation)
            detail = {"failure": asdict(failure)}
            self.queue.finish(
                job.id, JobState.FAILED, detail=detail, sha256=sha256, cleanup_pending=cleanup_pending
            )

    def leave_unchanged(
        self, job: Job, *, sha256: str, generation: int, detail: dict[str, Any], cleanup_pending: bool
    ) -> JobState:
        """Finish a job whose bytes are published already, or wait in review and keep waiting.

        Args:
            job: the job.
            sha256: SHA-256 of the source's bytes.
            generation: generation of the source whose result they have; not the job's if that source was gone and came back.
            detail: the detail of the job's row.
            cleanup_pending: whether the original is still to be moved or deleted, unless the cutout waits in review.

        Returns:
            The state of the job: UNCHANGED or REVIEW.
        """
        state = JobState.UNCHANGED
        published = self.reservations.earlier(job.folder, job.path, generation)
        if published and all(one.review for one in published):
            state, cleanup_pending = JobState.REVIEW, False
            detail = self.reservations.last_review(job.folder, job.path, generation=generation) | detail
        with self.store.transaction():
            self.queue.finish(job.id, state, detail=detail, sha256=sha256, cleanup_pending=cleanup_pending)
            self.reservations.note_bytes_within(job, sha256, generation=generation)
            if generation != job.generation:
                self.queue.join_within(job.id, generation)
                self.reservations.note_back_within(job.folder, job.path, generation=generation)
        return state

    def cut_again(self, job: Job, *, generation: int, detail: Mapping[str, Any]) -> None:
        """Queue a job whose bytes were published but whose results are gone, to be cut for the same source.

        Args:
            job: the job.
            generation: generation of the source that was published; the new result takes its names.
            detail: the detail of the job's row.
        """
        with self.store.transaction():
            self.queue.plan(job.id, detail)
            self.queue.join_within(job.id, generation)
            self.reservations.forget_published_within(job.folder, job.path, generation=generation)

    def removed_original(self, job: Job) -> None:
        """Record that we moved or deleted the original of a job: a file that appears at its path is another picture."""
        with self.store.transaction():
            self.queue.cleaned_up(job.id)
            self.reservations.note_gone_within(job.folder, job.path, generation=job.generation)

    def lost_original(self, job: Job) -> None:
        """As `removed_original`, but files that belong to the original are still to be moved or deleted."""
        with self.store.transaction():
            self.reservations.note_gone_within(job.folder, job.path, generation=job.generation)

    def missed_original(self, job: Job) -> None:
        """Record that another program removed the original of a job before we could."""
        self.sources.note_places(job.folder, {job.path: self.sources.now_us()})
        self.queue.cleaned_up(job.id)

    def doubt_original(self, job: Job) -> None:
        """Record that the original of a job may not be what was cut, although it looks like it: it is to be read again."""
        with self.store.transaction():
            self.queue.cleaned_up(job.id)
            self.queue.doubt_within(job.id)
        self.sources.doubt(job.folder, job.version)

    def gone(self, job: Job, why: str) -> None:
        """Finish a job whose source vanished before its turn; a file that comes back is accepted again."""
        self.queue.finish(job.id, JobState.GONE, detail={"why": why})
        self.sources.forget(job.folder, job.version)

    def close(self) -> None:
        """Close the file."""
        self.store.close()
