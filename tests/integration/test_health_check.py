"""Checks of a hot folder: at the first start, after it was recreated, and with another folder in its place."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.daemon.assembly import publisher_of
from cutoutd.errors import JournalError, StorageError
from cutoutd.folder.health import LET_GO_S, HealthCheck
from cutoutd.folder.overlaps import Overlaps
from cutoutd.folder.status import FolderState
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.intake import filesystems
from cutoutd.jobs import Version
from cutoutd.journal import store
from cutoutd.journal.folders import FolderMemory, NewPlace
from cutoutd.journal.journal import Journal
from cutoutd.lease import marker
from cutoutd.lease.lease import Lease
from cutoutd.lease.policy import SILENCE_S
from cutoutd.publish.staging import STAGING_NAME
from cutoutd.settings.schema import Service
from tests.integration.parts import NAME, folder_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cutoutd.settings.schema import Folder
    from tests.conftest import FakeClock

OTHER = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def journal(clock: FakeClock) -> Iterator[Journal]:
    """The journal that remembers the folder."""
    opened = Journal(None, session="run-1", clock=clock)
    yield opened
    opened.close()


def gate_of(
    folder: Folder,
    journal: Journal,
    *,
    min_free_mb: int = 0,
    state_dir: Path | None = None,
    configured: Sequence[Folder] = (),
    clock: Clock | None = None,
) -> HealthCheck:
    """Return the health check of a folder, as when the daemon starts."""
    return HealthCheck(
        folder,
        memory=journal.folders,
        publisher=publisher_of(folder, name=folder.name, run="run-1"),
        service=Service(state_dir=state_dir or folder.input, min_free_disk_mb=min_free_mb),
        lease=Lease(run="run-1", is_dead=journal.sessions.is_dead, clock=clock or Clock()),
        overlaps=Overlaps(Path("/no-state"), "run-1"),
        configured=lambda: {one.name: os.fspath(one.input) for one in configured},
    )


def open_once(folder: Folder, journal: Journal) -> str:
    """Run once without faults. Returns the UUID of the marker."""
    health = gate_of(folder, journal)
    assert health.check() is None
    health.remember()
    uuid = marker.read(os.fspath(folder.input))
    assert uuid is not None
    return uuid


def hold_elsewhere(folder: Folder) -> str:
    """Have another machine, which knows that this one has ended, hold a folder. Returns the UUID of its marker."""
    root = os.fspath(folder.input)
    uuid = marker.read(root) or marker.create(root, OTHER)
    theirs = Lease(run="theirs", is_dead=lambda run: run == "run-1", clock=Clock())
    assert theirs.acquire(root, uuid).ours
    return uuid


def recreate(folder: Folder) -> None:
    """Delete the input with all its content, and create it again."""
    # What still has the old inode keeps the new directory from getting it.
    folder.input.rename(folder.input.with_name("old"))
    folder.input.mkdir()


def test_the_first_start_marks_the_input_and_makes_the_output(tmp_path: Path, journal: Journal) -> None:
    """With all directories that results need; it is remembered only on request."""
    folder = folder_in(
        tmp_path, output=str(tmp_path / "deep" / "out"), sidecar_dir=str(tmp_path / "sidecars")
    )
    health = gate_of(folder, journal)
    assert health.check() is None
    assert (folder.output / STAGING_NAME / "run-1").is_dir()
    assert (tmp_path / "sidecars" / STAGING_NAME / "run-1").is_dir()
    assert marker.read(os.fspath(folder.input)) is not None
    assert journal.folders.recall(NAME) is None
    health.remember()
    assert journal.folders.recall(NAME) == FolderMemory(
        input=os.fspath(folder.input),
        marker=marker.read(os.fspath(folder.input)) or "",
        device=folder.input.stat().st_dev,
        inode=folder.input.stat().st_ino,
        read_only=False,
    )


def copied(tmp_path: Path, journal: Journal) -> tuple[Folder, HealthCheck, str]:
    """Return a folder whose input is a copy of another one's, marker included, its check, and the marker's UUID."""
    original = folder_in(tmp_path)
    uuid = open_once(original, journal)
    shutil.copytree(original.input, tmp_path / "copy")
    (tmp_path / "outputs").mkdir()
    copy = folder_in(tmp_path / "outputs", name="three", input=str(tmp_path / "copy"))
    return copy, gate_of(copy, journal, configured=(original, copy)), uuid


def test_a_copy_of_a_folder_gets_a_marker_of_its_own(tmp_path: Path, journal: Journal) -> None:
    """Before, both had one UUID, and one got the other's pictures once its name was given to it."""
    copy, health, uuid = copied(tmp_path, journal)
    assert health.check() is None
    health.remember()
    own = marker.read(os.fspath(copy.input))
    assert own not in (None, uuid)
    assert marker.read(os.fspath(tmp_path / "in")) == uuid
    known = journal.folders.recall("three")
    assert known is not None
    assert known.marker == own
    renamed = folder_in(tmp_path / "outputs", input=str(copy.input))
    again = gate_of(renamed, journal, configured=(renamed,))
    assert again.check() is None
    assert journal.folders.recall(NAME) == known
    assert journal.folders.recall("three") is None


