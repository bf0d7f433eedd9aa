"""One move of a plan: the rename, and its state on the disk after a crash.

This module must rely on names and hashes alone: the process that planned the move may be gone.

A file that is to be replaced is exchanged with the new one in one step, and the old file is then checked under the staged name:
if another program saved something there a moment before, that gets its name back. If the file system has no exchange, the
file is checked only before the rename.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.fs.tree import Tree
from cutoutd.publish.digest import examine, has_bytes
from cutoutd.publish.faults import ResultLostError, TargetTakenError
from cutoutd.publish.rename import exchange, rename_new, replace
from cutoutd.publish.staging import Private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.fs.tree import Entry
    from cutoutd.publish.access import Access
    from cutoutd.publish.plan import Move


def carry_out(move: Move, access: Access) -> None:
    """Give a staged file its name; does nothing if it has the name already.

    Args:
        move: move of a recorded plan.
        access: gives the file the rights of one created in its target's directory.

    Raises:
        TargetTakenError: a file that the plan does not know has the name.
        ResultLostError: the file is neither staged nor under its name.
        OSError: the disk or share fails.
    """
    with _names(move) as (staged, target):
        if target is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), move.target)  # no directory
        if staged is not None and _is_done(move, staged, target, access):
            return
        if has_bytes(target, move.sha256):
            if staged is not None:
                staged.unlink(missing_ok=True)
        elif staged is not None and staged.exists():
            raise TargetTakenError("a file that is not ours has the name", path=target.path)
        else:
            raise ResultLostError("the result is neither staged nor under its name", path=target.path)


def has_its_name(move: Move) -> bool:
    """Whether the file has its name."""
    with _names(move) as (_, target):
        return has_bytes(target, move.sha256)


def can_be_finished(move: Move) -> bool:
    """Whether the complete file exists, under either of its names."""
    with _names(move) as (staged, target):
        return has_bytes(staged, move.sha256) or has_bytes(target, move.sha256)


def abandon(move: Move) -> None:
    """Remove the staged file; a file of another program that an interrupted exchange has left there gets its name back.

    Raises:
        OSError: the disk or share fails.
    """
    with _names(move) as (staged, target):
        if staged is None:
            return
        if target is not None and _replaces_others(move) and has_bytes(target, move.sha256):
            with suppress(TargetTakenError, ResultLostError):
                _drop_swapped(move, staged, target)
        staged.unlink(missing_ok=True)


@contextmanager
def _names(move: Move) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Open the staged name and the target; None for one whose directory does not exist."""
    tree = Tree(Path(move.root))
    # A directory that another user has put in place of ours is not entered.
    own = Tree(tree.root, Private(tree.root))
    with (
        own.find(tree.relative(move.staged)) as staged,
        tree.find(tree.relative(move.target)) as target,
    ):
        yield staged, target


def _is_done(move: Move, staged: Entry, target: Entry, access: Access) -> bool:
    """Rename the file, unless the target is not what the plan expects; returns whether it was renamed."""
    try:
        if _replaces_others(move):
            return _replace(move, staged, target, access)
        if move.replaces_sha256 is None or examine(target) is None:
            access.fit(staged, target)
            rename_new(staged, target)
            return True
    except FileExistsError:
        pass  # a file of another program, or ours from before a crash: the hash tells
    except FileNotFoundError:
        if staged.exists():
            raise  # the target's directory is gone, or the file to be replaced was removed at this moment
    return False


def _replaces_others(move: Move) -> bool:
    """Whether the file is to replace other bytes than its own."""
    return move.replaces_sha256 not in (None, move.sha256)


def _replace(move: Move, staged: Entry, target: Entry, access: Access) -> bool:
    present = examine(target)
    if present is None:
        if not has_bytes(staged, move.sha256):
            return False  # it was exchanged before a crash, and the new file was removed since
        access.fit(staged, target)
        rename_new(staged, target)
        return True
    if present.sha256 != move.sha256:
        if present.sha256 != move.replaces_sha256:
            return False
        access.fit(staged, target)
        if not exchange(staged, target):
            replace(staged, target)
            return True
    _drop_swapped(move, staged, target)
    return True


def _drop_swapped(move: Move, staged: Entry, target: Entry) -> None:
    """Remove the old file, which has the staged name after an exchange, if it is what the plan expects.

    Raises:
        TargetTakenError: it is not, and has its name back.
        ResultLostError: it is not, and the new file is gone.
    """
    if _is_known(move, staged):
        staged.unlink(missing_ok=True)
        return
    if not staged.exists():
        return
    # Another program saved a file between our check and the exchange.
    if exchange(staged, target) and not has_bytes(staged, move.sha256):
        # And once more meanwhile, over ours: the latest file stays, as it would have without us.
        exchange(staged, target)
        staged.unlink(missing_ok=True)
        raise ResultLostError("another program has replaced the result", path=target.path)
    raise TargetTakenError("a file that is not ours has the name", path=target.path)


def _is_known(move: Move, staged: Entry) -> bool:
    """Whether the staged file is the move's own, or the one that it replaces."""
    found = examine(staged)
    return found is not None and found.sha256 in (move.sha256, move.replaces_sha256)
