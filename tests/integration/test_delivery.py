"""A folder's delivery with its real thread, publisher and journal: every result is published once, under its name."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cutoutd.corrections import Corrected
from cutoutd.errors import PictureError, StorageError
from cutoutd.jobs import JobState, Quality, Wanted
from cutoutd.journal.reader import Reader
from cutoutd.journal.sources import Sources
from cutoutd.journal.store import FILE_NAME
from cutoutd.publish import moves
from cutoutd.publish.access import Access
from cutoutd.publish.failures import Failures
from cutoutd.publish.places import FolderIdentity
from cutoutd.publish.records import Records
from cutoutd.publish.staging import STAGING_NAME
from cutoutd.publish.verified import PRIVATE
from cutoutd.strokes import Stroke, StrokeKind
from tests.integration.desk import FAILURE, NEW, OLD, Desk, Power
from tests.integration.parts import JPEG, NAME, digest, states, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job
    from cutoutd.publish.plan import Plan


def test_a_result_is_published_recorded_and_reported(make: Callable[..., Desk]) -> None:
    """In this order; nothing stays staged."""
    desk = make()
    job = desk.deliver("sub/a.jpg", NEW)
    assert desk.files() == {"sub/a.png": NEW}
    sidecar = json.loads((desk.folder.output / "sub/a.png.json").read_bytes())
    assert (sidecar["job"], sidecar["source"]["path"]) == (job.id, "sub/a.jpg")
    done = desk.job(job)
    assert (done.state, done.sha256) == (JobState.DONE, digest(JPEG))
    assert done.detail["outputs"] == [str(desk.folder.output / "sub/a.png")]
    assert desk.journal.reservations.published_sha256(NAME, "sub/a.jpg") == digest(JPEG)
    (result,) = desk.results
    assert (result.job, result.state, result.seconds) == (job.id, JobState.DONE, 0.005)
    assert result.outputs == (str(desk.folder.output / "sub/a.png"),)
    assert desk.staged() == []
    until(desk.woken.is_set, "the supervisor to be woken")


def test_a_doubtful_result_goes_to_review_with_its_reasons(make: Callable[..., Desk]) -> None:
    """The original stays, whatever the setting."""
    desk = make(originals="delete")
    job = desk.deliver("a.jpg", NEW, review=True)
    assert desk.files() == {"review/a.png": NEW}
    assert desk.job(job).state is JobState.REVIEW
    assert desk.job(job).detail["why"] == "no subject"
    assert (desk.results[0].state, desk.results[0].why) == (JobState.REVIEW, "no subject")
    assert (desk.folder.input / "a.jpg").exists()


def test_a_doubtful_result_is_published_and_marked(make: Callable[..., Desk]) -> None:
    """In its sidecar, in the journal and in the event; a certain one is not. Before, the two could not be told apart."""
    desk = make()
    unsure = Quality(score=0.44, reasons=("a part may be missing",))
    jobs = [desk.begin("a.jpg"), desk.begin("b.jpg", JPEG * 2)]
    desk.delivery.deliver(jobs[0], replace(desk.cut(jobs[0], NEW), quality=unsure))
    desk.delivery.deliver(jobs[1], desk.cut(jobs[1], NEW, source=JPEG * 2))
    desk.settle()
    assert set(desk.files()) == {"a.png", "b.png"}
    sidecars = [json.loads((desk.folder.output / f"{name}.png.json").read_bytes()) for name in "ab"]
    assert [one["quality"]["doubtful"] for one in sidecars] == [True, False]
    assert [one.doubtful for one in desk.results] == [True, False]
    assert desk.results[0].why == "doubtful, score 0.44; a part may be missing"
    assert desk.job(jobs[0]).detail["doubtful"] is True
    assert desk.job(jobs[0]).state is JobState.DONE
    assert "doubtful" not in desk.job(jobs[1]).detail
    assert Reader(desk.journal.store).doubtful(NAME) == 1


def test_a_doubtful_result_is_doubtful_again_once_its_correction_is_undone(make: Callable[..., Desk]) -> None:
    """Its score is as before, and nobody has accepted it."""
    desk = make()
    unsure = Quality(score=0.44, reasons=("a part may be missing",))
    job = desk.begin()
    desk.delivery.deliver(job, replace(desk.cut(job, NEW), quality=unsure))
    desk.settle()
    with desk.journal.store.transaction():
        desk.journal.queue.correct_within(job.id, Wanted.PUBLISHED, {})
    again = desk.journal.queue.next_in(NAME, newest_first=False)
    assert again is not None
    desk.journal.queue.claim(again)
    desk.delivery.deliver(again, replace(desk.cut(again, NEW), quality=unsure))
    desk.settle()
    assert [one.doubtful for one in desk.results] == [True, True]
    assert Reader(desk.journal.store).doubtful(NAME) == 1


def test_the_original_of_a_corrected_cutout_is_not_deleted(make: Callable[..., Desk]) -> None:
    """Undoing the correction needs the picture; before, it was deleted, and the undo was reported as done."""
    desk = make(originals="delete")
    job = desk.begin()
    with desk.journal.store.transaction():
        desk.journal.corrections.add_within(
            replace(desk.job(job), sha256=digest(JPEG)),
            (Stroke(kind=StrokeKind.KEEP, radius=2.0, points=((1.0, 1.0),)),),
        )
    drawn = Corrected(number=1, version=1, changed=True)
    desk.delivery.deliver(job, replace(desk.cut(job, NEW), corrected=drawn))
    desk.settle()
    assert desk.job(job).state is JobState.DONE
    assert (desk.folder.input / "a.jpg").exists()
    desk.deliver("b.jpg", NEW, source=JPEG * 2)
    assert not (desk.folder.input / "b.jpg").exists()


def test_a_result_that_breaks_a_limit_is_doubtful_whatever_its_score(make: Callable[..., Desk]) -> None:
    """Before, a subject that was enlarged too much was published with a score of 1.0 and without a mark."""
    desk = make()
    job = desk.begin()
    sure = Quality(score=1.0, reasons=("the subject is too small",))
    desk.delivery.deliver(job, replace(desk.cut(job, NEW), quality=sure, doubts=sure.reasons))
    desk.settle()
    sidecar = json.loads((desk.folder.output / "a.png.json").read_bytes())
    assert sidecar["quality"] == {"score": 1.0, "doubtful": True, "reasons": ["the subject is too small"]}
    assert desk.job(job).state is JobState.DONE
    assert (desk.job(job).detail["doubtful"], desk.job(job).detail["score"]) == (True, 1.0)
    assert desk.results[0].why == "doubtful, score 1.00; the subject is too small"


def test_a_doubt_outlives_a_crash_in_the_middle_of_publishing(make: Callable[..., Desk]) -> None:
    """The next start finishes the plan, and still knows the doubt."""
    desk = make(faults=[StorageError("away")])
    job = desk.begin()
    desk.delivery.deliver(job, replace(desk.cut(job, NEW), quality=Quality(score=0.3, reasons=())))
    desk.settle()
    desk.end()
    again = make(run="run-2")
    _repair(again)
    assert again.job(job).detail["doubtful"] is True
    assert again.job(job).detail["why"] == "doubtful, score 0.30"
    assert again.job(job).detail["score"] == 0.3
    assert [one.doubtful for one in again.results] == [True]


def test_a_failure_leaves_its_reason_until_the_picture_is_cut(make: Callable[..., Desk]) -> None:
    """Its staged files are removed at once; the record with the next success."""
    desk = make(originals="delete")
    job = desk.begin()
    desk.cut(job, NEW)
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    record = desk.folder.output / "failed" / "a.jpg.error.json"
    assert json.loads(record.read_bytes())["cause"] == "it is cut short"
    assert desk.job(job).state is JobState.FAILED
    assert desk.job(job).detail["failure"]["advice"] == PictureError.advice
    assert desk.results[-1].advice == PictureError.advice
    assert desk.results[0].why == "it is cut short"
    assert desk.staged() == []
    assert (desk.folder.input / "a.jpg").exists()
    desk.deliver("a.jpg", NEW, source=JPEG * 2)
    assert not record.exists()


def test_a_failure_is_written_down_even_if_its_record_cannot_be(make: Callable[..., Desk]) -> None:
    """The journal has the reason."""
    desk = make()
    (desk.folder.output / "failed").write_bytes(b"theirs")
    job = desk.begin()
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    assert desk.job(job).state is JobState.FAILED
    assert desk.job(job).detail["failure"]["cause"] == "it is cut short"


def test_a_record_that_could_not_be_written_follows(make: Callable[..., Desk]) -> None:
    """As soon as possible, or after the next start; but not once the picture was retried."""
    desk = make()
    in_the_way = desk.folder.output / "failed"
    record = in_the_way / "a.jpg.error.json"
    in_the_way.write_bytes(b"theirs")
    job = desk.begin()
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    in_the_way.unlink()
    desk.clock.advance(StorageError.delay_s + 1)
    desk.poke()
    until(lambda: not desk.journal.queue.cleanup_pending(NAME), "the record")
    assert json.loads(record.read_bytes())["cause"] == "it is cut short"
    record.unlink()
    in_the_way.rmdir()
    in_the_way.write_bytes(b"theirs")
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    desk.end()
    in_the_way.unlink()
    again = make(run="run-2")
    (owed,) = again.journal.queue.cleanup_pending(NAME)
    again.delivery.clean_up(owed)
    again.settle()
    assert record.exists()
    record.unlink()
    again.journal.queue.retry(None)
    again.delivery.clean_up(owed)
    again.settle()
    assert not record.exists()


@pytest.mark.parametrize("originals", ["keep", "delete"])
def test_a_record_that_could_not_be_removed_follows(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, originals: str
) -> None:
    """As soon as possible; nothing else waits for it, least of all the original."""
    desk = make(originals=originals)
    record = desk.folder.output / "failed" / "a.jpg.error.json"
    desk.delivery.fail(desk.begin(), FAILURE)
    desk.settle()
    with refused_clearing(desk, monkeypatch):
        desk.clock.advance(1)
        desk.deliver("a.jpg", NEW, source=JPEG * 2)
        assert record.exists()
        assert desk.journal.queue.cleanup_pending(NAME) == []
        assert (desk.folder.input / "a.jpg").exists() == (originals == "keep")
    desk.clock.advance(StorageError.delay_s + 1)
    desk.poke()
    until(lambda: not record.exists(), "the end of the record")


def test_a_leftover_record_is_removed_at_the_next_start(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not that of a later version, nor one that the journal does not know, nor a file of somebody else."""
    desk = make()
    failed = desk.folder.output / "failed"
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        desk.delivery.fail(desk.begin(name), FAILURE)
    desk.settle()
    (failed / "d.jpg.error.json").write_bytes(
        (failed / "c.jpg.error.json").read_bytes().replace(b"c.jpg", b"d.jpg")
    )
    (failed / "e.jpg.error.json").write_bytes(b"{}")
    with refused_clearing(desk, monkeypatch):
        desk.clock.advance(1)
        desk.deliver("a.jpg", NEW, source=JPEG * 2)
        desk.deliver("b.jpg", NEW, source=JPEG * 2)
        desk.clock.advance(1)
        desk.delivery.fail(desk.begin("b.jpg", JPEG * 3), FAILURE)
        desk.settle()
        desk.end()
    again = make(run="run-2")
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    assert sorted(path.name[0] for path in failed.iterdir()) == ["b", "c", "d", "e"]


