"""The folder that originals are moved to once their cutouts are published.

Across file systems an original is copied, with what it is besides its bytes: owner, mode, times and extended attributes,
as far as this user may give them. A copy of another user's file stays this user's, unless this user is root. This module
must not be called before the journal says done, and never replaces a file.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from cutoutd.fs.durable import sync
from cutoutd.fs.tree import Tree
from cutoutd.publish.digest import examine, has_bytes, open_regular
from cutoutd.publish.faults import NameRefusedError, storage_faults
from cutoutd.publish.naming import NameForm, formed, numbered
from cutoutd.publish.original_file import CleanupOutcome, CleanupResult, held, inside, remove_original
from cutoutd.publish.places import Directories
from cutoutd.publish.refusals import Refusals
from cutoutd.publish.rename import add_name, rename_new
from cutoutd.publish.staging import Staging, sweep
from cutoutd.publish.verified import Removal, restore
from cutoutd.publish.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Entry
    from cutoutd.publish.original_file import Original

MAX_NUMBERED: Final = 100
"""So many originals of one name are looked at: ``a.jpg``, ``a-2.jpg`` and so on."""

_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


class OriginalsFolder:
    """The folder that originals of one hot folder are moved to; used by one thread at a time.

    Each call raises a StorageError where the disk or share does not answer as it should; it may be made again then.

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
        with storage_faults(self._directory), inside(inputs, path) as entry:
            if entry is None:
                return CleanupResult(outcome=CleanupOutcome.GONE)
            with held(entry, sha256) as original:
                if isinstance(original, CleanupResult):
                    return original
                return self._move(original, entry, to or path, job)

    def placed(self, path: str, sha256: str) -> str:
        """The name under which an original lies there that was moved before a crash; empty if it does not."""
        with storage_faults(self._directory):
            for form in dict.fromkeys(formed(path, form) for form in NameForm):
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
        """
        with storage_faults(self._directory):
            removed = sweep(self._directory, is_dead=dead.__contains__, needed=())
            self._staging.close()
        return removed

    def _move(self, original: Original, entry: Entry, path: str, job: int) -> CleanupResult:
        name = self._place(original, path, job)
        if name is None:
            return CleanupResult(outcome=CleanupOutcome.CHANGED)
        directory, _, _ = name.rpartition("/")
        with self._tree.entry(name) as target:
            # On the disk under its new name before it loses the old one, where it still has that.
            self._directories.sync([(self._tree, directory)])
            left = remove_original(original, entry)
            if left is Removal.GONE:
                entry.sync_directory()
            elif left is Removal.KEPT and _is_same(entry, target):
                target.unlink()  # written to while it had both names: it is another version under both
                return CleanupResult(outcome=CleanupOutcome.CHANGED)
        return CleanupResult(outcome=CleanupOutcome.MOVED, to=self._directory / name)

    def _place(self, original: Original, path: str, job: int) -> str | None:
        """Give an original a name there, in a form that the disk takes; None if it is not what was cut any more.

        Raises:
            NameRefusedError: the disk takes none of its names, while it takes others.
            OSError: the disk or share does not answer as it should.
        """
        refused: NameRefusedError | None = None
        for name in dict.fromkeys(formed(path, form) for form in NameForm):
            try:
                self._staging.open()
                return self._refusals.attempt(
                    partial(self._place_as, original, name, job), self._directory / name
                )
            except NameRefusedError as error:
                refused = error
        assert refused is not None  # noqa: S101 -- there is a form at least
        raise refused

    def _place_as(self, original: Original, path: str, job: int) -> str | None:
        self._directories.make(self._tree, path.rpartition("/")[0])
        with self._free_or_same(path, original.sha256) as (name, target):
            return name if target.exists() or self._put(original, target, job) else None

    def _put(self, original: Original, target: Entry, job: int) -> bool:
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

    def _copy(self, original: Original, target: Entry, job: int) -> bool:
        """Copy it, by the descriptor that is held; False, and no copy, if its bytes are not those any more."""
        self._staging.open()
        with self._staging.entry(f"{job}.original") as staged:
            try:
                written = write_whole(staged, original.file)
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


def _is_same(one: Entry, other: Entry) -> bool:
    """Whether two names stand for one file."""
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def open_put_away(directory: Path, path: str, sha256: str) -> int | None:
    """Open an original that was moved to the folder for originals.

    Args:
        directory: the folder for originals, absolute.
        path: that the original had in its folder's input, with ``/`` between parts.
        sha256: of its bytes, hex.

    Returns:
        A descriptor for reading, at its beginning; None if no file with these bytes lies under one of its names.

    Raises:
        StorageError: the disk or share does not answer as it should.
    """
    tree = Tree(directory)
    with storage_faults(directory):
        for form in dict.fromkeys(formed(path, form) for form in NameForm):
            for name in islice(numbered(form), MAX_NUMBERED):
                with tree.find(name) as entry:
                    if entry is None or not entry.exists():
                        break
                    if has_bytes(entry, sha256) and (file := open_regular(entry)) is not None:
                        with file:
                            return os.dup(file.fileno())
    return None


def copy_attributes(source: int, target: int) -> None:
    """Give an open file what another one has besides its bytes.

    Args:
        source: descriptor of the file to be like, open for reading.
        target: descriptor of the copy, open for writing.
    """
    status = os.fstat(source)
    mode = stat.S_IMODE(status.st_mode)
    # The owner first: a change of it clears bits of the mode. What is refused leaves the copy as it is.
    if not _give(target, status.st_uid, status.st_gid):
        mode &= ~_SET_ID
    with suppress(OSError):
        os.fchmod(target, mode)
    _copy_extended(source, target)
    with suppress(OSError):  # some shares keep no times
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _give(target: int, owner: int, group: int) -> bool:
    """Give a file to its owner, or at least to its group; whether both could be had."""
    try:
        os.fchown(target, owner, group)
    except OSError:
        with suppress(OSError):
            os.fchown(target, -1, group)
        return False
    return True


def _copy_extended(source: int, target: int) -> None:
    """Extended attributes, access lists among them; each by itself, as a file system may know some and not others."""
    if not hasattr(os, "listxattr"):
        return  # macOS: Python has no call for them
    try:
        names = os.listxattr(source)
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name))
