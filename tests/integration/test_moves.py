"""Pictures that are renamed or moved: their results follow or stay, and none is cut again."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import JournalError
from cutoutd.jobs import JobState, Version
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.reader import Reader
from cutoutd.publish.publisher import Publisher
from tests.integration.desk import FAILURE, NEW, OLD, Desk, Power
from tests.integration.parts import JPEG, NAME, digest, until
from tests.integration.test_reviews import OVERLAY, decide, doubtful

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.jobs import Job
    from cutoutd.publish.plan import Plan
    from tests.conftest import FakeClock


def moved(desk: Desk, before: str, after: str, content: bytes = JPEG) -> Job:
    """Rename a picture while the daemon runs, as the monitor and a worker find it."""
    (desk.folder.input / before).unlink()
    desk.journal.sources.note_places(NAME, {before: desk.clock.now_us()})
    job = desk.begin(after, content)
    assert desk.journal.moves.candidates(job).sha256s == (digest(content),)
    return job


def follow(desk: Desk, before: str, after: str) -> Job:
    """Rename a picture, and let its result follow."""
    job = moved(desk, before, after)
    desk.delivery.deliver_moved(job, digest(JPEG))
    desk.settle()
    return job


def names(desk: Desk) -> list[str]:
    """Return all names that a user sees in the output."""
    found = (path.relative_to(desk.folder.output) for path in desk.folder.output.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not path.parts[0].startswith("."))


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        ("a.jpg", "2026/05/a.jpg", "2026/05/a.png"),
        ("shoot/a.jpg", "wedding/a.jpg", "wedding/a.png"),
        ("A.JPG", "a.jpg", "a.png"),
        ("a.jpg", "b.jpeg", "b.png"),
    ],
)
def test_a_result_follows_its_picture_with_its_sidecar(
    make: Callable[..., Desk], before: str, after: str, result: str
) -> None:
    """Into another sub-folder, under another name, in another case; the bytes stay the same."""
    desk = make()
    desk.deliver(before, OLD)
    job = follow(desk, before, after)
    assert names(desk) == [result, f"{result}.json"]
    assert (desk.folder.output / result).read_bytes() == OLD
    document = json.loads((desk.folder.output / f"{result}.json").read_text())
    assert (document["job"], document["source"]["path"]) == (job.id, after)
    assert [one["path"] for one in document["outputs"]] == [result]
    assert [(one.path, one.state) for one in Reader(desk.journal.store).jobs()] == [
        (before, JobState.GONE),
        (after, JobState.DONE),
    ]


@pytest.mark.parametrize("first", ["a.jpeg", "a.JPG"])
def test_a_result_that_kept_its_name_over_one_rename_follows_the_next(
    make: Callable[..., Desk], first: str
) -> None:
    """The sidecar names the picture's present path, although the result's own name and bytes did not change."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    follow(desk, "a.jpg", first)
    document = json.loads((desk.folder.output / "a.png.json").read_text())
    assert document["source"]["path"] == first
    follow(desk, first, "b.jpg")
    assert names(desk) == ["b.png", "b.png.json"]


def test_the_name_of_a_vanished_picture_is_free_once_its_result_has_followed(
    make: Callable[..., Desk],
) -> None:
    """Until then, another picture at that path gets another name."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    job = moved(desk, "a.jpg", "sub/a.jpg")
    desk.deliver("a.tif", NEW, source=JPEG + b"tif")
    assert (desk.folder.output / "a.png").read_bytes() == OLD
    assert (desk.folder.output / "a-tif.png").read_bytes() == NEW
    desk.delivery.deliver_moved(job, digest(JPEG))
    desk.settle()
    desk.deliver("a.bmp", NEW, source=JPEG + b"bmp")
    assert (desk.folder.output / "a.png").read_bytes() == NEW
    assert (desk.folder.output / "sub/a.png").read_bytes() == OLD


def test_a_result_that_is_to_stay_stays_and_is_the_moved_pictures(make: Callable[..., Desk]) -> None:
    """`moves = "keep"`: nothing is renamed, nothing is cut, and no other picture gets that name."""
    desk = make(moves="keep")
    desk.deliver("a.jpg", OLD)
    follow(desk, "a.jpg", "sub/a.jpg")
    assert names(desk) == ["a.png", "a.png.json"]
    assert desk.journal.reservations.published_sha256(NAME, "sub/a.jpg") == digest(JPEG)
    desk.deliver("a.tif", NEW, source=JPEG + b"tif")
    assert (desk.folder.output / "a.png").read_bytes() == OLD


def test_a_result_that_cannot_follow_leaves_nothing_staged(make: Callable[..., Desk]) -> None:
    """The second rendition was removed: the copy of the first is discarded, and the picture is cut."""
    desk = make(rendition=[{}, {"suffix": "_2"}])
    first = desk.begin("a.jpg")
    desk.delivery.deliver(first, desk.cut(first, OLD, NEW))
    desk.settle()
    (desk.folder.output / "a_2.png").unlink()
    job = follow(desk, "a.jpg", "b.jpg")
    assert desk.job(job).detail.get("moved") is False
    assert desk.staged() == []


def test_a_retouched_result_is_neither_moved_nor_overwritten(make: Callable[..., Desk]) -> None:
    """The file belongs to its owner; the moved picture is cut, and gets its own result."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    (desk.folder.output / "a.png").write_bytes(b"retouched")
    job = follow(desk, "a.jpg", "sub/a.jpg")
    again = Reader(desk.journal.store).job(job.id)
    assert again is not None
    assert (again.state, again.detail) == (JobState.QUEUED, {"moved": False})
    assert (desk.folder.output / "a.png").read_bytes() == b"retouched"
    assert not (desk.folder.output / "sub/a.png").exists()


