"""A directory that its owner named, and everything below it, reached without following a symbolic link.

Others may have write access there. So every file is reached by descriptors, from directory to directory: replacing one by a
link at any moment cannot lead out of the tree. The root itself may be reached through a link, since its owner named it. This
module must not decide what is written or removed.

`open_directory` goes down one directory at a time. That is as safe as ``openat2`` with ``RESOLVE_NO_SYMLINKS |
RESOLVE_BENEATH``, and is one implementation for Linux of any age, for macOS and for FUSE.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.errnos import NO_DIRECTORY_SYNC
from cutoutd.fs.durable import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = os.pathconf("/", "PC_PATH_MAX")
"""Bytes of an absolute path, and one more. Descriptors reach further down, but no program could open a file there."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


FileId = tuple[int, int]
"""Device and inode: identify a file or directory, whatever its name. On some shares they may change at any time."""


def file_id(status: os.stat_result) -> FileId:
    """Return the identity of a file from its status."""
    return status.st_dev, status.st_ino


class Boundary(Protocol):
    """What inside a root belongs to others; implemented in `cutoutd.intake.scan`. Each method raises an OSError if a check fails."""

    def check_root(self, directory: int) -> None:
        """Check that an open directory is the expected root."""

    def check_directory(self, directory: int, path: str) -> None:
        """Check that an open directory at a relative path inside the root belongs to the folder."""

    def check_path(self, path: str) -> None:
        """Check that a relative path belongs to the folder, as far as its text tells."""


def open_directory(
    root: str, directory: str, boundary: Boundary | None = None, *, is_known_above: bool = False
) -> int:
    """Open a directory of a folder. The caller closes it.

    Args:
        root: input of the folder; may itself be a link, since its owner named it.
        directory: path relative to the root; empty for the root itself.
        boundary: what inside the root belongs to others; None: nothing.
        is_known_above: whether all directories above were just found to belong to the folder.

    Returns:
        A descriptor.

    Raises:
        OSError: it cannot be opened; one of ``NO_WAY`` if there is no such directory inside the root.
    """
    parts = directory.split("/") if directory else []
    if not {"", ".", ".."}.isdisjoint(parts):
        raise FileNotFoundError(errno.ENOENT, "not a path inside the folder", directory)
    here = os.open(root, _DIRECTORY)
    try:
        if boundary is not None:
            boundary.check_root(here)
        for number, part in enumerate(parts, 1):
            below = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
            if boundary is not None and (number == len(parts) or not is_known_above):
                boundary.check_directory(here, "/".join(parts[:number]))
    except BaseException:  # a part with a null byte is a ValueError
        os.close(here)
        raise
    return here