def test_a_record_whose_removal_was_interrupted_is_removed_at_the_next_start(
    make: Callable[..., Desk],
) -> None:
    """The record has a private name by then; the record of a failure that still holds stays."""
    desk = make()
    failed = desk.folder.output / "failed"
    for name in ("a.jpg", "b.jpg"):
        desk.delivery.fail(desk.begin(name), FAILURE)
    desk.settle()
    for name in ("a.jpg", "b.jpg"):
        (failed / f"{name}.error.json").rename(failed / f"{PRIVATE}{name}.error.json")
    desk.clock.advance(1)
    desk.deliver("a.jpg", NEW, source=JPEG * 2)
    desk.settle()
    (failed / f"{PRIVATE}a.jpg.error.json").write_bytes(
        (failed / f"{PRIVATE}b.jpg.error.json").read_bytes().replace(b"b.jpg", b"a.jpg")
    )
    desk.end()
    again = make(run="run-2")
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    assert [path.name for path in failed.iterdir()] == [f"{PRIVATE}b.jpg.error.json"]


@contextmanager
def refused_clearing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse the removal of records."""

    def refuse(_: Failures, __: str) -> bool:
        raise StorageError("it is not allowed", path=desk.folder.output)

    with monkeypatch.context() as patch:
        patch.setattr(Failures, "clear", refuse)
        yield


def test_the_record_of_a_past_failure_is_removed_before_the_commit_mark(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash in between, nothing would remove it later."""
    desk = make()
    desk.delivery.fail(desk.begin(), FAILURE)
    desk.settle()
    record = desk.folder.output / "failed" / "a.jpg.error.json"
    there: list[bool] = []

    def crash(*_: object, **__: object) -> None:
        there.append(record.exists())
        raise Power

    monkeypatch.setattr(desk.journal, "finish_publishing", crash)
    job = desk.begin("a.jpg", JPEG * 2)
    desk.delivery.deliver(job, desk.cut(job, NEW, source=JPEG * 2))
    until(lambda: desk.delivery.failure is not None, "the crash")
    assert there == [False]


