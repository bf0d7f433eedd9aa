"""The places of a folder whose disk or share is not mounted any more: what is remembered, and what waits."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.folder import place_mounts
from cutoutd.folder.place_mounts import PlaceAwayError
from cutoutd.folder.status import FolderState
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.intake import filesystems
from cutoutd.intake.filesystems import Mount
from cutoutd.intake.mounts import MountedPlace
from cutoutd.jobs import JobState
from cutoutd.journal.folders import NewPlace
from cutoutd.journal.journal import Journal
from cutoutd.journal.store import FILE_NAME
from tests.integration.delivery_run import NEW, DeliveryRun
from tests.integration.parts import NAME, folder_in, until
from tests.integration.test_health_check import gate_of, journal, open_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock

__all__ = ["journal"]

OTHER = b"\xff\xd8\xff another picture"
DIRECTORIES = ("output", "sidecar_dir", "originals_dir")


class FakeMounts:
    """Says of each place what it is on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounted: dict[str, str] = {}

    def mount(self, place: Path, fstype: str = "xfs") -> None:
        """Mount something on a directory."""
        self.mounted[os.fspath(place)] = fstype

    def unmount(self, place: Path) -> None:
        """Unmount it."""
        del self.mounted[os.fspath(place)]

    def locate(self, path: Path) -> MountedPlace:
        """Return where a directory is."""
        on = {"/": "ext4"} | {
            point: fstype for point, fstype in self.mounted.items() if path.is_relative_to(point)
        }
        return MountedPlace(real=os.fspath(path), mounts=on)

    def table(self) -> tuple[Mount, ...]:
        """Return the list of mounts."""
        return (
            Mount(point="/", fstype="ext4"),
            *(Mount(point=point, fstype=fstype) for point, fstype in self.mounted.items()),
        )


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMounts:
    """Mounts that a test makes and undoes."""
    made = FakeMounts(tmp_path)
    monkeypatch.setattr(place_mounts, "locate_on_mounts", made.locate)
    monkeypatch.setattr(filesystems, "mounts", made.table)
    return made


def all_places(root: Path) -> dict[str, str]:
    """Return settings of a folder with a directory for everything."""
    return {"originals": "move"} | {key: str(root / key) for key in DIRECTORIES}


@pytest.mark.parametrize("key", DIRECTORIES)
def test_a_place_whose_disk_is_gone_has_the_folder_stand_by(
    tmp_path: Path, journal: Journal, mounts: FakeMounts, key: str
) -> None:
    """While it runs and at the next start; a directory that is missing on it is not made below the mount."""
    folder = folder_in(tmp_path, **all_places(tmp_path))
    mounts.mount(tmp_path / key)
    open_once(folder, journal)
    health = gate_of(folder, journal)
    assert health.check() is None
    mounts.unmount(tmp_path / key)
    (tmp_path / key).rename(tmp_path / "hidden")
    for one in (health, gate_of(folder, journal)):
        closed = one.check()
        assert closed is not None
        assert closed.watching is FolderState.STANDING_BY
        assert f"{key} {tmp_path / key} was on a disk or share" in closed.why
        assert closed.trouble is FolderTrouble.UNMOUNTED
        assert f"cutoutd adopt {NAME}" in closed.why
        assert one.recheck() == closed
        with pytest.raises(PlaceAwayError, match="Mount it again"):
            one.prove_places()
    assert not (tmp_path / key).exists()
    mounts.mount(tmp_path / key, "ext4")  # even another one: it was mounted on purpose
    assert health.check() is None
    assert gate_of(folder, journal).check() is None


def test_an_idle_folder_notices_by_the_list_of_mounts(
    tmp_path: Path, journal: Journal, mounts: FakeMounts
) -> None:
    """Not by a look at the disk; what an automounter unmounts is not missed."""
    folder = folder_in(tmp_path, **all_places(tmp_path))
    mounts.mount(folder.output)
    mounts.mount(tmp_path / "originals_dir")
    open_once(folder, journal)
    health = gate_of(folder, journal)
    assert not health.misses_mount()
    mounts.unmount(folder.output)
    assert health.misses_mount()
    mounts.mount(folder.output, "autofs")
    assert not health.misses_mount()


