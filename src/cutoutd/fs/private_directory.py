"""A directory that is one user's alone: opened without following a link, checked, closed to all others, read and emptied.

The state directory is such a one, and the uploader's in it. What lies in them is opened by name afterwards, by SQLite
among others: that is safe only where nobody else can put something under these names. This module must not know what
any of them holds. `remove` and `remove_some` must not be used where people put files.
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
"""Of directories in each other, for what is removed a part at a time."""


class NotPrivateError(UsageError):
    """Somebody else could change what lies in a directory that is to be one user's alone."""

    code = FailureCode.NOT_PRIVATE
    title = "The directory is not safe from others"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedNames:
    """What is opened by name in such a directory.

    Attributes:
        files: each must be a regular file with one name, if it is there.
        directories: each must be a directory, and no link.
        odd: files that may be anything but a link, since their reader says what is wrong.
    """

    files: Collection[str] = ()
    directories: Collection[str] = ()
    odd: Collection[str] = ()


def open_private(directory: Path, names: OpenedNames, *, make: bool = True) -> tuple[int, bool]:
    """Open a directory for this user alone, made if it is missing; the caller closes the descriptor.

    Returns:
        The descriptor, and whether others had access to it until now.

    Raises:
        NotPrivateError: it is a link, another user's, or others can change what lies in it.
        OSError: the disk refuses.
    """
    if make and not os.path.lexists(directory):
        check_place(directory)
        missing = [one for one in (directory, *directory.parents) if not os.path.lexists(one)]
        for one in reversed(missing):  # those above it as well: the umask may give them to a group
            make_directory(one, parents=False, mode=0o700)
    check_private(directory, names)
    descriptor = os.open(directory, _DIRECTORY)
    try:
        was_open = _close_to_others(descriptor, directory)
        # Once more: what lay in it when others could still write is there to stay from now on.
        check_private(directory, names)
        _check_same(descriptor, directory)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, was_open


def read_small(path: Path, most: int) -> bytes:
    """The beginning of a regular file; no link is followed, and a FIFO of that name holds nobody up.

    Raises:
        OSError: nothing has the name, or something else, or it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Asked first: a directory's descriptor would not be closed by what refuses to read it.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "this is no regular file", os.fspath(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def check_private(directory: Path, names: OpenedNames) -> None:
    """See that a directory is this user's, that nobody can replace it, and that nobody planted anything in it.

    Whether others may look into it is not asked.

    Raises:
        NotPrivateError: it is not so.
        OSError: it cannot be looked at.
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
            "this is no directory", path=directory, advice="Move it away, or name another directory."
        )
    check_owner(directory, status)
    check_place(directory)
    for name in (*names.files, *names.directories, *names.odd):
        _check(directory / name, names)


def check_place(directory: Path) -> None:
    """See that nobody else can put another directory in this one's place; it need not be there.

    Raises:
        NotPrivateError: somebody can.
        OSError: a directory on the way cannot be looked at.
    """
    if why := writers_above(directory):
        raise NotPrivateError(
            f"others can put another directory in its place: {why}",
            path=directory,
            advice="Take that right from them (chmod go-w), or name a directory below one of your own.",
        )


def check_owner(directory: Path, status: os.stat_result | None = None) -> None:
    """Refuse to work in another user's directory: files made there would become unreadable to them.

    Raises:
        NotPrivateError: it belongs to someone else.
        OSError: it cannot be looked at.
    """
    owner = (status or directory.lstat()).st_uid
    if owner != os.geteuid():
        raise NotPrivateError(
            f"this state directory belongs to user id {owner}, and you are {os.geteuid()}",
            path=directory,
            advice="Run the command as the user the daemon runs as.",
        )


def _close_to_others(descriptor: int, directory: Path) -> bool:
    """Take all rights on an open directory from group and others; whether they had any."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if not mode & _OTHERS:
        return False
    with suppress(PermissionError):  # a file system that keeps no modes; what holds there is looked at below
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
    """One name: not a link, nobody else's, and of its kind.

    Raises:
        NotPrivateError: it is something else.
        OSError: it cannot be looked at.
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
        wrong = "" if stat.S_ISDIR(status.st_mode) else "this is no directory"
    elif not stat.S_ISREG(status.st_mode):
        wrong = "" if path.name in names.odd else "this is no regular file"
    elif status.st_nlink > 1 and _names_here(path, status) < status.st_nlink:
        wrong = "this file has a second name outside the directory (a hard link)"
    if wrong:
        raise NotPrivateError(
            wrong,
            path=path,
            advice="Nothing of ours makes it so. Stop the daemon, look what it is, and move it away or put a copy in its place.",
        )


def _names_here(path: Path, status: os.stat_result) -> int:
    """How many names in its directory a file has: a crash may leave a journal with the name of its backup."""
    with os.scandir(path.parent) as entries:
        return sum(
            entry.inode() == status.st_ino and entry.stat(follow_symlinks=False).st_dev == status.st_dev
            for entry in entries
        )


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory; what is not there is no error, and no link is followed.

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
    """Remove a file, a link or a directory as far as a number of removals goes; no link is followed.

    What another process fills again and again holds nobody up in this way.

    Args:
        directory: descriptor of what it lies in.
        name: of it.
        most: removals; above 0.
        depth: of directories above it that are being removed as well.

    Returns:
        How many removals are left; 0: some of it may still be there.

    Raises:
        OSError: the disk refuses, or there are too many directories in each other.
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
