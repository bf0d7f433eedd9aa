"""What becomes of an original once its cutout is published: it is moved away or deleted, if its bytes are those cut.

It is reached from the folder's input by directories alone, never through a link, and held open from the look at its
bytes until it has lost its name. This module must not be called before the journal says done. It never replaces a file,
and removes nothing but what was cut.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.errnos import DENIED, NO_WAY
from cutoutd.fs.durable import sync
from cutoutd.fs.tree import Tree
from cutoutd.publish.attributes import copy_attributes
from cutoutd.publish.digest import examine, open_regular, same_state
from cutoutd.publish.directories import Directories
from cutoutd.publish.faults import NameRefusedError, storage_faults
from cutoutd.publish.naming import Form, formed, numbered
from cutoutd.publish.refusals import Refusals
from cutoutd.publish.rename import add_name, rename_new
from cutoutd.publish.staging import Staging, sweep
from cutoutd.publish.verified import PRIVATE, Removal, is_held, private, put_back, remove, restore
from cutoutd.publish.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO
    from pathlib import Path

    from cutoutd.fs.tree import Entry
    from cutoutd.publish.writing import Sink

_COPY_BYTES = 1 << 20


class CleanupOutcome(Enum):
    """What became of an original."""

    MOVED = "moved"  # it lies in the folder for originals
    DELETED = "deleted"  # it was removed
    CHANGED = "changed"  # it is not what was cut any more, and was left alone
    GONE = "gone"  # somebody else took it away, or a link stands in the way to it
    KEPT = "kept"  # it stays: the folder keeps originals by now


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupResult:
    """What became of an original.

    Attributes:
        to: absolute path it was moved to.
    """

    outcome: CleanupOutcome
    to: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Original:
    """The file that was cut, held open, so that nothing else can be taken for it.

    Attributes:
        entry: where it was found.
        file: open for reading.
        seen: its state when its bytes were hashed.
        sha256: of them, hex.
    """

    entry: Entry
    file: FileIO
    seen: os.stat_result
    sha256: str

    def is_at(self, entry: Entry) -> bool:
        """Whether a name stands for it, or for a file with the same bytes."""
        try:
            if same_state(self.seen, entry.lstat()):
                return True
        except FileNotFoundError:
            return False
        found = examine(entry)
        return found is not None and found.sha256 == self.sha256

    @property
    def is_unchanged(self) -> bool:
        """Nobody has written to it since its bytes were hashed."""
        return same_state(self.seen, os.fstat(self.file.fileno()))


def restore_interrupted(inputs: Tree, enters: Callable[[str], bool]) -> list[str]:
    """Give every original its name back whose removal was interrupted, where no journal knows of that any more.

    It must not be called while originals of this folder may be removed.

    Args:
        inputs: the folder's input.
        enters: whether a sub-folder is entered.

    Returns:
        The paths that they have again, unless something else has those by now.

    Raises:
        OSError: the disk or share does not answer as it should.
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
    """Leave an original where it is; one whose removal was interrupted gets its name back.

    Raises:
        StorageError: the disk or share does not answer as it should.
    """
    with storage_faults(inputs.root), _inside(inputs, path) as entry:
        if entry is not None and put_back(entry):
            entry.sync_directory()
    return CleanupResult(outcome=CleanupOutcome.KEPT)


def delete_original(
    inputs: Tree, path: str, sha256: str, removed: Callable[[], None] = lambda: None
) -> CleanupResult:
    """Delete an original, if it still is what was cut.

    Args:
        inputs: the folder's input.
        path: of the original in it.
        sha256: of the version that was cut, hex.
        removed: called once it is, even if its directory then refuses to be synced.

    Raises:
        StorageError: it cannot be read or deleted, or is open for writing; or it is deleted, and that cannot be synced.
    """
    with storage_faults(inputs.root), _inside(inputs, path) as entry:
        if entry is None:
            return CleanupResult(outcome=CleanupOutcome.GONE)
        with _held(entry, sha256) as original:
            if isinstance(original, CleanupResult):
                return original
            outcome = _remove(original, entry, removed)
    return CleanupResult(outcome=CleanupOutcome.DELETED if outcome is Removal.REMOVED else _LEFT[outcome])


def current_sha256(inputs: Tree, path: str) -> str | None:
    """SHA-256 of the file at a path now, after a removal of it that was interrupted is undone.

    Returns:
        None if there is none, or something else than a file that can be read and holds still.

    Raises:
        OSError: the disk or share does not answer as it should, or somebody has it open for writing.
    """
    with _inside(inputs, path) as entry:
        if entry is None:
            return None
        if put_back(entry):
            entry.sync_directory()
        if is_held(entry):
            raise OSError(errno.EBUSY, _HELD, os.fspath(entry.path))
        found = examine(entry)
        return None if found is None else found.sha256


class OriginalsFolder:
    """The folder that originals of one hot folder are moved to; used by one thread at a time.

    Args:
        directory: absolute; it must exist.
        run: the id of this run of the daemon.
    """

    def __init__(self, directory: Path, run: str) -> None:
        self._directory = directory
        self._tree = Tree(directory)
        self._staging = Staging(directory, run)
        self._refusals = Refusals(directory, self._staging)
        self._directories = Directories()

    def move(self, inputs: Tree, path: str, sha256: str, *, job: int, to: str = "") -> CleanupResult:
        """Move an original, or what belongs to one, there, if it still is what it was.

        Sub-folders are mirrored. A name that the disk refuses gets a portable or a safe form. A taken name is followed by ``a-2.jpg`` and so on; a file there with the very
        same bytes is taken for this one, moved before a crash. Across file systems it is copied, synced, and
        only then removed; the copy keeps owner, mode, times and extended attributes as far as this user may give them.

        Args:
            inputs: the folder's input.
            path: of the original in it, with ``/`` between parts.
            sha256: of the version that was cut, hex.
            job: the journal's id.
            to: the name it is wanted under there; empty: ``path``.

        Raises:
            NameRefusedError: the disk takes no name for it, while it takes others.
            StorageError: it cannot be read, moved or copied, or is open for writing; the original is still there.
        """
        with storage_faults(self._directory), _inside(inputs, path) as entry:
            if entry is None:
                return CleanupResult(outcome=CleanupOutcome.GONE)
            with _held(entry, sha256) as original:
                if isinstance(original, CleanupResult):
                    return original
                return self._move(original, entry, to or path, job)

    def placed(self, path: str, sha256: str) -> str:
        """The name under which an original lies there that was moved before a crash; empty if it does not.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        with storage_faults(self._directory):
            for form in dict.fromkeys(formed(path, form) for form in Form):
                with self._tree.find(form) as entry:
                    if entry is None:
                        continue
                with self._free_or_same(form, sha256) as (name, target):
                    if target.exists():
                        return name
        return ""

    def relative(self, path: Path) -> str:
        """The path in it of something that was moved there."""
        return self._tree.relative(path)

    def sweep(self, dead: frozenset[str]) -> tuple[Path, ...]:
        """Remove what dead runs left of copies, and the staging directory if nothing is left in it.

        Args:
            dead: ids of the runs that are known to have ended.

        Returns:
            What was removed.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        with storage_faults(self._directory):
            removed = sweep(self._directory, is_dead=dead.__contains__, needed=())
            self._staging.close()
        return removed

    def _move(self, original: _Original, entry: Entry, path: str, job: int) -> CleanupResult:
        name = self._place(original, path, job)
        if name is None:
            return CleanupResult(outcome=CleanupOutcome.CHANGED)
        directory, _, _ = name.rpartition("/")
        with self._tree.entry(name) as target:
            # On the disk under its new name before it loses the old one, where it still has that.
            self._directories.sync([(self._tree, directory)])
            left = _remove(original, entry)
            if left is Removal.GONE:
                entry.sync_directory()
            elif left is Removal.KEPT and _is_same(entry, target):
                target.unlink()  # written to while it had both names: it is another version under both
                return CleanupResult(outcome=CleanupOutcome.CHANGED)
        return CleanupResult(outcome=CleanupOutcome.MOVED, to=self._directory / name)

    def _place(self, original: _Original, path: str, job: int) -> str | None:
        """Give an original a name there, in a form that the disk takes; None if it is not what was cut any more.

        Raises:
            NameRefusedError: the disk takes none of its names, while it takes others.
            OSError: the disk or share does not answer as it should.
        """
        refused: NameRefusedError | None = None
        for name in dict.fromkeys(formed(path, form) for form in Form):
            try:
                self._staging.open()
                return self._refusals.attempt(
                    partial(self._place_as, original, name, job), self._directory / name
                )
            except NameRefusedError as error:
                refused = error
        assert refused is not None  # noqa: S101 -- there is a form at least
        raise refused

    def _place_as(self, original: _Original, path: str, job: int) -> str | None:
        self._directories.make(self._tree, path.rpartition("/")[0])
        with self._free_or_same(path, original.sha256) as (name, target):
            return name if target.exists() or self._put(original, target, job) else None

    def _put(self, original: _Original, target: Entry, job: int) -> bool:
        """Give an original its name there; False, and it has none, if it is not what was cut any more."""
        try:
            if add_name(original.entry, target):
                if original.is_at(target):
                    return True
                target.unlink()  # another version came to stand under the first name: it has that still
                return False
            rename_new(original.entry, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy(original, target, job)
        if original.is_at(target):
            return True
        restore(target, original.entry)
        return False

    @contextmanager
    def _free_or_same(self, path: str, sha256: str) -> Iterator[tuple[str, Entry]]:
        """The first name that nothing has, or that these very bytes have."""
        for name in numbered(path):
            with self._tree.entry(name) as target:
                found = examine(target)
                if found is None or found.sha256 == sha256:
                    yield name, target
                    return

    def _copy(self, original: _Original, target: Entry, job: int) -> bool:
        """Copy it, by the descriptor that is held; False, and no copy, if its bytes are not those any more."""
        self._staging.open()
        with self._staging.entry(f"{job}.original") as staged:
            try:
                written = write_whole(staged, partial(_pour, original.file))
                if written.sha256 != original.sha256:
                    return False
                descriptor = staged.open(os.O_RDWR)
                try:
                    copy_attributes(original.file.fileno(), descriptor)
                    sync(descriptor)
                finally:
                    os.close(descriptor)
                rename_new(staged, target)
            finally:
                staged.unlink(missing_ok=True)
        return True


_HELD = "another program has it open for writing"
_LEFT = {Removal.GONE: CleanupOutcome.GONE, Removal.KEPT: CleanupOutcome.CHANGED}


def _remove(original: _Original, entry: Entry, removed: Callable[[], None] = lambda: None) -> Removal:
    """Remove what was cut, durably.

    Raises:
        OSError: it cannot be removed, or somebody has it open for writing.
    """
    removal = remove(entry, original.is_at)
    if removal is Removal.HELD:
        raise OSError(errno.EBUSY, _HELD, os.fspath(entry.path))
    if removal is Removal.REMOVED:
        removed()
        entry.sync_directory()  # nobody would remove it again if a power cut brought it back
    return removal


@contextmanager
def _inside(inputs: Tree, path: str) -> Iterator[Entry | None]:
    """Reach an original; None if there is no way to it inside the input."""
    with ExitStack() as stack:
        entry = None
        try:
            entry = stack.enter_context(inputs.entry(path))
        except OSError as error:
            if error.errno not in NO_WAY or not inputs.root.is_dir():
                raise
        yield entry


@contextmanager
def _held(entry: Entry, sha256: str) -> Iterator[_Original | CleanupResult]:
    """Open an original that is to go, wherever an interrupted removal has left it; or why it is to be left alone."""
    with ExitStack() as stack:
        found = _open(private(entry), sha256, stack)
        if isinstance(found, CleanupResult):
            if put_back(entry):  # another version, that was never cut
                entry.sync_directory()
            found = _open(entry, sha256, stack)
        yield found


def _open(entry: Entry, sha256: str, stack: ExitStack) -> _Original | CleanupResult:
    try:
        file = open_regular(entry)
    except FileNotFoundError:
        return CleanupResult(outcome=CleanupOutcome.GONE)
    if file is None:
        return CleanupResult(outcome=CleanupOutcome.CHANGED)
    stack.enter_context(file)
    seen = os.fstat(file.fileno())
    found = hashlib.file_digest(file, "sha256").hexdigest()
    original = _Original(entry=entry, file=file, seen=seen, sha256=sha256)
    if found != sha256 or not original.is_unchanged:
        return CleanupResult(outcome=CleanupOutcome.CHANGED)
    return original


def _pour(file: FileIO, sink: Sink) -> None:
    file.seek(0)
    while block := file.read(_COPY_BYTES):
        sink.write(block)


def _is_same(one: Entry, other: Entry) -> bool:
    """Whether two names stand for one file."""
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except FileNotFoundError:
        return False
