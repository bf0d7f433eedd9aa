"""What has a name: nothing, a file with a SHA-256, or something that we must not touch.

This module must not follow links, and must wait for nothing but the disk: a FIFO in the place of a result must not block a
folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING

from cutoutd.errnos import NOT_OURS

if TYPE_CHECKING:
    from cutoutd.fs.tree import Entry

LARGEST_BYTES = 8 << 30
"""The largest size of a result or original; a sparse file of 1 TiB costs its creator nothing, and us an hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What has the name.

    Attributes:
        sha256: SHA-256, hex; None for anything but a readable regular file that does not change while it is read.
    """

    sha256: str | None


def examine(entry: Entry) -> Found | None:
    """Hash the file of this name, without following a link; returns None if there is nothing.

    The file is compared with the name's once more at the end, so that a rename that follows at once acts on the hashed bytes,
    except for the microseconds between two system calls; `cutoutd.publish.verified` looks once more after it.

    Raises:
        OSError: the disk or share fails.
    """
    try:
        file = open_regular(entry)
        if file is None:
            return Found(sha256=None)
        with file:
            before = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        unchanged = same_state(before, entry.lstat())
    except FileNotFoundError:
        return None
    return Found(sha256=digest if unchanged else None)


def has_bytes(entry: Entry | None, sha256: str) -> bool:
    """Whether a file with these bytes has a name; an entry of None stands for a missing directory.

    Raises:
        OSError: the disk or share fails.
    """
    found = examine(entry) if entry is not None else None
    return found is not None and found.sha256 == sha256


def open_regular(entry: Entry) -> FileIO | None:
    """Open a regular file for reading; returns None for anything else, and for files that are unreadable or too large.

    Raises:
        FileNotFoundError: there is nothing.
        OSError: the disk or share fails.
    """
    # Checked before the open: opening a device can have side effects.
    if not stat.S_ISREG(entry.lstat().st_mode):
        return None
    try:
        descriptor = entry.open(os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in NOT_OURS:
            return None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_BYTES:
        os.close(descriptor)
        return None
    return FileIO(descriptor, "rb")


def same_state(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two stats are of the same file, unchanged."""
    return _state(one) == _state(other)


def _state(seen: os.stat_result) -> tuple[int, int, int, int]:
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns
