"""One move of a plan: the rename, and what the disk says of it after a crash.

This module must not rely on anything but names and hashes: the process that planned the move may be gone.

A file that is to be replaced is swapped with the new one in one step, and what came out under the staged name is looked
at: if another program saved something there a moment before, that gets its name back. Where the file system knows no
swap, the look is before the rename alone.
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
    """Give a staged file its name; one that has it already is done.

    Args:
        move: of a plan that was written down.
        access: gives the file what one made in its very directory would have.

    Raises:
        TargetTakenError: a file that the plan does not know has the name.
        ResultLostError: the file is neither staged nor under its name.
        OSError: the disk or share does not answer as it should.
    """
    with _names(move) as (staged, target):
        if target is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), move.target)  # it went away
        if staged is not None and _is_done(move, staged, target, access):
            return
        if has_bytes(target, move.sha256):
            if staged is not None:
                staged.unlink(missing_ok=True)
        elif staged is not None and staged.exists():
            raise TargetTakenError("a file that is not ours has the name", path=target.path)
        else:
            raise ResultLostError("the result is neither staged nor under its name", path=target.path)


def stands(move: Move) -> bool:
    """Whether the file has its name."""
    with _names(move) as (_, target):
        return has_bytes(target, move.sha256)


def can_be_finished(move: Move) -> bool:
    """Whether the file is there, whole, under either of its names."""
    with _names(move) as (staged, target):
        return has_bytes(staged, move.sha256) or has_bytes(target, move.sha256)


def abandon(move: Move) -> None:
    """Throw away what is staged; what an interrupted swap has left there, and is not ours, gets its name back.

    Raises:
        OSError: the disk or share does not answer as it should.
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
    """The staged name and the one it gets; None for one whose directory is not there."""
    tree = Tree(Path(move.root))
    own = Tree(
        tree.root, Private(tree.root)
    )  # what somebody else has put in its place gets no name, nor other rights
    with (
        own.find(tree.relative(move.staged)) as staged,
        tree.find(tree.relative(move.target)) as target,
    ):
        yield staged, target


def _is_done(move: Move, staged: Entry, target: Entry, access: Access) -> bool:
    """Rename, unless what has the name is not what the plan says may go."""
    try:
        if _replaces_others(move):
            return _replace(move, staged, target, access)
        if move.replaces_sha256 is None or examine(target) is None:
            access.fit(staged, target)
            rename_new(staged, target)
            return True
    except FileExistsError:
        pass  # by a stranger, or by us before a crash: the hash tells
    except FileNotFoundError:
        if staged.exists():
            raise  # the target's directory went away, or what is to be replaced did in this instant
    return False


def _replaces_others(move: Move) -> bool:
    """Whether other bytes than its own are to go for it."""
    return move.replaces_sha256 not in (None, move.sha256)


def _replace(move: Move, staged: Entry, target: Entry, access: Access) -> bool:
    present = examine(target)
    if present is None:
        if not has_bytes(staged, move.sha256):
            return False  # it was swapped before a crash, and the new one was removed since
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
    """The new file has its name, and what had it is staged: it goes if it is what the plan says.

    Raises:
        TargetTakenError: it is not, and has its name back.
        ResultLostError: so it is, and the new one is gone.
    """
    if _is_known(move, staged):
        staged.unlink(missing_ok=True)
        return
    if not staged.exists():
        return
    # Another program saved it between our look and the swap.
    if exchange(staged, target) and not has_bytes(staged, move.sha256):
        # And once more meanwhile, in place of ours: the later one stays, as it would have without us.
        exchange(staged, target)
        staged.unlink(missing_ok=True)
        raise ResultLostError("another program has replaced the result", path=target.path)
    raise TargetTakenError("a file that is not ours has the name", path=target.path)


def _is_known(move: Move, staged: Entry) -> bool:
    """Whether what is staged is the move's own file, or what that replaces."""
    found = examine(staged)
    return found is not None and found.sha256 in (move.sha256, move.replaces_sha256)