def test_a_file_in_place_of_a_sub_folder_costs_what_belongs_there_alone(make: Callable[..., Desk]) -> None:
    """Before, the folder paused for ever: now those pictures fail with the reason, and the others are published."""
    desk = make()
    (desk.folder.output / "sub").write_bytes(b"theirs")
    refused = [desk.deliver(f"sub/{name}.jpg", NEW) for name in "ab"]
    good = desk.deliver("c.jpg", NEW)
    for job in refused:
        failed = desk.job(job)
        assert (failed.state, failed.detail["failure"]["code"]) == (JobState.FAILED, "NameRefused")
        assert (desk.folder.output / "failed" / f"{job.path}.error.json").exists()
    assert (desk.job(good).state, desk.delivery.breaker.why) == (JobState.DONE, "")
    assert desk.files() == {"sub": b"theirs", "c.png": NEW}
    assert desk.staged() == []
    (desk.folder.output / "sub").unlink()
    desk.journal.queue.retry(None)
    for job in refused:
        desk.deliver(job.path, NEW)
    assert desk.files() == {"sub/a.png": NEW, "sub/b.png": NEW, "c.png": NEW}


def test_a_plan_that_is_written_down_is_carried_out_however_long_it_takes(make: Callable[..., Desk]) -> None:
    """The share is away between the plan and the renames, twice; meanwhile others are published."""
    desk = make(faults=[StorageError("away"), StorageError("away")])
    job = desk.begin()
    desk.delivery.deliver(job, desk.cut(job, NEW))
    desk.settle()
    assert desk.job(job).state is JobState.PUBLISHING
    assert desk.files() == {}
    assert desk.staged() == ["1-0.png", "1.json"]
    desk.clock.advance(StorageError.delay_s + 1)
    desk.poke()
    desk.settle()
    desk.deliver("b.jpg", OLD)
    assert desk.files() == {"b.png": OLD}
    desk.clock.advance(StorageError.delay_s + 1)
    desk.poke()
    until(lambda: desk.job(job).state is JobState.DONE, "the resting plan")
    assert desk.files() == {"a.png": NEW, "b.png": OLD}


