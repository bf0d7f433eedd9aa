"""Who else may change what a path leads to: by owner, mode and access list of each directory on the way.

Root and this process's own user count as oneself. It looks, and changes nothing; the access lists of macOS and of NFS
version 4 are not seen.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LINKS: Final = 40  # as the kernel has it: path_resolution(7)
_ACCESS_LIST: Final = "system.posix_acl_access"
_WHOLE_MAP: Final = ["0", "0", "4294967295"]
"""Of the user namespace in which root is root: user_namespaces(7)."""
_OVERFLOW_USER: Final = 65534
"""Whom the kernel names as the owner where a namespace does not know the true one, unless it was set otherwise."""


def is_real_root() -> bool:
    """Whether this process is the machine's root, and not only called so in a namespace of an ordinary user."""
    return os.geteuid() == 0 and _knows_all_users()


def writers_in(path: Path, *, me: int | None = None) -> str:
    """Who besides root and this user may write in a directory, or put another in its place.

    A path that is not there counts as the directory in which it would be made.

    Args:
        path: absolute; links on the way are looked at as well.
        me: the user; None: this process's.

    Returns:
        In words, such as ``"/srv/photos belongs to user id 1000"``; empty if nobody may.

    Raises:
        OSError: a directory on the way cannot be looked at.
    """
    me, place = os.geteuid() if me is None else me, "/"
    for step in _steps(path):
        if why := _may_replace(step, me):
            return why
        place = step.path
    return _may_write(place, os.lstat(place), me)


def writers_above(path: Path, *, me: int | None = None) -> str:
    """Who besides root and this user may put something else in the place of a path; in words, or empty.

    Args:
        path: absolute; links on the way are looked at as well.
        me: the user; None: this process's.

    Raises:
        OSError: a directory on the way cannot be looked at.
    """
    me, place = os.geteuid() if me is None else me, "/"
    for step in _steps(path):
        if why := _may_replace(step, me):
            return why
        place = step.path
    above = os.lstat(place)
    # Where it is not there yet, others could be the first to make it; in a sticky directory that would show.
    is_missing = not os.path.lexists(path) and not above.st_mode & stat.S_ISVTX
    return _may_write(place, above, me) if is_missing else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """One name on the way: of a directory, or of a link to one.

    Attributes:
        directory, path: where the name is, and both together.
        above, status: of the directory, and of what has the name.
    """

    directory: str
    path: str
    above: os.stat_result
    status: os.stat_result


def _steps(path: Path) -> Iterator[_Step]:
    """Each name that the system passes on its way to a path, as far as they are there."""
    here, links = "/", 0
    waiting = list(reversed(path.absolute().parts[1:]))
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = os.path.dirname(here)  # noqa: PTH120 -- text, and free of links by now
            continue
        step = os.path.join(here, part)  # noqa: PTH118 -- see above
        try:
            status = os.lstat(step)
        except FileNotFoundError:
            return
        yield _Step(directory=here, path=step, above=os.lstat(here), status=status)
        if not stat.S_ISLNK(status.st_mode):
            here = step
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        target = os.readlink(step)  # noqa: PTH115 -- text, as it is written there
        if target.startswith("/"):
            here = "/"
        waiting += reversed(target.split("/"))


def _may_replace(step: _Step, me: int) -> str:
    """Who may rename or remove what has a name; a sticky directory lets that only the owners of both."""
    is_sticky = step.above.st_mode & stat.S_ISVTX
    if is_sticky and _is_trusted(step.above.st_uid, me) and _is_trusted(step.status.st_uid, me):
        return ""
    return _may_write(step.directory, step.above, me)


def _may_write(place: str, status: os.stat_result, me: int) -> str:
    if stat.S_ISLNK(status.st_mode):
        return ""  # where it leads was looked at
    if not _is_trusted(status.st_uid, me):
        return f"{place} belongs to user id {status.st_uid}"
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write in {place}"
    if status.st_mode & stat.S_IWGRP:
        # With an access list, the group's bits are the most that any of its entries gives.
        if _has_access_list(place):
            return f"the access list of {place} lets others write there"
        if not _is_own_group(status.st_gid, me):
            return f"group id {status.st_gid} may write in {place}"
    return ""


def _is_trusted(owner: int, me: int) -> bool:
    return owner in (0, me) or (owner == _OVERFLOW_USER and not _knows_all_users())


@cache
def _knows_all_users() -> bool:
    try:
        return Path("/proc/self/uid_map").read_text(encoding="ascii").split() == _WHOLE_MAP
    except OSError:
        return True  # a system without such namespaces, or a kernel


def _has_access_list(place: str) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(os.getxattr(place, _ACCESS_LIST))
    except OSError:
        return False  # none, or a file system that has none


def _is_own_group(group: int, me: int) -> bool:
    """Whether it is root's, or has this user alone, as is usual where each user has a group of that name."""
    if group == 0:
        return True
    try:
        user, entry = pwd.getpwuid(me), grp.getgrgid(group)
    except KeyError:
        return False
    return group == user.pw_gid and entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}
