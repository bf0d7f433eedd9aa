"""What is in a folder right now: the truth, of which events are only hints; and where the folder ends.

It lists and stats, and a walk opens nothing but directories and the markers of other folders, so a FIFO or a device cannot hang
it. Symbolic links are never followed below the root. What lies inside the input and belongs to somebody else is not entered: it
is known by device and inode, by its path, by the marker of another folder, and on shares by what this run stages in it.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import NO_WAY
from cutoutd.errors import CutoutdError
from cutoutd.fs.tree import file_id, open_directory, parent_of
from cutoutd.lease import marker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.fs.tree import FileId
    from cutoutd.intake.rules import Rules


_ANOTHER: Final = "another directory has taken the folder's place"


class ApartError(FileNotFoundError):
    """What is there belongs to somebody else, so that for this folder it is not there."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.ENOENT, why, path)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderBoundary:
    """What is not entered, although it lies inside a folder's input.

    Attributes:
        root: identity of the input; None: it is not stable, or not known.
        ids: identities of directories that belong to somebody else, and whose they are.
        paths: files and directories that belong to somebody else, relative to the input, and whose they are.
        uuid: of the folder's own marker; None: markers are not looked at.
        sign: name of a file, relative to a directory, by which this run's outputs are known on shares; empty: none.
    """

    root: FileId | None = None
    ids: Mapping[FileId, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    uuid: str | None = None
    sign: str = ""

    def check_root(self, directory: int) -> None:
        """See that an open directory is the input that was looked at.

        Raises:
            OSError: it is another one.
        """
        if self.root is not None and file_id(os.fstat(directory)) != self.root:
            raise OSError(errno.ESTALE, _ANOTHER)

    def check_directory(self, directory: int, path: str) -> None:
        """See that an open directory inside the input belongs to the folder.

        Args:
            directory: its descriptor.
            path: relative to the input.

        Raises:
            ApartError: it belongs to somebody else.
        """
        self.check_path(path)
        whose = self.ids.get(file_id(os.fstat(directory))) if self.ids else None
        whose = whose or self._by_marker(directory, path) or self._by_sign(directory)
        if whose is not None:
            raise ApartError(path, whose)

    def check_path(self, path: str) -> None:
        """See that a path belongs to the folder, as far as its text tells.

        Raises:
            ApartError: it belongs to somebody else.
        """
        if (whose := self.paths.get(path)) is not None:
            raise ApartError(path, whose)

    def _by_marker(self, directory: int, path: str) -> str | None:
        if self.uuid is None:
            return None
        try:
            found = marker.read_in(directory, path)
        except (OSError, CutoutdError):
            return f"it holds a file {marker.NAME} that cannot be read; remove that if it is no folder of its own"
        if found is None or found.uuid == self.uuid:
            return None
        return f"it holds another folder's {marker.NAME}; remove that if it is no folder of its own any more"

    def _by_sign(self, directory: int) -> str | None:
        if not self.sign:
            return None
        try:
            os.stat(self.sign, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return "results go to it"


MAX_PATH: Final = 4000
"""Characters; no program could open a file further down, and a directory that contains itself must end."""


# Primes: 31 bits of a stamp tell the inode, 32 the time.
_INODES: Final = (1 << 31) - 1
_TIMES: Final = (1 << 32) - 5
_TIME_BITS: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedFile:
    """A regular file as a look found it.

    Attributes:
        path: relative to the root, with ``/`` between parts; bytes that are not UTF-8 are surrogates.
        size: bytes.
        mtime_ns: modification time as the file system gives it.
        stamp: of its inode and the time of its last change of any kind, as one number of 63 bits.
    """

    path: str
    size: int
    mtime_ns: int
    stamp: int = 0


class Scan:
    """One walk through a folder; iterate over it once, then see ``errors``.

    A file that vanishes meanwhile is left out. A sub-directory that cannot be read does not end the walk.

    Args:
        root: the folder's input.
        rules: what it takes.
        boundary: what inside the root belongs to somebody else, and is not entered; None: nothing.

    Attributes:
        errors: what could not be read, as (path relative to the root, reason).
        apart: what was not entered, and whose it is.
        links: symbolic links that were passed over, but for those under a name that is ignored in any case.
    """

    def __init__(self, root: str, rules: Rules, boundary: FolderBoundary | None = None) -> None:
        self._root = root
        self._rules = rules
        self._boundary = boundary
        self.errors: list[tuple[str, OSError]] = []
        self.apart: dict[str, str] = {}
        self.links = 0

    def __iter__(self) -> Iterator[ScannedFile]:
        """Walk.

        Raises:
            OSError: the root itself cannot be read.
        """
        directories: list[str] = []
        yield from self._list("", directories)
        while directories:
            below = directories.pop()
            try:
                yield from self._list(below, directories)
            except OSError as error:
                self._note(below, error)

    def _list(self, directory: str, directories: list[str]) -> Iterator[ScannedFile]:
        """The files of one directory; its sub-directories are added to ``directories``."""
        prefix = f"{directory}/" if directory else ""
        descriptor = open_directory(self._root, directory, self._boundary, is_known_above=True)
        try:
            with os.scandir(descriptor) as entries:  # each entry is stat-ed by this very descriptor
                for entry in entries:
                    seen = self._visit(entry, prefix + entry.name, directories)
                    if seen is not None:
                        yield seen
        finally:
            os.close(descriptor)

    def _visit(self, entry: os.DirEntry[str], path: str, directories: list[str]) -> ScannedFile | None:
        try:
            if entry.is_dir(follow_symlinks=False):
                self._enter(path, directories)
            elif entry.is_symlink():
                self.links += self._rules.takes_file(path) or self._rules.enters_directory(path)
            elif self._rules.takes_file(path):
                if self._boundary is not None:
                    self._boundary.check_path(path)
                return seen_as(path, entry.stat(follow_symlinks=False))
        except OSError as error:
            self._note(path, error)
        return None

    def _enter(self, path: str, directories: list[str]) -> None:
        if not self._rules.enters_directory(path):
            return
        if len(path) > MAX_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        directories.append(path)

    def _note(self, path: str, error: OSError) -> None:
        if isinstance(error, ApartError):
            self.apart[path] = error.strerror or ""
        elif error.errno not in NO_WAY:
            self.errors.append((path, error))


def look(root: str, path: str, boundary: FolderBoundary | None = None) -> ScannedFile | None:
    """Look at one file without opening it.

    Args:
        root: the folder's input.
        path: of the file, relative to the root.
        boundary: what inside the root belongs to somebody else; None: nothing.

    Returns:
        What it looks like, or None if there is no regular file that is really inside the root.

    Raises:
        OSError: it cannot be told, such as EACCES, EIO or ESTALE.
    """
    try:
        with parent_of(root, path, boundary) as (directory, name):
            return seen_as(path, os.stat(name, dir_fd=directory, follow_symlinks=False))
    except OSError as error:
        if error.errno in NO_WAY:
            return None
        raise


def seen_as(path: str, status: os.stat_result) -> ScannedFile | None:
    """A file by its stat; None if it is no regular one."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return ScannedFile(
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        stamp=(status.st_ino % _INODES) << _TIME_BITS | status.st_ctime_ns % _TIMES,
    )


def have_one_inode(stamp: int, other: int) -> bool:
    """Whether two stamps are of the same inode."""
    return stamp >> _TIME_BITS == other >> _TIME_BITS
