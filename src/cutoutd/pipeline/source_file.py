"""The bytes of a source: read once, and only if they are the accepted version's from first to last.

It must not decode them: who only passes a picture on reads it in the same way, and loads nothing more.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import LimitError, SourceGoneError, from_os_error
from cutoutd.protocols import Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import RawIOBase

    from cutoutd.jobs import Task

CHUNK_BYTES: Final = 1 << 22
"""A source is read in pieces, so that progress on a slow share can be told from none."""


def read(task: Task, descriptor: int, max_bytes: int, tell: Callable[[Step], None]) -> bytes:
    """The source's bytes, once, and only if they are the accepted version's from first to last.

    Raises:
        SourceGoneError: it was removed, or replaced by a newer version.
        LimitError: it is too large.
        StorageError: the disk or share does not answer as it should.
    """
    path = Path(task.source)
    try:
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode) or (before.st_size, before.st_mtime_ns) != (
                task.size,
                task.mtime_ns,
            ):
                raise SourceGoneError("it was replaced by a newer version before its turn", path=path)
            if before.st_size > max_bytes:
                raise LimitError(f"the file has {before.st_size / 1e6:.0f} MB, more than max_file_mb allows")
            data = _all_of(file, before.st_size, tell)
            after = os.fstat(descriptor)
    except OSError as error:
        raise from_os_error(error, path) from error
    if (after.st_size, after.st_mtime_ns) != (task.size, task.mtime_ns) or len(data) != task.size:
        raise SourceGoneError("it was written to while it was read", path=path)
    return data


def _all_of(file: RawIOBase, size: int, tell: Callable[[Step], None]) -> bytes:
    """All bytes of an open file, and no more than one beyond what it should have."""
    pieces, left = [], size + 1
    while left and (piece := file.read(min(left, CHUNK_BYTES))):
        pieces.append(piece)
        left -= len(piece)
        tell(Step.READ)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
