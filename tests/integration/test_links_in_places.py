"""Where other users can write, a link in place of a directory is never followed: nothing there is read, written or removed."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.errors import CutoutdError, StorageError
from cutoutd.fs.tree import Entry, Tree
from cutoutd.intake.scan import FolderBoundary
from cutoutd.jobs import JobState, Published
from cutoutd.publish.faults import NameRefusedError, ResultLostError
from cutoutd.publish.original_file import CleanupOutcome, delete_original
from cutoutd.publish.originals import OriginalsFolder
from cutoutd.publish.staging import STAGING_NAME
from tests.integration.delivery_run import NEW, DeliveryRun
from tests.integration.parts import JPEG, NAME, until
from tests.integration.publishing import OutputFolder, digest, failure

if TYPE_CHECKING:
    from collections.abc import Callable


THEIRS = b"theirs"


def everything(root: Path) -> dict[str, bytes | None]:
    """Return all that is below a directory: bytes of files, None for others."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


def move_away(directory: Path, archive: Path) -> None:
    """Move a directory and leave a link, as a photographer does who keeps the old path working."""
    directory.rename(archive)
    directory.symlink_to(archive, target_is_directory=True)


@pytest.mark.parametrize("originals", ["move", "delete"])
@pytest.mark.parametrize("moved", ["shoot", "year/shoot"])
def test_an_original_that_was_archived_behind_a_link_stays(
    make: Callable[..., DeliveryRun], tmp_path: Path, originals: str, moved: str
) -> None:
    """Its sub-folder was moved away while it was cut, and a link left in its place."""
    place = {"originals_dir": str(tmp_path / "originals")} if originals == "move" else {}
    delivery_run = make(originals=originals, **place)
    job = delivery_run.begin("year/shoot/a.jpg")
    report = delivery_run.cut(job, NEW)
    way = delivery_run.folder.input / "year" / "shoot"
    move_away(way if moved == "year/shoot" else way.parent, tmp_path / "archive")
    delivery_run.delivery.deliver(job, report)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.DONE
    assert [path.read_bytes() for path in (tmp_path / "archive").rglob("a.jpg")] == [JPEG]
    assert delivery_run.journal.queue.cleanup_pending(NAME) == []


