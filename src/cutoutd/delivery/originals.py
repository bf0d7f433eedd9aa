"""Moves or deletes the originals of one folder after their cutouts are published, with retries.

Used only by the folder's delivery thread. An original must be added only once the journal has its cutout as done; the journal
forgets it only when it is gone. The companions of an original, which other programs wrote, go with it, unless they belong to
another file.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.delivery.companion_files import CompanionFiles
from cutoutd.errnos import DENIED
from cutoutd.errors import CutoutdError, JournalError, StorageError, TemporaryError
from cutoutd.faults.backoff import pause_s
from cutoutd.faults.isolation import is_expected, report
from cutoutd.file_signatures import has_picture_extension
from cutoutd.fs.tree import Tree
from cutoutd.job_detail import JobResult
from cutoutd.publish.faults import NameRefusedError, storage_faults
from cutoutd.publish.original_file import CleanupOutcome, delete_original, keep_original
from cutoutd.publish.originals import OriginalsFolder
from cutoutd.publish.own_results import named_beside
from cutoutd.settings.types import Originals

if TYPE_CHECKING:
    from cutoutd.delivery.context import Context
    from cutoutd.jobs import Job

FIRST_S: Final = 15.0
_RESULT: Final = "it is a cutout itself, and the picture that it was made of may be gone"

LONGEST_S: Final = 300.0
"""The longest pause: an original that stays is not urgent, and each try reads all of it."""

_MOST_REFUSED: Final = 20
"""Sub-folders that may refuse permission until the next pause: in each, an original is read for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    """An original that is to be moved or deleted.

    Attributes:
        job: the done job.
        sha256: SHA-256 of the source as it was cut.
        output: device and inode of the output when its cutouts were published; None: an earlier session did that while it was away.
    """

    job: Job
    sha256: str
    output: tuple[int, int] | None