def test_a_publication_the_journal_cannot_note_is_noted_later_and_not_made_twice(
    make: Callable[..., Desk],
) -> None:
    """The journal's disk refuses just when all results have their names."""

    def refuse(_: Plan) -> None:
        other.execute("BEGIN IMMEDIATE")

    desk = make(faults=[refuse])
    desk.journal.store.rows("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(desk.root / FILE_NAME, isolation_level=None, check_same_thread=False)
    job = desk.deliver("a.jpg", NEW)
    assert desk.files() == {"a.png": NEW}
    other.execute("COMMIT")
    other.close()
    assert desk.job(job).state is JobState.PUBLISHING
    assert desk.results == []
    desk.clock.advance(StorageError.delay_s + 1)
    desk.poke()
    until(lambda: desk.job(job).state is JobState.DONE, "the second try")
    assert desk.files() == {"a.png": NEW}
    until(lambda: desk.results, "the result to be told")
    assert [result.state for result in desk.results] == [JobState.DONE]
    assert desk.staged() == []


def test_a_stop_leaves_what_rests_to_the_next_start(make: Callable[..., Desk]) -> None:
    """Its staged files are not swept."""
    desk = make(faults=[StorageError("away")])
    job = desk.begin()
    desk.delivery.deliver(job, desk.cut(job, NEW))
    desk.settle()
    desk.end()
    assert desk.staged() == ["1-0.png", "1.json"]
    again = make(run="run-2")
    _repair(again)
    assert again.job(job).state is JobState.DONE
    assert again.files() == {"a.png": NEW}


def test_a_strangers_file_that_takes_the_name_at_the_last_moment_keeps_it(make: Callable[..., Desk]) -> None:
    """The result is planned again, under another name."""

    def intrude(_: Plan) -> None:
        (desk.folder.output / "a.png").write_bytes(b"theirs")

    desk = make(faults=[intrude])
    job = desk.deliver("a.jpg", NEW)
    until(lambda: desk.job(job).state is JobState.DONE, "the second plan")
    assert desk.files() == {"a.png": b"theirs", "a-jpg.png": NEW}
    assert desk.staged() == []


def test_a_result_that_is_gone_is_computed_again(make: Callable[..., Desk]) -> None:
    """Somebody has emptied the staging directory."""

    def clean(plan: Plan) -> None:
        for staged in plan.staged:
            (desk.root / staged).unlink()

    desk = make(faults=[clean])
    job = desk.deliver("a.jpg", NEW)
    assert desk.job(job).state is JobState.QUEUED
    assert desk.results == []
    desk.deliver("a.jpg", NEW)
    assert desk.files() == {"a.png": NEW}


def _repair(desk: Desk) -> None:
    """Repair the plans of ended sessions, as the daemon does when it starts."""
    for job in desk.journal.queue.recover():
        desk.delivery.repair(job)
    desk.delivery.sweep(desk.journal.sessions.begin())
    desk.settle()


def _crash(make: Callable[..., Desk], renames: int) -> tuple[Job, Desk]:
    """Run a delivery that dies once this many results have their names, and start the next one."""

    def die(plan: Plan) -> None:
        for move in plan.moves[:renames]:
            moves.carry_out(move, Access())
        raise Power

    desk = make(faults=[die], rendition=[{}, {"suffix": "_2"}])
    desk.journal.sessions.begin()
    job = desk.begin()
    desk.delivery.deliver(job, desk.cut(job, NEW, OLD))
    until(lambda: desk.delivery.failure is not None, "the crash")
    assert isinstance(desk.delivery.failure, Power)
    assert desk.job(job).state is JobState.PUBLISHING
    desk.journal.close()
    return job, make(run="run-2", rendition=[{}, {"suffix": "_2"}])


@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_a_crash_amid_a_publication_is_finished_by_the_next_start(
    make: Callable[..., Desk], renames: int
) -> None:
    """At any point; nothing is computed again, duplicated or left over."""
    job, desk = _crash(make, renames)
    _repair(desk)
    assert desk.files() == {"a.png": NEW, "a_2.png": OLD}
    assert desk.job(job).state is JobState.DONE
    assert desk.journal.reservations.published_sha256(NAME, "a.jpg") == digest(JPEG)
    assert len(desk.journal.reservations.earlier(NAME, "a.jpg")) == 2
    assert [result.state for result in desk.results] == [JobState.DONE]
    assert desk.staged() == []
    assert not (desk.folder.output / STAGING_NAME / "run-1").exists()


def test_a_crash_that_lost_a_result_is_undone_and_known(make: Callable[..., Desk]) -> None:
    """Results that have their names are not published twice."""
    job, desk = _crash(make, 1)
    (desk.folder.output / STAGING_NAME / "run-1.own" / f"{job.id}-1.png").unlink()
    _repair(desk)
    assert desk.job(job).state is JobState.QUEUED
    assert [one.path for one in desk.journal.reservations.earlier(NAME, "a.jpg")] == ["a.png"]
    desk.deliver("a.jpg", b"computed otherwise", OLD)
    assert desk.files() == {"a.png": b"computed otherwise", "a_2.png": OLD}


def test_a_repair_waits_for_a_share_that_is_away(make: Callable[..., Desk]) -> None:
    """No file is swept before."""
    job, desk = _crash(make, 1)
    away = desk.folder.output.rename(desk.root / "away")
    _repair(desk)
    assert desk.job(job).state is JobState.PUBLISHING
    away.rename(desk.folder.output)
    desk.clock.advance(StorageError.delay_s + 1)
    desk.poke()
    until(lambda: desk.job(job).state is JobState.DONE, "the repair")
    assert desk.files() == {"a.png": NEW, "a_2.png": OLD}


def test_staged_files_of_dead_runs_are_swept_and_those_of_others_are_not(make: Callable[..., Desk]) -> None:
    """Another machine may work on the same share."""
    desk = make()
    for run in ("dead", "dead.own", "another-machines", "another-machines.own"):
        staging = desk.folder.output / STAGING_NAME / run
        staging.mkdir()
        (staging / "9-0.png").write_bytes(b"half")
    desk.delivery.sweep(frozenset({"dead"}))
    desk.settle()
    left = sorted(path.name for path in (desk.folder.output / STAGING_NAME).iterdir())
    assert left == ["another-machines", "another-machines.own", "run-1", "run-1.own"]


def test_a_stop_leaves_nothing_staged(make: Callable[..., Desk]) -> None:
    """Of pictures that were in work when the workers ended."""
    desk = make()
    job = desk.begin()
    desk.cut(job, NEW)
    desk.end()
    assert not (desk.folder.output / STAGING_NAME).exists()


def test_an_original_is_moved_once_its_cutout_is_done(make: Callable[..., Desk], tmp_path: Path) -> None:
    """Mirrored, with its bytes."""
    desk = make(originals="move", originals_dir=str(tmp_path / "originals"))
    desk.deliver("sub/a.jpg", NEW)
    assert not (desk.folder.input / "sub/a.jpg").exists()
    assert (tmp_path / "originals/sub/a.jpg").read_bytes() == JPEG


def test_an_original_is_deleted_once_its_cutout_is_done(make: Callable[..., Desk]) -> None:
    """The folder is configured to delete originals."""
    desk = make(originals="delete")
    desk.deliver("a.jpg", NEW)
    assert not (desk.folder.input / "a.jpg").exists()
    assert desk.files() == {"a.png": NEW}


@pytest.mark.parametrize("originals", ["move", "delete"])
@pytest.mark.parametrize("name", ["a", "a.jpg.txt", "a.dat"])
def test_an_original_whose_name_is_no_pictures_stays(
    make: Callable[..., Desk], tmp_path: Path, originals: str, name: str
) -> None:
    """Whatever its content, it may be the file of a program; it is cut, and then ignored."""
    place = {"originals_dir": str(tmp_path / "originals")} if originals == "move" else {}
    desk = make(originals=originals, **place)
    job = desk.deliver(name, NEW)
    assert desk.job(job).state is JobState.DONE
    assert (desk.folder.input / name).read_bytes() == JPEG
    assert not desk.journal.queue.cleanup_pending(desk.folder.name)


@pytest.mark.parametrize("originals", ["move", "delete"])
def test_an_original_that_changed_meanwhile_is_not_touched(
    make: Callable[..., Desk], tmp_path: Path, originals: str
) -> None:
    """The file is a newer version, which was not cut."""
    place = {"originals_dir": str(tmp_path / "originals")} if originals == "move" else {}
    desk = make(originals=originals, **place)
    job = desk.begin()
    report = desk.cut(job, NEW)
    (desk.folder.input / "a.jpg").write_bytes(b"newer")
    desk.delivery.deliver(job, report)
    desk.settle()
    assert (desk.folder.input / "a.jpg").read_bytes() == b"newer"
    assert desk.job(job).state is JobState.DONE


def test_an_original_that_cannot_be_moved_is_moved_as_soon_as_possible(
    make: Callable[..., Desk], tmp_path: Path
) -> None:
    """Its cutout is done all the same."""
    desk = make(originals="move", originals_dir=str(tmp_path / "originals"))
    (tmp_path / "originals").rmdir()
    job = desk.deliver("a.jpg", NEW)
    assert (desk.folder.input / "a.jpg").exists()
    assert desk.job(job).state is JobState.DONE
    assert [result.state for result in desk.results] == [JobState.DONE]
    (tmp_path / "originals").mkdir()
    desk.clock.advance(StorageError.delay_s + 1)
    desk.poke()
    until(lambda: not desk.journal.queue.cleanup_pending(NAME), "the original to go")
    assert (tmp_path / "originals/a.jpg").read_bytes() == JPEG


def test_an_original_that_could_not_be_moved_is_moved_after_the_next_start(
    make: Callable[..., Desk], tmp_path: Path
) -> None:
    """The journal remembers that it is still there."""
    given = {"originals": "move", "originals_dir": str(tmp_path / "originals")}
    desk = make(**given)
    (tmp_path / "originals").rmdir()
    job = desk.deliver("a.jpg", NEW)
    desk.end()
    again = make(run="run-2", **given)
    (left,) = again.journal.queue.cleanup_pending(NAME)
    assert left.id == job.id
    again.delivery.clean_up(left)
    again.settle()
    assert (tmp_path / "originals/a.jpg").read_bytes() == JPEG
    assert again.journal.queue.cleanup_pending(NAME) == []


@pytest.mark.parametrize("originals", ["keep", "delete"])
def test_a_source_that_is_unchanged_ends_like_a_published_one(
    make: Callable[..., Desk], originals: str
) -> None:
    """An earlier failure is over, and the original is moved or deleted as set."""
    desk = make(originals=originals)
    desk.deliver("a.jpg", NEW)
    desk.delivery.fail(desk.begin(content=JPEG + b", once broken"), FAILURE)
    desk.settle()
    job = desk.begin()
    desk.delivery.deliver_unchanged(job, digest(JPEG))
    desk.settle()
    assert desk.job(job).state is JobState.UNCHANGED
    assert not (desk.folder.output / "failed" / "a.jpg.error.json").exists()
    assert (desk.folder.input / "a.jpg").exists() is (originals == "keep")
    assert desk.results[-1].state is JobState.UNCHANGED


def test_a_worker_cannot_declare_a_source_unchanged(make: Callable[..., Desk]) -> None:
    """Otherwise a lie would delete an original that was never cut."""
    desk = make(originals="delete")
    job = desk.begin()
    desk.delivery.deliver_unchanged(job, digest(JPEG))
    desk.settle()
    assert desk.job(job).state is JobState.FAILED
    assert (desk.folder.input / "a.jpg").exists()


@pytest.mark.parametrize("renditions", [[], [0, 0], [-1], [1], [-2], [0, -1, -1]])
def test_a_cutout_has_exactly_the_configured_renditions(
    make: Callable[..., Desk], renditions: list[int]
) -> None:
    """No fewer, since the original may be deleted; and no more, as a hostile worker may invent."""
    desk = make(originals="delete")
    job = desk.begin()
    honest = desk.cut(job, *[NEW] * len(renditions))
    staged = [replace(one, rendition=number) for one, number in zip(honest.staged, renditions, strict=True)]
    desk.delivery.deliver(job, replace(honest, staged=tuple(staged)))
    desk.settle()
    assert desk.job(job).state is JobState.FAILED
    assert desk.files() == {}
    assert (desk.folder.input / "a.jpg").exists()


def test_two_sources_of_one_name_get_two_results(make: Callable[..., Desk]) -> None:
    """By the claims in the journal."""
    desk = make()
    desk.deliver("a.jpg", NEW)
    desk.deliver("a.tif", OLD)
    assert desk.files() == {"a.png": NEW, "a-tif.png": OLD}
    assert states(desk.journal) == {"a.jpg": JobState.DONE, "a.tif": JobState.DONE}


def test_a_job_that_cannot_even_be_given_up_does_not_end_the_thread(make: Callable[..., Desk]) -> None:
    """In the journal it stays with this run, so that the next one resumes it."""
    desk = make()
    job = desk.begin()
    report = desk.cut(job, NEW)
    desk.journal.close()
    desk.delivery.deliver(job, report)
    until(lambda: desk.delivery.is_idle, "the delivery to go on")
    assert desk.delivery.failure is None


@pytest.mark.parametrize("rendition", [7, -2])
def test_a_rendition_that_was_not_requested_does_not_end_the_daemon(
    make: Callable[..., Desk], rendition: int
) -> None:
    """A worker reads hostile pictures; its report can cost its own job at most."""
    desk = make()
    job = desk.deliver("a.jpg", NEW, rendition=rendition)
    assert desk.job(job).state is not JobState.DONE
    assert desk.files() == {}


@pytest.mark.parametrize("originals", ["delete", "move"])
def test_another_shot_under_a_used_camera_name_is_another_picture(
    make: Callable[..., Desk], tmp_path: Path, originals: str
) -> None:
    """The first original was moved away, so its cutout stays, and so do those of the third and the fourth."""
    desk = make(originals=originals, originals_dir=str(tmp_path / "originals") if originals == "move" else "")
    shots = [JPEG + bytes([number]) for number in range(4)]
    for number, shot in enumerate(shots):
        desk.deliver("DSC_9999.jpg", b"cutout %d" % number, source=shot)
        assert not (desk.folder.input / "DSC_9999.jpg").exists()
    names = ["DSC_9999.png", "DSC_9999-2.png", "DSC_9999-3.png", "DSC_9999-4.png"]
    assert [(desk.folder.output / name).read_bytes() for name in names] == [
        b"cutout %d" % number for number in range(4)
    ]
    documents = [json.loads((desk.folder.output / f"{name}.json").read_text()) for name in names]
    assert [one["source"]["sha256"] for one in documents] == [digest(shot) for shot in shots]


def test_pictures_of_a_used_name_are_numbered_after_the_first_ones_result(make: Callable[..., Desk]) -> None:
    """Its name may contain its kind, or belong to another file by now; a later version keeps its number."""
    desk = make(originals="delete")
    pictures = [
        ("a.jpg", 1),
        ("a.tif", 2),
        ("a.tif", 3),
        ("a.jpg", 4),
        ("a-3.jpg", 5),
        ("A.jpg", 6),
        ("a.jpg", 7),
    ]
    for name, number in pictures:
        desk.deliver(name, b"cutout %d" % number, source=JPEG + bytes([number]))
    expected = ["a.png", "a-tif.png", "a-tif-2.png", "a-2.png", "a-3.png", "A-jpg.png", "a-4.png"]
    assert desk.files() == {name: b"cutout %d" % number for number, name in enumerate(expected, 1)}


def test_a_later_version_of_a_numbered_picture_replaces_its_result(make: Callable[..., Desk]) -> None:
    """The name is one that it could have been given, also for a rebuilt journal."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    (desk.folder.input / "a.jpg").unlink()
    desk.journal.sources.note_places(NAME, {"a.jpg": desk.clock.now_us()})
    desk.deliver("a.jpg", NEW, source=JPEG + b"2")
    assert desk.files() == {"a.png": OLD, "a-2.png": NEW}
    desk.deliver("a.jpg", b"newer", source=JPEG + b"2 and more")
    assert desk.files() == {"a.png": OLD, "a-2.png": b"newer"}
    records = Records(
        FolderIdentity(NAME),
        output=desk.folder.output,
        sidecar_dir=None,
        renditions=desk.folder.recipe().renditions,
    )
    assert {one.path for record in records for one in record.published} == {"a.png", "a-2.png"}


def test_the_same_bytes_under_a_used_name_are_known_and_no_new_version(
    make: Callable[..., Desk],
) -> None:
    """A card that is read twice costs only a comparison, and the new original is deleted as well."""
    desk = make(originals="delete")
    desk.deliver("a.jpg", OLD)
    job = desk.begin("a.jpg")
    assert job.generation == 1
    desk.delivery.deliver_unchanged(job, digest(JPEG))
    desk.settle()
    assert not (desk.folder.input / "a.jpg").exists()
    assert {one.generation for one in Reader(desk.journal.store).jobs()} == {0}
    assert [path.name for path in desk.folder.output.glob("*.png")] == ["a.png"]


def dropped_again(desk: Desk, content: bytes = JPEG) -> Job:
    """Let a missing picture return, whose bytes a worker recognises."""
    desk.journal.sources.note_places(NAME, {"a.jpg": desk.clock.now_us()})
    job = desk.begin("a.jpg", content)
    assert job.generation == 1
    desk.delivery.deliver_unchanged(job, digest(content), "i" * 64)
    desk.settle()
    return job


@pytest.mark.parametrize("left", ["nothing", "the sidecar"])
@pytest.mark.parametrize("originals", ["keep", "delete"])
def test_a_picture_that_returns_is_cut_again_if_its_cutout_was_removed(
    make: Callable[..., Desk], left: str, originals: str
) -> None:
    """Under its former names; before, it counted as unchanged, and nothing appeared."""
    desk = make(originals=originals)
    desk.deliver("a.jpg", OLD)
    (desk.folder.output / "a.png").unlink()
    if left == "nothing":
        (desk.folder.output / "a.png.json").unlink()
    (desk.folder.input / "a.jpg").unlink(missing_ok=True)
    job = dropped_again(desk)
    assert desk.job(job).state is JobState.QUEUED
    assert desk.journal.reservations.last_published(NAME, "a.jpg") is None  # the worker is told of no result
    (desk.folder.input / "a.jpg").unlink()
    desk.journal.gone(desk.job(job), "it vanished before its turn")
    desk.deliver("a.jpg", NEW)
    assert desk.files() == {"a.png": NEW}
    assert json.loads((desk.folder.output / "a.png.json").read_text())["source"]["sha256"] == digest(JPEG)
    assert desk.results[-1].state is JobState.DONE


def test_a_picture_that_returns_keeps_its_cutout(make: Callable[..., Desk]) -> None:
    """Also one that was retouched; and the event names it."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    (desk.folder.output / "a.png").write_bytes(b"painted into")
    job = dropped_again(desk)
    assert desk.job(job).state is JobState.UNCHANGED
    assert desk.results[-1].outputs == (str(desk.folder.output / "a.png"),)
    assert desk.files() == {"a.png": b"painted into"}


def test_a_removed_cutout_is_not_made_again_for_a_picture_that_stays(make: Callable[..., Desk]) -> None:
    """Touched, or back with other metadata; the event says how to get it."""
    desk = make()
    cut_with_image_hash(desk)
    (desk.folder.output / "a.png").unlink()
    job = desk.begin("a.jpg", JPEG)
    assert job.generation == 0
    desk.delivery.deliver_unchanged(job, digest(JPEG))
    desk.settle()
    rated_again = dropped_again(desk, JPEG + b"*")
    assert [desk.job(one).state for one in (job, rated_again)] == [JobState.UNCHANGED] * 2
    assert "retry" in desk.results[-1].why
    assert desk.files() == {}


def test_an_output_that_is_away_does_not_count_as_a_removed_cutout(make: Callable[..., Desk]) -> None:
    """The job waits, as a result would."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    desk.folder.output.rename(desk.root / "away")
    job = dropped_again(desk)
    assert desk.job(job).state is JobState.WORKING
    (desk.root / "away").rename(desk.folder.output)
    desk.delivery.retry_now()
    until(lambda: desk.job(job).state is JobState.UNCHANGED, "the job to go on")


def test_a_source_that_the_journal_has_forgotten_still_has_its_result(make: Callable[..., Desk]) -> None:
    """History is limited in time; the sidecar says to which shot the result belongs."""
    desk = make(originals="delete")
    desk.deliver("a.jpg", OLD)
    desk.journal.history.forget(NAME, ["a.jpg"])
    desk.deliver("a.jpg", NEW, source=JPEG + b"another shot")
    assert (desk.folder.output / "a.png").read_bytes() == OLD
    assert (desk.folder.output / "a-jpg.png").read_bytes() == NEW


def test_an_original_that_was_replaced_by_one_of_equal_size_and_time_is_cut(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same size and time but other bytes: it is not removed, and the next scan accepts it."""
    desk = make(originals="delete")
    job = desk.begin("a.jpg")
    path = desk.folder.input / "a.jpg"
    carry_out = desk.publisher.carry_out

    def and_replaced(plan: Plan) -> None:
        carry_out(plan)
        status = path.stat()
        path.write_bytes(JPEG[::-1])
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))

    monkeypatch.setattr(desk.publisher, "carry_out", and_replaced)
    desk.delivery.deliver(job, desk.cut(job, OLD))
    desk.settle()
    assert path.read_bytes() == JPEG[::-1]
    assert not desk.journal.sources.is_known(NAME, job.version)
    afresh = Sources(desk.journal.store, desk.clock)
    assert not afresh.is_known(NAME, job.version)
    (again,) = desk.journal.sources.accept(NAME, [job.version])
    job_again = Reader(desk.journal.store).job(again)
    assert job_again is not None
    assert job_again.generation == 0


