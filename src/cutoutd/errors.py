"""The tree of errors; every error has a title, advice, and the file it concerns.

    CutoutdError
    ├── UsageError              wrong call or configuration                    exit 2
    │   ├── NotNeededError      a companion without anything to do             exit 6, to its keeper alone
    │   ├── ConfigurationError  names file, table, key and the right form
    │   └── SandboxError        a layer is missing, and the configuration requires all
    ├── AlreadyRunningError     another daemon holds the state directory       exit 3
    ├── ModelError              the model is missing or altered                exit 4
    ├── PermanentError          trying the same bytes again cannot help
    │   ├── PictureError        the bytes are not a picture we can read, perhaps not yet
    │   │   └── LimitError      a whole picture, but one we refuse: too large, or a format not allowed
    │   ├── LostError           the worker died over it
    │   ├── InferenceError      the model does not run on it
    │   ├── ReplyError          a hosted service sent back something that is not a matte of it
    │   └── UnforeseenError     an exception that nobody foresaw: a bug of ours
    ├── TemporaryError          may pass by itself; has a delay
    │   └── StorageError        a share or disk fails
    │       ├── OutputError     the disk of the results: no result of the folder can be written
    │       ├── JournalError    the disk of the journal: nothing can be recorded
    │       │   └── JournalBusyError  another program holds it
    │       └── OutboxError     the hosted route's directories: nothing can be sent, and all else goes on
    └── SourceGoneError         the file was removed or replaced before its turn

This module must not log, print, or know exit codes: the command line maps families to codes.
"""

from __future__ import annotations

import errno
from copy import copy
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from cutoutd.errnos import FULL, NO_PLACE, NOT_THERE, READ_ONLY
from cutoutd.folder_trouble import FolderTrouble

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


class FailureCode(StrEnum):
    """The kinds of errors, as in the journal, sidecars, logs and hooks; these words never change."""

    USAGE = "Usage"
    CONFIGURATION = "Configuration"
    SANDBOX = "Sandbox"
    ALREADY_RUNNING = "AlreadyRunning"
    NOT_NEEDED = "NotNeeded"
    MODEL = "Model"
    PERMANENT = "Permanent"
    PICTURE = "Picture"
    LIMIT = "Limit"
    LOST = "Lost"
    INFERENCE = "Inference"
    REPLY = "Reply"
    UNFORESEEN = "Unforeseen"
    TEMPORARY = "Temporary"
    STORAGE = "Storage"
    OUTPUT = "Output"
    JOURNAL = "Journal"
    JOURNAL_BUSY = "JournalBusy"
    OUTBOX = "Outbox"
    SOURCE_GONE = "SourceGone"
    NOT_OWNER = "NotOwner"
    JOURNAL_DAMAGED = "JournalDamaged"
    JOURNAL_NEWER = "JournalNewer"
    JOURNAL_OLDER = "JournalOlder"
    TARGET_TAKEN = "TargetTaken"
    RESULT_LOST = "ResultLost"
    NAME_REFUSED = "NameRefused"
    TARGET_HELD = "TargetHeld"
    NOT_ACCEPTABLE = "NotAcceptable"
    SECOND_GONE = "SecondGone"
    LEDGER = "Ledger"
    LEDGER_DAMAGED = "LedgerDamaged"
    NOT_PRIVATE = "NotPrivate"
    UNUSABLE_MODEL = "UnusableModel"
    WORKERS_FAIL = "WorkersFail"
    ROOT_REFUSED = "RootRefused"
    UNWATCHABLE = "Unwatchable"
    FAULT = "Fault"  # nobody foresaw it, and there is no error class for it
    CLUSTER = "Cluster"  # other machines could not cut it; not the picture's fault
    HOSTED = "Hosted"  # an upload got no answer
    REJECTED = "Rejected"  # a person rejected it in review
    OTHER = "Cutoutd"


