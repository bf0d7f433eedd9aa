"""The folder that originals are moved to once their cutouts are published.

Across file systems an original is copied, with its owner, mode, times and extended attributes, as far as this user may set them.
A copy of another user's file belongs to this user, unless this user is root. This module must not be called before the journal
has the job as done, and never replaces a file.
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
from cutoutd.publish.digest import examine, has_bytes, open_regular, same_state
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
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Entry, FileId
    from cutoutd.publish.original_file import Original

MAX_NUMBERED: Final = 100
"""The most originals of one name that are looked at: ``a.jpg``, ``a-2.jpg`` and so on."""

_REMEMBERED: Final = 10_000
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


class OriginalsFolder:
    """The folder that originals of one hot folder are moved to; used by one thread at a time.

    Each method raises StorageError if the disk or share fails, and may be called again then.

    Args:
        directory: absolute path; it must exist.
        run: id of this session of the daemon.
    """

    def __init__(self, directory: Path, run: str) -> None:
        self._directory = directory
        self._tree = Tree(directory)
        self._staging = Staging(directory, run)
        self._refusals = Refusals(directory, self._staging)
        self._directories = Directories()
        self._known: dict[FileId, tuple[os.stat_result, str]] = {}  # files that are there, and their SHA-256

    def move(
        self,
        inputs: Tree,
        path: str,
        sha256: str,
        *,
        job: int,
        to: str = "",
        confirm: Callable[[], None] = lambda: None,
    ) -> CleanupResult:
        """Move an original, or a companion, into the folder, if it is unchanged.

        Sub-folders are mirrored. A name that the disk refuses gets a portable or a safe form. If a name is taken, ``a-2.jpg`` and so on
        are tried; a file there with the same bytes counts as this one, moved before a crash. Across file systems it is copied, synced,
        and only then removed; the copy keeps owner, mode, times and extended attributes as far as this user may set them.

        Args:
            inputs: the folder's input.
            path: path of the original in the input, with ``/`` between parts.
            sha256: SHA-256 of the version that was cut, hex.
            job: id of the job.
            to: the path that it should get; empty: ``path``.
            confirm: called immediately before it gets a name here, and before it loses the old one; raises what speaks against that.

        Raises:
            NameRefusedError: the disk refuses all of its names, while it accepts others.
            StorageError: from ``confirm``; or it cannot be read, moved or copied, or is open for writing; the original is still there.
        """
        with storage_faults(self._directory), inside(inputs, path) as entry:
            if entry is None:
                return CleanupResult(outcome=CleanupOutcome.GONE)
            with held(entry, sha256) as original:
                if isinstance(original, CleanupResult):
                    return original
                return self._move(original, entry, to or path, job, confirm)

    def placed(self, path: str, sha256: str) -> str:
        """Return the path of an original that was moved here before a crash; empty if it was not."""
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
        """Return the relative path of a moved file."""
        return self._tree.relative(path)

    def sweep(self, dead: frozenset[str]) -> tuple[Path, ...]:
        """Remove incomplete copies of ended sessions, and the staging directory if it is empty.

        Args:
            dead: ids of the ended sessions.

        Returns:
            The paths that were removed.
        """
        with storage_faults(self._directory):
            removed = sweep(self._directory, is_dead=dead.__contains__)
            self._staging.close()
        return removed

    def _move(
        self, original: Original, entry: Entry, path: str, job: int, confirm: Callable[[], None]
    ) -> CleanupResult:
        confirm()  # to read all of it takes time
        name = self._place(original, path, job)
        if name is None:
            return CleanupResult(outcome=CleanupOutcome.CHANGED)
        directory, _, _ = name.rpartition("/")
        with self._tree.entry(name) as target:
            # Under its new name on the disk before it loses the old one, if it still has that.
            self._directories.sync([(self._tree, directory)])
            confirm()  # to copy it takes time as well
            left = remove_original(original, entry)
            if left is Removal.GONE:
                entry.sync_directory()
            elif left is Removal.KEPT and entry.is_same(target):
                target.unlink()  # it was written to while it had both names, and is another version now
                return CleanupResult(outcome=CleanupOutcome.CHANGED)
        return CleanupResult(outcome=CleanupOutcome.MOVED, to=self._directory / name)

    def _place(self, original: Original, path: str, job: int) -> str | None:
        """Give an original a name that the disk accepts; returns None if it has changed.

        Raises:
            NameRefusedError: the disk refuses all of its names, while it accepts others.
            OSError: the disk or share fails.
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
        assert refused is not None  # noqa: S101 -- there is at least one form
        raise refused

    def _place_as(self, original: Original, path: str, job: int) -> str | None:
        self._directories.make(self._tree, path.rpartition("/")[0])
        with self._free_or_same(path, original.sha256, original.seen.st_size) as (name, target):
            if target.exists():
                _sync(target)
                return name
            return name if self._put(original, target, job) else None

    def _put(self, original: Original, target: Entry, job: int) -> bool:
        """Give an original a name here; returns False, and gives it none, if it has changed."""
        try:
            if add_name(original.entry, target):
                if original.is_at(target):
                    return True
                target.unlink()  # another version has the first name now, and keeps it
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
    def _free_or_same(self, path: str, sha256: str, size: int | None = None) -> Iterator[tuple[str, Entry]]:
        """Open the first name that is free, or that a file with the same bytes has.

        A file of another size is not read, nor twice one that stays as it was: a camera may give all its pictures the same name.
        """
        for name in numbered(path):
            with self._tree.entry(name) as target:
                seen = _lstat(target)
                if seen is not None and (size not in (None, seen.st_size) or self._is_other(seen, sha256)):
                    continue
                found = examine(target)
                if found is None or found.sha256 == sha256:
                    yield name, target
                    return
                if seen is not None and found.sha256 is not None:
                    self._remember(seen, found.sha256)

    def _is_other(self, seen: os.stat_result, sha256: str) -> bool:
        """Whether a file is known to have other bytes."""
        known = self._known.get((seen.st_dev, seen.st_ino))
        return known is not None and same_state(known[0], seen) and known[1] != sha256

    def _remember(self, seen: os.stat_result, sha256: str) -> None:
        self._known[seen.st_dev, seen.st_ino] = seen, sha256
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def _copy(self, original: Original, target: Entry, job: int) -> bool:
        """Copy the original from its open descriptor; returns False, and leaves no copy, if its bytes have changed."""
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


