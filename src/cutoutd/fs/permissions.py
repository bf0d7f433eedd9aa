"""Who else may change what a path leads to, by owner, mode and access list of each directory on the way.

Root and the user of this process are trusted. It only looks; the access lists of macOS and of NFS version 4 are not
covered.
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

_MAX_LINKS: Final = 40  # limit of the kernel: path_resolution(7)
_ACCESS_LIST: Final = "system.posix_acl_access"
_WHOLE_MAP: Final = ["0", "0", "4294967295"]
"""User map of the initial user namespace, in which root is root: user_namespaces(7)."""
_OVERFLOW_USER: Final = 65534
"""Owner that the kernel reports where a namespace does not know the true one, unless configured otherwise."""


def is_real_root() -> bool:
    """Whether this process is root of the machine, and not only of a user namespace."""
    return os.geteuid() == 0 and _knows_all_users()


def writers_in(path: Path, *, me: int | None = None) -> str:
    """Return who besides root and this user may write in a directory, or replace it.

    A path that does not exist counts as the directory in which it would be created.

    Args:
        path: absolute path; links on the way are checked as well.
        me: user id; None: that of this process.

    Returns:
        A phrase such as ``"/srv/photos belongs to user id 1000"``; empty if nobody may.

    Raises:
        OSError: a directory on the way cannot be examined.
    """
    me, place = os.geteuid() if me is None else me, "/"
    for step in _steps(path):
        if why := _may_replace(step, me):
            return why
        place = step.path
    return _may_write(place, os.lstat(place), me)


def writers_above(path: Path, *, me: int | None = None) -> str:
    """Return who besides root and this user may replace a path, as a phrase; empty if nobody may.

    Args:
        path: absolute path; links on the way are checked as well.
        me: user id; None: that of this process.

    Raises:
        OSError: a directory on the way cannot be examined.
    """
    me, place = os.geteuid() if me is None else me, "/"
    for step in _steps(path):
        if why := _may_replace(step, me):
            return why
        place = step.path
    above = os.lstat(place)
    # If it does not exist yet, others could create it first; in a sticky directory they would be its owner, which shows.
    is_missing = not os.path.lexists(path) and not above.st_mode & stat.S_ISVTX
    return _may_write(place, above, me) if is_missing else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """One name on the way: of a directory, or of a link to one.

    Attributes:
        directory, path: the directory that has the name, and the path of the name.
        above, status: status of the directory, and of the file that has the name.
    """

    directory: str
    path: str
    above: os.stat_result
    status: os.stat_result


def _steps(path: Path) -> Iterator[_Step]:
    """Yield each name that the system passes on its way to a path, as far as they exist."""
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
    """Return who may rename or remove a name. In a sticky directory, only the owners of the directory and the file may."""
    is_sticky = step.above.st_mode & stat.S_ISVTX
    if is_sticky and _is_trusted(step.above.st_uid, me) and _is_trusted(step.status.st_uid, me):
        return ""
    return _may_write(step.directory, step.above, me)


def _may_write(place: str, status: os.stat_result, me: int) -> str:
    if stat.S_ISLNK(status.st_mode):
        return ""  # its target is checked by itself
    if not _is_trusted(status.st_uid, me):
        return f"{place} belongs to user id {status.st_uid}"
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write in {place}"
    if status.st_mode & stat.S_IWGRP:
        # With an access list, the bits of the group are the most that any of its entries grants.
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
        return True  # the system has no user namespaces


def _has_access_list(place: str) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(os.getxattr(place, _ACCESS_LIST))
    except OSError:
        return False  # there is none, or the file system has no access lists


def _is_own_group(group: int, me: int) -> bool:
    """Whether a group is root's, or has only this user, as where each user has a group of the same name."""
    if group == 0:
        return True
    try:
        user, entry = pwd.getpwuid(me), grp.getgrgid(group)
    except KeyError:
        return False
    return group == user.pw_gid and entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}