def test_a_folder_of_which_it_cannot_be_told_whether_it_is_a_copy_stands_by(
    tmp_path: Path, journal: Journal
) -> None:
    """Until a person says that it is a folder of its own."""
    copy, health, uuid = copied(tmp_path, journal)
    known = journal.folders.recall(NAME)
    assert known is not None
    journal.folders.remember(NAME, replace(known, inode=None))  # as an earlier version did
    closed = health.check()
    assert closed is not None
    assert closed.watching is FolderState.STANDING_BY
    assert "cutoutd adopt three" in closed.why
    assert closed.trouble is FolderTrouble.STANDING_BY
    assert marker.read(os.fspath(copy.input)) == uuid
    there = copy.input.stat()
    journal.folders.adopt(NewPlace(folder="three", device=there.st_dev, inode=there.st_ino))
    assert health.check() is None
    assert marker.read(os.fspath(copy.input)) != uuid


def test_a_copy_that_another_machine_works_on_keeps_its_marker(tmp_path: Path, journal: Journal) -> None:
    """That machine would stand by otherwise."""
    copy, health, uuid = copied(tmp_path, journal)
    theirs = Lease(run="theirs", is_dead=lambda _: False, clock=Clock())
    (tmp_path / "copy" / ".cutoutd-folder.term-1").unlink()
    marker_file = copy.input / marker.NAME
    marker_file.write_text(marker.text(uuid))
    assert theirs.acquire(os.fspath(copy.input), uuid).ours
    closed = health.check()
    assert closed is not None
    assert "another machine works on it" in closed.why
    assert closed.trouble is FolderTrouble.OTHER_MACHINE
    assert marker.read(os.fspath(copy.input)) == uuid


def test_a_first_start_that_was_interrupted_is_a_first_start_again(tmp_path: Path, journal: Journal) -> None:
    """The marker exists, but the folder was not scanned."""
    folder = folder_in(tmp_path)
    assert gate_of(folder, journal).check() is None
    again = gate_of(folder, journal)
    assert again.check() is None
    assert again.is_first_start


