"""The file systems whose events are reliable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from cutoutd.intake.filesystems import (
    mode_of,
    mount_of,
    parse_mountinfo,
    parse_statfs,
    watch_mode,
)

if TYPE_CHECKING:
    from pathlib import Path

MOUNTINFO = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw,nosuid - proc proc rw
30 22 0:40 / /mnt/share rw,relatime shared:9 master:2 - nfs4 nas:/photos rw,vers=4.2
31 22 0:41 / /mnt/with\040space\134and\011tab rw - fuse.sshfs box:/ rw
32 22 0:42 / /mnt/twice rw - ext4 /dev/sdb1 rw
33 32 0:43 / /mnt/twice rw - cifs //nas/shop rw
34 22 8:17 /sub /mnt/caf\303\251 rw - fuseblk /dev/sdc1 rw
odd line without a dash

35 22 0:44 / /mnt/share/inner rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "fstype"),
    [
        ("/", "ext4"),
        ("/home/ann/to-cut", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/a/b", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/share/inner/x", "tmpfs"),
        ("/mnt/with space\\and\ttab/x", "fuse.sshfs"),
        ("/mnt/twice/x", "cifs"),
        ("/mnt/café/x", "fuseblk"),
    ],
)
def test_a_path_belongs_to_its_deepest_and_topmost_mount(path: str, fstype: str) -> None:
    """Octal escapes are undone, prefixes end at a slash, later mounts hide earlier ones."""
    mount = mount_of(path, parse_mountinfo(MOUNTINFO))
    assert mount is not None
    assert mount.fstype == fstype


def test_no_mounts_is_no_answer() -> None:
    """An empty table, as in a process without /proc, gives None."""
    assert mount_of("/a", parse_mountinfo(b"")) is None


@pytest.mark.parametrize(
    "fstype", ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "apfs", "fuseblk", "overlay", "exfat"]
)
def test_local_file_systems_are_watched(fstype: str) -> None:
    """All writes to them pass through this kernel."""
    mode = mode_of(fstype)
    assert not mode.network
    assert not mode.network


@pytest.mark.parametrize(
    "fstype",
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "fuse.sshfs",
        "fuse",
        "9p",
        "vboxsf",
        "afs",
        "ceph",
        "drvfs",
        "virtiofs",
    ],
)
def test_shared_file_systems_are_polled(fstype: str) -> None:
    """Other machines write to them without this kernel's knowledge."""
    mode = mode_of(fstype)
    assert mode.network
    assert mode.network
    assert fstype in mode.reason


@pytest.mark.parametrize("fstype", [None, "newfs"])
def test_an_unknown_file_system_is_polled(fstype: str | None) -> None:
    """Polling works everywhere, events do not."""
    mode = mode_of(fstype)
    assert mode.network
    reason = (
        "the type of the file system is unknown" if fstype is None else "the file system newfs is unknown"
    )
    assert reason in mode.reason


def test_macos_reports_type_and_locality() -> None:
    """The structure has the type's name and a flag for local file systems."""
    local = bytes(64) + (0x1000).to_bytes(4, sys.byteorder) + bytes(4) + b"apfs" + bytes(2092)
    shared = bytes(68) + bytes(4) + b"smbfs" + bytes(2091)
    assert parse_statfs(local) == ("apfs", True)
    assert parse_statfs(shared) == ("smbfs", False)
    assert not mode_of("apfs", local=True).network
    assert mode_of("apfs", local=False).network


def test_a_real_directory_has_a_file_system(tmp_path: Path) -> None:
    """Through a link, the target's file system counts."""
    link = tmp_path / "link"
    link.symlink_to("/proc")
    assert watch_mode(str(tmp_path)).fstype != "unknown"
    if sys.platform == "linux":
        assert watch_mode(str(link)).fstype == "proc"


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    """It must not be taken for the file system of its parent."""
    with pytest.raises(FileNotFoundError):
        watch_mode(str(tmp_path / "missing"))