def test_an_original_that_is_still_to_be_moved_is_not_taken_through_a_link(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """The folder for originals was away; the sub-folder was archived before it came back."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "originals"))
    (tmp_path / "originals").rmdir()
    delivery_run.deliver("shoot/a.jpg", NEW)
    move_away(delivery_run.folder.input / "shoot", tmp_path / "archive")
    (tmp_path / "originals").mkdir()
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    until(lambda: not delivery_run.journal.queue.cleanup_pending(NAME), "the original to be given up")
    assert (tmp_path / "archive" / "a.jpg").read_bytes() == JPEG
    assert everything(tmp_path / "originals") == {}


@pytest.mark.parametrize("originals", ["move", "delete"])
def test_an_original_that_is_a_link_stays_and_so_does_what_it_leads_to(
    tmp_path: Path, originals: str
) -> None:
    """Even if the bytes are those that were cut."""
    for place in ("in", "kept", "archive"):
        (tmp_path / place).mkdir()
    (tmp_path / "archive" / "a.jpg").write_bytes(JPEG)
    (tmp_path / "in" / "a.jpg").symlink_to(tmp_path / "archive" / "a.jpg")
    inputs, sha256 = Tree(tmp_path / "in"), digest(JPEG)
    result = (
        delete_original(inputs, "a.jpg", sha256)
        if originals == "delete"
        else OriginalsFolder(tmp_path / "kept", "run").move(inputs, "a.jpg", sha256, job=1)
    )
    assert result.outcome is CleanupOutcome.CHANGED
    assert (tmp_path / "in" / "a.jpg").is_symlink()
    assert (tmp_path / "archive" / "a.jpg").read_bytes() == JPEG


@pytest.mark.parametrize("originals", ["move", "delete"])
def test_an_original_that_is_in_another_folders_place_by_now_stays(tmp_path: Path, originals: str) -> None:
    """Such as by a mount: nothing is removed where a scan does not enter."""
    for place in ("in/shoot", "kept"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "in/shoot/a.jpg").write_bytes(JPEG)
    shoot = (tmp_path / "in/shoot").stat()
    inputs = Tree(tmp_path / "in", FolderBoundary(ids={(shoot.st_dev, shoot.st_ino): "another folder's"}))
    result = (
        delete_original(inputs, "shoot/a.jpg", digest(JPEG))
        if originals == "delete"
        else OriginalsFolder(tmp_path / "kept", "run").move(inputs, "shoot/a.jpg", digest(JPEG), job=1)
    )
    assert result.outcome is CleanupOutcome.GONE
    assert (tmp_path / "in/shoot/a.jpg").read_bytes() == JPEG


def test_an_original_is_not_moved_away_through_a_link(tmp_path: Path) -> None:
    """Somebody has put one into the folder for originals, where a sub-folder is mirrored."""
    for place in ("in/shoot", "kept", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "in/shoot/a.jpg").write_bytes(JPEG)
    (tmp_path / "kept/shoot").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CutoutdError):
        OriginalsFolder(tmp_path / "kept", "run").move(
            Tree(tmp_path / "in"), "shoot/a.jpg", digest(JPEG), job=1
        )
    assert everything(tmp_path / "in") == {"shoot": None, "shoot/a.jpg": JPEG}
    assert everything(tmp_path / "elsewhere") == {}


class Hostile:
    """An output in which another user has put links to a directory of somebody else."""

    def __init__(self, root: Path) -> None:
        self.world = OutputFolder(root / "ours")
        self.victim = root / "victim"
        for name in (
            "a.png",
            "a.png.json",
            "a.jpg.error.json",
            "run-0/1-0.png",
            "run-1/7-0.png",
            "shoot/a.png",
        ):
            path = self.victim / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(THEIRS)
        self.before = everything(self.victim)

    def link(self, name: str) -> None:
        """Put a link in place of a directory."""
        place = self.world.output / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            place.rename(place.with_name("moved"))
        place.symlink_to(self.victim)

    def is_spared(self) -> bool:
        """Return whether nothing in the victim's directory was changed or added."""
        return everything(self.victim) == self.before


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    """An output with links to a directory of somebody else."""
    return Hostile(tmp_path)


@pytest.mark.parametrize("linked", [STAGING_NAME, f"{STAGING_NAME}/run-1"])
def test_nothing_is_staged_or_swept_through_a_link(hostile: Hostile, linked: str) -> None:
    """A folder whose staging directory is a link cannot be worked on; what is behind it stays."""
    hostile.link(linked)
    publisher = hostile.world.publisher
    with pytest.raises(StorageError):
        publisher.open()
    if linked == STAGING_NAME:  # the supervisor's own is beside the one that workers write to
        with pytest.raises(StorageError):
            publisher.try_writing()
    with pytest.raises(OSError, match="Not a directory"):
        publisher.staging.discard(7)
    publisher.close()
    publisher.sweep(frozenset({"run-0", "run-1"}))
    assert hostile.is_spared()


@pytest.mark.parametrize("review", [False, True])
@pytest.mark.parametrize("linked", ["review", "review/shoot", "shoot"])
def test_no_result_is_published_through_a_link(hostile: Hostile, linked: str, *, review: bool) -> None:
    """Only that picture fails, with its reason."""
    hostile.link(linked)
    publication = hostile.world.results("shoot/a.jpg", [NEW], review=review)
    if review == linked.startswith("review"):
        with pytest.raises(NameRefusedError, match="something else stands"):
            hostile.world.plan(publication)
    else:
        hostile.world.publisher.carry_out(hostile.world.plan(publication))
    assert hostile.world.publish("other/b.jpg", NEW, job=2) == ("other/b.png",)
    assert hostile.is_spared()


@pytest.mark.parametrize("linked", ["shoot", STAGING_NAME])
def test_a_plan_is_not_carried_out_through_a_link_that_came_meanwhile(hostile: Hostile, linked: str) -> None:
    """The plan is not recovered or abandoned through such a link either."""
    output_folder = hostile.world
    (output_folder.output / "shoot").mkdir()
    plan = output_folder.plan(output_folder.results("shoot/a.jpg", [NEW]))
    hostile.link(linked)
    with pytest.raises(CutoutdError):
        output_folder.publisher.carry_out(plan)
    for deed in (output_folder.publisher.recover, output_folder.publisher.abandon):
        with suppress(CutoutdError):
            deed(plan)
    assert hostile.is_spared()


@pytest.mark.parametrize("linked", ["failed", "failed/shoot"])
def test_no_failure_is_recorded_read_or_cleared_through_a_link(hostile: Hostile, linked: str) -> None:
    """The record gets a name that leads through none, if there is one."""
    failures = hostile.world.publisher.failures
    failures.publish(failure("shoot/a.jpg"))
    hostile.link(linked)
    ours = {record.path for record in failures.present(lambda _: True)}
    assert ours == ({"shoot/a.jpg"} if linked == "failed/shoot" else set())  # where that was moved to
    if linked == "failed":
        with pytest.raises(NameRefusedError):
            failures.publish(failure("shoot/a.jpg"))
    else:
        assert failures.publish(failure("shoot/a.jpg")).count("/") == 1
    failures.clear("shoot/a.jpg")
    assert hostile.is_spared()


def test_a_review_that_is_over_is_not_cleared_through_a_link(hostile: Hostile) -> None:
    """Even if a file with the same name and bytes is behind it."""
    hostile.world.publish("a.jpg", THEIRS, review=True)
    shown = [Published(rendition=0, path="review/a.png", sha256=digest(THEIRS), review=True)]
    hostile.link("review")
    with pytest.raises(StorageError):
        hostile.world.publisher.reviews.clear("a.jpg", shown)
    with pytest.raises(StorageError):
        hostile.world.publisher.reviews.take(1, "a.jpg", "aa", shown)
    assert hostile.is_spared()


def test_a_root_that_is_a_link_is_the_owners_own(tmp_path: Path) -> None:
    """The configured path itself may be one, for each directory."""
    for place in ("disk/in", "disk/ours/out", "disk/kept"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / Path(place).name).symlink_to(tmp_path / place)
    (tmp_path / "ours").symlink_to(tmp_path / "disk" / "ours")
    output_folder = OutputFolder(tmp_path / "ours")
    assert output_folder.publish("sub/a.jpg", NEW) == ("sub/a.png",)
    (tmp_path / "in" / "a.jpg").write_bytes(JPEG)
    result = OriginalsFolder(tmp_path / "kept", "run").move(
        Tree(tmp_path / "in"), "a.jpg", digest(JPEG), job=1
    )
    assert result.outcome is CleanupOutcome.MOVED
    assert (tmp_path / "disk/kept/a.jpg").read_bytes() == JPEG


@pytest.mark.parametrize("lie", ["link", "second name", "other bytes", "larger", "fifo"])
def test_a_staged_result_that_is_not_one_whole_file_of_its_own_is_not_published(
    world_with_result: tuple[OutputFolder, Any], tmp_path: Path, lie: str
) -> None:
    """A hostile worker may leave anything there; the supervisor checks it."""
    output_folder, publication = world_with_result
    staged = output_folder.publisher.staging.path(publication.staged[0].name)
    secret = tmp_path / "secret"
    secret.write_bytes(NEW)
    secret.chmod(0o600)
    if lie != "larger":
        staged.unlink()
    match lie:
        case "link":
            staged.symlink_to(secret)
        case "second name":
            staged.hardlink_to(secret)
        case "other bytes":
            staged.write_bytes(NEW[::-1])
        case "larger":
            with staged.open("r+b") as file:
                file.truncate(1 << 42)  # sparse: hashing it would take hours
        case _:
            os.mkfifo(staged)
    with pytest.raises(ResultLostError):
        output_folder.plan(publication)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert output_folder.files() == {}


@pytest.fixture
def world_with_result(tmp_path: Path) -> tuple[OutputFolder, Any]:
    """A folder with one staged result."""
    output_folder = OutputFolder(tmp_path)
    return output_folder, output_folder.results("a.jpg", [NEW])


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["a.png", "a.png.json", "failed/a.jpg.error.json"])
def test_a_sparse_file_in_the_place_of_ours_is_not_read(tmp_path: Path, name: str) -> None:
    """A sparse file uses no space, and could take an hour to read."""
    output_folder = OutputFolder(tmp_path)
    place = output_folder.output / name
    place.parent.mkdir(exist_ok=True)
    place.touch()
    os.truncate(place, 1 << 40)
    (published,) = output_folder.publish("a.jpg", NEW)
    assert (published == "a.png") == name.startswith("failed")
    record = output_folder.publisher.failures.publish(failure("a.jpg"))
    assert (record == "failed/a.jpg.error.json") != name.startswith("failed")
    assert place.stat().st_size == 1 << 40


def test_an_entry_without_a_directory_is_a_path(tmp_path: Path) -> None:
    """For a worker, which writes in a directory of its own."""
    entry = Entry.at(tmp_path / "a")
    assert not entry.exists()
    os.close(entry.open(os.O_CREAT | os.O_WRONLY))
    entry.sync_directory()
    entry.beside("a").unlink()
    entry.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match=str(entry.path)):
        entry.unlink()
