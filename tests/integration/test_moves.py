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
from tests.integration.delivery_run import FAILURE, NEW, OLD, DeliveryRun, Power
from tests.integration.parts import JPEG, NAME, digest, until
from tests.integration.test_reviews import OVERLAY, decide, doubtful

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.jobs import Job
    from cutoutd.publish.plan import Plan
    from tests.conftest import FakeClock


def moved(delivery_run: DeliveryRun, before: str, after: str, content: bytes = JPEG) -> Job:
    """Rename a picture while the daemon runs, as the monitor and a worker find it."""
    (delivery_run.folder.input / before).unlink()
    delivery_run.journal.sources.note_places(NAME, {before: delivery_run.clock.now_us()})
    job = delivery_run.begin(after, content)
    assert delivery_run.journal.moves.candidates(job).sha256s == (digest(content),)
    return job


def follow(delivery_run: DeliveryRun, before: str, after: str) -> Job:
    """Rename a picture, and let its result follow."""
    job = moved(delivery_run, before, after)
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    delivery_run.settle()
    return job


def names(delivery_run: DeliveryRun) -> list[str]:
    """Return all names that a user sees in the output."""
    found = (
        path.relative_to(delivery_run.folder.output)
        for path in delivery_run.folder.output.rglob("*")
        if path.is_file()
    )
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
    make: Callable[..., DeliveryRun], before: str, after: str, result: str
) -> None:
    """Into another sub-folder, under another name, in another case; the bytes stay the same."""
    delivery_run = make()
    delivery_run.deliver(before, OLD)
    job = follow(delivery_run, before, after)
    assert names(delivery_run) == [result, f"{result}.json"]
    assert (delivery_run.folder.output / result).read_bytes() == OLD
    document = json.loads((delivery_run.folder.output / f"{result}.json").read_text())
    assert (document["job"], document["source"]["path"]) == (job.id, after)
    assert [one["path"] for one in document["outputs"]] == [result]
    assert [(one.path, one.state) for one in Reader(delivery_run.journal.store).jobs()] == [
        (before, JobState.GONE),
        (after, JobState.DONE),
    ]


@pytest.mark.parametrize("first", ["a.jpeg", "a.JPG"])
def test_a_result_that_kept_its_name_over_one_rename_follows_the_next(
    make: Callable[..., DeliveryRun], first: str
) -> None:
    """The sidecar names the picture's present path, although the result's own name and bytes did not change."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    follow(delivery_run, "a.jpg", first)
    document = json.loads((delivery_run.folder.output / "a.png.json").read_text())
    assert document["source"]["path"] == first
    follow(delivery_run, first, "b.jpg")
    assert names(delivery_run) == ["b.png", "b.png.json"]


def test_the_name_of_a_vanished_picture_is_free_once_its_result_has_followed(
    make: Callable[..., DeliveryRun],
) -> None:
    """Until then, another picture at that path gets another name."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    job = moved(delivery_run, "a.jpg", "sub/a.jpg")
    delivery_run.deliver("a.tif", NEW, source=JPEG + b"tif")
    assert (delivery_run.folder.output / "a.png").read_bytes() == OLD
    assert (delivery_run.folder.output / "a-tif.png").read_bytes() == NEW
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    delivery_run.settle()
    delivery_run.deliver("a.bmp", NEW, source=JPEG + b"bmp")
    assert (delivery_run.folder.output / "a.png").read_bytes() == NEW
    assert (delivery_run.folder.output / "sub/a.png").read_bytes() == OLD


def test_a_result_that_is_to_stay_stays_and_is_the_moved_pictures(make: Callable[..., DeliveryRun]) -> None:
    """`moves = "keep"`: nothing is renamed, nothing is cut, and no other picture gets that name."""
    delivery_run = make(moves="keep")
    delivery_run.deliver("a.jpg", OLD)
    follow(delivery_run, "a.jpg", "sub/a.jpg")
    assert names(delivery_run) == ["a.png", "a.png.json"]
    assert delivery_run.journal.reservations.published_sha256(NAME, "sub/a.jpg") == digest(JPEG)
    delivery_run.deliver("a.tif", NEW, source=JPEG + b"tif")
    assert (delivery_run.folder.output / "a.png").read_bytes() == OLD


