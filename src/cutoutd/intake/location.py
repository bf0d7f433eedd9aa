"""Where a directory really is, so that two paths of one directory are recognised.

Links are resolved, and mounts are traced back: each location has the device and inode of the directory and of all directories
above it, and its addresses, which are the same under every mount that shows it. This module must not decide which directories
may overlap, and accesses no network share but those that the caller allows, since any share may hang.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError
from cutoutd.fs.tree import FileId, file_id
from cutoutd.intake import filesystems
from cutoutd.lease import marker
from cutoutd.settings.overlap import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.intake.filesystems import Mount

Address = tuple[str, str]
"""A namespace, such as a file system's device, and a path in it from its root."""

_MAX_LINKS: Final = 40  # the kernel's limit
_BY_PATH: Final = "path"
_DIRECTORIES_OF: Final = ("lowerdir", "upperdir", "lowerdir+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """Where a directory is, or would be.

    Attributes:
        path: path as it was given.
        real: path without links, as far as it exists.
        own: identity of the directory; None if it does not exist, or does not respond.
        above: identities of the directories above it.
        addresses: addresses of the directory, on all file systems that are known to show it.
        mounted: mounts inside the directory: the relative path of each, and its addresses.
        unstable: whether it is on a share, where identities may change while the directory stays the same.
        marker: UUID of its marker, if it is on a share.
        markers: UUIDs of the markers above it, on shares.
        staged: whether this session stages results in it or above it, on a share.
        answered: whether every directory on the way to it was looked at.
        shares: mount points of the shares that it is on.
    """

    path: Path
    real: str
    own: FileId | None = None
    above: frozenset[FileId] = frozenset()
    addresses: frozenset[Address] = frozenset()
    mounted: tuple[tuple[str, frozenset[Address]], ...] = ()
    unstable: bool = False
    marker: str | None = None
    markers: frozenset[str] = frozenset()
    staged: bool = False
    answered: bool = True
    shares: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """The path as configured, and the real path if links lead elsewhere."""
        written = os.fspath(self.path)
        return written if written == self.real else f"{written}, that is {self.real}"


def relation(one: Location, other: Location) -> Relation | None:
    """Return how one directory relates to another; None if they do not overlap."""
    if _is_same(one, other):
        return Relation.IS
    if _lies_inside(one, other):
        return Relation.INSIDE
    if _lies_inside(other, one):
        return Relation.CONTAINS
    if _shows(one, other):
        return Relation.SHOWS
    return Relation.SHOWN if _shows(other, one) else None


def inside(place: Location, root: Location) -> Iterator[str]:
    """Return the relative paths at which a location, or a part of it, appears inside a directory.

    Args:
        place: the location to look for.
        root: the directory to look in.
    """
    for address in place.addresses:
        for above in root.addresses:
            if (below := _below(address, above)) is not None and below:
                yield below
    for point, addresses in root.mounted:
        for mounted in addresses:
            for address in place.addresses:
                if _below(mounted, address) is not None:
                    yield point
                elif below := _below(address, mounted):
                    yield f"{point}/{below}"


class Mounts:
    """All mounts of this process's namespace, with lookups by path and number."""

    def __init__(self, mounts: tuple[Mount, ...]) -> None:
        self.points = {mount.point: mount for mount in mounts}  # of several on one point the last is on top
        self.by_number = {mount.number: mount for mount in mounts}
        self.shares = frozenset(
            point for point, mount in self.points.items() if filesystems.mode_of(mount.fstype).network
        )
        points = [mount.point for mount in mounts]
        # If one mount hides another, the text of a path does not tell which mount it is on.
        self.overlap = len(points) != len(self.points) or any(
            later != "/" and earlier.startswith(f"{later}/")
            for number, later in enumerate(points)
            for earlier in points[:number]
        )
        self.addresses = {
            point: frozenset(_addresses(mount, point)) for point, mount in self.points.items() if point != "/"
        }

    def point_of(self, path: str) -> str | None:
        """Return the mount point that a path without links is under; None if there is none."""
        while path not in self.points:
            if path == "/":
                return None
            path = path.rpartition("/")[0] or "/"
        return path


@lru_cache(maxsize=2)
def _ready(mounts: tuple[Mount, ...]) -> Mounts:
    return Mounts(mounts)


def mounts() -> Mounts:
    """Return the current mounts; only the kernel is queried, so an unreachable share cannot block it."""
    return _ready(filesystems.mounts())


def locate(
    path: Path, mounts: Mounts, *, reachable: frozenset[str] | None = None, sign: str = ""
) -> Location:
    """Find out where a directory is.

    Args:
        path: absolute path; it need not exist.
        mounts: all mounts.
        reachable: mount points of the shares that may be accessed; paths on other shares are taken as written. None: all
            shares.
        sign: relative path of a file by which directories of this session are recognised on shares.
    """
    barred = frozenset() if reachable is None else mounts.shares - reachable - {"/"}
    real, answered = _resolve(os.fspath(path), barred)
    levels = [real, *map(os.fspath, Path(real).parents)]
    on = {level: mounts.point_of(level) for level in levels}
    ids = {
        level: found
        for level in levels
        if on[level] not in barred and (found := _identity(level)) is not None
    }
    shared = [level for level in ids if on[level] in mounts.shares]
    marked = {level: uuid for level in shared if (uuid := _marker(level)) is not None}
    mount = _mount_of(real, mounts, on[real], is_there=real in ids)
    prefix = real.rstrip("/") + "/"
    return Location(
        path=path,
        real=real,
        own=ids.get(real),
        above=frozenset(found for level, found in ids.items() if level != real),
        addresses=frozenset(_addresses(mount, real)),
        mounted=tuple(
            (point[len(prefix) :], addresses)
            for point, addresses in mounts.addresses.items()
            if point.startswith(prefix)
        ),
        unstable=on[real] in mounts.shares,
        marker=marked.get(real),
        markers=frozenset(uuid for level, uuid in marked.items() if level != real),
        staged=bool(sign) and any(os.path.lexists(f"{level}/{sign}") for level in shared),
        answered=answered,
        shares=frozenset(point for point in on.values() if point in mounts.shares),
    )


def _is_same(one: Location, other: Location) -> bool:
    if one.own is not None and one.own == other.own:
        return True
    if not one.addresses.isdisjoint(other.addresses):
        return True
    # The same share mounted twice: a marker is in one directory only, unless it was copied.
    return one.unstable and other.unstable and one.marker is not None and one.marker == other.marker


def _lies_inside(one: Location, other: Location) -> bool:
    if other.own is not None and other.own in one.above:
        return True
    if any(_below(address, above) for address in one.addresses for above in other.addresses):
        return True
    return one.unstable and other.unstable and other.marker is not None and other.marker in one.markers


def _shows(one: Location, other: Location) -> bool:
    return any(
        _below(mounted, address) is not None or _below(address, mounted) is not None
        for _, addresses in one.mounted
        for mounted in addresses
        for address in other.addresses
    )


def _below(one: Address, other: Address) -> str | None:
    """Return the relative path from one address down to another: empty if they are equal, None if there is no such path."""
    if one[0] != other[0]:
        return None
    if one[1] == other[1]:
        return ""
    prefix = other[1].rstrip("/") + "/"
    return one[1][len(prefix) :] if one[1].startswith(prefix) else None


def _resolve(path: str, barred: frozenset[str]) -> tuple[str, bool]:
    """Return a path without links, and whether every part of it could be looked at."""
    waiting = deque(path.split("/"))
    here, links = "", 0
    while waiting:
        part = waiting.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        here = f"{here}/{part}"
        if here in barred:
            return os.path.normpath("/".join((here, *waiting))), False
        try:
            if not stat.S_ISLNK(os.lstat(here).st_mode):
                continue
            target = os.readlink(here)  # noqa: PTH115 -- text, as it is written
        except OSError:
            continue  # a missing part is not a link, and neither is anything below it
        links += 1
        if links > _MAX_LINKS:
            return os.path.normpath("/".join((here, *waiting))), True
        here = "" if target.startswith("/") else here.rpartition("/")[0]
        waiting.extendleft(reversed(target.split("/")))
    return here or "/", True


def _identity(level: str) -> FileId | None:
    try:
        status = os.lstat(level)
    except OSError:
        return None
    return file_id(status)


def _marker(level: str) -> str | None:
    try:
        return marker.read(level)
    except (OSError, CutoutdError):
        return None


def _mount_of(real: str, mounts: Mounts, point: str | None, *, is_there: bool) -> Mount | None:
    """Return the mount that a path is on; by the kernel's mount number if the path exists, since mounts may hide others."""
    number = _mount_number(real) if mounts.overlap and is_there and point is not None else None
    by_point = mounts.points.get(point) if point is not None else None
    return by_point if number is None else mounts.by_number.get(number, by_point)


def _mount_number(real: str) -> int | None:
    """Return the id of the mount that a path is on; None on systems that do not say it."""
    flag = getattr(os, "O_PATH", None)
    if flag is None:
        return None
    try:
        descriptor = os.open(real, flag | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return filesystems.mount_number(descriptor)
    finally:
        os.close(descriptor)


def _addresses(mount: Mount | None, real: str) -> Iterator[Address]:
    """Return all addresses of a path."""
    yield _BY_PATH, real
    if mount is None or not filesystems.is_within(mount.point, real):
        return
    below = real[len(mount.point.rstrip("/")) :]
    inner = mount.root.rstrip("/") + below
    if mount.device:
        yield mount.device, inner or "/"
    source = mount.source.rstrip("/")
    if source.startswith("//") or (":" in source and not source.startswith("/")):
        yield "share", source + inner  # a server's path; two mounts of it may have different devices
    for directory in _shown(mount):
        yield _BY_PATH, os.path.normpath(directory + inner)


def _shown(mount: Mount) -> Iterator[str]:
    """Return the directories that another file system shows, such as overlay or some of FUSE."""
    if mount.fstype == "overlay":
        for option in mount.options.split(","):
            key, _, value = option.partition("=")
            if key in _DIRECTORIES_OF:
                yield from filter(None, value.split(":"))
    elif mount.fstype.partition(".")[0] == "fuse" and mount.source.startswith("/"):
        yield from (one for one in mount.source.split(":") if one.startswith("/") and one != "/")