def rated(desk: Desk, content: bytes) -> Job:
    """Write a rating into the picture, and let a worker find nothing else changed."""
    job = desk.begin("a.jpg", content)
    desk.delivery.deliver_unchanged(job, digest(content), "i" * 64)
    desk.settle()
    return job


def cut_with_image_hash(desk: Desk) -> Job:
    """Cut a picture, with a hash of its image data apart from its metadata."""
    job = desk.begin("a.jpg")
    cut = desk.cut(job, OLD)
    desk.delivery.deliver(job, replace(cut, source=replace(cut.source, image_sha256="i" * 64)))
    desk.settle()
    return job


def test_a_rating_written_into_a_picture_does_not_cut_it_again(make: Callable[..., Desk]) -> None:
    """Again and again; its new bytes are known from then on."""
    desk = make()
    cut_with_image_hash(desk)
    for stars in (b"*", b"**"):
        job = rated(desk, JPEG + stars)
        assert desk.job(job).state is JobState.UNCHANGED
        assert desk.job(job).sha256 == digest(JPEG + stars)
        last = desk.journal.reservations.last_published(NAME, "a.jpg")
        assert last is not None
        assert (last.sha256, last.image_sha256) == (digest(JPEG + stars), "i" * 64)
    assert desk.files() == {"a.png": OLD}
    desk.deliver("a.jpg", NEW, source=JPEG + b"another picture")
    assert desk.files() == {"a.png": NEW}


