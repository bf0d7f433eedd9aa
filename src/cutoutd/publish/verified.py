"""Removing or replacing a file, if it is the expected one at the moment it loses its name.

Between a check and the call that removes a file, another program may put a new version there. So a file is first renamed to a
private name, which no other program uses, and checked there; if it is not the expected one, it gets its name back. A
replacement is an exchange, after which the old file is checked. An interrupted removal leaves the private name: ``remove`` and
``put_back`` of the same name find it.

This module must not decide what may be removed: a function that the caller passes does.
"""

from __future__ import annotations

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
"""Prefix of the name that a file has during its last check; scans ignore it."""


class Removal(Enum):
    """The outcome of a removal."""

    REMOVED = "removed"
    GONE = "gone"  # nothing had the name any more
    KEPT = "kept"  # it is not the expected file, and has its name
    HELD = "held"  # a process has it open for writing; it has its name


def private(entry: Entry) -> Entry:
    """Return the private name beside a file's own; a shortened name keeps its extension."""
    stem, kind = split_name(entry.name)
    return entry.beside(fitted(PRIVATE + stem, f".{kind}" if kind else ""))


def remove(target: Entry, is_expected: Callable[[Entry], bool]) -> Removal:
    """Remove a file, if it is the expected one.

    An interrupted earlier removal is finished first.

    Args:
        target: the name.
        is_expected: whether a file may be removed; called twice, the second time with the private name.

    Raises:
        OSError: the disk or share fails; to be called again.
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
        return Removal.GONE  # another program removed it at this moment
    return _finish(hidden, target, is_expected)


def end_removal(target: Entry, is_expected: Callable[[Entry], bool]) -> None:
    """Finish an interrupted removal, if there was one; a file that has the name now keeps it.

    Raises:
        OSError: the disk or share fails; to be called again.
    """
    _finish(private(target), target, is_expected)


def put_back(target: Entry) -> bool:
    """Restore a file that an interrupted removal has left under its private name; returns whether there was one.

    If the name is taken by now, it gets the next free one.

    Raises:
        OSError: the disk or share fails.
    """
    hidden = private(target)
    if not hidden.exists():
        return False
    restore(hidden, target)
    return True


def restore(hidden: Entry, target: Entry) -> None:
    """Give a file its own name back, or the next free one if that is taken.

    Raises:
        OSError: the disk or share fails.
    """
    for name in numbered(target.name):
        own = target.beside(name)
        try:
            rename.rename_new(hidden, own)
        except FileExistsError:
            if hidden.is_same(own):  # interrupted between the two steps of a rename by link
                hidden.unlink()
                return
        else:
            return


def replace(source: Entry, target: Entry, may_go: Callable[[Entry], bool]) -> bool:
    """Replace a name's file by another; returns False, and changes nothing, if the present file may not go.

    If the file system has no exchange, the check is before the rename, and a file that appears in between is lost.

    Args:
        source: the file.
        target: its name.
        may_go: whether a file may be replaced; called before the exchange, and again with the old file after it.

    Raises:
        OSError: the disk or share fails.
    """
    if not may_go(target):
        return False
    if not rename.exchange(source, target):
        rename.replace(source, target)
        return True
    if not source.exists() or may_go(source):  # missing: the call was a plain rename, see `can_exchange`
        source.unlink(missing_ok=True)
        return True
    rename.exchange(source, target)
    return False


def _finish(hidden: Entry, target: Entry, is_expected: Callable[[Entry], bool]) -> Removal:
    """Remove the file with the private name, or restore it."""
    if not hidden.exists():
        return Removal.GONE
    held = is_held(hidden)
    if not held and is_expected(hidden):
        hidden.unlink(missing_ok=True)
        return Removal.REMOVED
    restore(hidden, target)
    return Removal.HELD if held else Removal.KEPT


def is_held(entry: Entry) -> bool:
    """Whether a process has a file open for writing, as far as the kernel tells.

    Raises:
        OSError: the disk or share fails.
    """
    try:
        file = open_regular(entry)
    except FileNotFoundError:
        return False
    if file is None:
        return False
    with file:
        return is_open_for_writing(file.fileno())