def test_a_later_start_finds_the_same_folder(tmp_path: Path, journal: Journal) -> None:
    """The later start is no first start, and the folder keeps its marker."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    health = gate_of(folder, journal)
    assert not health.is_first_start
    assert health.check() is None
    assert marker.read(os.fspath(folder.input)) == uuid


def test_a_folder_moved_in_the_configuration_is_a_new_one(tmp_path: Path, journal: Journal) -> None:
    """Even with the same name; `existing = "skip"` is about what is there now."""
    open_once(folder_in(tmp_path), journal)
    (tmp_path / "elsewhere").mkdir()
    health = gate_of(folder_in(tmp_path, input=str(tmp_path / "elsewhere")), journal)
    assert health.check() is None
    assert health.is_first_start
    assert health.check() is None


def wait_in(journal: Journal) -> None:
    """Accept a picture, which then waits."""
    journal.sources.accept(NAME, [Version(path="a.jpg", size=1, mtime_ns=2)])


def test_a_folder_that_was_recreated_is_marked_again(tmp_path: Path, journal: Journal) -> None:
    """Its owner did it on the same local disk; the new directory counts as another folder."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    health = gate_of(folder, journal)
    assert health.check() is None
    recreate(folder)
    assert health.check() is None
    now = marker.read(os.fspath(folder.input))
    assert now not in (None, uuid)
    recalled = journal.folders.recall(NAME)
    assert recalled is not None
    assert recalled.marker == now
    assert gate_of(folder, journal).check() is None


def test_a_marker_that_was_removed_is_written_again(tmp_path: Path, journal: Journal) -> None:
    """The directory is the same, so waiting pictures are in it."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    wait_in(journal)
    (folder.input / marker.NAME).unlink()
    assert gate_of(folder, journal).check() is None
    assert marker.read(os.fspath(folder.input)) == uuid


@pytest.mark.parametrize("damage", [b"", b"{", bytes(1024), b"hello", b'{"schema": "cutoutd.folder/1"}'])
def test_a_damaged_marker_is_replaced_in_the_directory_that_is_known(
    tmp_path: Path, journal: Journal, damage: bytes
) -> None:
    """As after a power failure; before, each machine stood by until a person removed it."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    wait_in(journal)
    (folder.input / marker.NAME).write_bytes(damage)
    assert gate_of(folder, journal).check() is None
    assert marker.read(os.fspath(folder.input)) == uuid


@pytest.mark.parametrize("held", [b'{"schema": "cutoutd.folder/9", "uuid": "x"}', bytes(5000)])
def test_what_another_version_or_a_person_wrote_in_the_markers_place_stays(
    tmp_path: Path, journal: Journal, held: bytes
) -> None:
    """A later version may hold the folder by it."""
    folder = folder_in(tmp_path)
    open_once(folder, journal)
    (folder.input / marker.NAME).write_bytes(held)
    with pytest.raises(StorageError, match="not a marker of ours"):
        gate_of(folder, journal).check()
    assert (folder.input / marker.NAME).read_bytes() == held


def test_a_damaged_marker_of_an_unknown_directory_stays(tmp_path: Path, journal: Journal) -> None:
    """It may be another folder's, for a new one as well as for another directory in a known one's place."""
    folder = folder_in(tmp_path)
    (folder.input / marker.NAME).write_bytes(b"{")
    with pytest.raises(StorageError, match="damaged"):
        gate_of(folder, journal).check()
    (folder.input / marker.NAME).unlink()
    open_once(folder, journal)
    recreate(folder)
    (folder.input / marker.NAME).write_bytes(b"{")
    with pytest.raises(StorageError, match="damaged"):
        gate_of(folder, journal).check()
    assert (folder.input / marker.NAME).read_bytes() == b"{"


def test_a_machine_that_only_stood_by_writes_no_other_marker(tmp_path: Path, journal: Journal) -> None:
    """Its journal does not know the folder, but it has seen the marker; before, a new UUID put the owner out, and all was cut again."""
    folder = folder_in(tmp_path)
    uuid = hold_elsewhere(folder)
    health = gate_of(folder, journal)
    assert health.check() is not None
    (folder.input / marker.NAME).unlink()
    closed = health.check()
    assert closed is not None
    assert closed.watching is FolderState.STANDING_BY
    assert marker.read(os.fspath(folder.input)) == uuid