def test_a_place_of_an_automounter_is_not_missed_while_it_is_not_used(
    tmp_path: Path, journal: Journal, mounts: FakeMounts
) -> None:
    """It is mounted again by the next access."""
    (tmp_path / "net").mkdir()
    folder = folder_in(tmp_path, output=str(tmp_path / "net" / "out"))
    mounts.mount(tmp_path / "net", "autofs")
    mounts.mount(folder.output, "nfs4")
    open_once(folder, journal)
    health = gate_of(folder, journal)
    mounts.unmount(folder.output)
    assert not health.misses_mount()
    assert health.check() is not None


def test_a_directory_that_its_owner_removed_is_made_again(
    tmp_path: Path, journal: Journal, mounts: FakeMounts
) -> None:
    """On the same file system as before, mounted or not."""
    folder = folder_in(tmp_path, output=str(tmp_path / "disk" / "out"))
    (tmp_path / "disk").mkdir()
    for is_mounted in (False, True):
        if is_mounted:
            mounts.mount(tmp_path / "disk")
        open_once(folder, journal)
        folder.output.rename(tmp_path / f"gone-{is_mounted}")
        assert gate_of(folder, journal).check() is None
        assert folder.output.is_dir()


def test_another_path_in_the_configuration_is_another_place(
    tmp_path: Path, journal: Journal, mounts: FakeMounts
) -> None:
    """The disk that the former one was on may be gone."""
    mounts.mount(tmp_path / "output")
    open_once(folder_in(tmp_path, output=str(tmp_path / "output")), journal)
    mounts.unmount(tmp_path / "output")
    assert gate_of(folder_in(tmp_path, output=str(tmp_path / "here")), journal).check() is None
    assert gate_of(folder_in(tmp_path, output=str(tmp_path / "output")), journal).check() is None


def test_a_person_says_that_a_place_is_to_be_without_its_disk(
    tmp_path: Path, journal: Journal, mounts: FakeMounts
) -> None:
    """Only for the places that are named; the running check sees it."""
    folder = folder_in(tmp_path, **all_places(tmp_path))
    for key in DIRECTORIES:
        mounts.mount(tmp_path / key)
    open_once(folder, journal)
    health = gate_of(folder, journal)
    mounts.unmount(folder.output)
    mounts.unmount(tmp_path / "sidecar_dir")
    assert health.check() is not None
    named = NewPlace(folder=NAME, device=1, inode=2, places=(os.fspath(folder.output),))
    assert NewPlace.from_argument(named.argument()) == named
    journal.folders.adopt(named)
    closed = health.check()
    assert closed is not None
    assert "sidecar_dir" in closed.why
    journal.folders.adopt(NewPlace(folder=NAME, device=1, inode=2, places=(str(tmp_path / "sidecar_dir"),)))
    assert health.check() is None
    mounts.unmount(tmp_path / "originals_dir")
    assert health.check() is not None


@pytest.mark.parametrize("argument", ['{"folder": "a", "device": 1, "inode": 2, "places": "/x"}', "[]", "{}"])
def test_a_command_that_names_no_places_is_refused(argument: str) -> None:
    """What another program wrote into the journal."""
    assert NewPlace.from_argument(argument) is None


def test_a_command_of_an_earlier_version_names_the_input() -> None:
    """It waited in the journal during the upgrade."""
    earlier = '{"folder": "a", "device": 1, "inode": 2}'
    assert NewPlace.from_argument(earlier) == NewPlace(folder="a", device=1, inode=2)


def test_a_renamed_folder_keeps_what_is_known_of_its_places(
    tmp_path: Path, journal: Journal, mounts: FakeMounts
) -> None:
    """It is the same folder, by its marker."""
    folder = folder_in(tmp_path, output=str(tmp_path / "output"))
    mounts.mount(folder.output)
    open_once(folder, journal)
    mounts.unmount(folder.output)
    renamed = folder.model_copy(update={"name": "other"})
    assert gate_of(renamed, journal).check() is not None
    assert journal.folders.mounts(NAME) == {}


