"""Which mounts a directory is on, and whether the one that it was on is gone.

If a disk or share is unmounted, its mount point stays, as an empty directory of the file system below. The numbers of devices
cannot tell: they are others after a restart of the machine, and after each mount of a share. What stays is the place in the
list of mounts: the directory was on a mount of its own, or below one, and is on the mount below that now.

Any access to the directory may hang. On a system without ``/proc`` nothing is known; macOS removes the mount points of what it
unmounts, so that the directory is missing there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.intake import filesystems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cutoutd.intake.filesystems import Mount

AUTOFS: Final = "autofs"
"""It stands at a mount point, or above it, as long as an automounter has mounted nothing there."""

_OPEN: Final = getattr(os, "O_PATH", 0) | os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
"""It needs no right to read the directory, and has an automounter mount it, which a mere stat does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MountedPlace:
    """Where a directory is.

    Attributes:
        real: its absolute path, without links.
        mounts: the mounts that it is on, the root's first: types of file systems by mount point. Empty: they are not known.
    """

    real: str
    mounts: Mapping[str, str]

    def lost_mount(self, known: Mapping[str, str]) -> str:
        """Return the mount point of the disk or share that the directory was on and is not on any more.

        Only if it is now on a mount that was below that one. A mount that is new, or another directory that a link names, was put
        there on purpose.

        Args:
            known: the mounts that it was on, as in ``mounts``.

        Returns:
            The mount point; empty if nothing is missing, or nothing is known.
        """
        expected = max(
            (point for point in known if filesystems.is_within(point, self.real)), key=len, default=""
        )
        if not expected or not self.mounts:
            return ""
        on = max(self.mounts, key=len)
        if expected in self.mounts:
            waits = on == expected and self.mounts[on] == AUTOFS != known[expected]
            return expected if waits else ""
        return expected if len(on) < len(expected) and known.get(on) == self.mounts[on] else ""


def locate_on_mounts(path: Path) -> MountedPlace:
    """Return where a directory is; if it is missing, what the nearest existing directory above it is on.

    Raises:
        OSError: it cannot be reached.
    """
    real = Path(os.path.realpath(path))
    for place in (real, *real.parents):
        try:
            descriptor = os.open(place, _OPEN)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            number = filesystems.mount_number(descriptor)
            table = filesystems.mounts()
        finally:
            os.close(descriptor)
        return MountedPlace(real=os.fspath(real), mounts=mounts_of(os.fspath(place), number, table))
    return MountedPlace(real=os.fspath(real), mounts={})


def mounts_of(place: str, number: int | None, table: tuple[Mount, ...]) -> dict[str, str]:
    """Return the mounts that a directory is on, the root's first: types of file systems by mount point.

    Mounts that show what would be there without them are left out: a service manager makes such mounts for one service.

    Args:
        place: absolute path of the directory, without links.
        number: id of the mount that it is on; None: not known.
        table: all mounts.
    """
    by_number = {mount.number: mount for mount in table}
    mount = by_number.get(number) if number is not None else None
    chain: list[Mount] = []
    mount = mount or filesystems.mount_of(place, table)
    while mount is not None and mount not in chain:
        chain.append(mount)
        mount = by_number.get(mount.parent)
    found: dict[str, str] = {}
    for mount in _telling(chain):
        found.setdefault(mount.point, mount.fstype)
    return dict(reversed(found.items()))


def _telling(chain: Sequence[Mount]) -> Iterator[Mount]:
    """Yield the mounts that count, from the deepest on."""
    depth = 0
    while depth < len(chain):
        same = [
            below for below in range(depth + 1, len(chain)) if _shows_the_same(chain[depth], chain[below])
        ]
        if same:
            depth = same[-1]  # without those in between as well, which hide what this one shows again
        else:
            yield chain[depth]
            depth += 1


def _shows_the_same(mount: Mount, below: Mount) -> bool:
    """Whether a mount shows the directory that its mount point is on a mount below it."""
    if mount.device != below.device or not filesystems.is_within(below.point, mount.point):
        return False
    return mount.root == os.fspath(Path(below.root, Path(mount.point).relative_to(below.point)))