def test_the_results_of_another_owner_are_looked_for_although_its_marker_was_put_back(
    tmp_path: Path, journal: Journal
) -> None:
    """As by a backup of the time when this machine was the owner. Before, it cut again what the other had cut."""
    folder = folder_in(tmp_path)
    open_once(folder, journal)
    backup = {path: path.read_bytes() for path in folder.input.iterdir()}
    hold_elsewhere(folder)
    assert gate_of(folder, journal).check() is not None
    for path in folder.input.iterdir():
        path.unlink()
    for path, content in backup.items():
        path.write_bytes(content)
    health = gate_of(folder, journal)
    assert health.check() is None
    assert health.took_over
    health.remember()
    assert not health.took_over


def test_a_machine_that_only_stood_by_takes_no_older_directory_for_the_folder(
    tmp_path: Path, journal: Journal, clock: FakeClock
) -> None:
    """As a machine that has worked on it. Before, it marked that directory, cut what was there, and stood by at the right one."""
    (tmp_path / "older").mkdir()
    clock.wall_us = Clock().now_us() + 1_000_000
    folder = folder_in(tmp_path)
    hold_elsewhere(folder)
    health = gate_of(folder, journal)
    assert health.check() is not None
    folder.input.rename(tmp_path / "away")
    (tmp_path / "older").rename(folder.input)
    closed = health.check()
    assert closed is not None
    assert closed.watching is FolderState.STANDING_BY
    assert "is another directory than before" in closed.why
    assert closed.trouble is FolderTrouble.REPLACED
    assert list(folder.input.iterdir()) == []
    folder.input.rename(tmp_path / "older")
    (tmp_path / "away").rename(folder.input)
    closed = health.check()
    assert closed is not None
    assert "has been working on this folder" in closed.why
    assert closed.trouble is FolderTrouble.OTHER_MACHINE


def test_nothing_is_written_where_input_and_output_have_changed_places(
    tmp_path: Path, journal: Journal
) -> None:
    """Before, a machine that had only stood by, or was new, marked the output as its input, and staged results among originals."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    shutil.rmtree(folder.output)
    folder.input.rename(folder.output)
    folder.input.mkdir()
    unknown = Journal(None, session="run-2", clock=Clock())
    closed = gate_of(folder, unknown).check()
    unknown.close()
    assert closed is not None
    assert closed.watching is FolderState.STANDING_BY
    assert f"output {folder.output} has a {marker.NAME}" in closed.why
    assert closed.trouble is FolderTrouble.OTHER_FOLDER
    assert list(folder.input.iterdir()) == []
    assert not (folder.output / STAGING_NAME).exists()
    assert marker.read(os.fspath(folder.output)) == uuid


def test_a_missing_marker_is_left_for_a_while_to_the_machine_that_has_a_claim(
    tmp_path: Path, journal: Journal, clock: FakeClock
) -> None:
    """That one knows the UUID. If it does not write it for a minute, it is gone."""
    folder = folder_in(tmp_path)
    hold_elsewhere(folder)
    (folder.input / marker.NAME).unlink()
    health = gate_of(folder, journal, clock=clock)
    closed = health.check()
    assert closed is not None
    assert "another machine works on this folder" in closed.why
    assert closed.trouble is FolderTrouble.OTHER_MACHINE
    assert marker.read(os.fspath(folder.input)) is None
    clock.advance(SILENCE_S)
    health.check()
    assert marker.read(os.fspath(folder.input)) is not None


def test_a_claim_that_was_cut_short_shows_nothing(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is empty, and names nobody: least of all the last owner where none was seen."""
    share = filesystems.Mode(reason="", fstype="nfs4", network=True)
    monkeypatch.setattr(filesystems, "watch_mode", lambda _: share)
    folder = folder_in(tmp_path)
    open_once(folder, journal)
    for left in folder.input.glob(".cutoutd-folder*"):
        left.unlink()
    (folder.input / ".cutoutd-folder.term-3").touch()
    assert gate_of(folder, journal).check() is not None
    assert marker.read(os.fspath(folder.input)) is None