@contextmanager
def parent_of(root: str, path: str, boundary: Boundary | None = None) -> Iterator[tuple[int, str]]:
    """Open the directory of a file.

    Args:
        root: input of the folder; may itself be a link, since its owner named it.
        path: path of the file, relative to the root.
        boundary: what inside the root belongs to others; None: nothing.

    Yields:
        A descriptor of the directory, and the name of the file in it.

    Raises:
        OSError: it cannot be opened; one of ``NO_WAY`` if there is no such directory inside the root.
    """
    directory, _, name = path.rpartition("/")
    if name in {"", ".", ".."}:
        raise FileNotFoundError(errno.ENOENT, "not a path inside the folder", path)
    if boundary is not None:
        boundary.check_path(path)
    descriptor = open_directory(root, directory, boundary)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A name in a directory, whatever file has it at the moment.

    Attributes:
        name: one part of a path, in ``directory``; without a directory, a path.
        path: absolute path, for messages.
        directory: descriptor of the directory, open for as long as the entry is used; None: the system resolves
            ``name`` like any path.
    """

    name: str
    path: Path
    directory: int | None = None

    @classmethod
    def at(cls, path: Path) -> Entry:
        """Return an entry that is reached by its path, for places where nobody else can write."""
        return cls(name=os.fspath(path), path=path)

    def beside(self, name: str) -> Entry:
        """Return another name in the same directory."""
        path = self.path.parent / name
        return replace(self, name=name if self.directory is not None else os.fspath(path), path=path)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Add the path to an OSError of the block."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = os.fspath(self.path), None
            raise

    def lstat(self) -> os.stat_result:
        """Return the status of the file that has the name. No link is followed.

        Raises:
            FileNotFoundError: nothing has the name.
        """
        with self.named():
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)

    def exists(self) -> bool:
        """Whether anything has the name."""
        try:
            self.lstat()
        except FileNotFoundError:
            return False
        return True

    def is_same(self, other: Entry) -> bool:
        """Whether this name and another one belong to the same file."""
        try:
            return os.path.samestat(self.lstat(), other.lstat())
        except FileNotFoundError:
            return False

    def open(self, flags: int, mode: int = 0o666) -> int:
        """Open the file that has the name, unless it is a link. The caller closes the descriptor.

        Raises:
            OSError: it cannot be opened.
        """
        with self.named():
            return os.open(self.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.directory)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the name.

        Raises:
            OSError: it cannot be removed.
        """
        with suppress(FileNotFoundError) if missing_ok else nullcontext(), self.named():
            os.unlink(self.name, dir_fd=self.directory)

    def sync_directory(self) -> None:
        """Sync the names in the directory to the disk.

        Raises:
            OSError: the disk or share failed.
        """
        if self.directory is not None:
            _sync(self.directory, self.path.parent)
            return
        descriptor = os.open(self.path.parent, _DIRECTORY)
        try:
            _sync(descriptor, self.path.parent)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory and everything below it.

    Paths in it are relative to the root, with ``/`` between parts; the empty one is the root itself.

    Attributes:
        root: absolute path.
        boundary: what inside it belongs to others, and is treated as missing; None: nothing.
    """

    root: Path
    boundary: Boundary | None = field(default=None, compare=False)

    def relative(self, path: Path | str) -> str:
        """Return the path in the tree of an absolute path.

        Raises:
            ValueError: it is not below the root.
        """
        below = Path(path).relative_to(self.root)
        return below.as_posix() if below.parts else ""

    @contextmanager
    def open(self, directory: str = "") -> Iterator[int]:
        """Open a directory.

        Yields:
            Its descriptor.

        Raises:
            OSError: it cannot be opened; one of ``errnos.NO_WAY`` if there is no such directory in the tree.
        """
        with self._named(directory):
            descriptor = open_directory(os.fspath(self.root), directory, self.boundary)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def entry(self, path: str) -> Iterator[Entry]:
        """Reach a name and hold its directory open meanwhile.

        Raises:
            OSError: its directory cannot be opened; one of ``errnos.NO_WAY`` if there is none in the tree.
        """
        directory, _, _ = path.rpartition("/")
        whole = os.fspath(self.root / path)
        if len(os.fsencode(whole)) >= _LONGEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), whole)
        with ExitStack() as stack:
            with self._named(directory):
                descriptor, name = stack.enter_context(parent_of(os.fspath(self.root), path, self.boundary))
            yield Entry(name=name, path=self.root / path, directory=descriptor)

    @contextmanager
    def find(self, path: str) -> Iterator[Entry | None]:
        """Reach a name; None if its directory does not exist.

        Raises:
            OSError: its directory cannot be opened.
        """
        with ExitStack() as stack:
            entry = None
            try:
                entry = stack.enter_context(self.entry(path))
            except FileNotFoundError:
                if not self.root.is_dir():
                    raise  # a share that is offline has lost nothing
            yield entry

    def exists(self, path: str) -> bool:
        """Whether anything has a name.

        Raises:
            OSError: its directory cannot be opened.
        """
        with self.find(path) as entry:
            return entry is not None and entry.exists()

    def make(self, directory: str, *, mode: int = 0o777) -> list[str]:
        """Create a directory and its missing parents, but never the root, which may be a share.

        Returns:
            The directories that were created.

        Raises:
            NotADirectoryError: one of the names belongs to a file or a link.
            OSError: any other reason of the system.
        """
        made = []
        here = ""
        for part in directory.split("/") if directory else ():
            here = f"{here}/{part}" if here else part
            with self.entry(here) as entry:
                try:
                    with entry.named():
                        os.mkdir(entry.name, mode, dir_fd=entry.directory)
                except FileExistsError:
                    if not stat.S_ISDIR(entry.lstat().st_mode):
                        raise NotADirectoryError(
                            errno.ENOTDIR,
                            "a file or a link stands where a sub-folder belongs",
                            os.fspath(entry.path),
                        ) from None
                else:
                    made.append(here)
        return made

    def sync(self, directory: str) -> None:
        """Sync the names in a directory to the disk.

        Raises:
            OSError: the disk or share failed.
        """
        with self.open(directory) as descriptor:
            _sync(descriptor, self.root / directory)

    def remove_directory(self, directory: str) -> None:
        """Remove a directory if it is empty and can be removed."""
        with suppress(OSError), self.entry(directory) as entry:
            os.rmdir(entry.name, dir_fd=entry.directory)

    def list(self, directory: str = "") -> tuple[list[str], list[str]]:
        """List a directory: the names of its sub-directories, and all other names, links among them.

        Raises:
            OSError: it cannot be read.
        """
        directories: list[str] = []
        others: list[str] = []
        with self.open(directory) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                (directories if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
        return sorted(directories), sorted(others)

    @contextmanager
    def _named(self, directory: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.filename is None or not os.path.isabs(error.filename):  # noqa: PTH117 -- text, not a Path
                error.filename = os.fspath(self.root / directory)
            raise


def _sync(descriptor: int, path: Path) -> None:
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno not in NO_DIRECTORY_SYNC:
            error.filename = os.fspath(path)
            raise