def test_a_picture_whose_earlier_path_is_still_there_is_a_copy_and_is_cut(make: Callable[..., Desk]) -> None:
    """Whatever was observed: a share may have hidden it for a moment."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    desk.journal.sources.note_places(NAME, {"a.jpg": desk.clock.now_us()})
    job = desk.begin("b.jpg")
    desk.delivery.deliver_moved(job, digest(JPEG))
    desk.settle()
    again = Reader(desk.journal.store).job(job.id)
    assert again is not None
    assert again.state is JobState.QUEUED
    assert names(desk) == ["a.png", "a.png.json"]


def test_an_original_that_was_moved_away_by_us_does_not_count_as_moved(make: Callable[..., Desk]) -> None:
    """The same picture under another name is cut: the first one was moved by cutoutd."""
    desk = make(originals="delete")
    desk.deliver("a.jpg", OLD)
    job = desk.begin("b.jpg")
    assert desk.journal.moves.candidates(job).sha256s == ()


def test_a_picture_that_is_moved_to_and_fro_keeps_its_result(make: Callable[..., Desk]) -> None:
    """One result, under the name that fits."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    for before, after in (("a.jpg", "b.jpg"), ("b.jpg", "c.jpg"), ("c.jpg", "a.jpg")):
        follow(desk, before, after)
    assert names(desk) == ["a.png", "a.png.json"]
    assert (desk.folder.output / "a.png").read_bytes() == OLD


@pytest.mark.parametrize("when", ["before the renames", "after the renames"])
def test_a_move_that_a_crash_broke_off_is_finished(tmp_path: Path, clock: FakeClock, when: str) -> None:
    """The plan is recorded before the first rename; the earlier name is given up after the last."""
    faults: list[BaseException | Callable[[Plan], None]] = []
    desk = Desk(tmp_path, clock, faults=faults)
    desk.delivery.start()
    desk.deliver("a.jpg", OLD)
    job = moved(desk, "a.jpg", "sub/a.jpg")

    def dies(plan: Plan) -> None:
        if when == "after the renames":
            Publisher.carry_out(desk.publisher, plan)
        raise Power

    faults.append(dies)
    desk.delivery.deliver_moved(job, digest(JPEG))
    until(lambda: desk.delivery.failure, "the power cut")
    desk.journal.close()
    after = Desk(tmp_path, clock, run="run-2")
    after.delivery.start()
    for one in after.journal.queue.recover():
        after.delivery.repair(one)
    after.settle()
    assert names(after) == ["sub/a.png", "sub/a.png.json"]
    assert (after.folder.output / "sub/a.png").read_bytes() == OLD
    assert after.journal.reservations.earlier(NAME, "a.jpg") == ()
    after.end()
    after.journal.close()


def renamed(desk: Desk, before: str, after: str) -> Job:
    """Rename a picture, keeping its time, and give it to a worker."""
    path = desk.folder.input / after
    path.parent.mkdir(parents=True, exist_ok=True)
    (desk.folder.input / before).rename(path)
    desk.journal.sources.note_places(NAME, {before: desk.clock.now_us()})
    status = path.stat()
    version = Version(path=after, size=status.st_size, mtime_ns=status.st_mtime_ns)
    desk.journal.sources.accept(NAME, [version])
    job = desk.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    desk.journal.queue.claim(job)
    return job