class CutoutdError(Exception):
    """The root of the tree.

    Args:
        cause: what happened, in words for the user; the class's own advice follows it.
        path: path of the file or directory that it concerns.
        advice: what to do, if it differs from the class's advice.
        trouble: what it means for a whole folder, if it differs from the class's; None: it has no code, or concerns no folder.
    """

    code: ClassVar[FailureCode] = FailureCode.OTHER
    title: ClassVar[str] = "Something went wrong"
    ends_daemon: ClassVar[bool] = False
    """Whether it concerns the whole run, not one file, command or record, so that the daemon ends."""
    advice: str = "Please report this with the log around it."
    trouble: FolderTrouble | None = None

    def __init__(
        self,
        cause: str,
        *,
        path: Path | None = None,
        advice: str | None = None,
        trouble: FolderTrouble | None = None,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.path = path
        self.advice = self.advice if advice is None else advice
        self.trouble = trouble or self.trouble

    def again(self) -> Self:
        """Return the same error, to be raised another time: the traceback of this one keeps alive what each raiser had in hand."""
        return copy(self)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path is not None else ""
        end = "" if self.cause.endswith(("?", "!", ".")) else "."
        between = "\n" if "\n" in self.cause else " "
        return f"{where}{self.cause}{end}{between}{self.advice}".strip()


class UsageError(CutoutdError):
    """The command was called in a way that cannot work."""

    code = FailureCode.USAGE
    title = "Wrong usage"
    advice = "See `cutoutd --help`."


class NotNeededError(UsageError):
    """A companion has nothing to do by the configuration that its supervisor works by; it is not to be started again."""

    code = FailureCode.NOT_NEEDED
    title = "Nothing to send"


class ConfigurationError(UsageError):
    """A setting is wrong; the message names file, table, key and the right form."""

    code = FailureCode.CONFIGURATION
    title = "Wrong configuration"
    advice = "Correct it and run `cutoutd check`."


class SandboxError(UsageError):
    """This system lacks a layer of the sandbox, and the configuration requires all of them."""

    code = FailureCode.SANDBOX
    title = "The sandbox is not complete"
    ends_daemon = True
    advice = 'Provide what is missing, or set [pool] sandbox = "auto" to work with the layers that this system has.'


class AlreadyRunningError(CutoutdError):
    """Another daemon uses the same state directory."""

    code = FailureCode.ALREADY_RUNNING
    title = "Already running"
    advice = "See `cutoutd status`; stop the other one first, or give this one folders of its own."


class ModelError(CutoutdError):
    """The model's file is missing, altered, or does not run."""

    code = FailureCode.MODEL
    title = "Model missing or altered"
    ends_daemon = True
    advice = "Install cutoutd again, or see `cutoutd models verify`."


class PermanentError(CutoutdError):
    """Trying the same bytes again cannot help."""

    code = FailureCode.PERMANENT
    title = "Could not be cut"
    advice = "The original is untouched. Put a corrected file in its place to have it cut."


class PictureError(PermanentError):
    """The bytes are not a picture we can read: damaged, cut short, or of no known format.

    A file that arrived a moment ago may only be unfinished, so `cutoutd.faults.retry` gives it time.
    """

    code = FailureCode.PICTURE
    title = "Not a usable picture"
    advice = "The original is untouched. Export it again as JPEG or PNG and put it in its place."


class LimitError(PictureError):
    """A picture we refuse by its header: too many pixels or bytes, or a format that is not allowed."""

    code = FailureCode.LIMIT
    title = "Picture refused"
    advice = "The original is untouched. Raise the limit in [pool], or export it smaller or as JPEG or PNG."


class LostError(PermanentError):
    """The worker died or exceeded its time on this file as often as allowed."""

    code = FailureCode.LOST
    title = "The picture could not be processed"
    advice = "The original is untouched. `cutoutd retry` tries it again."


class InferenceError(PermanentError):
    """The model loads, but does not run on this picture."""

    code = FailureCode.INFERENCE
    title = "The model does not run"
    advice = "The original is untouched. See `cutoutd models verify`; `cutoutd retry` tries it again."


class ReplyError(PermanentError):
    """A hosted service sent back something that is not a matte of what was sent."""

    code = FailureCode.REPLY
    title = "The hosted service sent back something unusable"
    advice = "The original is untouched. `cutoutd retry` asks the service again, which may cost again."


class UnforeseenError(PermanentError):
    """An exception that nobody foresaw; see `cutoutd.faults.isolation`."""

    code = FailureCode.UNFORESEEN
    title = "Internal error"
    advice = (
        "The original is untouched. Please report this with the line about it in the log; "
        "`cutoutd retry` tries it again."
    )


class TemporaryError(CutoutdError):
    """The operation may succeed later; to be tried again after ``delay_s`` seconds."""

    code = FailureCode.TEMPORARY
    title = "Not possible just now"
    advice = "It is tried again by itself."
    delay_s: float = 10.0


class StorageError(TemporaryError):
    """A disk or share fails: full, read-only, gone, or refusing."""

    code = FailureCode.STORAGE
    title = "The disk or share does not answer as it should"
    delay_s = 15.0


class OutputError(StorageError):
    """The disk or share of the results refuses: the folder's next picture would fail in the same way."""

    code = FailureCode.OUTPUT
    title = "The result cannot be written"
    delay_s = 5.0  # the folder pauses as a whole


class JournalError(StorageError):
    """The journal's disk refuses; no folder is the cause."""

    code = FailureCode.JOURNAL
    trouble = FolderTrouble.JOURNAL_FULL
    title = "The journal cannot be used"
    delay_s = 5.0  # a try costs next to nothing
    advice = (
        "Check that the disk of the state directory has room and works. A running daemon goes on by itself; "
        "a command that ends so has done nothing: give it again."
    )


class JournalBusyError(JournalError):
    """Another program holds the journal's file locked."""

    code = FailureCode.JOURNAL_BUSY
    trouble = FolderTrouble.JOURNAL_BUSY
    title = "Another program holds the journal"
    advice = (
        "Close what has the file open, such as a backup or a database browser. A running daemon goes on by itself; "
        "a command that ends so has done nothing: give it again."
    )


class OutboxError(StorageError):
    """The directories of the hosted route refuse: nothing can be sent, and all else goes on."""

    code = FailureCode.OUTBOX
    title = "The hosted route's directories cannot be used"
    advice = "See what lies there, and that the disk works; it is tried again by itself."


class SourceGoneError(CutoutdError):
    """The source was removed, or replaced by a newer version, before its turn."""

    code = FailureCode.SOURCE_GONE
    title = "The file is gone"
    advice = "Nothing to do: if it comes back, or a newer version is there, that is cut."


_NO_PLACE_ADVICE = (
    "Check that the output folder is there and that no file stands where a sub-folder belongs; "
    "work goes on by itself."
)

# What the errno of a failed system call means for a file that worked a moment ago. Everything that is not
# named here is a StorageError too, with the system's own words: an unknown fault is safer tried again.
_ADVICE_BY_ERRNO: dict[int, str] = {
    errno.ENOSPC: "The disk is full: free some space; work goes on by itself.",
    errno.EDQUOT: "The disk quota is used up: free some space; work goes on by itself.",
    errno.EROFS: "The file system is read-only: make it writable; work goes on by itself.",
    errno.EACCES: "Permission was refused: let the user who runs cutoutd read and write there.",
    errno.EPERM: (
        "Permission was refused: let the user who runs cutoutd read and write there. If they may, the sandbox may "
        "have refused a system call: `cutoutd doctor` says which are."
    ),
    errno.ENOSYS: "The sandbox or the kernel does not have a system call: `cutoutd doctor` says which are refused.",
    errno.EIO: "The disk or share reports read or write errors: check its cable, health or connection.",
    errno.ESTALE: "The share was replaced while it was in use: it is tried again when it is back.",
    errno.EMFILE: "Too many open files: raise the limit (`ulimit -n`, LimitNOFILE=).",
    errno.ENFILE: "The system has too many open files.",
    errno.ENAMETOOLONG: "The name is longer than this file system allows: shorten it or the suffix.",
}


def from_os_error(error: OSError, path: Path | None) -> CutoutdError:
    """Translate a system call's error about a source.

    Args:
        error: the system call's error.
        path: path of the file.
    """
    if error.errno in NOT_THERE:
        return SourceGoneError(f"no longer there ({_reason(error)})", path=path)
    return StorageError(
        f"the system says: {_reason(error)}", path=path, advice=_ADVICE_BY_ERRNO.get(error.errno or 0)
    )


def from_output_error(error: OSError, path: Path) -> OutputError:
    """Translate a system call's error about a result.

    Args:
        error: the system call's error.
        path: path of the file or directory.
    """
    if error.errno in NO_PLACE:
        return OutputError(
            f"the output directory is not as expected ({_reason(error)})",
            path=path,
            advice=_NO_PLACE_ADVICE,
        )
    return OutputError(
        f"the system says: {_reason(error)}",
        path=path,
        advice=_ADVICE_BY_ERRNO.get(error.errno or 0),
        trouble=refused_writing(error),
    )


def refused_writing(error: OSError) -> FolderTrouble | None:
    """Return what a system call's error says of the disk that was written to; None: it has no code of its own."""
    if error.errno in FULL:
        return FolderTrouble.DISK_FULL
    return FolderTrouble.READ_ONLY if error.errno in READ_ONLY else None


def background_refused(path: Path, why: str, *, is_asked: bool = False) -> OutputError | LimitError:
    """Return the error for a background picture that cannot be used: the source is fine, and other pictures fail too.

    Args:
        path: path of the background picture.
        why: what is wrong with it, and the reason.
        is_asked: whether it is that of one request, so that no other picture fails.
    """
    if is_asked:
        return LimitError(
            f"the background picture that was asked for {why}",
            advice="The original is untouched. Send it again with another background.",
        )
    return OutputError(
        f"the background picture {why}",
        path=path,
        advice="Put it back, or name another one as the rendition's background; work goes on by itself.",
        trouble=FolderTrouble.BACKGROUND,
    )


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or "the system gave no reason"