@pytest.mark.parametrize("whose", ["ours", "the owner's that was seen", "unknown"])
def test_a_claim_shows_that_a_share_without_its_marker_is_the_right_one(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """On a share, numbers do not; before, each machine that knew the folder stood by for good."""
    share = filesystems.Mode(reason="", fstype="nfs4", network=True)
    monkeypatch.setattr(filesystems, "watch_mode", lambda _: share)
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    if whose != "ours":
        hold_elsewhere(folder)
    health = gate_of(folder, journal)
    if whose == "the owner's that was seen":
        health.check()
    (folder.input / marker.NAME).unlink()
    closed = health.check()
    assert marker.read(os.fspath(folder.input)) == (None if whose == "unknown" else uuid)
    assert (closed is None) == (whose == "ours")


def test_another_directory_does_not_take_its_place_while_pictures_wait(
    tmp_path: Path, journal: Journal
) -> None:
    """A mount on the same disk may be away, or the tree renamed."""
    folder = folder_in(tmp_path)
    open_once(folder, journal)
    wait_in(journal)
    health = gate_of(folder, journal)
    assert health.check() is None
    recreate(folder)
    for one in (health, gate_of(folder, journal)):  # while the daemon runs, and between two runs
        closed = one.check()
        assert closed is not None
        assert closed.watching is FolderState.STANDING_BY
        assert "1 accepted picture is not finished" in closed.why
        assert f"cutoutd adopt {NAME}" in closed.why
        assert list(folder.input.iterdir()) == []
    folder.input.rmdir()
    folder.input.with_name("old").rename(folder.input)
    assert health.check() is None


def test_the_owner_can_adopt_another_directory_as_the_new_place(tmp_path: Path, journal: Journal) -> None:
    """And later that of the former one; each time for the directory that is present then."""
    folder = folder_in(tmp_path)
    before = open_once(folder, journal)
    wait_in(journal)
    recreate(folder)
    health = gate_of(folder, journal)
    assert health.check() is not None
    status = folder.input.with_name("old").stat()
    journal.folders.adopt(NewPlace(folder=NAME, device=status.st_dev, inode=status.st_ino))
    assert health.check() is not None  # it was said of another directory
    status = folder.input.stat()
    journal.folders.adopt(NewPlace(folder=NAME, device=status.st_dev, inode=status.st_ino))
    assert health.check() is None
    now = marker.read(os.fspath(folder.input))
    assert now != before
    folder.input.rename(tmp_path / "new")
    folder.input.with_name("old").rename(folder.input)
    closed = health.check()
    assert closed is not None
    assert "an earlier directory of this folder is here" in closed.why
    assert closed.trouble is FolderTrouble.REPLACED
    status = folder.input.stat()
    journal.folders.adopt(NewPlace(folder=NAME, device=status.st_dev, inode=status.st_ino))
    assert health.check() is None
    assert marker.read(os.fspath(folder.input)) == before


def test_the_former_directory_is_taken_again_where_nothing_waits(tmp_path: Path, journal: Journal) -> None:
    """A directory that was moved away and back is recognised by its records."""
    folder = folder_in(tmp_path)
    before = open_once(folder, journal)
    health = gate_of(folder, journal)
    assert health.check() is None
    recreate(folder)
    assert health.check() is None
    assert health.identity.owns(NAME, before)
    folder.input.rename(tmp_path / "new")
    folder.input.with_name("old").rename(folder.input)
    assert health.check() is None
    assert marker.read(os.fspath(folder.input)) == before


def test_the_adoption_of_a_new_place_is_forgotten_once_the_right_one_is_back(
    tmp_path: Path, journal: Journal
) -> None:
    """Days later the path may be the bare mount point again."""
    folder = folder_in(tmp_path)
    open_once(folder, journal)
    wait_in(journal)
    health = gate_of(folder, journal)
    recreate(folder)
    assert health.check() is not None
    status = folder.input.stat()
    journal.folders.adopt(NewPlace(folder=NAME, device=status.st_dev, inode=status.st_ino))
    folder.input.rename(tmp_path / "bare")
    folder.input.with_name("old").rename(folder.input)
    assert health.check() is None
    folder.input.rename(tmp_path / "away")
    (tmp_path / "bare").rename(folder.input)
    assert health.check() is not None


def test_a_crash_while_a_directory_takes_its_place_does_not_lock_it_out(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal has the new marker first."""
    folder = folder_in(tmp_path)
    open_once(folder, journal)
    recreate(folder)

    def die(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(marker, "create", die)
        with pytest.raises(KeyboardInterrupt):
            gate_of(folder, journal).check()
    wait_in(journal)
    assert gate_of(folder, journal).check() is None


def test_an_output_that_went_away_is_recreated(tmp_path: Path, journal: Journal) -> None:
    """With the staging directory."""
    folder = folder_in(tmp_path)
    health = gate_of(folder, journal)
    assert health.check() is None
    folder.output.rename(tmp_path / "old")
    assert health.check() is None
    assert (folder.output / STAGING_NAME / "run-1").is_dir()


def test_another_folder_in_its_place_is_not_touched(tmp_path: Path, journal: Journal) -> None:
    """Such as another share that is mounted there; the message names it."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    recreate(folder)
    (folder.input / marker.NAME).write_text(marker.text(OTHER), encoding="utf-8")
    shutil.rmtree(folder.output)
    closed = gate_of(folder, journal).check()
    assert closed is not None
    assert closed.watching is FolderState.STANDING_BY
    assert OTHER in closed.why
    assert closed.trouble is FolderTrouble.OTHER_FOLDER
    assert uuid in closed.why
    assert not folder.output.exists()


def test_a_folder_on_another_disk_without_a_marker_is_not_there(tmp_path: Path, journal: Journal) -> None:
    """As the mount point of a missing share: nothing is created in it."""
    folder = folder_in(tmp_path)
    memory = FolderMemory(
        input=os.fspath(folder.input), marker=OTHER, device=folder.input.stat().st_dev + 1, read_only=False
    )
    journal.folders.remember(NAME, memory)
    closed = gate_of(folder, journal).check()
    assert closed is not None
    assert closed.watching is FolderState.STANDING_BY
    assert "not mounted" in closed.why
    assert closed.trouble is FolderTrouble.AWAY
    assert f"cutoutd adopt {NAME}" in closed.why
    assert list(folder.input.iterdir()) == []
    assert not folder.output.exists()


def test_a_read_only_input_is_remembered_without_a_marker(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on the journal identifies it."""

    def refuse(*_: object) -> str:
        # No permission stops the tests if they run as root.
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(marker, "create", refuse)
    folder = folder_in(tmp_path)
    health = gate_of(folder, journal)
    assert health.check() is None
    health.remember()
    recalled = journal.folders.recall(NAME)
    assert recalled is not None
    assert recalled.read_only
    assert list(folder.input.iterdir()) == []
    assert gate_of(folder, journal).check() is None
    assert journal.folders.recall(NAME) == recalled


def test_a_disk_that_fails_at_the_marker_is_reported(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk does not count as read-only."""

    def refuse(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(marker, "create", refuse)
    with pytest.raises(OSError, match="space"):
        gate_of(folder_in(tmp_path), journal).check()


def test_too_little_space_pauses_a_folder_and_more_of_it_resumes_it(tmp_path: Path, journal: Journal) -> None:
    """The message says how much there is, where, and how much is required."""
    folder = folder_in(tmp_path)
    closed = gate_of(folder, journal, min_free_mb=10**9).check()
    assert closed is not None
    assert closed.watching is FolderState.PAUSED
    assert str(folder.output) in closed.why
    assert f"min_free_disk_mb = {10**9}" in closed.why
    assert closed.trouble is FolderTrouble.DISK_FULL
    assert gate_of(folder, journal, min_free_mb=0).check() is None


def test_a_missing_input_is_reported_and_not_created(tmp_path: Path, journal: Journal) -> None:
    """The input may be a share."""
    folder = folder_in(tmp_path)
    folder.input.rmdir()
    with pytest.raises(FileNotFoundError):
        gate_of(folder, journal, state_dir=tmp_path).check()
    assert not folder.input.exists()
    assert not folder.output.exists()


def test_a_file_in_the_place_of_the_output_is_reported(tmp_path: Path, journal: Journal) -> None:
    """The file is left alone."""
    folder = folder_in(tmp_path)
    folder.output.write_bytes(b"theirs")
    with pytest.raises(OSError, match="out"):
        gate_of(folder, journal).check()
    assert folder.output.read_bytes() == b"theirs"


@pytest.mark.parametrize(("fstype", "settle_s"), [("ext4", 1.0), ("nfs4", 5.0), ("fuse.sshfs", 5.0)])
def test_the_quiet_time_depends_on_the_file_system(
    tmp_path: Path, journal: Journal, fstype: str, settle_s: float
) -> None:
    """Over a network files arrive more slowly; a configured value takes precedence."""
    health = gate_of(folder_in(tmp_path, settle_s="auto"), journal)
    health.mode = filesystems.mode_of(fstype)
    assert health.settle_s == settle_s
    fixed = gate_of(folder_in(tmp_path, settle_s=0.3), journal)
    fixed.mode = filesystems.mode_of(fstype)
    assert fixed.settle_s == 0.3


@pytest.fixture
def locked(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """A journal that another program has locked, so that nothing can be written."""
    monkeypatch.setattr(store, "_BUSY_TIMEOUT_S", 0.05)
    (tmp_path / "state").mkdir()
    opened = Journal(tmp_path / "state", session="run-1", clock=clock)
    with closing(sqlite3.connect(tmp_path / "state" / store.FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError):
            opened.sessions.begin()
        yield opened
    opened.close()


def test_a_folder_is_not_held_while_nothing_can_be_written_down(tmp_path: Path, locked: Journal) -> None:
    """Another machine, whose journal works, may start at once."""
    folder = folder_in(tmp_path)
    uuid = marker.create(os.fspath(folder.input), OTHER)
    with pytest.raises(JournalError):
        gate_of(folder, locked).check()
    other = Lease(run="another", is_dead=lambda _: False, clock=Clock())
    assert other.acquire(os.fspath(folder.input), uuid).ours


def test_a_folder_is_released_when_the_journal_refuses_for_long(tmp_path: Path, journal: Journal) -> None:
    """A short lock changes nothing; after half a minute another machine may start at once."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    health = gate_of(folder, journal)
    assert health.check() is None
    other = Lease(run="another", is_dead=lambda _: False, clock=Clock())
    health.note_journal_refused(100.0)
    health.note_journal_refused(100.0 + LET_GO_S - 1)
    assert not other.acquire(os.fspath(folder.input), uuid).ours
    health.note_journal_refused(100.0 + LET_GO_S)
    assert other.acquire(os.fspath(folder.input), uuid).ours


def test_leftovers_beside_the_marker_are_removed_at_a_later_check(tmp_path: Path, journal: Journal) -> None:
    """Also in a folder that is known and held already."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    health = gate_of(folder, journal)
    assert health.check() is None
    (folder.input / f"{marker.NAME}.{uuid}.new").touch()
    health.remember()
    assert not list(folder.input.glob("*.new"))


def test_a_folder_whose_marker_is_there_is_held_although_it_was_read_only_once(
    tmp_path: Path, journal: Journal
) -> None:
    """Before, cutoutd worked on the folder without a lease from then on."""
    folder = folder_in(tmp_path)
    uuid = open_once(folder, journal)
    recalled = journal.folders.recall(NAME)
    assert recalled is not None
    journal.folders.remember(NAME, replace(recalled, read_only=True))
    health = gate_of(folder, journal)
    assert health.check() is None
    assert health.note == ""
    health.remember()
    assert journal.folders.recall(NAME) == recalled
    assert marker.read(os.fspath(folder.input)) == uuid
