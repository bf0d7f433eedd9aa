"""The challenge, on real files: nothing is written unless another machine asks, and only silence lets it take the folder."""

from __future__ import annotations

import errno
import json
import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.lease import challenge, marker
from cutoutd.lease.policy import ASK_AGAIN_S, HEARTBEAT_S, LEASE_S, SILENCE_S, Owner
from tests.integration.replicas import Replicas
from tests.integration.test_lease import FOLDER, Machine, folder, names, pair, wait_for_silence

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

__all__ = ["folder"]  # the fixture

CONFLICTS = (
    ".sync-conflict-20260101-101010-ABCDEFG.cutoutd-folder",
    f"{marker.NAME}.sync-conflict-20260101-101010-ABCDEFG.term-1",
    f"{marker.NAME}.sync-conflict-20260101-101010-ABCDEFG.challenge",
    f"{marker.NAME}.term-1.sync-conflict-20260101-101010-ABCDEFG",
    f"{marker.NAME} (desk's conflicted copy 2026-01-01)",
    f"{marker.NAME}.term-2 (desk's conflicted copy 2026-01-01)",
)
"""Names of conflict copies of Syncthing and Dropbox."""


def state_of(root: Path) -> dict[str, tuple[int, ...]]:
    """Return everything about a directory and its files that any kind of write changes."""
    return {
        str(path): (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path in (root, *root.iterdir())
        for status in [path.lstat()]
    }


def held_in(root: Path) -> dict[str, Any]:
    """Return the holder in the marker."""
    document: dict[str, Any] = json.loads((root / marker.NAME).read_text())
    return document


def test_an_unchallenged_owner_writes_nothing(folder: Path, clock: FakeClock) -> None:
    """For a day: a disk may sleep, and a sync service has nothing to do."""
    first, _ = pair(folder, clock)
    assert first.attends()
    before = state_of(folder)
    for _ in range(8640):
        clock.advance(HEARTBEAT_S)
        assert first.lease.renew()
    assert first.may_publish()
    assert state_of(folder) == before


def test_reading_does_not_change_access_times(folder: Path, clock: FakeClock) -> None:
    """The access time is a write too, on a file system that keeps it."""
    first, _ = pair(folder, clock)
    assert first.attends()
    paths = [folder / name for name in names(folder)]
    for path in paths:
        os.utime(path, ns=(0, path.stat().st_mtime_ns))
    clock.advance(HEARTBEAT_S)
    assert first.lease.renew()
    assert first.may_publish()
    assert [path.stat().st_atime_ns for path in paths] == [0] * len(paths)


def test_a_challenge_is_answered_once(folder: Path, clock: FakeClock) -> None:
    """By the digest of its content; the next check writes nothing again."""
    first, second = pair(folder, clock)
    assert first.attends()
    assert not second.attends()
    assert first.lease.renew()
    with marker.opened(str(folder)) as directory:
        assert held_in(folder)["owner"]["answered"] == challenge.read_digest(directory)
    before = state_of(folder)
    clock.advance(HEARTBEAT_S)
    assert first.lease.renew()
    assert state_of(folder) == before


def test_two_machines_write_once_in_a_while_each(folder: Path, clock: FakeClock) -> None:
    """A challenge and an answer in fifteen seconds, and the folder keeps its owner."""
    first, second = pair(folder, clock)
    assert first.attends()
    written = set()
    for _ in range(720):
        clock.advance(5.0)
        assert not second.attends()
        assert first.lease.renew()
        written.add(held_in(folder)["owner"]["beat"])
    assert 3600 / (ASK_AGAIN_S + 10.0) <= len(written) <= 3600 / ASK_AGAIN_S + 1


def test_however_a_living_owner_is_late_it_is_not_succeeded(folder: Path, clock: FakeClock) -> None:
    """Checks as late as its lease allows, by three machines in any order."""
    chance = random.Random(16)  # noqa: S311 -- repeatable, and no secret
    owner, *others = (Machine(folder, clock) for _ in range(3))
    assert owner.attends()
    owner_next_s = clock.monotonic_s()
    for _ in range(3000):
        clock.advance(chance.uniform(0.5, 6.0))
        if clock.monotonic_s() >= owner_next_s:
            assert owner.lease.renew()
            owner_next_s = clock.monotonic_s() + chance.uniform(1.0, LEASE_S - 10.0)
        assert not chance.choice(others).attends()
    assert owner.may_publish()


def test_any_bytes_are_a_challenge_that_is_answered(folder: Path, clock: FakeClock) -> None:
    """A half-written one, a foreign one, and one not made by cutoutd."""
    first, _ = pair(folder, clock)
    assert first.attends()
    for content in (b"", b"{", b"\xff" * 10_000, b"x"):
        (folder / challenge.NAME).write_bytes(content)
        assert first.lease.renew()
        with marker.opened(str(folder)) as directory:
            assert held_in(folder)["owner"]["answered"] == challenge.read_digest(directory)


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_a_challenge_that_is_no_file_does_no_harm(folder: Path, clock: FakeClock, kind: str) -> None:
    """The entry is not followed, nothing hangs, and the owner goes on."""
    first, _ = pair(folder, clock)
    assert first.attends()
    path = folder / challenge.NAME
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    clock.advance(HEARTBEAT_S)
    assert first.lease.renew()
    assert first.may_publish()


def test_a_machine_that_stops_in_order_removes_its_challenge(folder: Path, clock: FakeClock) -> None:
    """The owner's folder has no challenge any more."""
    first, second = pair(folder, clock)
    assert first.attends()
    assert not second.attends()
    assert challenge.NAME in names(folder)
    second.lease.release()
    assert challenge.NAME not in names(folder)
    assert first.may_publish()


def test_the_challenge_of_a_machine_that_vanished_is_removed(folder: Path, clock: FakeClock) -> None:
    """By the owner, some minutes later; then nothing is written any more."""
    first, second = pair(folder, clock)
    assert first.attends()
    assert not second.attends()
    for _ in range(30):
        clock.advance(HEARTBEAT_S)
        assert first.lease.renew()
    assert names(folder) == [marker.NAME, f"{marker.NAME}.term-1"]
    before = state_of(folder)
    clock.advance(HEARTBEAT_S)
    assert first.lease.renew()
    assert state_of(folder) == before


def beats(folder: Path, owner: Owner) -> Owner:
    """Write the heartbeat of an owner of the version before."""
    owner = replace(owner, heartbeats=owner.heartbeats + 1)
    with marker.opened(str(folder)) as directory:
        marker.write_owner(directory, str(folder), FOLDER, owner)
    return owner


def test_an_owner_of_the_version_before_is_not_challenged_and_keeps_its_folder(
    folder: Path, clock: FakeClock
) -> None:
    """It sends heartbeats, and is succeeded when they stop, as by a machine of its own version."""
    machine = Machine(folder, clock)
    (folder / f"{marker.NAME}.term-1").write_text("run-of-old")
    old = Owner(
        host="old", run="run-of-old", epoch=1, heartbeats=0, since="then", settled=True, released=False
    )
    for _ in range(60):
        old = beats(folder, old)
        assert held_in(folder)["schema"] == marker.SCHEMA
        assert "answered" not in held_in(folder)["owner"]
        clock.advance(HEARTBEAT_S)
        assert not machine.attends()
    assert names(folder) == [marker.NAME, f"{marker.NAME}.term-1"]
    assert SILENCE_S - HEARTBEAT_S <= wait_for_silence(machine) <= SILENCE_S + HEARTBEAT_S
    assert names(folder) == [marker.NAME, f"{marker.NAME}.term-2"]


def test_a_late_write_by_an_owner_of_the_version_before_is_corrected(folder: Path, clock: FakeClock) -> None:
    """It slept, was succeeded, and wakes during a write: it has lost the folder, and all can read who has it."""
    machine = Machine(folder, clock)
    (folder / f"{marker.NAME}.term-1").write_text("run-of-old")
    old = Owner(
        host="old", run="run-of-old", epoch=1, heartbeats=0, since="then", settled=True, released=False
    )
    old = beats(folder, old)
    wait_for_silence(machine)
    beats(folder, old)
    assert machine.may_publish()
    assert machine.lease.renew()
    assert held_in(folder)["owner"]["run"] == machine.run


def test_the_version_before_cannot_take_silence_for_an_end(folder: Path, clock: FakeClock) -> None:
    """While the folder is held it cannot read the marker, and says so; once it is free it can."""
    machine = Machine(folder, clock)
    assert machine.attends()
    assert held_in(folder)["schema"] == "cutoutd.folder/2"
    assert held_in(folder)["uuid"] == FOLDER
    machine.lease.release()
    assert held_in(folder)["schema"] == "cutoutd.folder/1"
    assert held_in(folder)["owner"]["released"] is True


def test_a_machine_that_may_not_write_stands_by_with_advice(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a challenge the machine cannot know whether the owner is gone."""
    first, second = pair(folder, clock)
    assert first.attends()

    def refuse(*_: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(challenge, "write", refuse)
    for _ in range(100):
        clock.advance(5.0)
        held = second.lease.acquire(second.root, FOLDER)
        assert not held.ours
        assert "cannot ask" in held.note
    first.lease.release()
    assert second.attends()


def test_conflict_copies_of_a_sync_service_are_ignored(folder: Path, clock: FakeClock) -> None:
    """They count neither as claims nor as challenges, and are left where they are."""
    first, second = pair(folder, clock)
    assert first.attends()
    for name in CONFLICTS:
        (folder / name).write_text(second.run)
    before = state_of(folder)
    clock.advance(HEARTBEAT_S)
    assert first.lease.renew()
    assert first.may_publish()
    assert state_of(folder) == before
    first.lease.release()
    assert second.attends()
    assert set(CONFLICTS) < set(names(folder))


def test_a_claim_that_a_sync_service_brought_back_is_no_second_hold(folder: Path, clock: FakeClock) -> None:
    """The later epoch counts, also if both claims are there again."""
    first, second = pair(folder, clock)
    assert first.attends()
    second.dead.add(first.run)
    assert second.attends()
    (folder / f"{marker.NAME}.term-1").write_text(first.run)
    assert not first.attends()
    assert (first.may_publish(), second.may_publish()) == (False, True)


@pytest.mark.parametrize("lag_s", [1.0, 10.0, 18.0])
def test_a_synchronised_folder_stays_with_its_owner(tmp_path: Path, clock: FakeClock, lag_s: float) -> None:
    """Each machine has its own copy, and changes arrive some seconds later."""
    world = Replicas(tmp_path, clock, lag_s=lag_s)
    first, second = world.machines
    assert first.attends()
    world.pass_time(lag_s + 5.0)
    for _ in range(400):
        world.pass_time(5.0)
        assert first.lease.renew()
        assert not second.attends()
    assert (first.may_publish(), second.may_publish()) == (True, False)


@pytest.mark.parametrize("lag_s", [45.0, 90.0, 240.0])
def test_where_all_arrives_late_the_machines_come_to_one_owner(
    tmp_path: Path, clock: FakeClock, lag_s: float
) -> None:
    """The folder may change owners at first, but the machines learn the delay, and then it stays."""
    world = Replicas(tmp_path, clock, lag_s=lag_s)
    first, second = world.machines
    first.attends()
    world.pass_time(3 * lag_s)
    holds = []
    for _ in range(2400):
        world.pass_time(5.0)
        holds.append(tuple(machine.attends() for machine in (first, second)))
    assert len(set(holds[1200:])) == 1, "it still changes hands"
    assert sum(holds[-1]) == 1
