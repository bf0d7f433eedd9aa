"""A worker's result passes into the supervisor's own hands: looked at once, by one descriptor, and out of anybody's reach.

A worker writes through a descriptor that it was given, and one that a hostile picture has taken over may keep that and write
again at any time, also once the result has been published. So a result is moved only where the kernel says that nobody has
it open for writing any more (a lease, fcntl(2)): the worker can open nothing by its name, so that nobody ever will. Where the
kernel does not say so, as on most shares, or says that somebody has, the bytes are copied into a new file, which no
worker has ever had. What is hashed is what is kept, in either case. This module must not read what a result shows, and
gives it no name that a user sees.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.fs.writers import Writers, is_open_for_writing, writers_of
from cutoutd.publish.digest import open_regular
from cutoutd.publish.rename import replace
from cutoutd.publish.writing import permit, write_whole

if TYPE_CHECKING:
    from io import FileIO

    from cutoutd.fs.tree import Entry
    from cutoutd.jobs import Staged
    from cutoutd.publish.staging import Staging
    from cutoutd.publish.writing import Permissions, Sink

_PIECE: Final = 1 << 20


def take_over(result: Staged, theirs: Staging, own: Staging, permissions: Permissions) -> bool:
    """Take a result to the supervisor's own directory, if it is the one that was reported.

    Args:
        result: as the worker reported it.
        theirs: where it lies.
        own: where it is to lie; it may be there already.
        permissions: what it is to have meanwhile.

    Returns:
        Whether it lies there now, as it was reported.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    with ExitStack() as stack:
        there = stack.enter_context(own.find(result.name))
        if there is None:
            return False
        file = _open(there)
        if file is not None:
            with file:
                is_ours = _may_be(file, result) and _is(file, result)
                if is_ours:
                    permit(file.fileno(), permissions)
            return is_ours
        staged = stack.enter_context(theirs.find(result.name))
        file = _open(staged) if staged is not None else None
        if staged is None or file is None:
            return False
        with file:
            return _may_be(file, result) and _taken(file, result, staged, there, permissions)


def is_kept_open(theirs: Staging) -> bool:
    """Whether somebody has one of a job's files open for writing, although its worker has reported: an honest one has closed them.

    Args:
        theirs: the job's directory.
    """
    with suppress(OSError):
        for name in theirs.names():
            with theirs.find(name) as entry:
                file = _open(entry) if entry is not None else None
            if file is not None:
                with file:
                    if is_open_for_writing(file.fileno()):
                        return True
    return False


def _taken(file: FileIO, result: Staged, staged: Entry, there: Entry, permissions: Permissions) -> bool:
    """Move it where nobody can write to it any more, or else copy it."""
    if writers_of(file.fileno()) is Writers.NONE:
        return _is(file, result) and _moved(file, staged, there, permissions)
    return _copied(file, result, there, permissions)


def _open(entry: Entry) -> FileIO | None:
    try:
        return open_regular(entry)
    except FileNotFoundError:
        return None


def _may_be(file: FileIO, result: Staged) -> bool:
    """Whether it is worth reading: another name of it could change it later, and another size may be without end."""
    status = os.fstat(file.fileno())
    return status.st_nlink == 1 and status.st_size == result.bytes and not _has_holes(file, result.bytes)


def _has_holes(file: FileIO, size: int) -> bool:
    """Whether some of it was never written: reading it costs what a whole file does, and making it nothing.

    Where the file system does not tell, it has none.
    """
    try:
        return os.lseek(file.fileno(), 0, os.SEEK_HOLE) < size
    except OSError:
        return False
    finally:
        file.seek(0)


def _is(file: FileIO, result: Staged) -> bool:
    return hashlib.file_digest(file, "sha256").hexdigest() == result.sha256


def _copied(file: FileIO, result: Staged, there: Entry, permissions: Permissions) -> bool:
    """Write its bytes into a file of our own, and see that they are those that were reported."""
    written = write_whole(there, partial(_copy, file, result.bytes), permissions)
    if (written.bytes, written.sha256) != (result.bytes, result.sha256):
        there.unlink()
        return False
    return True


def _copy(file: FileIO, size: int, sink: Sink) -> None:
    """So many bytes, and no more: somebody may still be writing."""
    at = 0
    while at < size and (piece := os.pread(file.fileno(), min(_PIECE, size - at), at)):
        sink.write(piece)
        at += len(piece)


def _moved(file: FileIO, staged: Entry, there: Entry, permissions: Permissions) -> bool:
    """Move it, and see that it was this very file that was moved."""
    replace(staged, there)
    opened, moved = os.fstat(file.fileno()), there.lstat()
    if not os.path.samestat(opened, moved) or not stat.S_ISREG(moved.st_mode):
        there.unlink()
        return False
    permit(file.fileno(), permissions)
    return True