def _lstat(entry: Entry) -> os.stat_result | None:
    try:
        return entry.lstat()
    except FileNotFoundError:
        return None


def _sync(entry: Entry) -> None:
    """Sync a file that another program may have written, and never synced."""
    file = open_regular(entry)
    if file is not None:
        with file:
            sync(file.fileno())


def open_put_away(directory: Path, path: str, sha256: str) -> int | None:
    """Open an original that was moved to the folder for originals.

    Args:
        directory: absolute path of the folder for originals.
        path: path that the original had in its folder's input, with ``/`` between parts.
        sha256: SHA-256 of its bytes, hex.

    Returns:
        A descriptor for reading, at its beginning; None if no file with these bytes has one of its names.

    Raises:
        StorageError: the disk or share fails.
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
    """Copy owner, mode, extended attributes and times to an open file.

    Args:
        source: descriptor of the source, open for reading.
        target: descriptor of the copy, open for writing.
    """
    status = os.fstat(source)
    mode = stat.S_IMODE(status.st_mode)
    # The owner first: changing it clears bits of the mode. What is refused stays as it is.
    if not _give(target, status.st_uid, status.st_gid):
        mode &= ~_SET_ID
    with suppress(OSError):
        os.fchmod(target, mode)
    _copy_extended(source, target)
    with suppress(OSError):  # some shares store no times
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _give(target: int, owner: int, group: int) -> bool:
    """Set a file's owner and group, or at least its group; returns whether both were set."""
    try:
        os.fchown(target, owner, group)
    except OSError:
        with suppress(OSError):
            os.fchown(target, -1, group)
        return False
    return True


def _copy_extended(source: int, target: int) -> None:
    """Copy extended attributes, including access lists; one by one, since a file system may support only some."""
    if not hasattr(os, "listxattr"):
        return  # macOS: Python has no call for them
    try:
        names = os.listxattr(source)
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name))
