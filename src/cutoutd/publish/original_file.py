"""The original that was cut: opened before its bytes are hashed, and removed only if it is still the same file.

It is reached from the folder's input through directories only, never through a link. This module must not be called before the
journal has the job as done, and removes nothing but what was cut.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from cutoutd.errnos import DENIED, NO_WAY
from cutoutd.publish.digest import examine, open_regular, same_state
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.verified import PRIVATE, Removal, is_held, private, put_back, remove, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO
    from pathlib import Path

    from cutoutd.fs.tree import Entry, Tree


class CleanupOutcome(Enum):
    """The outcome of moving or deleting an original."""

    MOVED = "moved"  # it is in the folder for originals
    DELETED = "deleted"  # it was deleted
    CHANGED = "changed"  # it is not what was cut any more, and was left alone
    GONE = "gone"  # another program removed it, or a link is in its path
    KEPT = "kept"  # it stays: the settings say so now


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupResult:
    """The outcome, and the new path.

    Attributes:
        outcome: the outcome.
        to: absolute path that it was moved to; None: it was not moved.
    """

    outcome: CleanupOutcome
    to: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """The original that was cut, held open, so that no other file can be mistaken for it.

    Attributes:
        entry: the entry under which it was opened.
        file: the file, open for reading.
        seen: its stat when its bytes were hashed.
        sha256: SHA-256 of the bytes, hex.
    """

    entry: Entry
    file: FileIO
    seen: os.stat_result
    sha256: str

    def is_at(self, entry: Entry) -> bool:
        """Whether a name belongs to this file, or to one with the same bytes."""
        try:
            if same_state(self.seen, entry.lstat()):
                return True
        except FileNotFoundError:
            return False
        found = examine(entry)
        return found is not None and found.sha256 == self.sha256

    @property
    def is_unchanged(self) -> bool:
        """Whether it was not written to since its bytes were hashed."""
        return same_state(self.seen, os.fstat(self.file.fileno()))


def restore_interrupted(inputs: Tree, enters: Callable[[str], bool]) -> list[str]:
    """Restore every original whose removal was interrupted, for a folder whose journal does not know of it.

    It must not be called while originals of this folder may be being removed.

    Args:
        inputs: the folder's input.
        enters: whether a sub-folder is entered.

    Returns:
        The restored paths, or the next free names if other files have those.

    Raises:
        OSError: the disk or share fails.
    """
    restored = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        prefix = f"{below}/" if below else ""
        try:
            directories, others = inputs.list(below)
        except OSError as error:
            if not below or error.errno not in NO_WAY | DENIED:
                raise
            continue
        waiting += [path for name in directories if enters(path := prefix + name)]
        for name in others:
            if name.startswith(PRIVATE) and name != PRIVATE:
                path = prefix + name.removeprefix(PRIVATE)
                with inputs.entry(prefix + name) as hidden, inputs.entry(path) as entry:
                    restore(hidden, entry)
                    entry.sync_directory()
                restored.append(path)
    return restored


def keep_original(inputs: Tree, path: str) -> CleanupResult:
    """Leave an original where it is; if its removal was interrupted, restore it.

    Raises:
        StorageError: the disk or share fails.
    """
    with storage_faults(inputs.root), inside(inputs, path) as entry:
        if entry is not None and put_back(entry):
            entry.sync_directory()
    return CleanupResult(outcome=CleanupOutcome.KEPT)


def delete_original(
    inputs: Tree,
    path: str,
    sha256: str,
    removed: Callable[[], None] = lambda: None,
    *,
    confirm: Callable[[], None] = lambda: None,
) -> CleanupResult:
    """Delete an original, if it is still what was cut.

    Args:
        inputs: the folder's input.
        path: path of the original in the input.
        sha256: SHA-256 of the version that was cut, hex.
        removed: called once it is deleted, even if the sync of its directory fails then.
        confirm: called immediately before it is deleted; raises what speaks against that.

    Raises:
        StorageError: from ``confirm``; or it cannot be read or deleted, is open for writing, or is deleted but the directory cannot be synced.
    """
    with storage_faults(inputs.root), inside(inputs, path) as entry:
        if entry is None:
            return CleanupResult(outcome=CleanupOutcome.GONE)
        with held(entry, sha256) as original:
            if isinstance(original, CleanupResult):
                return original
            confirm()  # to read all of it takes time
            outcome = remove_original(original, entry, removed)
    return CleanupResult(outcome=CleanupOutcome.DELETED if outcome is Removal.REMOVED else _LEFT[outcome])


def current_sha256(inputs: Tree, path: str) -> str | None:
    """Return the SHA-256 of the file at a path, once an interrupted removal of it is undone.

    Returns:
        None if there is no file, or it is not a readable regular file, or it changes.

    Raises:
        OSError: the disk or share fails, or a process has it open for writing.
    """
    with inside(inputs, path) as entry:
        if entry is None:
            return None
        if put_back(entry):
            entry.sync_directory()
        if is_held(entry):
            raise OSError(errno.EBUSY, _HELD, os.fspath(entry.path))
        found = examine(entry)
        return None if found is None else found.sha256


_HELD = "another program has it open for writing"
_LEFT = {Removal.GONE: CleanupOutcome.GONE, Removal.KEPT: CleanupOutcome.CHANGED}


def remove_original(original: Original, entry: Entry, removed: Callable[[], None] = lambda: None) -> Removal:
    """Remove the original, durably.

    Raises:
        OSError: it cannot be removed, or a process has it open for writing.
    """
    removal = remove(entry, original.is_at)
    if removal is Removal.HELD:
        raise OSError(errno.EBUSY, _HELD, os.fspath(entry.path))
    if removal is Removal.REMOVED:
        removed()
        entry.sync_directory()  # it would not be removed again if a power failure brought it back
    return removal


@contextmanager
def inside(inputs: Tree, path: str) -> Iterator[Entry | None]:
    """Open the entry of an original; None if no directories lead to it inside the input.

    Raises:
        OSError: the input is missing, or fails.
    """
    with ExitStack() as stack:
        entry = None
        try:
            entry = stack.enter_context(inputs.entry(path))
        except OSError as error:
            if error.errno not in NO_WAY or not inputs.root.is_dir():
                raise
        yield entry


@contextmanager
def held(entry: Entry, sha256: str) -> Iterator[Original | CleanupResult]:
    """Open an original that is to be removed, also under its private name; yields a result instead if it is to stay.

    Raises:
        OSError: the disk or share fails.
    """
    with ExitStack() as stack:
        found = _open(private(entry), sha256, stack)
        if isinstance(found, CleanupResult):
            if put_back(entry):  # another version, which was not cut
                entry.sync_directory()
            found = _open(entry, sha256, stack)
        yield found


def _open(entry: Entry, sha256: str, stack: ExitStack) -> Original | CleanupResult:
    try:
        file = open_regular(entry)
    except FileNotFoundError:
        return CleanupResult(outcome=CleanupOutcome.GONE)
    if file is None:
        return CleanupResult(outcome=CleanupOutcome.CHANGED)
    stack.enter_context(file)
    seen = os.fstat(file.fileno())
    found = hashlib.file_digest(file, "sha256").hexdigest()
    original = Original(entry=entry, file=file, seen=seen, sha256=sha256)
    if found != sha256 or not original.is_unchanged:
        return CleanupResult(outcome=CleanupOutcome.CHANGED)
    return original
