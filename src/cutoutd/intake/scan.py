"""A scan of a folder, which finds what is there now, while events are only hints; and the boundary of a folder.

A scan lists and stats. It opens only directories and the markers of other folders, so a FIFO or a device cannot block it. It
follows no symbolic link below the root. It does not enter what lies inside the input but does not belong to the folder: that is
recognised by device and inode, by path, by another folder's marker, and on shares by what this session stages in it.
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
    """The path does not belong to this folder, and counts as missing for it."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.ENOENT, why, path)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderBoundary:
    """What inside a folder's input does not belong to it, and is not entered.

    Attributes:
        root: identity of the input; None: it is not stable, or not known.
        ids: identities of directories that do not belong to the folder, with the reason.
        paths: files and directories that do not belong to the folder, relative to the input, with the reason.
        uuid: UUID of the folder's own marker; None: markers are not checked.
        sign: relative path of a file by which this session's outputs are recognised on shares; empty: none.
    """

    root: FileId | None = None
    ids: Mapping[FileId, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    uuid: str | None = None
    sign: str = ""

    def check_root(self, directory: int) -> None:
        """Check that an open directory is the input.

        Raises:
            OSError: it is another directory.
        """
        if self.root is not None and file_id(os.fstat(directory)) != self.root:
            raise OSError(errno.ESTALE, _ANOTHER)

    def check_directory(self, directory: int, path: str) -> None:
        """Check that an open directory inside the input belongs to the folder.

        Args:
            directory: descriptor of the directory.
            path: its path, relative to the input.

        Raises:
            ApartError: it does not belong to the folder.
            PermissionError: it may not be searched.
        """
        self.check_path(path)
        whose = self.ids.get(file_id(os.fstat(directory))) if self.ids else None
        whose = whose or self._by_marker(directory, path) or self._by_sign(directory)
        if whose is not None:
            raise ApartError(path, whose)

    def check_path(self, path: str) -> None:
        """Check that a path belongs to the folder, as far as its text shows.

        Raises:
            ApartError: it does not belong to the folder.
        """
        if (whose := self.paths.get(path)) is not None:
            raise ApartError(path, whose)

    def _by_marker(self, directory: int, path: str) -> str | None:
        if self.uuid is None:
            return None
        try:
            found = marker.read_in(directory, path)
        except (OSError, CutoutdError):
            if not os.access(".", os.X_OK, dir_fd=directory, effective_ids=True):
                raise  # whether there is a marker cannot be known: the directory counts as unreadable
            return f"it holds a file {marker.NAME} that cannot be read; remove that if it is not a folder of its own"
        if found is None or found.uuid == self.uuid:
            return None
        return (
            f"it holds another folder's {marker.NAME}; remove that if it is not a folder of its own any more"
        )

    def _by_sign(self, directory: int) -> str | None:
        if not self.sign:
            return None
        try:
            os.stat(self.sign, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return "results go to it"


MAX_PATH: Final = 4000
"""The longest path in characters; no program could open a longer one, and a directory that contains itself must end."""


# Primes: 31 bits of a stamp are for the inode, 32 for the time.
_INODES: Final = (1 << 31) - 1
_TIMES: Final = (1 << 32) - 5
_TIME_BITS: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedFile:
    """A regular file as a scan found it.

    Attributes:
        path: relative to the root, with ``/`` between parts; bytes that are not UTF-8 are surrogates.
        size: size in bytes.
        mtime_ns: modification time as the file system gives it, in ns.
        stamp: a number of 63 bits computed from its inode and change time.
    """

    path: str
    size: int
    mtime_ns: int
    stamp: int = 0


_SPECIAL: Final = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


class Scan:
    """One walk through a folder; to be iterated over once, after which ``errors`` is complete.

    A file that vanishes during the walk is left out. A sub-directory that cannot be read does not end it.

    Args:
        root: path of the folder's input.
        rules: rules for what it takes.
        boundary: what inside the root does not belong to the folder, and is not entered; None: everything belongs to it.

    Attributes:
        errors: what could not be read, as (path relative to the root, reason).
        apart: what was not entered, with the reason.
        links: number of symbolic links that were skipped, without those whose names are ignored anyway.
        special: what is neither a file nor a directory, by its path, with what it is; likewise.
    """

    def __init__(self, root: str, rules: Rules, boundary: FolderBoundary | None = None) -> None:
        self._root = root
        self._rules = rules
        self._boundary = boundary
        self.errors: list[tuple[str, OSError]] = []
        self.apart: dict[str, str] = {}
        self.links = 0
        self.special: dict[str, str] = {}

    def __iter__(self) -> Iterator[ScannedFile]:
        """Walk through the folder.

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
        """Yield the files of one directory, and add its sub-directories to ``directories``."""
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
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode):
                    self.special[path] = _SPECIAL.get(stat.S_IFMT(status.st_mode), "a device")
                return seen_as(path, status)
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


def scan_file(root: str, path: str, boundary: FolderBoundary | None = None) -> ScannedFile | None:
    """Return a file as a scan would find it, without opening it.

    Args:
        root: path of the folder's input.
        path: path of the file, relative to the root.
        boundary: what inside the root does not belong to the folder; None: everything belongs to it.

    Returns:
        The file; None if there is no regular file at this path that is really inside the root.

    Raises:
        OSError: it cannot be looked at, such as EACCES, EIO or ESTALE.
    """
    try:
        with parent_of(root, path, boundary) as (directory, name):
            return seen_as(path, os.stat(name, dir_fd=directory, follow_symlinks=False))
    except OSError as error:
        if error.errno in NO_WAY:
            return None
        raise


def seen_as(path: str, status: os.stat_result) -> ScannedFile | None:
    """Return a file by its stat; None if it is not a regular file."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return ScannedFile(
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        stamp=(status.st_ino % _INODES) << _TIME_BITS | status.st_ctime_ns % _TIMES,
    )


def have_one_inode(stamp: int, other: int) -> bool:
    """Whether two stamps have the same inode."""
    return stamp >> _TIME_BITS == other >> _TIME_BITS
