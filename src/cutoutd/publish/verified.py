"""Removing a file, or replacing one, if it is what it is expected to be at the very moment it loses its name.

Between a look at a file and the call that removes it, another program may put a new version there. So a file that is
to go is renamed to a private name first, which no other program uses, and is looked at there; what is not what it was
expected to be gets its name back. A replacement is an exchange, and what comes out of it is looked at. A run that died
in between has left the private name: ``remove`` and ``put_back`` of the same name find it.

This module must not decide what may go: it is told so by a function that looks.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, Final

from cutoutd.fs.writers import is_open_for_writing
from cutoutd.publish import rename
from cutoutd.publish.digest import open_regular
from cutoutd.publish.naming import fitted, numbered, split_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.fs.tree import Entry

PRIVATE: Final = ".cutoutd-removing-"
"""Begins the name that a file has while it is looked at for the last time; no scan takes it."""


class Removal(Enum):
    """What became of a file that was to be removed."""

    REMOVED = "removed"
    GONE = "gone"  # nothing had the name any more
    KEPT = "kept"  # it is not what it was expected to be, and has its name
    HELD = "held"  # somebody has it open for writing; it has its name


def private(entry: Entry) -> Entry:
    """The private name beside a file's own; a name that is cut short keeps its extension."""
    stem, kind = split_name(entry.name)
    return entry.beside(fitted(PRIVATE + stem, f".{kind}" if kind else ""))


def remove(target: Entry, is_expected: Callable[[Entry], bool]) -> Removal:
    """Remove a file, if it is what it is expected to be.

    What an earlier call left that was interrupted is finished first.

    Args:
        target: the name.
        is_expected: whether what has a name may go. It is asked twice, the second time under the private name.

    Raises:
        OSError: the disk or share does not answer as it should; to be called again.
    """
    hidden = private(target)
    before = _finish(hidden, target, is_expected)
    if not target.exists():
        return Removal.REMOVED if before is Removal.REMOVED else Removal.GONE
    if not is_expected(target):
        return Removal.REMOVED if before is Removal.REMOVED else Removal.KEPT
    if is_held(target):
        return Removal.HELD
    try:
        rename.rename_new(target, hidden)
    except FileNotFoundError:
        return Removal.GONE  # somebody took it away in this instant
    return _finish(hidden, target, is_expected)


def end_removal(target: Entry, is_expected: Callable[[Entry], bool]) -> None:
    """Finish a removal that was interrupted, if there was one: as ``remove``, but what has the name now keeps it.

    Raises:
        OSError: the disk or share does not answer as it should; to be called again.
    """
    _finish(private(target), target, is_expected)


def put_back(target: Entry) -> bool:
    """Give a file its name back that an interrupted removal has left under its private name; whether there was one.

    If something has the name by now, it gets the next free one.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    hidden = private(target)
    if not hidden.exists():
        return False
    restore(hidden, target)
    return True


def restore(hidden: Entry, target: Entry) -> None:
    """Give a file its own name back, or the next free one if something has that by now.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    for name in numbered(target.name):
        own = target.beside(name)
        try:
            rename.rename_new(hidden, own)
        except FileExistsError:
            if _is_same(hidden, own):  # killed between the two steps of a rename by link
                hidden.unlink()
                return
        else:
            return


def replace(source: Entry, target: Entry, may_go: Callable[[Entry], bool]) -> bool:
    """Give a file a name whose present file is to go; False, and nothing is changed, if that may not go.

    Where the file system knows no exchange, the look is before the rename, and a file that comes in between is lost.

    Args:
        source: the file.
        target: its name.
        may_go: whether what has a name may go; asked before the exchange, and again of what came out of it.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    if not may_go(target):
        return False
    if not rename.exchange(source, target):
        rename.replace(source, target)
        return True
    if not source.exists() or may_go(source):  # not there: it was a rename after all, see `can_exchange`
        source.unlink(missing_ok=True)
        return True
    rename.exchange(source, target)
    return False


def _finish(hidden: Entry, target: Entry, is_expected: Callable[[Entry], bool]) -> Removal:
    """Remove what has the private name, or give it its own name back."""
    if not hidden.exists():
        return Removal.GONE
    held = is_held(hidden)
    if not held and is_expected(hidden):
        hidden.unlink(missing_ok=True)
        return Removal.REMOVED
    restore(hidden, target)
    return Removal.HELD if held else Removal.KEPT


def _is_same(one: Entry, other: Entry) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def is_held(entry: Entry) -> bool:
    """Whether somebody has a file open for writing, as far as the kernel tells.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    try:
        file = open_regular(entry)
    except FileNotFoundError:
        return False
    if file is None:
        return False
    with file:
        return is_open_for_writing(file.fileno())
