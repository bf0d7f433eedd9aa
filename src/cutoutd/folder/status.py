"""The status of a hot folder, for the dispatcher and for `cutoutd status`.

Written by the folder's own threads, read by the supervisor; each field is replaced as a whole.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.errors import JournalError, OutputError, refused_writing
from cutoutd.folder_trouble import FolderTrouble

if TYPE_CHECKING:
    from typing import Self

    from cutoutd.errors import CutoutdError


class FolderState(StrEnum):
    """Whether and how new files of a folder are noticed."""

    STARTING = "starting"  # not looked at yet
    NATIVE = "native"  # by events, and by occasional scans
    POLL = "poll"  # by scans alone
    STANDING_BY = "standing by"  # the folder is away, or not the one it should be
    PAUSED = "paused"  # too little disk space


OPEN: Final = (FolderState.NATIVE, FolderState.POLL)
"""The folder's jobs may be worked on."""

CLOSED: Final = (FolderState.STANDING_BY, FolderState.PAUSED)
"""They may not, and a reason is given."""


def describe(watching: FolderState, why: str) -> str:
    """Return a folder's state as text for a terminal."""
    words = {FolderState.NATIVE: "is watched", FolderState.POLL: "is watched by polling"}
    return f"{words.get(watching, watching.value)}{f': {why}' if why else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """Why a folder may not be worked on.

    Attributes:
        watching: whether it stands by or is paused.
        why: the reason, in words.
        trouble: its code, for those who show it.
    """

    watching: FolderState
    why: str
    trouble: FolderTrouble


def standing_by(why: str, trouble: FolderTrouble | None = None) -> Closed:
    """Return that a folder stands by, and why."""
    trouble = trouble or FolderTrouble.STANDING_BY
    return Closed(watching=FolderState.STANDING_BY, why=why, trouble=trouble)


def paused(why: str, trouble: FolderTrouble | None = None) -> Closed:
    """Return that a folder is paused, and why."""
    return Closed(watching=FolderState.PAUSED, why=why, trouble=trouble or FolderTrouble.PAUSED)


def closed_by(error: CutoutdError) -> Closed:
    """Return that a folder is closed after an error: paused if its output or the journal refuses, else standing by.

    Raises:
        CutoutdError: the error ends the daemon.
    """
    if error.ends_daemon:
        raise error
    closed = paused if isinstance(error, OutputError | JournalError) else standing_by
    return closed(str(error), error.trouble)


def closed_by_system(error: OSError, root: str) -> Closed:
    """Return why a folder is not open, in plain words: the path, and what is wrong with it.

    Args:
        error: the system's error.
        root: path of the folder's input, for an error without a path.
    """
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else root
    if error.errno == errno.ENOENT:
        return standing_by(f"{place} is not there; make it, or connect its disk or share", FolderTrouble.AWAY)
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return standing_by(f"{place} is a file, or lies below one; a folder belongs there")
    return standing_by(f"{place}: {error.strerror or error}", refused_writing(error))


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingFile:
    """A file that is not accepted although it has been there for a while.

    Attributes:
        path: path relative to the folder's input.
        why: the reason, such as that it is still being written, or cannot be read.
    """

    path: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderStatus:
    """The status of a hot folder at one moment.

    Attributes:
        watching: how new files are noticed.
        why: why not by events, or why not at all; empty: all is well.
        trouble: the code of why it may not be worked on; None: it may.
        note: what its owner should know although all is well.
        settling: number of files that are not quiet yet.
        held_up: some of these that have been there for a while; with ``run --once`` all such.
        links: number of symbolic links that the last scan skipped.
        unreadable: number of files and directories that it could not read.
        scan_s: duration of the last scan, in seconds.
        scanned: whether there was a scan since the start.
    """

    watching: FolderState = FolderState.STARTING
    why: str = ""
    trouble: FolderTrouble | None = None
    note: str = ""
    settling: int = 0
    held_up: tuple[PendingFile, ...] = ()
    links: int = 0
    unreadable: int = 0
    scan_s: float = 0.0
    scanned: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the folder's jobs may be worked on."""
        return self.watching in OPEN

    def opened(self, watching: FolderState, why: str) -> Self:
        """Return the status of the folder once it is open; why: why it is not watched by events."""
        return replace(self, watching=watching, why=why, trouble=None)

    def closed(self, closed: Closed) -> Self:
        """Return the status of the folder once it is closed."""
        return replace(self, watching=closed.watching, why=closed.why, trouble=closed.trouble)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderSnapshot:
    """A hot folder at one moment, for the main loop.

    Attributes:
        status: its status.
        looks: number of finished looks.
        looking_since_s: when the current look began, in monotonic seconds; None: there is none.
        checks: number of the last finished health check.
        recoveries: how often the folder, or a file in it, was readable again after disk or share had failed.
        is_identified: whether it is known which of the journal's folders it is, whatever its name was before.
        has_settled: with ``once``, whether all that can be taken now has been taken, or nothing can be.
    """

    status: FolderStatus
    looks: int = 0
    looking_since_s: float | None = None
    checks: int = 0
    recoveries: int = 0
    is_identified: bool = False
    has_settled: bool = False