class OriginalsCleanup:
    """The folder's originals that are still to be moved or deleted.

    Args:
        context: context of the folder's delivery.
    """

    def __init__(self, context: Context) -> None:
        directory = context.folder.originals_dir
        self._context = context
        self._folder = context.folder
        self._journal = context.journal
        self._log = context.log
        self._kept = OriginalsFolder(directory, context.publisher.run) if directory is not None else None
        self._companions = CompanionFiles(context.folder, self._kept)
        # Jobs whose originals are gone but whose companions are still there: the outcome, and the original's new path.
        self._gone: dict[int, tuple[CleanupOutcome, str]] = {}
        self._queue: deque[_Waiting] = deque()
        self._refusals = 0
        self._refused: set[str] = set()  # sub-folders that have refused permission since the last pause
        self._known_refused: set[str] = set()  # those that were logged
        self._is_logged = False  # it was logged that the journal refuses
        self._is_resting = False

    @property
    def wanted(self) -> bool:
        """Whether originals are moved or deleted at all."""
        return self._folder.originals is not Originals.KEEP

    def has_taken(self, path: str) -> bool:
        """Whether we moved or deleted the original at a path, and could not record that yet."""
        return any(one.job.path == path and one.job.id in self._gone for one in self._queue)

    def add(self, job: Job, sha256: str) -> None:
        """Move or delete an original, after those that wait already.

        Args:
            job: the done job; its detail says what was published for it.
            sha256: SHA-256 of the source as it was cut.
        """
        if why := self._reason_to_stay(job):
            self._journal.queue.cleaned_up(job.id)
            self._log.info("original.kept", job=job.id, path=job.path, why=why)
            return
        self._queue.append(_Waiting(job=job, sha256=sha256, output=self._output_now()))
        if not self._is_resting:
            self.clean_up()

    def _reason_to_stay(self, job: Job) -> str:
        """Return why an original stays for good; empty: it does not."""
        if not has_picture_extension(job.path):
            # A program's own file that happens to begin like a picture: its owner expects it to stay.
            return "its name is not a picture's"
        result = JobResult.of(job)
        if result.incomplete or not result.outputs:
            return "not every cutout of it was published"
        if self._folder.originals is Originals.DELETE and result.doubtful:
            # If the cutout is wrong, this is the only copy of the picture.
            return 'its cutout is doubtful; after a look at it, remove the picture yourself, or "cutoutd retry" it'
        if self._folder.originals is Originals.DELETE and result.corrected:
            # Each further stroke, and to undo one, starts from the picture.
            return "a person has corrected its cutout, and to undo that takes the picture; remove it yourself when all is well"
        return ""

    def clean_up(self) -> None:
        """Move or delete the waiting originals.

        A failure ends that, since it would most likely affect the others too. A refused permission affects its sub-folder alone.
        """
        self._is_resting = False
        self._refused.clear()
        for _ in range(len(self._queue)):
            waiting = self._queue[0]
            if _directory(waiting.job) in self._refused:
                self._queue.rotate(-1)
                continue
            try:
                self._take_first(waiting)
            except TemporaryError as error:
                # The cause may be this original alone, and then the others must not wait behind it.
                self._queue.rotate(-1)
                if not _is_of_its_directory(error) or len(self._refused) == _MOST_REFUSED:
                    self._pause_after(waiting.job, error)
                    return
                self._refuse(waiting.job, error)
        if self._refused:
            self._rest(self._next_pause_s())

    def _take_first(self, waiting: _Waiting) -> None:
        """Move or delete the first waiting original.

        Raises:
            TemporaryError: it stays, and is to be tried again.
        """
        job = waiting.job
        try:
            if self._is_result(job, waiting.sha256):
                self._journal.queue.cleaned_up(job.id)
                self._log.info("original.kept", job=job.id, path=job.path, why=_RESULT)
                self._drop_first()
                return
            outcome, companions = self._dispose(waiting)
            self._note(job, outcome)
        except TemporaryError:
            raise
        except NameRefusedError as error:
            # Only this name is refused, so the others do not wait for it. The next start tries again.
            self._log.warning("original.stays", job=job.id, path=job.path, why=str(error))
            self._drop_first()
            return
        except Exception as error:
            if is_expected(error):
                raise
            # It stays where it is; the journal knows it, and the next start tries again.
            report(self._log, error, over="an original", job=job.id, path=job.path)
            self._drop_first()
            return
        self._drop_first()
        self._is_logged = False
        if not self._refused:
            self._refusals = 0
        went = {"companions": companions} if companions else {}
        self._log.info("original.disposed", job=job.id, path=job.path, outcome=outcome.value, **went)

    def _refuse(self, job: Job, error: TemporaryError) -> None:
        """Skip the originals of a sub-folder until the next pause is over; it is logged once."""
        directory = _directory(job)
        self._refused.add(directory)
        if directory not in self._known_refused:
            self._known_refused.add(directory)
            self._warn(job, error)

    def _is_result(self, job: Job, sha256: str) -> bool:
        """Whether an original is a result of another picture, which a person has had cut again.

        The original of that may be gone, so this may be all that is left of it.

        Raises:
            TemporaryError: the disk, the share or the journal fails.
        """
        if job.id in self._gone:
            return False
        with storage_faults(self._folder.input):
            inputs = Tree(self._folder.input, self._context.checks.boundary())
            return self._journal.reservations.is_result(sha256) or sha256 in named_beside(inputs, job.path)

    def _drop_first(self) -> None:
        """Remove the first waiting original from the queue of this session."""
        self._gone.pop(self._queue.popleft().job.id, None)

    def sweep(self, dead: frozenset[str], *, is_first: bool = True) -> bool:
        """Remove incomplete copies that ended sessions left; returns whether that is done.

        Args:
            dead: ids of the sessions.
            is_first: whether it was not tried before, so that a refusal is logged.
        """
        if self._kept is None:
            return True
        try:
            self._kept.sweep(dead)
        except CutoutdError as error:
            if is_first:
                self._log.warning("staging.not-swept", why=str(error))
            return False
        return True

    def _pause_after(self, job: Job, error: TemporaryError) -> None:
        if isinstance(error, JournalError):
            self._rest(error.delay_s)  # short, since no original was read
            is_logged, self._is_logged = self._is_logged, True
            if is_logged:
                return
        else:
            self._rest(self._next_pause_s())
        self._warn(job, error)

    def _next_pause_s(self) -> float:
        delay_s = pause_s(self._refusals, first_s=FIRST_S, longest_s=LONGEST_S)
        self._refusals += 1
        return delay_s

    def _rest(self, delay_s: float) -> None:
        self._is_resting = True
        self._context.tasks.retry_later(self.clean_up, delay_s, needs_staged=False)

    def _warn(self, job: Job, error: TemporaryError) -> None:
        self._log.warning(
            "original.stays", job=job.id, path=job.path, why=str(error), waiting=len(self._queue)
        )

    def _note(self, job: Job, outcome: CleanupOutcome) -> None:
        match outcome:
            case CleanupOutcome.MOVED | CleanupOutcome.DELETED:
                self._journal.removed_original(job)
            case CleanupOutcome.GONE:
                self._journal.missed_original(job)
            case CleanupOutcome.CHANGED:
                self._journal.doubt_original(job)
            case CleanupOutcome.KEPT:
                self._journal.queue.cleaned_up(job.id)

    def _output_now(self) -> tuple[int, int] | None:
        """Return device and inode of the output; None if it is away."""
        try:
            self._context.prove_places()
            status = self._folder.output.stat()
        except (OSError, CutoutdError):
            return None
        return status.st_dev, status.st_ino

    def _confirm(self, waiting: _Waiting) -> None:
        """Check, immediately before an original goes, that its cutouts are where they were published.

        A program may have fetched them from there by now. But if they are missing from an output that is another directory than
        it was, they are out of reach.

        Raises:
            StorageError: they are not.
        """
        self._context.prove_places()
        with storage_faults(self._folder.output):
            status = self._folder.output.stat()
            is_as_before = waiting.output in (None, (status.st_dev, status.st_ino))
            if is_as_before or all(os.path.lexists(one) for one in JobResult.of(waiting.job).outputs):
                return
        raise StorageError(
            "its cutout is not there: this is another directory than the one that it was published in",
            path=self._folder.output,
            advice="Put the former one back, or mount its disk or share; it is tried again by itself.",
        )

    def _dispose(self, waiting: _Waiting) -> tuple[CleanupOutcome, tuple[str, ...]]:
        """Move or delete an original, and then its companions.

        After a crash in between, a moved original is found at its new path; companions of a deleted one stay.
        """
        self._context.prove_ownership()
        job = waiting.job
        inputs = Tree(self._folder.input, self._context.checks.boundary())
        if job.id not in self._gone:
            self._journal.folders.check_journal_writable()  # the removal has to be recorded
            outcome, to = self._dispose_of_original(inputs, waiting)
            if outcome not in (CleanupOutcome.MOVED, CleanupOutcome.DELETED):
                return outcome, ()
            # Recorded at once: whatever fails below, we have removed it.
            self._gone[job.id] = outcome, to
        outcome, to = self._gone[job.id]
        try:
            found = self._companions.of(inputs, job.path)
        except CutoutdError:
            self._journal.lost_original(job)
            raise
        if not found:
            return outcome, ()
        # A file that comes to its path from now on is another picture, even if a companion fails.
        self._journal.lost_original(job)
        return outcome, self._companions.follow(inputs, job.path, to, job.id)

    def _dispose_of_original(self, inputs: Tree, waiting: _Waiting) -> tuple[CleanupOutcome, str]:
        """Move or delete an original; returns the outcome, and its path in the folder for originals."""
        job, sha256, confirm = waiting.job, waiting.sha256, partial(self._confirm, waiting)
        match self._folder.originals:
            case Originals.MOVE if self._kept is not None:
                result = self._kept.move(inputs, job.path, sha256, job=job.id, confirm=confirm)
                if result.outcome is CleanupOutcome.GONE and (to := self._kept.placed(job.path, sha256)):
                    return CleanupOutcome.MOVED, to
                return result.outcome, "" if result.to is None else self._kept.relative(result.to)
            case Originals.DELETE:
                deleted = CleanupOutcome.DELETED, ""
                # Recorded before the sync: a file that is deleted but not synced is missing at the next try.
                removed = partial(self._gone.__setitem__, job.id, deleted)
                return delete_original(inputs, job.path, sha256, removed, confirm=confirm).outcome, ""
            case _:
                return keep_original(inputs, job.path).outcome, ""  # the settings have changed to "keep"


def _directory(job: Job) -> str:
    return job.path.rpartition("/")[0]


def _is_of_its_directory(error: TemporaryError) -> bool:
    """Whether a failure is about the sub-folder of an original: its permissions differ from those of the others."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in DENIED