def test_a_later_version_of_a_moved_picture_replaces_the_result_that_stayed(
    make: Callable[..., DeliveryRun],
) -> None:
    """`moves = "keep"`: programs know the result by that name. Before, it got a new one, and the old one stayed as it was."""
    delivery_run = make(moves="keep", rendition=[{}, {"suffix": "_2", "directory": "web"}])

    def deliver(path: str, content: bytes, source: bytes) -> None:
        job = delivery_run.begin(path, source)
        delivery_run.delivery.deliver(job, delivery_run.cut(job, content, content, source=source))
        delivery_run.settle()

    deliver("a.jpg", OLD, JPEG)
    follow(delivery_run, "a.jpg", "sub/b.jpg")
    for number in range(3):
        deliver("sub/b.jpg", NEW + bytes([number]), JPEG + bytes([number]))
        assert delivery_run.files() == dict.fromkeys(("a.png", "web/a_2.png"), NEW + bytes([number]))
        document = json.loads((delivery_run.folder.output / "a.png.json").read_text())
        assert (document["source"]["path"], document["warnings"]) == ("sub/b.jpg", [])
    deliver("a.jpg", OLD, JPEG + b"another")
    assert delivery_run.files()["a.png"] == NEW + bytes([2])
    (delivery_run.folder.output / "a.png").write_bytes(b"retouched")
    deliver("sub/b.jpg", OLD, JPEG)
    assert delivery_run.files()["a.png"] == b"retouched"


def test_a_result_that_cannot_follow_leaves_nothing_staged(make: Callable[..., DeliveryRun]) -> None:
    """The second rendition was removed: the copy of the first is discarded, and the picture is cut."""
    delivery_run = make(rendition=[{}, {"suffix": "_2"}])
    first = delivery_run.begin("a.jpg")
    delivery_run.delivery.deliver(first, delivery_run.cut(first, OLD, NEW))
    delivery_run.settle()
    (delivery_run.folder.output / "a_2.png").unlink()
    job = follow(delivery_run, "a.jpg", "b.jpg")
    assert delivery_run.job(job).detail.get("moved") is False
    assert delivery_run.staged() == []


def test_a_retouched_result_is_neither_moved_nor_overwritten(make: Callable[..., DeliveryRun]) -> None:
    """The file belongs to its owner; the moved picture is cut, and gets its own result."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    (delivery_run.folder.output / "a.png").write_bytes(b"retouched")
    job = follow(delivery_run, "a.jpg", "sub/a.jpg")
    again = Reader(delivery_run.journal.store).job(job.id)
    assert again is not None
    assert (again.state, again.detail) == (JobState.QUEUED, {"moved": False})
    assert (delivery_run.folder.output / "a.png").read_bytes() == b"retouched"
    assert not (delivery_run.folder.output / "sub/a.png").exists()


def test_a_picture_whose_earlier_path_is_still_there_is_a_copy_and_is_cut(
    make: Callable[..., DeliveryRun],
) -> None:
    """Whatever was observed: a share may have hidden it for a moment."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    delivery_run.journal.sources.note_places(NAME, {"a.jpg": delivery_run.clock.now_us()})
    job = delivery_run.begin("b.jpg")
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    delivery_run.settle()
    again = Reader(delivery_run.journal.store).job(job.id)
    assert again is not None
    assert again.state is JobState.QUEUED
    assert names(delivery_run) == ["a.png", "a.png.json"]


def test_an_original_that_was_moved_away_by_us_does_not_count_as_moved(
    make: Callable[..., DeliveryRun],
) -> None:
    """The same picture under another name is cut: the first one was moved by cutoutd."""
    delivery_run = make(originals="delete")
    delivery_run.deliver("a.jpg", OLD)
    job = delivery_run.begin("b.jpg")
    assert delivery_run.journal.moves.candidates(job).sha256s == ()


