"""Which file system a folder is on, and whether its events can be trusted to come.

A kernel reports what passes through it. On a network share others write past it, so there only looking
helps. It must not watch anything itself.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

# Written to by this machine's kernel alone.
_LOCAL: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "apfs aufs bcachefs btrfs ecryptfs erofs exfat ext2 ext3 ext4 f2fs fuseblk hfs hfsplus iso9660 jfs "
        "msdos nilfs2 ntfs ntfs3 overlay ramfs reiserfs rootfs squashfs tmpfs udf ufs vfat xfs zfs"
    ).split()
)

# Those that keep inode and time of change on the disk. FAT and FUSE number files anew.
_STABLE: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "apfs bcachefs btrfs ext2 ext3 ext4 f2fs hfs hfsplus jfs nilfs2 overlay ramfs reiserfs rootfs tmpfs ufs xfs zfs"
    ).split()
)

# Written to by other machines, or by the host of a virtual one. All of FUSE but fuseblk counts as well.
_NETWORK: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "9p acfs afpfs afs autofs beegfs ceph cifs coda davfs drvfs fakeowner gfs gfs2 glusterfs gpfs lustre "
        "ncpfs nfs nfs3 nfs4 ocfs2 orangefs prl_fs pvfs2 smb2 smb3 smbfs vboxsf virtiofs vmhgfs webdav"
    ).split()
)

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_POINT_FIELD: Final = 4
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")

# <sys/mount.h> of macOS, struct statfs with 64-bit inodes: flags, then the type's name.
_STATFS: Final = struct.Struct("=64xI4x16s")
_STATFS_BYTES: Final = 2168
_MNT_LOCAL: Final = 0x1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """How a folder should be watched.

    Attributes:
        reason: why it is watched as it is, in words for status.
        fstype: the file system's type, or ``unknown``.
        network: others may write to it, so that events do not tell of every change, and it may be gone for a while.
    """

    reason: str
    fstype: str
    network: bool

    @property
    def has_stamps(self) -> bool:
        """Whether inodes and times of change stay as they are as long as a file does."""
        return self.fstype in _STABLE and not self.network


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A line of mountinfo.

    Attributes:
        point: where it is mounted.
        fstype: the file system's type.
        number: of the mount.
        device: of the file system, "major:minor".
        root: the directory of the file system that is mounted, from the file system's own root.
        source: what is mounted, as it was named.
        options: of the file system.
    """

    point: str
    fstype: str
    number: int = 0
    device: str = ""
    root: str = "/"
    source: str = ""
    options: str = ""


def watch_mode(path: str) -> Mode:
    """How a folder should be watched, by the file system it is on.

    Args:
        path: of the folder; links are resolved.

    Raises:
        OSError: the folder cannot be reached.
    """
    real = os.path.realpath(path, strict=True)
    if sys.platform == "darwin":
        return _macos_mode(real)
    mount = mount_of(real, parse_mountinfo(_MOUNTINFO.read_bytes()))
    return mode_of(mount.fstype if mount is not None else None)


UNKNOWN: Final = "unknown"
"""In the place of a type, where the system does not tell it: as where a root directory is in no list of mounts."""


def mode_of(fstype: str | None, *, local: bool | None = None) -> Mode:
    """How a file system of this type should be watched.

    Args:
        fstype: as the system calls it, or None if it could not be told.
        local: what the system itself says, where it does.
    """
    name = (fstype or UNKNOWN).lower()
    if name in _LOCAL and local is not False:
        return Mode(reason=f"{name} is a local file system", fstype=name, network=False)
    if name in _NETWORK or name.split(".")[0] == "fuse" or local is False:
        reason = f"{name} does not report what others write to it"
    elif name == UNKNOWN:
        reason = "it could not be told what file system this is, so it is treated as a network share"
    else:
        reason = f"nothing is known of the file system {name}, so it is treated as a network share"
    return Mode(reason=reason, fstype=name, network=True)


def mounts() -> tuple[Mount, ...]:
    """All mounts of this process's namespace; none on a system that has no ``/proc``.

    It asks the kernel alone, so no share can hold it up.
    """
    try:
        return parse_mountinfo(_MOUNTINFO.read_bytes())
    except OSError:
        return ()


@lru_cache(maxsize=4)
def parse_mountinfo(text: bytes) -> tuple[Mount, ...]:
    """The mounts listed in ``/proc/self/mountinfo`` (proc(5)), in its order; odd lines are left out."""
    mounts = []
    for line in text.splitlines():
        before, dash, after = line.partition(b" - ")
        fields = before.split(b" ")
        if not dash or len(fields) <= _POINT_FIELD:
            continue
        fstype, source, options = (_unescaped(part) for part in (*after.split(b" ", 2), b"", b"")[:3])
        mounts.append(
            Mount(
                point=_unescaped(fields[_POINT_FIELD]),
                fstype=fstype,
                number=int(fields[0]) if fields[0].isdigit() else 0,
                device=_unescaped(fields[2]),
                root=_unescaped(fields[3]),
                source=source,
                options=options,
            )
        )
    return tuple(mounts)


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field))


def mount_of(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount an absolute path without links is on: the deepest, and of these the last, which is on top."""
    found = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def parse_statfs(raw: bytes) -> tuple[str, bool]:
    """The type's name, and whether it is local, of a ``struct statfs`` of macOS."""
    flags, name = _STATFS.unpack_from(raw)
    return os.fsdecode(name.split(b"\0")[0]), bool(flags & _MNT_LOCAL)


def _macos_mode(path: str) -> Mode:
    library = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    # On Intel the plain name is the structure of before 2007; on ARM there is only the newer one.
    call = getattr(library, "statfs$INODE64", None) or getattr(library, "statfs", None)
    raw = ctypes.create_string_buffer(_STATFS_BYTES)
    if call is None or call(os.fsencode(path), raw) != 0:
        return mode_of(None)
    fstype, local = parse_statfs(raw.raw)
    return mode_of(fstype, local=local)