def states_shown(desk: Desk) -> dict[str, JobState]:
    """Return what the commands show of each source, without those that are gone."""
    found = {one.path: one.state for one in Reader(desk.journal.store).jobs()}
    return {path: state for path, state in found.items() if state is not JobState.GONE}


@pytest.mark.parametrize("setting", ["follow", "keep"])
def test_a_doubtful_result_follows_its_picture_and_can_be_accepted_there(
    make: Callable[..., Desk], setting: str
) -> None:
    """With overlay and sidecar, whatever the setting: otherwise nobody could decide about it."""
    desk = make(moves=setting)
    doubtful(desk)
    job = renamed(desk, "a.jpg", "sub/b.jpg")
    assert desk.journal.moves.candidates(job).sha256s == (digest(JPEG),)
    desk.delivery.deliver_moved(job, digest(JPEG))
    desk.settle()
    assert desk.files() == {"review/sub/b.png": NEW, "review/sub/b-overlay.png": OVERLAY}
    assert len([name for name in names(desk) if name.endswith(".json")]) == 1
    assert states_shown(desk) == {"sub/b.jpg": JobState.REVIEW}
    assert desk.job(job).detail["why"] == "no subject"
    assert decide(desk, job).state is JobState.DONE
    assert names(desk) == ["sub/b.png", "sub/b.png.json"]


def test_a_rejection_follows_its_picture(make: Callable[..., Desk]) -> None:
    """Nothing is cut again, however often it is moved, and there is one record of it."""
    desk = make()
    assert decide(desk, doubtful(desk), ReviewDecision.REJECT).state is JobState.FAILED
    for before, after in (("a.jpg", "b.jpg"), ("b.jpg", "sub/c.jpg")):
        job = renamed(desk, before, after)
        assert desk.journal.moves.candidates(job).sha256s == (digest(JPEG),)
        desk.delivery.deliver_moved(job, digest(JPEG))
        desk.settle()
    assert names(desk) == ["failed/sub/c.jpg.error.json"]
    assert states_shown(desk) == {"sub/c.jpg": JobState.FAILED}
    assert desk.job(job).detail["failure"]["code"] == "Rejected"


@pytest.mark.parametrize("ends", ["failed", "done"])
def test_the_record_of_a_failed_picture_that_was_moved_is_removed(
    make: Callable[..., Desk], ends: str
) -> None:
    """The picture is tried at its present path, and shown only there."""
    desk = make()
    desk.delivery.fail(desk.begin("a.jpg"), FAILURE)
    desk.settle()
    assert names(desk) == ["failed/a.jpg.error.json"]
    job = renamed(desk, "a.jpg", "b.jpg")
    assert desk.journal.moves.candidates(job).sha256s == ()
    if ends == "failed":
        desk.delivery.fail(job, FAILURE)
    else:
        desk.delivery.deliver(job, desk.cut(job, NEW))
    desk.settle()
    assert names(desk) == (["failed/b.jpg.error.json"] if ends == "failed" else ["b.png", "b.png.json"])
    assert states_shown(desk) == {"b.jpg": JobState(ends)}
    (desk.folder.input / "b.jpg").rename(desk.folder.input / "a.jpg")
    status = (desk.folder.input / "a.jpg").stat()
    back = Version(path="a.jpg", size=status.st_size, mtime_ns=status.st_mtime_ns)
    assert not desk.journal.sources.is_known(NAME, back)


def test_files_of_a_doubtful_picture_are_removed_if_it_has_to_be_cut_again(make: Callable[..., Desk]) -> None:
    """Because its result was changed by hand, or an earlier version has a good one; a changed file stays."""
    desk = make()
    doubtful(desk)
    (desk.folder.output / "review/a-overlay.png").write_bytes(b"scribbled on")
    job = renamed(desk, "a.jpg", "b.jpg")
    desk.delivery.deliver_moved(job, digest(JPEG))
    desk.settle()
    assert desk.job(job).detail == {"moved": False}
    again = desk.journal.queue.next_in(NAME, newest_first=False)
    assert again is not None
    desk.journal.queue.claim(again)
    desk.delivery.deliver(again, desk.cut(again, NEW, review=True))
    desk.settle()
    assert desk.files() == {"review/a-overlay.png": b"scribbled on", "review/b.png": NEW}
    assert states_shown(desk) == {"b.jpg": JobState.REVIEW}


