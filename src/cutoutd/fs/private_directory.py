"""A directory for one user alone: opened without following a link, checked, closed to others, read and emptied.

The state directory and that of the uploader are such directories. Files in them are opened by name afterwards, by SQLite
among others, which is safe only if nobody else can create these names. This module must not know what the directories hold.
`remove` and `remove_some` must not be used where people put files.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from cutoutd.errors import FailureCode, UsageError
from cutoutd.fs.durable import make_directory
from cutoutd.fs.permissions import writers_above

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022

MAX_DEPTH: Final = 16
"""Levels of nested directories, for `remove_some`."""


class NotPrivateError(UsageError):
    """Other users could change the content of a directory that must be private."""

    code = FailureCode.NOT_PRIVATE
    title = "The directory is not safe from others"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedNames:
    """The names that are opened in a private directory.

    Attributes:
        files: names that must be regular files with one name, if they exist.
        directories: names that must be directories, and no links.
        odd: names that may be anything but a link, since their reader reports what is wrong.
    """

    files: Collection[str] = ()
    directories: Collection[str] = ()
    odd: Collection[str] = ()


def open_private(directory: Path, names: OpenedNames, *, make: bool = True) -> tuple[int, bool]:
    """Open a directory for this user alone and create it if it is missing. The caller closes the descriptor.

    Returns:
        The descriptor, and whether others had access to the directory until now.

    Raises:
        NotPrivateError: it is a link or another user's, or others can change its content.
        OSError: the disk refuses.
    """
    if make and not os.path.lexists(directory):
        check_place(directory)
        missing = [one for one in (directory, *directory.parents) if not os.path.lexists(one)]
        for one in reversed(missing):  # the parents as well: the umask may give access to a group
            make_directory(one, parents=False, mode=0o700)
    check_private(directory, names)
    descriptor = os.open(directory, _DIRECTORY)
    try:
        was_open = _close_to_others(descriptor, directory)
        # Checked again: what others put there while they could still write would stay.
        check_private(directory, names)
        _check_same(descriptor, directory)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, was_open


def read_small(path: Path, most: int) -> bytes:
    """Read the beginning of a regular file. No link is followed, and opening a FIFO does not block.

    Raises:
        OSError: there is no such file, it is not a regular one, or it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Checked first: `fdopen` refuses a directory, and leaves its descriptor open.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "this is not a regular file", os.fspath(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def check_private(directory: Path, names: OpenedNames) -> None:
    """Check that a directory is this user's, that nobody can replace it, and that its names are safe.

    Others may have permission to read it.

    Raises:
        NotPrivateError: a check failed.
        OSError: the directory cannot be examined.
    """
    status = directory.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise NotPrivateError(
            f"this is a link, to {os.fspath(directory.readlink())}",
            path=directory,
            advice="Name the directory itself, or move it here.",
        )
    if not stat.S_ISDIR(status.st_mode):
        raise NotPrivateError(
            "this is not a directory", path=directory, advice="Move it away, or name another directory."
        )
    check_owner(directory, status)
    check_place(directory)
    for name in (*names.files, *names.directories, *names.odd):
        _check(directory / name, names)


def check_place(directory: Path) -> None:
    """Check that nobody else can put another directory in place of this one, which need not exist.

    Raises:
        NotPrivateError: somebody can.
        OSError: a directory on the way cannot be examined.
    """
    if why := writers_above(directory):
        raise NotPrivateError(
            f"others can put another directory in its place: {why}",
            path=directory,
            advice="Take that right from them (chmod go-w), or name a directory below one of your own.",
        )


def check_owner(directory: Path, status: os.stat_result | None = None) -> None:
    """Check that a directory belongs to this user: files created in another user's would be unreadable for that user.

    Raises:
        NotPrivateError: it belongs to another user.
        OSError: it cannot be examined.
    """
    owner = (status or directory.lstat()).st_uid
    if owner != os.geteuid():
        raise NotPrivateError(
            f"this state directory belongs to user id {owner}, and you are {os.geteuid()}",
            path=directory,
            advice="Run the command as the user the daemon runs as.",
        )


def _close_to_others(descriptor: int, directory: Path) -> bool:
    """Take all rights to an open directory from group and others. Returns whether they had any."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if not mode & _OTHERS:
        return False
    with suppress(PermissionError):  # the file system has no modes; the actual rights are checked below
        os.fchmod(descriptor, mode & ~_OTHERS)
    if os.fstat(descriptor).st_mode & _OTHERS_WRITE:
        raise NotPrivateError(
            "others may write in this directory, and its file system does not let that be changed",
            path=directory,
            advice="Set [service] state_dir to a directory on a disk that keeps permissions.",
        )
    return True


def _check_same(descriptor: int, directory: Path) -> None:
    opened, named = os.fstat(descriptor), directory.lstat()
    if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
        raise NotPrivateError(
            "another directory was put in its place just now",
            path=directory,
            advice="See who can write in the directory above it.",
        )


def _check(path: Path, names: OpenedNames) -> None:
    """Check one name: it must not be a link or another user's file, and must be of its kind.

    Raises:
        NotPrivateError: it is something else.
        OSError: it cannot be examined.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    wrong = ""
    if stat.S_ISLNK(status.st_mode):
        wrong = f"this is a link, to {os.fspath(path.readlink())}"
    elif status.st_uid != os.geteuid():
        wrong = f"this belongs to user id {status.st_uid}, and the directory to {os.geteuid()}"
    elif path.name in names.directories:
        wrong = "" if stat.S_ISDIR(status.st_mode) else "this is not a directory"
    elif not stat.S_ISREG(status.st_mode):
        wrong = "" if path.name in names.odd else "this is not a regular file"
    elif status.st_nlink > 1 and _names_here(path, status) < status.st_nlink:
        wrong = "this file has a second name outside the directory (a hard link)"
    if wrong:
        raise NotPrivateError(
            wrong,
            path=path,
            advice="cutoutd never creates such a thing. Stop the daemon, find out what it is, and move it away or put a copy in its place.",
        )


def _names_here(path: Path, status: os.stat_result) -> int:
    """Return how many names a file has in its directory: a crash may leave a journal that also has the name of its backup."""
    with os.scandir(path.parent) as entries:
        return sum(
            entry.inode() == status.st_ino and entry.stat(follow_symlinks=False).st_dev == status.st_dev
            for entry in entries
        )


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory, if it exists. No link is followed.

    Raises:
        OSError: the disk refuses.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if path.is_symlink() or not path.is_dir():
            raise
        shutil.rmtree(path)


def remove_some(directory: int, name: str, most: int, depth: int = 0) -> int:
    """Remove a file, a link or a directory, with a limit on the number of removals. No link is followed.

    The limit bounds the time, even if another process fills the directory again and again.

    Args:
        directory: descriptor of the directory that has the name.
        name: name to remove.
        most: greatest number of removals, above 0.
        depth: number of directories above that are being removed as well.

    Returns:
        How many removals are left; 0: some of it may still be there.

    Raises:
        OSError: the disk refuses, or directories are nested too deeply.
    """
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return most
    except (IsADirectoryError, PermissionError) as error:
        if depth == MAX_DEPTH:
            raise OSError(errno.ELOOP, "too many directories in each other", name) from error
    else:
        return most - 1
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(inner) as entries:
            names = [entry.name for entry in islice(entries, most)]
        for one in names:
            most = remove_some(inner, one, most, depth + 1)
            if most == 0:
                return 0
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=directory)
    return most - 1
