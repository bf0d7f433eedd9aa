"""Whether the disk or share that a directory was on is not mounted any more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.intake import filesystems
from cutoutd.intake.mounts import MountedPlace, locate_on_mounts, mounts_of

if TYPE_CHECKING:
    from pathlib import Path

ROOT = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
DISK = b"30 22 8:17 / /srv/out rw - xfs /dev/sdb1 rw\n"
# As systemd makes them for ReadWritePaths= and ProtectSystem=.
OF_A_SERVICE = b"31 22 8:1 /srv/out /srv/out rw - ext4 /dev/sda1 rw\n"
OF_A_SERVICE_ON_DISK = b"32 30 8:17 / /srv/out rw - xfs /dev/sdb1 rw\n"
BIND = b"33 22 8:1 /elsewhere /srv/out rw - ext4 /dev/sda1 rw\n"
SUBVOLUME = b"34 22 8:1 /@srv /srv rw - ext4 /dev/sda1 rw,subvol=/@srv\n"
DIRECT_TRIGGER = b"35 22 0:50 / /srv/out rw - autofs systemd-1 rw\n"
SHARE_ON_TRIGGER = b"36 35 0:51 / /srv/out rw - nfs4 nas:/x rw\n"
HOME_HIDDEN = b"37 22 0:60 / /srv rw - tmpfs tmpfs rw\n"
HOME_SHOWN = b"38 37 8:1 /srv/out /srv/out rw - ext4 /dev/sda1 rw\n"

E, X = {"/": "ext4"}, {"/": "ext4", "/srv/out": "xfs"}


@pytest.mark.parametrize(
    ("table", "number", "found"),
    {
        "no mount of its own": (ROOT, 22, E),
        "a disk": (ROOT + DISK, 30, X),
        "one for a service": (ROOT + OF_A_SERVICE, 31, E),
        "one for a service, of a disk": (ROOT + DISK + OF_A_SERVICE_ON_DISK, 32, X),
        "one for a service that hides what is beside": (ROOT + HOME_HIDDEN + HOME_SHOWN, 38, E),
        "a directory of the same disk": (ROOT + BIND, 33, {**E, "/srv/out": "ext4"}),
        "a subvolume": (ROOT + SUBVOLUME, 34, {**E, "/srv": "ext4"}),
        "an automounter's": (ROOT + DIRECT_TRIGGER + SHARE_ON_TRIGGER, 36, {**E, "/srv/out": "nfs4"}),
        "an automounter's that waits": (ROOT + DIRECT_TRIGGER, 35, {**E, "/srv/out": "autofs"}),
        "hidden by a later mount above": (ROOT + DISK + HOME_HIDDEN, 37, {**E, "/srv": "tmpfs"}),
        "the system does not say which": (ROOT + DISK, None, X),
        "no table": (b"", None, {}),
    }.values(),
)  # fmt: skip
def test_the_mounts_that_a_directory_is_on(table: bytes, number: int | None, found: dict[str, str]) -> None:
    """Without those that show what is there anyway: a service may have them, and a command of its user has not."""
    assert mounts_of("/srv/out", number, filesystems.parse_mountinfo(table)) == found


@pytest.mark.parametrize(
    ("known", "now", "lost"),
    {
        "nothing known": ({}, E, ""),
        "as before": (X, X, ""),
        "never mounted": (E, E, ""),
        "mounted since": (E, X, ""),
        "unmounted": (X, E, "/srv/out"),
        "another disk at its mount point": (X, {"/": "ext4", "/srv/out": "ext4"}, ""),
        "a new disk above instead": (X, {"/": "ext4", "/srv": "xfs"}, ""),
        "another machine or container": (X, {"/": "overlay"}, ""),
        "unmounted inside a container": ({"/": "overlay", "/srv/out": "ext4"}, {"/": "overlay"}, "/srv/out"),
        "a mount below it is new": (E | {"/srv": "xfs"}, E | {"/srv": "xfs", "/srv/out": "nfs"}, ""),
        "the mount above is gone as well": (
            {"/": "ext4", "/srv": "xfs", "/srv/out": "nfs"},
            E,
            "/srv/out",
        ),
        "only the mount above is gone": ({"/": "ext4", "/srv": "xfs", "/srv/out": "nfs"}, X, ""),
        "an automounter waits": (
            {"/": "ext4", "/srv/out": "nfs4"},
            {"/": "ext4", "/srv/out": "autofs"},
            "/srv/out",
        ),
        "an automounter has nothing": (
            {"/": "ext4", "/srv": "autofs", "/srv/out": "nfs4"},
            {"/": "ext4", "/srv": "autofs"},
            "/srv/out",
        ),
        "the list of mounts cannot be read": (X, {}, ""),
    }.values(),
)  # fmt: skip
def test_a_mount_that_is_gone(known: dict[str, str], now: dict[str, str], lost: str) -> None:
    """Only where the directory is now on what was below its mount."""
    assert MountedPlace(real="/srv/out", mounts=now).lost_mount(known) == lost


def test_a_link_that_names_another_directory_is_no_loss() -> None:
    """Somebody has changed it on purpose."""
    assert MountedPlace(real="/home/ann/out", mounts=E).lost_mount(X) == ""
    assert MountedPlace(real="/srv/outside", mounts=E).lost_mount(X) == ""


def test_a_missing_directory_is_on_what_the_next_one_above_is_on(tmp_path: Path) -> None:
    """Before it is made, and through a link whose target is missing."""
    (tmp_path / "link").symlink_to("gone/deep")
    here = locate_on_mounts(tmp_path)
    missing = locate_on_mounts(tmp_path / "link" / "out")
    assert missing.real == os.path.realpath(tmp_path / "gone/deep/out")
    assert missing.mounts == here.mounts


def test_a_directory_that_may_not_be_read_is_found(tmp_path: Path) -> None:
    """One that results can only be put into."""
    (tmp_path / "box").mkdir(mode=0o300)
    assert locate_on_mounts(tmp_path / "box").mounts == locate_on_mounts(tmp_path).mounts
    assert locate_on_mounts(tmp_path).mounts


def test_without_a_list_of_mounts_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without /proc."""
    monkeypatch.setattr(filesystems, "_MOUNTINFO", tmp_path / "none")
    monkeypatch.setattr(filesystems, "_DESCRIPTORS", tmp_path / "none")
    assert locate_on_mounts(tmp_path).mounts == {}
