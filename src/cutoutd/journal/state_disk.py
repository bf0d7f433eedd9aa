"""Whether the disk of the state directory can be written: asked by those who only read there, since the daemon cannot say so on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MIB: Final = 1 << 20
_GOES_ON: Final = "Until then nothing new is accepted or cut; nothing is lost, and work goes on by itself."


@dataclass(frozen=True, kw_only=True, slots=True)
class StateDiskTrouble:
    """Why the state directory cannot be written.

    Attributes:
        is_full: whether its disk has too little room; else it refuses for another reason.
        why: the reason.
        advice: what to do.
    """

    is_full: bool
    why: str
    advice: str

    def __str__(self) -> str:
        return f"{self.why}. {self.advice}"


def trouble_of(directory: Path, min_free_mb: int) -> StateDiskTrouble | None:
    """Return why a state directory cannot be written; None: nothing is known of that.

    Args:
        directory: the state directory.
        min_free_mb: free space in MiB below which nothing new is taken.
    """
    try:
        room = os.statvfs(directory)
        may_write = os.access(directory, os.W_OK)
    except OSError:
        return None  # it is not there: whoever needs it says so
    place = os.fspath(directory)
    if room.f_flag & os.ST_RDONLY:
        return StateDiskTrouble(
            is_full=False,
            why=f"the disk of the state directory, {place}, is read-only",
            advice=f"Check the disk, and mount it writable again. {_GOES_ON}",
        )
    if not may_write:
        return StateDiskTrouble(
            is_full=False,
            why=f"the state directory, {place}, may not be written",
            advice=f"Let the user who runs cutoutd write there. {_GOES_ON}",
        )
    free = room.f_bavail * room.f_frsize
    if free < max(min_free_mb * _MIB, room.f_frsize):
        return StateDiskTrouble(
            is_full=True,
            why=f"the disk of the state directory, {place}, has {free // _MIB} MiB left, and min_free_disk_mb is {min_free_mb}"
            if min_free_mb
            else f"the disk of the state directory, {place}, is full",
            advice=f"Free some space there. {_GOES_ON}",
        )
    return None
