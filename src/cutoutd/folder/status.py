"""How a hot folder stands: what its two threads know, for the dispatcher and for `cutoutd status`.

Written by the folder's own threads, read by the supervisor; each field is replaced whole.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.errors import OutputError

if TYPE_CHECKING:
    from cutoutd.errors import CutoutdError


class FolderState(StrEnum):
    """How new files of a folder are noticed."""

    STARTING = "starting"  # not looked at yet
    NATIVE = "native"  # events say when to look; a scan now and then is the truth
    POLL = "poll"  # scans alone
    STANDING_BY = "standing by"  # the folder is away, or not the one it should be
    PAUSED = "paused"  # too little disk space


WATCHED: Final = "is watched"
"""What `describe` begins with where a folder is open."""


def describe(watching: FolderState, why: str) -> str:
    """How a folder stands, as a person at a terminal is told."""
    words = {FolderState.NATIVE: WATCHED, FolderState.POLL: f"{WATCHED} by polling"}
    return f"{words.get(watching, watching.value)}{f': {why}' if why else ''}"


def describe_refusal(error: OSError, root: str) -> str:
    """Why a folder is not open, in plain words: which place, and what is wrong with it.

    Args:
        error: what the system said.
        root: the folder's input, where it does not say which place it means.
    """
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else root
    if error.errno == errno.ENOENT:
        return f"{place} is not there; make it, or connect its disk or share"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{place} is a file, or lies below one; a folder belongs there"
    return f"{place}: {error.strerror or error}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingFile:
    """A file that is not taken although it has been there for a while.

    Attributes:
        path: relative to the folder's input.
        why: somebody still writes it, or it cannot be read.
    """

    path: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderStatus:
    """One moment of a hot folder.

    Attributes:
        watching: how new files are noticed.
        why: why not natively, or why not at all; empty when all is well.
        note: what its owner should know although all is well.
        settling: files that are there but not yet quiet.
        held_up: of these, some that have been there for a while; with ``run --once`` all of them.
        links: symbolic links that the last whole scan passed over.
        unreadable: files and directories that it could not read.
        scan_s: how long the last whole scan took.
        scanned: whether there was one since the start.
    """

    watching: FolderState = FolderState.STARTING
    why: str = ""
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
        return self.watching in (FolderState.NATIVE, FolderState.POLL)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderSnapshot:
    """What the main loop sees of a hot folder at one moment.

    Attributes:
        status: how it stands, for people as well.
        looks: how many looks were finished; one that hangs is not.
        looking_since_s: when the look under way began, in monotonic seconds; None: none is.
        checks: number of the last check that was finished.
        recoveries: how often it came back, as a whole or a file in it, after disk or share had failed.
        is_identified: it is known which folder it is, whatever it was called before.
        has_settled: with ``once``, all that can be taken now has been taken, or nothing can be.
    """

    status: FolderStatus
    looks: int = 0
    looking_since_s: float | None = None
    checks: int = 0
    recoveries: int = 0
    is_identified: bool = False
    has_settled: bool = False


def state_after(error: CutoutdError) -> FolderState:
    """An output that refuses pauses a folder; with any other error the folder itself is not as it should be.

    Raises:
        CutoutdError: it concerns the whole run.
    """
    if error.ends_daemon:
        raise error
    return FolderState.PAUSED if isinstance(error, OutputError) else FolderState.STANDING_BY