def test_a_rebuilt_journal_knows_what_places_were_mounted(
    tmp_path: Path, clock: FakeClock, mounts: FakeMounts
) -> None:
    """It is read from the damaged one, as far as that can be read."""
    folder = folder_in(tmp_path, output=str(tmp_path / "output"))
    mounts.mount(folder.output)
    (tmp_path / "state").mkdir()
    first = Journal(tmp_path / "state", session="run-1", clock=clock)
    open_once(folder, first)
    first.close()
    path = tmp_path / "state" / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")  # as a flipped bit leaves it
    mounts.unmount(folder.output)
    again = Journal(tmp_path / "state", session="run-2", clock=clock)
    assert again.folders.recall(NAME) is None
    assert gate_of(folder, again).check() is not None
    again.close()


@pytest.fixture
def delivery_run(tmp_path: Path, clock: FakeClock) -> Iterator[DeliveryRun]:
    """A started delivery that deletes originals."""
    made = DeliveryRun(tmp_path, clock, originals="delete")
    made.delivery.start()
    yield made
    made.end()
    made.journal.close()


def away() -> None:
    """Raise as if a disk was not mounted."""
    raise PlaceAwayError("the output was on a disk that is not mounted")


def test_nothing_is_published_while_a_place_is_away(delivery_run: DeliveryRun) -> None:
    """The picture waits, and is cut again."""
    delivery_run.check_places = away
    job = delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.job(job).state is JobState.RETRY
    assert delivery_run.files() == {}
    assert (delivery_run.folder.input / "a.jpg").exists()


def test_displaced_results_stay_as_they_are_while_a_place_is_away(delivery_run: DeliveryRun) -> None:
    """On a bare mount point they look as if somebody had removed them."""
    delivery_run.check_places = away
    delivery_run.poke()
    delivery_run.settle()
    assert delivery_run.delivery.breaker.is_open
    failure = delivery_run.delivery.breaker.last_failure
    assert failure is not None
    assert failure.trouble is FolderTrouble.UNMOUNTED


@pytest.mark.parametrize("how", ["delete", "move"])
def test_an_original_stays_if_a_disk_goes_while_the_original_is_read(
    tmp_path: Path, clock: FakeClock, how: str
) -> None:
    """It is checked once more, immediately before it goes."""
    kept: dict[str, Any] = {"originals_dir": str(tmp_path / "kept")} if how == "move" else {}
    delivery_run = DeliveryRun(tmp_path, clock, originals=how, **kept)
    delivery_run.delivery.start()
    asked: list[int] = []
    left = [100]

    def check() -> None:
        asked.append(1)
        if len(asked) > left[0]:
            away()

    delivery_run.check_places = check
    delivery_run.deliver("a.jpg", NEW)
    assert not (delivery_run.folder.input / "a.jpg").exists()
    left[0], asked[:] = len(asked) - 1, []  # all checks but the last
    job = delivery_run.deliver("b.jpg", NEW, source=OTHER)
    assert delivery_run.job(job).state is JobState.DONE
    assert (delivery_run.folder.input / "b.jpg").read_bytes() == OTHER
    left[0] = 1000
    delivery_run.delivery.retry_now()
    until(lambda: not (delivery_run.folder.input / "b.jpg").exists(), "the original to go")
    delivery_run.end()
    delivery_run.journal.close()


@pytest.mark.parametrize("is_fetched", [True, False])
def test_an_original_stays_if_another_directory_is_where_its_cutout_was_published(
    delivery_run: DeliveryRun, *, is_fetched: bool
) -> None:
    """But it goes if a program has only fetched the cutout from the directory."""
    output = delivery_run.folder.output
    job = delivery_run.begin("a.jpg")
    path = delivery_run.folder.input / "a.jpg"
    with path.open("ab"):
        delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW))
        delivery_run.settle()
        assert path.exists()
        if is_fetched:
            (output / "a.png").unlink()
        else:
            output.rename(output.with_name("away"))
            output.mkdir()
    delivery_run.delivery.retry_now()
    delivery_run.settle()
    if not is_fetched:
        assert path.exists()
        output.rmdir()
        output.with_name("away").rename(output)
        delivery_run.delivery.retry_now()
    until(lambda: not path.exists(), "the original to go")
