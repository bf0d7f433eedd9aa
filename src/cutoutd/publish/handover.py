"""A worker's result passes into the supervisor's own hands: looked at once, by one descriptor, and moved out of reach.

A worker that a hostile picture has taken over can put anything into its staging directory at any time. This module must
not read what a result shows, and gives it no name that a user sees.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

from cutoutd.publish.digest import open_regular
from cutoutd.publish.rename import replace
from cutoutd.publish.writing import permit

if TYPE_CHECKING:
    from io import FileIO

    from cutoutd.jobs import Staged
    from cutoutd.publish.staging import Staging
    from cutoutd.publish.writing import Permissions
    from cutoutd.tree import Entry


def take_over(result: Staged, theirs: Staging, own: Staging, permissions: Permissions) -> bool:
    """Move a result to the supervisor's own directory, if it is the one that was reported.

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
        if file is None:
            staged = stack.enter_context(theirs.find(result.name))
            file = _open(staged) if staged is not None else None
            if staged is None or file is None:
                return False
            with file:
                return _is(file, result) and _moved(file, staged, there, permissions)
        with file:
            if not _is(file, result):
                return False
            permit(file.fileno(), permissions)
            return True


def _open(entry: Entry) -> FileIO | None:
    try:
        return open_regular(entry)
    except FileNotFoundError:
        return None


def _is(file: FileIO, result: Staged) -> bool:
    status = os.fstat(file.fileno())
    # Another name of it could change it later; a size that was not reported may be without end.
    if status.st_nlink != 1 or status.st_size != result.bytes:
        return False
    return hashlib.file_digest(file, "sha256").hexdigest() == result.sha256


def _moved(file: FileIO, staged: Entry, there: Entry, permissions: Permissions) -> bool:
    """Move it, and see that it was this very file that was moved."""
    replace(staged, there)
    opened, moved = os.fstat(file.fileno()), there.lstat()
    if not os.path.samestat(opened, moved) or not stat.S_ISREG(moved.st_mode):
        there.unlink()
        return False
    permit(file.fileno(), permissions)
    return True
