"""What lies under a name: nothing, a file with a SHA-256, or something that is not for us to touch.

This module must not follow links, and must not wait for anything but the disk: a FIFO under the name of a
result must not hold up a folder.
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
"""No result and no original has more; a sparse file of 1 TiB costs whoever makes it nothing, and us an hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Something has the name.

    Attributes:
        sha256: hex; None for anything but a regular file that can be read and holds still meanwhile.
    """

    sha256: str | None


def examine(entry: Entry) -> Found | None:
    """Look at what has this name, without following a link; None if nothing has it.

    The file is compared with the name's once more at the end, so that a rename that follows at once acts on
    the bytes that were hashed, but for the microseconds between two system calls; `cutoutd.publish.verified` looks
    once more after it.

    Raises:
        OSError: the disk or share does not answer as it should.
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
    """Whether a file with these bytes has a name; None: its directory is not there.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    found = examine(entry) if entry is not None else None
    return found is not None and found.sha256 == sha256


def open_regular(entry: Entry) -> FileIO | None:
    """Open a regular file for reading; None for anything else, for one that refuses to be read, or is larger than any of ours.

    Raises:
        FileNotFoundError: nothing has the name.
        OSError: the disk or share does not answer as it should.
    """
    # A look before the open: opening a device may do something already.
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
    """Whether two looks at a file saw the same one, unchanged."""
    return _state(one) == _state(other)


def _state(seen: os.stat_result) -> tuple[int, int, int, int]:
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns
