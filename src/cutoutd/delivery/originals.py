"""The originals of one folder that are still to be moved or deleted, and when that is tried again.

Used by the folder's delivery thread alone. It must not be given an original before the journal says that its
cutout is done; the journal forgets it only when it is gone.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.backoff import pause_s
from cutoutd.delivery.companions import Companions
from cutoutd.errors import CutoutdError, JournalError, TemporaryError
from cutoutd.fault_isolation import is_expected, report
from cutoutd.file_signatures import has_picture_extension
from cutoutd.fs.tree import Tree
from cutoutd.job_detail import JobResult
from cutoutd.publish.faults import NameRefusedError
from cutoutd.publish.original_file import CleanupOutcome, delete_original, keep_original
from cutoutd.publish.originals import OriginalsFolder
from cutoutd.settings.types import Originals

if TYPE_CHECKING:
    from cutoutd.delivery.context import Context
    from cutoutd.jobs import Job

FIRST_S: Final = 15.0
LONGEST_S: Final = 300.0
"""An original that stays is in nobody's way; each try reads all of it."""


class OriginalsCleanup:
    """The folder's originals that wait.

    Args:
        context: of the folder's delivery.
    """

    def __init__(self, context: Context) -> None:
        directory = context.folder.originals_dir
        self._context = context
        self._folder = context.folder
        self._journal = context.journal
        self._log = context.log
        self._kept = OriginalsFolder(directory, context.run) if directory is not None else None
        self._companions = Companions(context.folder, self._kept)
        self._gone: dict[
            int, tuple[CleanupOutcome, str]
        ] = {}  # whose companions are still there; where they went
        self._waiting: deque[tuple[Job, str]] = deque()
        self._refusals = 0
        self._is_told = False  # that the journal refuses
        self._is_resting = False

    @property
    def wanted(self) -> bool:
        """Whether originals go anywhere."""
        return self._folder.originals is not Originals.KEEP

    def has_taken(self, path: str) -> bool:
        """Whether we have moved or deleted the original at a path, and could not write that down yet."""
        return any(job.path == path and job.id in self._gone for job, _ in self._waiting)

    def add(self, job: Job, sha256: str) -> None:
        """Dispose of an original; behind those that wait, if any do.

        Args:
            job: done; its detail says what was published for it.
            sha256: of the source as it was cut.
        """
        if why := self._reason_to_stay(job):
            self._journal.queue.cleaned_up(job.id)
            self._log.info("original.kept", job=job.id, path=job.path, why=why)
            return
        self._waiting.append((job, sha256))
        if not self._is_resting:
            self.go_on()

    def _reason_to_stay(self, job: Job) -> str:
        """Why an original stays for good; empty if it goes."""
        if not has_picture_extension(job.path):
            # Some program's own file that happens to begin like a picture: nobody expects it to go.
            return "its name is not a picture's"
        result = JobResult.of(job)
        if result.incomplete or not result.outputs:
            return "not every cutout of it was published"
        if self._folder.originals is Originals.DELETE and result.doubtful:
            # If the cutout is wrong, this is the only copy of the picture.
            return 'its cutout is doubtful; after a look at it, remove the picture yourself, or "cutoutd retry" it'
        return ""

    def go_on(self) -> None:
        """Dispose of what waits, up to the first that cannot be: the others would most probably meet the same."""
        self._is_resting = False
        while self._waiting:
            job, sha256 = self._waiting[0]
            try:
                outcome, companions = self._dispose(job, sha256)
                self._note(job, outcome)
            except TemporaryError as error:
                self._rest(job, error)
                return
            except NameRefusedError as error:
                # The folder for originals takes others: they do not wait for it. The next start tries again.
                self._log.warning("original.stays", job=job.id, path=job.path, why=str(error))
                self._leave()
                continue
            except Exception as error:
                if is_expected(error):
                    raise
                # It stays where it is; the journal has it, and the next start tries again.
                report(self._log, error, over="an original", job=job.id, path=job.path)
                self._leave()
                continue
            self._leave()
            self._refusals, self._is_told = 0, False
            went = {"companions": companions} if companions else {}
            self._log.info("original.disposed", job=job.id, path=job.path, outcome=outcome.value, **went)

    def _leave(self) -> None:
        """The first of those that wait is done with, as far as this run goes."""
        job, _ = self._waiting.popleft()
        self._gone.pop(job.id, None)

    def sweep(self, dead: frozenset[str]) -> None:
        """Remove what dead runs left of copies that were not finished."""
        if self._kept is None:
            return
        try:
            self._kept.sweep(dead)
        except CutoutdError as error:
            self._log.warning("staging.not-swept", why=str(error))

    def _rest(self, job: Job, error: TemporaryError) -> None:
        self._waiting.rotate(
            -1
        )  # if it is this one's fault alone, the others need not wait behind it for ever
        is_told = False
        if isinstance(error, JournalError):
            delay_s = error.delay_s  # no original is read for it
            is_told, self._is_told = self._is_told, True
        else:
            delay_s = pause_s(self._refusals, first_s=FIRST_S, longest_s=LONGEST_S)
            self._refusals += 1
        self._is_resting = True
        self._context.tasks.retry_later(self.go_on, delay_s, needs_staged=False)
        if not is_told:
            self._log.warning(
                "original.stays", job=job.id, path=job.path, why=str(error), waiting=len(self._waiting)
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
        """Dispose of an original, and then of its companions.

        A crash in between is found by where the original lies, if it was moved; what was to be deleted stays then.
        """
        self._context.prove_ownership()
        inputs = Tree(self._folder.input, self._context.boundary())
        if job.id not in self._gone:
            self._journal.folders.see_that_journal_can_be_written()  # what goes now has to be written down
            outcome, to = self._dispose_of_original(inputs, job, sha256)
            if outcome not in (CleanupOutcome.MOVED, CleanupOutcome.DELETED):
                return outcome, ()
            # At once: whatever holds us up below, it was we who took it away.
            self._gone[job.id] = outcome, to
        outcome, to = self._gone[job.id]
        try:
            found = self._companions.of(inputs, job.path)
        except CutoutdError:
            self._journal.lost_original(job)
            raise
        if not found:
            return outcome, ()
        # What comes to its path from here on is another picture, even if a companion holds us up.
        self._journal.lost_original(job)
        return outcome, self._companions.follow(inputs, job.path, to, job.id)

    def _dispose_of_original(self, inputs: Tree, job: Job, sha256: str) -> tuple[CleanupOutcome, str]:
        """Move or delete it; what became of it, and where it lies in the folder for originals."""
        match self._folder.originals:
            case Originals.MOVE if self._kept is not None:
                result = self._kept.move(inputs, job.path, sha256, job=job.id)
                if result.outcome is CleanupOutcome.GONE and (to := self._kept.placed(job.path, sha256)):
                    return CleanupOutcome.MOVED, to
                return result.outcome, "" if result.to is None else self._kept.relative(result.to)
            case Originals.DELETE:
                deleted = CleanupOutcome.DELETED, ""
                # Told in between: what is deleted and cannot be synced is not there at the next try.
                removed = partial(self._gone.__setitem__, job.id, deleted)
                return delete_original(inputs, job.path, sha256, removed).outcome, ""
            case _:
                return keep_original(inputs, job.path).outcome, ""  # the folder says "keep" by now
