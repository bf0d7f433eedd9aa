"""A directory that its owner named, and all that is below it, reached without following a symbolic link.

Others may be able to write there. So every file is reached by descriptors, from directory to directory: one that is
replaced by a link at any moment cannot lead out of the tree. The root itself may be reached through a link, since its
owner named it. This module must not decide what is written or removed.

`open_directory` goes down one directory at a time. That holds as much as ``openat2`` with ``RESOLVE_NO_SYMLINKS |
RESOLVE_BENEATH`` does, and is one implementation for Linux of any age, for macOS and for FUSE.
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
"""Bytes of an absolute path, and one more. Descriptors lead further down, but no program could open a file there."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


FileId = tuple[int, int]
"""Device and inode: which file or directory it is, whatever it is called. On some shares both may change under us."""


def file_id(status: os.stat_result) -> FileId:
    """Of what was looked at."""
    return status.st_dev, status.st_ino


class Boundary(Protocol):
    """What inside a root belongs to somebody else; `cutoutd.intake.scan` has it. Each method raises an OSError over it."""

    def check_root(self, directory: int) -> None:
        """See that an open directory is the root that is meant."""

    def check_directory(self, directory: int, path: str) -> None:
        """See that an open directory inside the root, at this relative path, belongs to the folder."""

    def check_path(self, path: str) -> None:
        """See that a relative path belongs to the folder, as far as its text tells."""


def open_directory(
    root: str, directory: str, boundary: Boundary | None = None, *, is_known_above: bool = False
) -> int:
    """Open a directory of a folder; the caller closes it.

    Args:
        root: the folder's input; may itself be a link, since its owner named it.
        directory: relative to the root; empty for the root itself.
        boundary: what inside the root belongs to somebody else; None: nothing.
        is_known_above: all directories above it were found to be the folder's own just now.

    Returns:
        A descriptor.

    Raises:
        OSError: it cannot be opened; one of ``NO_WAY`` if no such directory is inside the root.
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
    except BaseException:  # a part with a zero byte is a ValueError
        os.close(here)
        raise
    return here


@contextmanager
def parent_of(root: str, path: str, boundary: Boundary | None = None) -> Iterator[tuple[int, str]]:
    """Open the directory a file is in.

    Args:
        root: the folder's input; may itself be a link, since its owner named it.
        path: of the file, relative to the root.
        boundary: what inside the root belongs to somebody else; None: nothing.

    Yields:
        A descriptor of the directory, and the file's name in it.

    Raises:
        OSError: it cannot be opened; one of ``NO_WAY`` if no such directory is inside the root.
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
    """A name in a directory, whatever has that name at the moment.

    Attributes:
        name: one part of a path, in ``directory``; without a directory, a path.
        path: absolute, for messages.
        directory: descriptor of the directory, open for as long as the entry is used; None: the system resolves
            ``name`` as it does any path.
    """

    name: str
    path: Path
    directory: int | None = None

    @classmethod
    def at(cls, path: Path) -> Entry:
        """An entry that is reached by its path: for places that nobody else can write in."""
        return cls(name=os.fspath(path), path=path)

    def beside(self, name: str) -> Entry:
        """Another name in the same directory."""
        path = self.path.parent / name
        return replace(self, name=name if self.directory is not None else os.fspath(path), path=path)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let an OSError of the block say which file it is about."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = os.fspath(self.path), None
            raise

    def lstat(self) -> os.stat_result:
        """What has the name; a link is not followed.

        Raises:
            FileNotFoundError: nothing has it.
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

    def open(self, flags: int, mode: int = 0o666) -> int:
        """Open what has the name, unless it is a link; the caller closes the descriptor.

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
        """See the names in its directory onto the disk.

        Raises:
            OSError: the disk or share failed at it.
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
    """A directory and all below it.

    Paths in it are relative to the root, with ``/`` between parts; the empty one is the root itself.

    Attributes:
        root: absolute.
        boundary: what inside it belongs to somebody else, so that for this tree it is not there; None: nothing.
    """

    root: Path
    boundary: Boundary | None = field(default=None, compare=False)

    def relative(self, path: Path | str) -> str:
        """The path in the tree of an absolute one.

        Raises:
            ValueError: it is not below the root.
        """
        below = Path(path).relative_to(self.root)
        return below.as_posix() if below.parts else ""

    @contextmanager
    def open(self, directory: str = "") -> Iterator[int]:
        """Open a directory.

        Yields:
            A descriptor of it.

        Raises:
            OSError: it cannot be opened; one of ``errnos.NO_WAY`` if no such directory is in the tree.
        """
        with self._named(directory):
            descriptor = open_directory(os.fspath(self.root), directory, self.boundary)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def entry(self, path: str) -> Iterator[Entry]:
        """Reach a name; its directory is held open meanwhile.

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
        """Reach a name; None if its directory is not there.

        Raises:
            OSError: its directory cannot be opened.
        """
        with ExitStack() as stack:
            entry = None
            try:
                entry = stack.enter_context(self.entry(path))
            except FileNotFoundError:
                if not self.root.is_dir():
                    raise  # a share that is away has lost nothing
            yield entry

    def make(self, directory: str, *, mode: int = 0o777) -> list[str]:
        """Make a directory and those between, where they are missing; never the root, which may be a share.

        Returns:
            Those that were made.

        Raises:
            NotADirectoryError: a file or a link has the name of one of them.
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
        """See the names in a directory onto the disk.

        Raises:
            OSError: the disk or share failed at it.
        """
        with self.open(directory) as descriptor:
            _sync(descriptor, self.root / directory)

    def remove_directory(self, directory: str) -> None:
        """Remove a directory if nothing is in it, and it can be removed."""
        with suppress(OSError), self.entry(directory) as entry:
            os.rmdir(entry.name, dir_fd=entry.directory)

    def list(self, directory: str = "") -> tuple[list[str], list[str]]:
        """What is in a directory: names of its sub-directories, and all others, links among them.

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
