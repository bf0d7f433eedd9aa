"""Transfer of a worker's result into the supervisor's own directory, where no worker can write to it.

A worker writes through a descriptor. A worker that a hostile picture has taken over may keep it, and write again at any time, even
after the result was published. So a result is moved only if the kernel confirms that no process has it open for writing (a
lease, fcntl(2)): since workers cannot open files by name, none can do so later. If the kernel cannot confirm that, as on most
shares, or a process has it open, the bytes are copied into a new file, which no worker has ever had. In both cases the hashed
bytes are those that are kept. This module must not read a result's contents, and gives it no name that a user sees.
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
    """Transfer a result to the supervisor's own directory, if it is as reported.

    Args:
        result: the worker's report of the result.
        theirs: the worker's directory.
        own: the supervisor's directory; the result may be there already.
        permissions: the permissions of the result while it is staged.

    Returns:
        Whether the result is in the supervisor's directory now, as reported.

    Raises:
        OSError: the disk or share fails.
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
            return _may_be(file, result) and _move_or_copy(file, result, staged, there, permissions)


def is_kept_open(theirs: Staging) -> bool:
    """Whether a process has one of a job's files open for writing after the report, by which time workers close them.

    Args:
        theirs: directory of the job.
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


def _move_or_copy(
    file: FileIO, result: Staged, staged: Entry, there: Entry, permissions: Permissions
) -> bool:
    """Move the file if no process can write to it any more, else copy it."""
    if writers_of(file.fileno()) is Writers.NONE:
        return _is(file, result) and _move_verified(file, staged, there, permissions)
    return _copy_verified(file, result, there, permissions)


def _open(entry: Entry) -> FileIO | None:
    try:
        return open_regular(entry)
    except FileNotFoundError:
        return None


def _may_be(file: FileIO, result: Staged) -> bool:
    """Whether a file is worth hashing: it has the reported size, no holes, and no second name by which it could change later."""
    status = os.fstat(file.fileno())
    return status.st_nlink == 1 and status.st_size == result.bytes and not _has_holes(file, result.bytes)


def _has_holes(file: FileIO, size: int) -> bool:
    """Whether a part of a file was never written: a hole costs nothing to create, but as much to read as data.

    If the file system does not report holes, there are none.
    """
    try:
        return os.lseek(file.fileno(), 0, os.SEEK_HOLE) < size
    except OSError:
        return False
    finally:
        file.seek(0)


def _is(file: FileIO, result: Staged) -> bool:
    return hashlib.file_digest(file, "sha256").hexdigest() == result.sha256


def _copy_verified(file: FileIO, result: Staged, there: Entry, permissions: Permissions) -> bool:
    """Copy the bytes into a new file, and check that they are as reported."""
    written = write_whole(there, partial(_copy, file, result.bytes), permissions)
    if (written.bytes, written.sha256) != (result.bytes, result.sha256):
        there.unlink()
        return False
    return True


def _copy(file: FileIO, size: int, sink: Sink) -> None:
    """Copy ``size`` bytes and no more: a process may still be writing."""
    at = 0
    while at < size and (piece := os.pread(file.fileno(), min(_PIECE, size - at), at)):
        sink.write(piece)
        at += len(piece)


def _move_verified(file: FileIO, staged: Entry, there: Entry, permissions: Permissions) -> bool:
    """Move the file, and check that the moved file is the one that was hashed."""
    replace(staged, there)
    opened, moved = os.fstat(file.fileno()), there.lstat()
    if not os.path.samestat(opened, moved) or not stat.S_ISREG(moved.st_mode):
        there.unlink()
        return False
    permit(file.fileno(), permissions)
    return True
