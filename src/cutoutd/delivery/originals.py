"""Moves or deletes the originals of one folder after their cutouts are published, with retries.

Used only by the folder's delivery thread. An original must be added only once the journal has its cutout as done; the journal
forgets it only when it is gone. The companions of an original, which other programs wrote, go with it, unless they belong to
another file.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import NO_WAY
from cutoutd.errors import CutoutdError, JournalError, StorageError, TemporaryError
from cutoutd.faults.backoff import pause_s
from cutoutd.faults.isolation import is_expected, report
from cutoutd.file_signatures import has_picture_extension
from cutoutd.fs.tree import Tree
from cutoutd.intake import companions
from cutoutd.job_detail import JobResult
from cutoutd.publish.faults import NameRefusedError, storage_faults
from cutoutd.publish.original_file import CleanupOutcome, current_sha256, delete_original, keep_original
from cutoutd.publish.originals import OriginalsFolder
from cutoutd.publish.own_results import named_beside
from cutoutd.publish.verified import private
from cutoutd.settings.types import Companions, Originals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.delivery.context import Context
    from cutoutd.jobs import Job
    from cutoutd.settings.schema import Folder

FIRST_S: Final = 15.0
_RESULT: Final = "it is a cutout itself, and the picture that it was made of may be gone"

LONGEST_S: Final = 300.0
"""The longest pause: an original that stays is not urgent, and each try reads all of it."""


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
        self._kept = OriginalsFolder(directory, context.run) if directory is not None else None
        self._companions = CompanionFiles(context.folder, self._kept)
        # Jobs whose originals are gone but whose companions are still there: the outcome, and the original's new path.
        self._gone: dict[int, tuple[CleanupOutcome, str]] = {}
        self._queue: deque[tuple[Job, str]] = deque()
        self._refusals = 0
        self._is_logged = False  # it was logged that the journal refuses
        self._is_resting = False

    @property
    def wanted(self) -> bool:
        """Whether originals are moved or deleted at all."""
        return self._folder.originals is not Originals.KEEP

    def has_taken(self, path: str) -> bool:
        """Whether we moved or deleted the original at a path, and could not record that yet."""
        return any(job.path == path and job.id in self._gone for job, _ in self._queue)

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
        self._queue.append((job, sha256))
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
        """Move or delete the waiting originals, up to the first failure, which would most likely affect the others too."""
        self._is_resting = False
        while self._queue:
            job, sha256 = self._queue[0]
            try:
                if self._is_result(job, sha256):
                    self._journal.queue.cleaned_up(job.id)
                    self._log.info("original.kept", job=job.id, path=job.path, why=_RESULT)
                    self._drop_first()
                    continue
                outcome, companions = self._dispose(job, sha256)
                self._note(job, outcome)
            except TemporaryError as error:
                self._pause_after(job, error)
                return
            except NameRefusedError as error:
                # Only this name is refused, so the others do not wait for it. The next start tries again.
                self._log.warning("original.stays", job=job.id, path=job.path, why=str(error))
                self._drop_first()
                continue
            except Exception as error:
                if is_expected(error):
                    raise
                # It stays where it is; the journal knows it, and the next start tries again.
                report(self._log, error, over="an original", job=job.id, path=job.path)
                self._drop_first()
                continue
            self._drop_first()
            self._refusals, self._is_logged = 0, False
            went = {"companions": companions} if companions else {}
            self._log.info("original.disposed", job=job.id, path=job.path, outcome=outcome.value, **went)

    def _is_result(self, job: Job, sha256: str) -> bool:
        """Whether an original is a result of another picture, which a person has had cut again.

        The original of that may be gone, so this may be all that is left of it.

        Raises:
            TemporaryError: the disk, the share or the journal fails.
        """
        if job.id in self._gone:
            return False
        with storage_faults(self._folder.input):
            inputs = Tree(self._folder.input, self._context.boundary())
            return self._journal.reservations.is_result(sha256) or sha256 in named_beside(inputs, job.path)

    def _drop_first(self) -> None:
        """Remove the first waiting original from the queue of this session."""
        job, _ = self._queue.popleft()
        self._gone.pop(job.id, None)

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
        # The cause may be this original alone, and then the others must not wait behind it.
        self._queue.rotate(-1)
        is_logged = False
        if isinstance(error, JournalError):
            delay_s = error.delay_s  # short, since no original was read
            is_logged, self._is_logged = self._is_logged, True
        else:
            delay_s = pause_s(self._refusals, first_s=FIRST_S, longest_s=LONGEST_S)
            self._refusals += 1
        self._is_resting = True
        self._context.tasks.retry_later(self.clean_up, delay_s, needs_staged=False)
        if not is_logged:
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

    def _dispose(self, job: Job, sha256: str) -> tuple[CleanupOutcome, tuple[str, ...]]:
        """Move or delete an original, and then its companions.

        After a crash in between, a moved original is found at its new path; companions of a deleted one stay.
        """
        self._context.prove_ownership()
        inputs = Tree(self._folder.input, self._context.boundary())
        if job.id not in self._gone:
            self._journal.folders.check_journal_writable()  # the removal has to be recorded
            outcome, to = self._dispose_of_original(inputs, job, sha256)
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

    def _dispose_of_original(self, inputs: Tree, job: Job, sha256: str) -> tuple[CleanupOutcome, str]:
        """Move or delete an original; returns the outcome, and its path in the folder for originals."""
        match self._folder.originals:
            case Originals.MOVE if self._kept is not None:
                result = self._kept.move(inputs, job.path, sha256, job=job.id)
                if result.outcome is CleanupOutcome.GONE and (to := self._kept.placed(job.path, sha256)):
                    return CleanupOutcome.MOVED, to
                return result.outcome, "" if result.to is None else self._kept.relative(result.to)
            case Originals.DELETE:
                deleted = CleanupOutcome.DELETED, ""
                # Recorded before the sync: a file that is deleted but not synced is missing at the next try.
                removed = partial(self._gone.__setitem__, job.id, deleted)
                return delete_original(inputs, job.path, sha256, removed).outcome, ""
            case _:
                return keep_original(inputs, job.path).outcome, ""  # the settings have changed to "keep"


_TRIES: Final = 3
"""After this many tries, a companion that keeps being saved is tried again later."""


class CompanionFiles:
    """The companions of one folder's originals.

    Args:
        folder: settings of the folder.
        kept: the folder for originals; None: they are not moved.
    """

    def __init__(self, folder: Folder, kept: OriginalsFolder | None) -> None:
        self._folder = folder
        self._kept = kept

    @property
    def _go(self) -> bool:
        """Whether companions go with their originals."""
        match self._folder.companions:
            case Companions.AUTO:
                return self._folder.originals is Originals.MOVE
            case Companions.FOLLOW:
                return self._folder.originals is not Originals.KEEP
            case Companions.KEEP:
                return False

    def of(self, inputs: Tree, path: str) -> tuple[str, ...]:
        """Return the companions of an original that is gone; none if another file has its path by now.

        Raises:
            StorageError: the disk or share fails.
        """
        if not self._go:
            return ()
        with storage_faults(inputs.root):
            return () if _is_there(inputs, path) else tuple(_of(inputs, path))

    def follow(self, inputs: Tree, path: str, to: str, job: int) -> tuple[str, ...]:
        """Move or delete the companions of an original that is gone.

        Args:
            inputs: the folder's input.
            path: path of the original in the input.
            to: its path in the folder for originals; empty: it was deleted.
            job: id of the job.

        Returns:
            The paths of the companions that were moved or deleted.

        Raises:
            NameRefusedError: the disk refuses the name of one.
            StorageError: one cannot be read, moved or deleted, is open for writing, or keeps being saved.
        """
        found = self.of(inputs, path)
        return tuple(one for one in found if self._take(inputs, one, path, to, job))

    def _take(self, inputs: Tree, companion: str, path: str, to: str, job: int) -> bool:
        for _ in range(_TRIES):
            with storage_faults(inputs.root):
                sha256 = current_sha256(inputs, companion)
            if sha256 is None:
                return False  # gone by now, or not a regular file
            if self._kept is not None and to:
                target = companions.renamed(companion, path, to)
                outcome = self._kept.move(inputs, companion, sha256, job=job, to=target).outcome
            else:
                outcome = delete_original(inputs, companion, sha256).outcome
            if outcome is not CleanupOutcome.CHANGED:
                return outcome is not CleanupOutcome.GONE
        raise StorageError("it is being written to", path=inputs.root / companion)


def _of(inputs: Tree, path: str) -> Iterator[str]:
    """Yield the companions of an original that exist now."""
    for companion in companions.by_name(path):
        if _is_there(inputs, companion):
            yield companion
            yield from _duplicates(inputs, path)
    directory, slash, _ = path.rpartition("/")
    found = [companion for companion in companions.by_stem(path) if _is_there(inputs, companion)]
    # Listed only for originals that have such a companion; for all originals it would take quadratic time.
    beside = tuple(chain(*inputs.list(directory))) if found else ()
    for companion in found:
        if not companions.may_be_anothers(path, companion, beside):
            yield companion
    for folder in _directories(inputs, f"{directory}{slash}{companions.CAPTURE_ONE}"):
        if _is_there(inputs, companion := companions.settings_in(path, folder)):
            yield companion


def _duplicates(inputs: Tree, path: str) -> Iterator[str]:
    for number in range(1, companions.MAX_DUPLICATES + 1):
        companion, picture = companions.duplicate(path, number)
        if not _is_there(inputs, companion):
            return
        if not _is_there(inputs, picture):
            yield companion


def _directories(inputs: Tree, directory: str) -> list[str]:
    try:
        return inputs.list(directory)[0]
    except OSError as error:
        if error.errno in NO_WAY:
            return []
        raise


def _is_there(inputs: Tree, path: str) -> bool:
    """Whether a path exists, or exists again once an interrupted removal is undone."""
    with inputs.find(path) as entry:
        return entry is not None and (entry.exists() or private(entry).exists())
