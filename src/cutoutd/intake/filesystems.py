"""Which file system a folder is on, and whether its events are complete.

A kernel reports only the changes made through it. Other machines write to a network share past it, so such a folder must be
scanned. This module must not watch anything itself.
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

# Only this machine's kernel writes to them.
_LOCAL: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "apfs aufs bcachefs btrfs ecryptfs erofs exfat ext2 ext3 ext4 f2fs fuseblk hfs hfsplus iso9660 jfs "
        "msdos nilfs2 ntfs ntfs3 overlay ramfs reiserfs rootfs squashfs tmpfs udf ufs vfat xfs zfs"
    ).split()
)

# They keep the inode and the change time on the disk. FAT and FUSE number files anew at each mount.
_STABLE: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "apfs bcachefs btrfs ext2 ext3 ext4 f2fs hfs hfsplus jfs nilfs2 overlay ramfs reiserfs rootfs tmpfs ufs xfs zfs"
    ).split()
)

# Other machines write to them, or the host of a virtual machine. So does any FUSE but fuseblk.
_NETWORK: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "9p acfs afpfs afs autofs beegfs ceph cifs coda davfs drvfs fakeowner gfs gfs2 glusterfs gpfs lustre "
        "ncpfs nfs nfs3 nfs4 ocfs2 orangefs prl_fs pvfs2 smb2 smb3 smbfs vboxsf virtiofs vmhgfs webdav"
    ).split()
)

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_DESCRIPTORS: Final = Path("/proc/self/fdinfo")
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
        reason: why it is watched in this way, for status.
        fstype: type of the file system, or ``unknown``.
        network: whether other machines may write to it, so that events are incomplete, and it may be unreachable for a while.
    """

    reason: str
    fstype: str
    network: bool

    @property
    def has_stamps(self) -> bool:
        """Whether a file keeps its inode and change time as long as it is unchanged."""
        return self.fstype in _STABLE and not self.network


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A line of mountinfo (proc(5)).

    Attributes:
        point: the mount point.
        fstype: type of the file system.
        number: id of the mount.
        parent: id of the mount that it was mounted on; 0: not known.
        device: device of the file system, "major:minor".
        root: the mounted directory, as a path from the root of its file system.
        source: the mounted device or share, as it was given to mount.
        options: options of the file system.
    """

    point: str
    fstype: str
    number: int = 0
    parent: int = 0
    device: str = ""
    root: str = "/"
    source: str = ""
    options: str = ""


def watch_mode(path: str) -> Mode:
    """Return how a folder should be watched, by the file system it is on.

    Args:
        path: path of the folder; links are resolved.

    Raises:
        OSError: the folder cannot be reached.
    """
    real = os.path.realpath(path, strict=True)
    if sys.platform == "darwin":
        return _macos_mode(real)
    mount = mount_of(real, parse_mountinfo(_MOUNTINFO.read_bytes()))
    return mode_of(mount.fstype if mount is not None else None)


UNKNOWN: Final = "unknown"
"""The type of a file system that the system does not name, such as a root directory that is in no list of mounts."""


def mode_of(fstype: str | None, *, local: bool | None = None) -> Mode:
    """Return how a file system of a type should be watched.

    Args:
        fstype: type as the system names it; None: not known.
        local: whether the system itself says that it is local; None: it does not say.
    """
    name = (fstype or UNKNOWN).lower()
    if name in _LOCAL and local is not False:
        return Mode(reason=f"{name} is a local file system", fstype=name, network=False)
    if name in _NETWORK or name.split(".")[0] == "fuse" or local is False:
        reason = f"{name} does not report changes by other machines"
    elif name == UNKNOWN:
        reason = "the type of the file system is unknown, so it is treated as a network share"
    else:
        reason = f"the file system {name} is unknown, so it is treated as a network share"
    return Mode(reason=reason, fstype=name, network=True)


def mounts() -> tuple[Mount, ...]:
    """Return all mounts of this process's namespace; none on a system without ``/proc``.

    Only the kernel is queried, so an unreachable share cannot block it.
    """
    try:
        return parse_mountinfo(_MOUNTINFO.read_bytes())
    except OSError:
        return ()


def mount_number(descriptor: int) -> int | None:
    """Return the id of the mount that an open file or directory is on (proc(5)); None on systems without ``/proc``."""
    try:
        said = (_DESCRIPTORS / str(descriptor)).read_text(encoding="ascii")
    except OSError:
        return None
    lines = (line.partition(":") for line in said.splitlines())
    return next((int(value) for key, _, value in lines if key == "mnt_id"), None)


@lru_cache(maxsize=4)
def parse_mountinfo(text: bytes) -> tuple[Mount, ...]:
    """Return the mounts listed in ``/proc/self/mountinfo`` (proc(5)), in its order; malformed lines are left out."""
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
                parent=int(fields[1]) if fields[1].isdigit() else 0,
                device=_unescaped(fields[2]),
                root=_unescaped(fields[3]),
                source=source,
                options=options,
            )
        )
    return tuple(mounts)


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field))


def is_within(directory: str, path: str) -> bool:
    """Whether an absolute path without links is a directory, or is below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def mount_of(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """Return the mount that an absolute path without links is on: the deepest, and of several the last, which is on top."""
    found = None
    for mount in mounts:
        if is_within(mount.point, path) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def parse_statfs(raw: bytes) -> tuple[str, bool]:
    """Return the type's name, and whether it is local, from macOS's ``struct statfs``."""
    flags, name = _STATFS.unpack_from(raw)
    return os.fsdecode(name.split(b"\0")[0]), bool(flags & _MNT_LOCAL)


def _macos_mode(path: str) -> Mode:
    library = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    # On Intel the plain name has the structure from before 2007; on ARM there is only the newer one.
    call = getattr(library, "statfs$INODE64", None) or getattr(library, "statfs", None)
    raw = ctypes.create_string_buffer(_STATFS_BYTES)
    if call is None or call(os.fsencode(path), raw) != 0:
        return mode_of(None)
    fstype, local = parse_statfs(raw.raw)
    return mode_of(fstype, local=local)