def test_entries_of_another_picture_of_the_same_size_stay(make: Callable[..., Desk]) -> None:
    """One that is still there, or that has another time."""
    desk = make()
    for name in ("there.jpg", "other.jpg"):
        desk.delivery.fail(desk.begin(name), FAILURE)
        desk.settle()
    (desk.folder.input / "other.jpg").unlink()
    desk.journal.sources.note_places(NAME, dict.fromkeys(("there.jpg", "other.jpg"), desk.clock.now_us()))
    desk.deliver("b.jpg", NEW)
    assert [name for name in names(desk) if name.startswith("failed")] == [
        "failed/other.jpg.error.json",
        "failed/there.jpg.error.json",
    ]


def test_a_worker_cannot_claim_another_pictures_result(make: Callable[..., Desk]) -> None:
    """A hostile picture of the same size makes its worker claim to be the vanished one; it is cut, and no result moves."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    job = moved(desk, "a.jpg", "b.jpg")
    kept = (desk.folder.input / "b.jpg").stat()
    (desk.folder.input / "b.jpg").write_bytes(bytes(len(JPEG)))
    os.utime(desk.folder.input / "b.jpg", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    desk.delivery.deliver_moved(job, digest(JPEG))
    desk.settle()
    assert desk.job(job).state is JobState.QUEUED
    assert desk.job(job).detail == {"moved": False}
    assert names(desk) == ["a.png", "a.png.json"]


def test_a_worker_cannot_have_another_doubtful_pictures_files_removed(make: Callable[..., Desk]) -> None:
    """The doubtful picture has the same size and time as a failed one, but other bytes."""
    desk = make()
    first = doubtful(desk)
    seen = (desk.folder.input / "a.jpg").stat()
    (desk.folder.input / "a.jpg").unlink()
    desk.journal.sources.note_places(NAME, {"a.jpg": desk.clock.now_us()})
    (desk.folder.input / "b.jpg").write_bytes(bytes(len(JPEG)))
    os.utime(desk.folder.input / "b.jpg", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    version = Version(path="b.jpg", size=len(JPEG), mtime_ns=seen.st_mtime_ns)
    desk.journal.sources.accept(NAME, [version])
    job = desk.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    desk.journal.queue.claim(job)
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    assert states_shown(desk) == {"a.jpg": JobState.REVIEW, "b.jpg": JobState.FAILED}
    assert desk.job(first).state is JobState.REVIEW


def test_no_original_is_removed_while_the_journal_refuses_and_all_are_soon_after(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, each attempt removed one more, and the pauses grew, so that it took up to five minutes once there was room."""
    desk = make(originals="delete")

    def full(*_: object) -> None:
        raise JournalError("the journal cannot be used: database or disk is full")

    def tried_again() -> None:
        desk.clock.advance(5.1)
        desk.poke()
        desk.settle()

    with monkeypatch.context() as patched:
        patched.setattr(desk.journal, "removed_original", full)
        desk.deliver("first.jpg", OLD)
        patched.setattr(desk.journal.store, "check_writable", full)
        desk.deliver("second.jpg", NEW, source=JPEG + b"2")
        for _ in range(12):
            tried_again()
        assert [path.name for path in desk.folder.input.glob("*.jpg")] == ["second.jpg"]
    tried_again()
    assert list(desk.folder.input.glob("*.jpg")) == []
    assert desk.journal.queue.cleanup_pending(NAME) == []


@pytest.mark.parametrize("originals", ["delete", "move"])
def test_an_original_moved_by_us_does_not_count_as_moved_although_the_journal_refused(
    make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, originals: str
) -> None:
    """The state's disk was full. Before, a second picture with the same bytes then took the first one's result."""
    desk = make(originals=originals, originals_dir=str(tmp_path / "kept") if originals == "move" else "")

    def full(_: Job) -> None:
        raise JournalError("the journal cannot be used: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(desk.journal, "removed_original", full)
        desk.deliver("first.jpg", OLD)
    assert not (desk.folder.input / "first.jpg").exists()
    desk.journal.sources.note_places(NAME, {"first.jpg": desk.clock.now_us()})
    job = desk.begin("second.jpg")
    desk.delivery.deliver_moved(job, digest(JPEG))
    desk.settle()
    assert desk.files() == {"first.png": OLD}
    assert desk.job(job).state is JobState.QUEUED
    desk.delivery.retry_now()
    until(lambda: not desk.journal.queue.cleanup_pending(NAME), "the journal to be told")
    desk.deliver("second.jpg", NEW)
    assert desk.files() == {"first.png": OLD, "second.png": NEW}
