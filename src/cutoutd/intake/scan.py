"""What is in a folder right now: the truth, of which events are only hints.

It lists and stats, and a walk opens nothing but directories, so a FIFO or a device cannot hang it. Symbolic links
are never followed below the root.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import NO_WAY
from cutoutd.fs.tree import open_directory, parent_of
from cutoutd.intake.boundary import ApartError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.intake.boundary import FolderBoundary
    from cutoutd.intake.rules import Rules

MAX_PATH: Final = 4000
"""Characters; no program could open a file further down, and a directory that contains itself must end."""


# Primes: 31 bits of a stamp tell the inode, 32 the time.
_INODES: Final = (1 << 31) - 1
_TIMES: Final = (1 << 32) - 5
_TIME_BITS: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
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

    def __iter__(self) -> Iterator[Seen]:
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

    def _list(self, directory: str, directories: list[str]) -> Iterator[Seen]:
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

    def _visit(self, entry: os.DirEntry[str], path: str, directories: list[str]) -> Seen | None:
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


def look(root: str, path: str, boundary: FolderBoundary | None = None) -> Seen | None:
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


def seen_as(path: str, status: os.stat_result) -> Seen | None:
    """A file by its stat; None if it is no regular one."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return Seen(
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        stamp=(status.st_ino % _INODES) << _TIME_BITS | status.st_ctime_ns % _TIMES,
    )


def have_one_inode(stamp: int, other: int) -> bool:
    """Whether two stamps are of the same inode."""
    return stamp >> _TIME_BITS == other >> _TIME_BITS