def test_an_original_with_a_new_rating_is_moved_away_by_its_own_hash(
    make: Callable[..., Desk], tmp_path: Path
) -> None:
    """The rated file is moved; a file that has changed once more stays, and is examined."""
    desk = make(originals="move", originals_dir=str(tmp_path / "originals"))
    cut_with_image_hash(desk)
    rated(desk, JPEG + b"*")
    assert not (desk.folder.input / "a.jpg").exists()
    kept = sorted(path.read_bytes() for path in (tmp_path / "originals").glob("a*.jpg"))
    assert kept == [JPEG, JPEG + b"*"]
    assert desk.files() == {"a.png": OLD}


def test_a_worker_cannot_call_a_picture_known_that_is_not(make: Callable[..., Desk]) -> None:
    """Neither its bytes nor its image data are those of the published one."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    job = desk.begin("a.jpg", JPEG + b"*")
    desk.delivery.deliver_unchanged(job, digest(JPEG + b"*"), "i" * 64)
    desk.settle()
    assert desk.job(job).state is JobState.FAILED


def test_a_cutout_that_gets_another_name_has_the_reason_in_its_sidecar(make: Callable[..., Desk]) -> None:
    """In its sidecar and in the event. Before, nothing said why it was not `a.png`."""
    desk = make()
    desk.deliver("a.jpg", OLD)
    (desk.folder.output / "a.png").write_bytes(b"painted into")
    desk.deliver("a.jpg", NEW, source=JPEG * 2)
    desk.deliver("a.tif", NEW, source=JPEG * 3)
    (desk.folder.output / "b.png").write_bytes(b"somebody else's")
    desk.deliver("b.jpg", NEW, source=JPEG * 4)
    wanted = {
        "a-jpg.png": "a.png was changed by hand and stays, so this cutout is a-jpg.png",
        "a-tif.png": "another cutout has the name a.png, so this cutout is a-tif.png",
        "b-jpg.png": "a file that is not ours has the name b.png, or its sidecar's, so this cutout is b-jpg.png",
    }
    warnings = {
        name: json.loads((desk.folder.output / f"{name}.json").read_bytes())["warnings"] for name in wanted
    }
    assert warnings == {name: [why] for name, why in wanted.items()}
    assert [result.note for result in desk.results] == ["", *wanted.values()]