def test_a_picture_that_is_moved_to_and_fro_keeps_its_result(make: Callable[..., DeliveryRun]) -> None:
    """One result, under the name that fits."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    for before, after in (("a.jpg", "b.jpg"), ("b.jpg", "c.jpg"), ("c.jpg", "a.jpg")):
        follow(delivery_run, before, after)
    assert names(delivery_run) == ["a.png", "a.png.json"]
    assert (delivery_run.folder.output / "a.png").read_bytes() == OLD


@pytest.mark.parametrize("when", ["before the renames", "after the renames"])
def test_a_move_that_a_crash_broke_off_is_finished(tmp_path: Path, clock: FakeClock, when: str) -> None:
    """The plan is recorded before the first rename; the earlier name is given up after the last."""
    faults: list[BaseException | Callable[[Plan], None]] = []
    delivery_run = DeliveryRun(tmp_path, clock, faults=faults)
    delivery_run.delivery.start()
    delivery_run.deliver("a.jpg", OLD)
    job = moved(delivery_run, "a.jpg", "sub/a.jpg")

    def dies(plan: Plan) -> None:
        if when == "after the renames":
            Publisher.carry_out(delivery_run.publisher, plan)
        raise Power

    faults.append(dies)
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    until(lambda: delivery_run.delivery.failure, "the power cut")
    delivery_run.journal.close()
    after = DeliveryRun(tmp_path, clock, run="run-2")
    after.delivery.start()
    for one in after.journal.queue.recover():
        after.delivery.repair(one)
    after.settle()
    assert names(after) == ["sub/a.png", "sub/a.png.json"]
    assert (after.folder.output / "sub/a.png").read_bytes() == OLD
    assert after.journal.reservations.earlier(NAME, "a.jpg") == ()
    after.end()
    after.journal.close()


def renamed(delivery_run: DeliveryRun, before: str, after: str) -> Job:
    """Rename a picture, keeping its time, and give it to a worker."""
    path = delivery_run.folder.input / after
    path.parent.mkdir(parents=True, exist_ok=True)
    (delivery_run.folder.input / before).rename(path)
    delivery_run.journal.sources.note_places(NAME, {before: delivery_run.clock.now_us()})
    status = path.stat()
    version = Version(path=after, size=status.st_size, mtime_ns=status.st_mtime_ns)
    delivery_run.journal.sources.accept(NAME, [version])
    job = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    delivery_run.journal.queue.claim(job)
    return job


def states_shown(delivery_run: DeliveryRun) -> dict[str, JobState]:
    """Return what the commands show of each source, without those that are gone."""
    found = {one.path: one.state for one in Reader(delivery_run.journal.store).jobs()}
    return {path: state for path, state in found.items() if state is not JobState.GONE}


@pytest.mark.parametrize("setting", ["follow", "keep"])
def test_a_doubtful_result_follows_its_picture_and_can_be_accepted_there(
    make: Callable[..., DeliveryRun], setting: str
) -> None:
    """With overlay and sidecar, whatever the setting: otherwise nobody could decide about it."""
    delivery_run = make(moves=setting)
    doubtful(delivery_run)
    job = renamed(delivery_run, "a.jpg", "sub/b.jpg")
    assert delivery_run.journal.moves.candidates(job).sha256s == (digest(JPEG),)
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    delivery_run.settle()
    assert delivery_run.files() == {"review/sub/b.png": NEW, "review/sub/b-overlay.png": OVERLAY}
    assert len([name for name in names(delivery_run) if name.endswith(".json")]) == 1
    assert states_shown(delivery_run) == {"sub/b.jpg": JobState.REVIEW}
    assert delivery_run.job(job).detail["why"] == "no subject"
    assert decide(delivery_run, job).state is JobState.DONE
    assert names(delivery_run) == ["sub/b.png", "sub/b.png.json"]


def test_a_rejection_follows_its_picture(make: Callable[..., DeliveryRun]) -> None:
    """Nothing is cut again, however often it is moved, and there is one record of it."""
    delivery_run = make()
    assert decide(delivery_run, doubtful(delivery_run), ReviewDecision.REJECT).state is JobState.FAILED
    for before, after in (("a.jpg", "b.jpg"), ("b.jpg", "sub/c.jpg")):
        job = renamed(delivery_run, before, after)
        assert delivery_run.journal.moves.candidates(job).sha256s == (digest(JPEG),)
        delivery_run.delivery.deliver_moved(job, digest(JPEG))
        delivery_run.settle()
    assert names(delivery_run) == ["failed/sub/c.jpg.error.json"]
    assert states_shown(delivery_run) == {"sub/c.jpg": JobState.FAILED}
    assert delivery_run.job(job).detail["failure"]["code"] == "Rejected"


@pytest.mark.parametrize("ends", ["failed", "done"])
def test_the_record_of_a_failed_picture_that_was_moved_is_removed(
    make: Callable[..., DeliveryRun], ends: str
) -> None:
    """The picture is tried at its present path, and shown only there."""
    delivery_run = make()
    delivery_run.delivery.fail(delivery_run.begin("a.jpg"), FAILURE)
    delivery_run.settle()
    assert names(delivery_run) == ["failed/a.jpg.error.json"]
    job = renamed(delivery_run, "a.jpg", "b.jpg")
    assert delivery_run.journal.moves.candidates(job).sha256s == ()
    if ends == "failed":
        delivery_run.delivery.fail(job, FAILURE)
    else:
        delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW))
    delivery_run.settle()
    assert names(delivery_run) == (
        ["failed/b.jpg.error.json"] if ends == "failed" else ["b.png", "b.png.json"]
    )
    assert states_shown(delivery_run) == {"b.jpg": JobState(ends)}
    (delivery_run.folder.input / "b.jpg").rename(delivery_run.folder.input / "a.jpg")
    status = (delivery_run.folder.input / "a.jpg").stat()
    back = Version(path="a.jpg", size=status.st_size, mtime_ns=status.st_mtime_ns)
    assert not delivery_run.journal.sources.is_known(NAME, back)


def test_files_of_a_doubtful_picture_are_removed_if_it_has_to_be_cut_again(
    make: Callable[..., DeliveryRun],
) -> None:
    """Because its result was changed by hand, or an earlier version has a good one; a changed file stays."""
    delivery_run = make()
    doubtful(delivery_run)
    (delivery_run.folder.output / "review/a-overlay.png").write_bytes(b"scribbled on")
    job = renamed(delivery_run, "a.jpg", "b.jpg")
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    delivery_run.settle()
    assert delivery_run.job(job).detail == {"moved": False}
    again = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert again is not None
    delivery_run.journal.queue.claim(again)
    delivery_run.delivery.deliver(again, delivery_run.cut(again, NEW, review=True))
    delivery_run.settle()
    assert delivery_run.files() == {"review/a-overlay.png": b"scribbled on", "review/b.png": NEW}
    assert states_shown(delivery_run) == {"b.jpg": JobState.REVIEW}


def test_entries_of_another_picture_of_the_same_size_stay(make: Callable[..., DeliveryRun]) -> None:
    """One that is still there, or that has another time."""
    delivery_run = make()
    for name in ("there.jpg", "other.jpg"):
        delivery_run.delivery.fail(delivery_run.begin(name), FAILURE)
        delivery_run.settle()
    (delivery_run.folder.input / "other.jpg").unlink()
    delivery_run.journal.sources.note_places(
        NAME, dict.fromkeys(("there.jpg", "other.jpg"), delivery_run.clock.now_us())
    )
    delivery_run.deliver("b.jpg", NEW)
    assert [name for name in names(delivery_run) if name.startswith("failed")] == [
        "failed/other.jpg.error.json",
        "failed/there.jpg.error.json",
    ]


def test_a_worker_cannot_claim_another_pictures_result(make: Callable[..., DeliveryRun]) -> None:
    """A hostile picture of the same size makes its worker claim to be the vanished one; it is cut, and no result moves."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    job = moved(delivery_run, "a.jpg", "b.jpg")
    kept = (delivery_run.folder.input / "b.jpg").stat()
    (delivery_run.folder.input / "b.jpg").write_bytes(bytes(len(JPEG)))
    os.utime(delivery_run.folder.input / "b.jpg", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.QUEUED
    assert delivery_run.job(job).detail == {"moved": False}
    assert names(delivery_run) == ["a.png", "a.png.json"]


def test_a_worker_cannot_have_another_doubtful_pictures_files_removed(
    make: Callable[..., DeliveryRun],
) -> None:
    """The doubtful picture has the same size and time as a failed one, but other bytes."""
    delivery_run = make()
    first = doubtful(delivery_run)
    seen = (delivery_run.folder.input / "a.jpg").stat()
    (delivery_run.folder.input / "a.jpg").unlink()
    delivery_run.journal.sources.note_places(NAME, {"a.jpg": delivery_run.clock.now_us()})
    (delivery_run.folder.input / "b.jpg").write_bytes(bytes(len(JPEG)))
    os.utime(delivery_run.folder.input / "b.jpg", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    version = Version(path="b.jpg", size=len(JPEG), mtime_ns=seen.st_mtime_ns)
    delivery_run.journal.sources.accept(NAME, [version])
    job = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    delivery_run.journal.queue.claim(job)
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    assert states_shown(delivery_run) == {"a.jpg": JobState.REVIEW, "b.jpg": JobState.FAILED}
    assert delivery_run.job(first).state is JobState.REVIEW


def test_no_original_is_removed_while_the_journal_refuses_and_all_are_soon_after(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, each attempt removed one more, and the pauses grew, so that it took up to five minutes once there was room."""
    delivery_run = make(originals="delete")

    def full(*_: object) -> None:
        raise JournalError("the journal cannot be used: database or disk is full")

    def tried_again() -> None:
        delivery_run.clock.advance(5.1)
        delivery_run.poke()
        delivery_run.settle()

    with monkeypatch.context() as patched:
        patched.setattr(delivery_run.journal, "removed_original", full)
        delivery_run.deliver("first.jpg", OLD)
        patched.setattr(delivery_run.journal.store, "check_writable", full)
        delivery_run.deliver("second.jpg", NEW, source=JPEG + b"2")
        for _ in range(12):
            tried_again()
        assert [path.name for path in delivery_run.folder.input.glob("*.jpg")] == ["second.jpg"]
    tried_again()
    assert list(delivery_run.folder.input.glob("*.jpg")) == []
    assert delivery_run.journal.queue.cleanup_pending(NAME) == []


@pytest.mark.parametrize("originals", ["delete", "move"])
def test_an_original_moved_by_us_does_not_count_as_moved_although_the_journal_refused(
    make: Callable[..., DeliveryRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, originals: str
) -> None:
    """The state's disk was full. Before, a second picture with the same bytes then took the first one's result."""
    delivery_run = make(
        originals=originals, originals_dir=str(tmp_path / "kept") if originals == "move" else ""
    )

    def full(_: Job) -> None:
        raise JournalError("the journal cannot be used: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(delivery_run.journal, "removed_original", full)
        delivery_run.deliver("first.jpg", OLD)
    assert not (delivery_run.folder.input / "first.jpg").exists()
    delivery_run.journal.sources.note_places(NAME, {"first.jpg": delivery_run.clock.now_us()})
    job = delivery_run.begin("second.jpg")
    delivery_run.delivery.deliver_moved(job, digest(JPEG))
    delivery_run.settle()
    assert delivery_run.files() == {"first.png": OLD}
    assert delivery_run.job(job).state is JobState.QUEUED
    delivery_run.delivery.retry_now()
    until(lambda: not delivery_run.journal.queue.cleanup_pending(NAME), "the journal to be told")
    delivery_run.deliver("second.jpg", NEW)
    assert delivery_run.files() == {"first.png": OLD, "second.png": NEW}
