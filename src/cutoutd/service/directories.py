"""Which directories a sandboxed service must be able to write in, so that folders may come and go in them.

A service manager binds directories, not names: a mount point that it bound shows the old disk for ever, and a
directory that was deleted and made again stays the deleted one. So it is given parents: of a folder's topmost
mount, and of a folder itself where there is none. It reads the table of mounts, and must not look at a share.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNTINFO: Final = Path("/proc/self/mountinfo")
FSTAB: Final = Path("/etc/fstab")

_ROOT: Final = Path("/")
_USUAL: Final = (Path("/mnt"), Path("/media"), Path("/run/media"))
"""Where shares and disks appear that are not mounted just now."""


def writable(places: Iterable[Path], mounts: Iterable[Path]) -> tuple[Path, ...]:
    """The directories to grant for these places; none lies inside another.

    Args:
        places: absolute, without ``..``; they need not exist.
        mounts: points where something is mounted, or may be.
    """
    points = frozenset(mounts)
    granted = {_grant(place, points) for place in places}
    return tuple(
        sorted(one for one in granted if not any(other in one.parents for other in granted if other != one))
    )


def _grant(place: Path, mounts: frozenset[Path]) -> Path:
    for usual in _USUAL:
        if usual in place.parents:
            return usual
    above = sorted(
        (point for point in (place, *place.parents) if point in mounts), key=lambda p: len(p.parts)
    )
    for point in above:
        if _ROOT not in (point.parent, point):
            return point.parent
    # What lies directly below the root has no parent that could be granted without granting all.
    return place if place.parent == _ROOT else place.parent


def is_pinned(place: Path, granted: Iterable[Path]) -> bool:
    """Whether a place, if it goes and comes back, stays out of sight until the service is restarted."""
    return any(place == one for one in granted)


def mount_points(mountinfo: Path = MOUNTINFO, fstab: Path = FSTAB) -> tuple[Path, ...]:
    """Where something is mounted now, or is said to be now and then; empty where the system does not say."""
    now = [fields[4] for line in _lines(mountinfo) if len(fields := line.split()) > 4]  # noqa: PLR2004 -- proc(5)
    later = [fields[1] for line in _lines(fstab) if len(fields := line.split()) > 1 and line[0] != "#"]
    return tuple(Path(_unescaped(text)) for text in (*now, *later) if text.startswith("/"))


def _lines(path: Path) -> list[str]:
    try:
        return [
            line for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if line
        ]
    except OSError:
        return []


def _unescaped(text: str) -> str:
    r"""Blanks and the like stand there as ``\040``."""
    for code, one in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, one)
    return text
