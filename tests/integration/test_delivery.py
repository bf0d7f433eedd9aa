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
from tests.integration.delivery_run import FAILURE, NEW, OLD, DeliveryRun, Power
from tests.integration.parts import JPEG, NAME, digest, states, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job
    from cutoutd.publish.plan import Plan


def test_a_result_is_published_recorded_and_reported(make: Callable[..., DeliveryRun]) -> None:
    """In this order; nothing stays staged."""
    delivery_run = make()
    job = delivery_run.deliver("sub/a.jpg", NEW)
    assert delivery_run.files() == {"sub/a.png": NEW}
    sidecar = json.loads((delivery_run.folder.output / "sub/a.png.json").read_bytes())
    assert (sidecar["job"], sidecar["source"]["path"]) == (job.id, "sub/a.jpg")
    done = delivery_run.job(job)
    assert (done.state, done.sha256) == (JobState.DONE, digest(JPEG))
    assert done.detail["outputs"] == [str(delivery_run.folder.output / "sub/a.png")]
    assert delivery_run.journal.reservations.published_sha256(NAME, "sub/a.jpg") == digest(JPEG)
    (result,) = delivery_run.results
    assert (result.job, result.state, result.seconds) == (job.id, JobState.DONE, 0.005)
    assert result.outputs == (str(delivery_run.folder.output / "sub/a.png"),)
    assert delivery_run.staged() == []
    until(delivery_run.woken.is_set, "the supervisor to be woken")


def test_a_doubtful_result_goes_to_review_with_its_reasons(make: Callable[..., DeliveryRun]) -> None:
    """The original stays, whatever the setting."""
    delivery_run = make(originals="delete")
    job = delivery_run.deliver("a.jpg", NEW, review=True)
    assert delivery_run.files() == {"review/a.png": NEW}
    assert delivery_run.job(job).state is JobState.REVIEW
    assert delivery_run.job(job).detail["why"] == "no subject"
    assert (delivery_run.results[0].state, delivery_run.results[0].why) == (JobState.REVIEW, "no subject")
    assert (delivery_run.folder.input / "a.jpg").exists()


def test_a_doubtful_result_is_published_and_marked(make: Callable[..., DeliveryRun]) -> None:
    """In its sidecar, in the journal and in the event; a certain one is not. Before, the two could not be told apart."""
    delivery_run = make()
    unsure = Quality(score=0.44, reasons=("a part may be missing",))
    jobs = [delivery_run.begin("a.jpg"), delivery_run.begin("b.jpg", JPEG * 2)]
    delivery_run.delivery.deliver(jobs[0], replace(delivery_run.cut(jobs[0], NEW), quality=unsure))
    delivery_run.delivery.deliver(jobs[1], delivery_run.cut(jobs[1], NEW, source=JPEG * 2))
    delivery_run.settle()
    assert set(delivery_run.files()) == {"a.png", "b.png"}
    sidecars = [json.loads((delivery_run.folder.output / f"{name}.png.json").read_bytes()) for name in "ab"]
    assert [one["quality"]["doubtful"] for one in sidecars] == [True, False]
    assert [one.doubtful for one in delivery_run.results] == [True, False]
    assert delivery_run.results[0].why == "doubtful, score 0.44; a part may be missing"
    assert delivery_run.job(jobs[0]).detail["doubtful"] is True
    assert delivery_run.job(jobs[0]).state is JobState.DONE
    assert "doubtful" not in delivery_run.job(jobs[1]).detail
    assert Reader(delivery_run.journal.store).doubtful(NAME) == 1


def test_a_doubtful_result_is_doubtful_again_once_its_correction_is_undone(
    make: Callable[..., DeliveryRun],
) -> None:
    """Its score is as before, and nobody has accepted it."""
    delivery_run = make()
    unsure = Quality(score=0.44, reasons=("a part may be missing",))
    job = delivery_run.begin()
    delivery_run.delivery.deliver(job, replace(delivery_run.cut(job, NEW), quality=unsure))
    delivery_run.settle()
    with delivery_run.journal.store.transaction():
        delivery_run.journal.queue.correct_within(job.id, Wanted.PUBLISHED, {})
    again = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert again is not None
    delivery_run.journal.queue.claim(again)
    delivery_run.delivery.deliver(again, replace(delivery_run.cut(again, NEW), quality=unsure))
    delivery_run.settle()
    assert [one.doubtful for one in delivery_run.results] == [True, True]
    assert Reader(delivery_run.journal.store).doubtful(NAME) == 1


def test_the_original_of_a_corrected_cutout_is_not_deleted(make: Callable[..., DeliveryRun]) -> None:
    """Undoing the correction needs the picture; before, it was deleted, and the undo was reported as done."""
    delivery_run = make(originals="delete")
    job = delivery_run.begin()
    with delivery_run.journal.store.transaction():
        delivery_run.journal.corrections.add_within(
            replace(delivery_run.job(job), sha256=digest(JPEG)),
            (Stroke(kind=StrokeKind.KEEP, radius=2.0, points=((1.0, 1.0),)),),
        )
    drawn = Corrected(number=1, version=1, changed=True)
    delivery_run.delivery.deliver(job, replace(delivery_run.cut(job, NEW), corrected=drawn))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.DONE
    assert (delivery_run.folder.input / "a.jpg").exists()
    delivery_run.deliver("b.jpg", NEW, source=JPEG * 2)
    assert not (delivery_run.folder.input / "b.jpg").exists()


def test_a_result_that_breaks_a_limit_is_doubtful_whatever_its_score(
    make: Callable[..., DeliveryRun],
) -> None:
    """Before, a subject that was enlarged too much was published with a score of 1.0 and without a mark."""
    delivery_run = make()
    job = delivery_run.begin()
    sure = Quality(score=1.0, reasons=("the subject is too small",))
    delivery_run.delivery.deliver(job, replace(delivery_run.cut(job, NEW), quality=sure, doubts=sure.reasons))
    delivery_run.settle()
    sidecar = json.loads((delivery_run.folder.output / "a.png.json").read_bytes())
    assert sidecar["quality"] == {"score": 1.0, "doubtful": True, "reasons": ["the subject is too small"]}
    assert delivery_run.job(job).state is JobState.DONE
    assert (delivery_run.job(job).detail["doubtful"], delivery_run.job(job).detail["score"]) == (True, 1.0)
    assert delivery_run.results[0].why == "doubtful, score 1.00; the subject is too small"


def test_a_doubt_outlives_a_crash_in_the_middle_of_publishing(make: Callable[..., DeliveryRun]) -> None:
    """The next start finishes the plan, and still knows the doubt."""
    delivery_run = make(faults=[StorageError("away")])
    job = delivery_run.begin()
    delivery_run.delivery.deliver(
        job, replace(delivery_run.cut(job, NEW), quality=Quality(score=0.3, reasons=()))
    )
    delivery_run.settle()
    delivery_run.end()
    again = make(run="run-2")
    _repair(again)
    assert again.job(job).detail["doubtful"] is True
    assert again.job(job).detail["why"] == "doubtful, score 0.30"
    assert again.job(job).detail["score"] == 0.3
    assert [one.doubtful for one in again.results] == [True]


def test_a_failure_leaves_its_reason_until_the_picture_is_cut(make: Callable[..., DeliveryRun]) -> None:
    """Its staged files are removed at once; the record with the next success."""
    delivery_run = make(originals="delete")
    job = delivery_run.begin()
    delivery_run.cut(job, NEW)
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    record = delivery_run.folder.output / "failed" / "a.jpg.error.json"
    assert json.loads(record.read_bytes())["cause"] == "it is cut short"
    assert delivery_run.job(job).state is JobState.FAILED
    assert delivery_run.job(job).detail["failure"]["advice"] == PictureError.advice
    assert delivery_run.results[-1].advice == PictureError.advice
    assert delivery_run.results[0].why == "it is cut short"
    assert delivery_run.staged() == []
    assert (delivery_run.folder.input / "a.jpg").exists()
    delivery_run.deliver("a.jpg", NEW, source=JPEG * 2)
    assert not record.exists()


def test_a_failure_is_written_down_even_if_its_record_cannot_be(make: Callable[..., DeliveryRun]) -> None:
    """The journal has the reason."""
    delivery_run = make()
    (delivery_run.folder.output / "failed").write_bytes(b"theirs")
    job = delivery_run.begin()
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.FAILED
    assert delivery_run.job(job).detail["failure"]["cause"] == "it is cut short"


def test_a_record_that_could_not_be_written_follows(make: Callable[..., DeliveryRun]) -> None:
    """As soon as possible, or after the next start; but not once the picture was retried."""
    delivery_run = make()
    in_the_way = delivery_run.folder.output / "failed"
    record = in_the_way / "a.jpg.error.json"
    in_the_way.write_bytes(b"theirs")
    job = delivery_run.begin()
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    in_the_way.unlink()
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    until(lambda: not delivery_run.journal.queue.cleanup_pending(NAME), "the record")
    assert json.loads(record.read_bytes())["cause"] == "it is cut short"
    record.unlink()
    in_the_way.rmdir()
    in_the_way.write_bytes(b"theirs")
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    delivery_run.end()
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
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch, originals: str
) -> None:
    """As soon as possible; nothing else waits for it, least of all the original."""
    delivery_run = make(originals=originals)
    record = delivery_run.folder.output / "failed" / "a.jpg.error.json"
    delivery_run.delivery.fail(delivery_run.begin(), FAILURE)
    delivery_run.settle()
    with refused_clearing(delivery_run, monkeypatch):
        delivery_run.clock.advance(1)
        delivery_run.deliver("a.jpg", NEW, source=JPEG * 2)
        assert record.exists()
        assert delivery_run.journal.queue.cleanup_pending(NAME) == []
        assert (delivery_run.folder.input / "a.jpg").exists() == (originals == "keep")
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    until(lambda: not record.exists(), "the end of the record")


def test_a_leftover_record_is_removed_at_the_next_start(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not that of a later version, nor one that the journal does not know, nor a file of somebody else."""
    delivery_run = make()
    failed = delivery_run.folder.output / "failed"
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        delivery_run.delivery.fail(delivery_run.begin(name), FAILURE)
    delivery_run.settle()
    (failed / "d.jpg.error.json").write_bytes(
        (failed / "c.jpg.error.json").read_bytes().replace(b"c.jpg", b"d.jpg")
    )
    (failed / "e.jpg.error.json").write_bytes(b"{}")
    with refused_clearing(delivery_run, monkeypatch):
        delivery_run.clock.advance(1)
        delivery_run.deliver("a.jpg", NEW, source=JPEG * 2)
        delivery_run.deliver("b.jpg", NEW, source=JPEG * 2)
        delivery_run.clock.advance(1)
        delivery_run.delivery.fail(delivery_run.begin("b.jpg", JPEG * 3), FAILURE)
        delivery_run.settle()
        delivery_run.end()
    again = make(run="run-2")
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    assert sorted(path.name[0] for path in failed.iterdir()) == ["b", "c", "d", "e"]


def test_a_record_whose_removal_was_interrupted_is_removed_at_the_next_start(
    make: Callable[..., DeliveryRun],
) -> None:
    """The record has a private name by then; the record of a failure that still holds stays."""
    delivery_run = make()
    failed = delivery_run.folder.output / "failed"
    for name in ("a.jpg", "b.jpg"):
        delivery_run.delivery.fail(delivery_run.begin(name), FAILURE)
    delivery_run.settle()
    for name in ("a.jpg", "b.jpg"):
        (failed / f"{name}.error.json").rename(failed / f"{PRIVATE}{name}.error.json")
    delivery_run.clock.advance(1)
    delivery_run.deliver("a.jpg", NEW, source=JPEG * 2)
    delivery_run.settle()
    (failed / f"{PRIVATE}a.jpg.error.json").write_bytes(
        (failed / f"{PRIVATE}b.jpg.error.json").read_bytes().replace(b"b.jpg", b"a.jpg")
    )
    delivery_run.end()
    again = make(run="run-2")
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    assert [path.name for path in failed.iterdir()] == [f"{PRIVATE}b.jpg.error.json"]


@contextmanager
def refused_clearing(delivery_run: DeliveryRun, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse the removal of records."""

    def refuse(_: Failures, __: str) -> bool:
        raise StorageError("it is not allowed", path=delivery_run.folder.output)

    with monkeypatch.context() as patch:
        patch.setattr(Failures, "clear", refuse)
        yield


def test_the_record_of_a_past_failure_is_removed_before_the_commit_mark(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash in between, nothing would remove it later."""
    delivery_run = make()
    delivery_run.delivery.fail(delivery_run.begin(), FAILURE)
    delivery_run.settle()
    record = delivery_run.folder.output / "failed" / "a.jpg.error.json"
    there: list[bool] = []

    def crash(*_: object, **__: object) -> None:
        there.append(record.exists())
        raise Power

    monkeypatch.setattr(delivery_run.journal, "finish_publishing", crash)
    job = delivery_run.begin("a.jpg", JPEG * 2)
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW, source=JPEG * 2))
    until(lambda: delivery_run.delivery.failure is not None, "the crash")
    assert there == [False]


def test_a_file_in_place_of_a_sub_folder_costs_what_belongs_there_alone(
    make: Callable[..., DeliveryRun],
) -> None:
    """Before, the folder paused for ever: now those pictures fail with the reason, and the others are published."""
    delivery_run = make()
    (delivery_run.folder.output / "sub").write_bytes(b"theirs")
    refused = [delivery_run.deliver(f"sub/{name}.jpg", NEW) for name in "ab"]
    good = delivery_run.deliver("c.jpg", NEW)
    for job in refused:
        failed = delivery_run.job(job)
        assert (failed.state, failed.detail["failure"]["code"]) == (JobState.FAILED, "NameRefused")
        assert (delivery_run.folder.output / "failed" / f"{job.path}.error.json").exists()
    assert (delivery_run.job(good).state, delivery_run.delivery.breaker.why) == (JobState.DONE, "")
    assert delivery_run.files() == {"sub": b"theirs", "c.png": NEW}
    assert delivery_run.staged() == []
    (delivery_run.folder.output / "sub").unlink()
    delivery_run.journal.queue.retry(None)
    for job in refused:
        delivery_run.deliver(job.path, NEW)
    assert delivery_run.files() == {"sub/a.png": NEW, "sub/b.png": NEW, "c.png": NEW}


def test_a_plan_that_is_written_down_is_carried_out_however_long_it_takes(
    make: Callable[..., DeliveryRun],
) -> None:
    """The share is away between the plan and the renames, twice; meanwhile others are published."""
    delivery_run = make(faults=[StorageError("away"), StorageError("away")])
    job = delivery_run.begin()
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.PUBLISHING
    assert delivery_run.files() == {}
    assert delivery_run.staged() == ["1-0.png", "1.json"]
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    delivery_run.settle()
    delivery_run.deliver("b.jpg", OLD)
    assert delivery_run.files() == {"b.png": OLD}
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    until(lambda: delivery_run.job(job).state is JobState.DONE, "the resting plan")
    assert delivery_run.files() == {"a.png": NEW, "b.png": OLD}


def test_a_publication_the_journal_cannot_note_is_noted_later_and_not_made_twice(
    make: Callable[..., DeliveryRun],
) -> None:
    """The journal's disk refuses just when all results have their names."""

    def refuse(_: Plan) -> None:
        other.execute("BEGIN IMMEDIATE")

    delivery_run = make(faults=[refuse])
    delivery_run.journal.store.rows("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(delivery_run.root / FILE_NAME, isolation_level=None, check_same_thread=False)
    job = delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.files() == {"a.png": NEW}
    other.execute("COMMIT")
    other.close()
    assert delivery_run.job(job).state is JobState.PUBLISHING
    assert delivery_run.results == []
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    until(lambda: delivery_run.job(job).state is JobState.DONE, "the second try")
    assert delivery_run.files() == {"a.png": NEW}
    until(lambda: delivery_run.results, "the result to be told")
    assert [result.state for result in delivery_run.results] == [JobState.DONE]
    assert delivery_run.staged() == []


def test_a_stop_leaves_what_rests_to_the_next_start(make: Callable[..., DeliveryRun]) -> None:
    """Its staged files are not swept."""
    delivery_run = make(faults=[StorageError("away")])
    job = delivery_run.begin()
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW))
    delivery_run.settle()
    delivery_run.end()
    assert delivery_run.staged() == ["1-0.png", "1.json"]
    again = make(run="run-2")
    _repair(again)
    assert again.job(job).state is JobState.DONE
    assert again.files() == {"a.png": NEW}


def test_a_strangers_file_that_takes_the_name_at_the_last_moment_keeps_it(
    make: Callable[..., DeliveryRun],
) -> None:
    """The result is planned again, under another name."""

    def intrude(_: Plan) -> None:
        (delivery_run.folder.output / "a.png").write_bytes(b"theirs")

    delivery_run = make(faults=[intrude])
    job = delivery_run.deliver("a.jpg", NEW)
    until(lambda: delivery_run.job(job).state is JobState.DONE, "the second plan")
    assert delivery_run.files() == {"a.png": b"theirs", "a-jpg.png": NEW}
    assert delivery_run.staged() == []


def test_a_result_that_is_gone_is_computed_again(make: Callable[..., DeliveryRun]) -> None:
    """Somebody has emptied the staging directory."""

    def clean(plan: Plan) -> None:
        for staged in plan.staged:
            (delivery_run.root / staged).unlink()

    delivery_run = make(faults=[clean])
    job = delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.job(job).state is JobState.QUEUED
    assert delivery_run.results == []
    delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.files() == {"a.png": NEW}


def _repair(delivery_run: DeliveryRun) -> None:
    """Repair the plans of ended sessions, as the daemon does when it starts."""
    for job in delivery_run.journal.queue.recover():
        delivery_run.delivery.repair(job)
    delivery_run.delivery.sweep(delivery_run.journal.sessions.begin())
    delivery_run.settle()


def _crash(make: Callable[..., DeliveryRun], renames: int) -> tuple[Job, DeliveryRun]:
    """Run a delivery that dies once this many results have their names, and start the next one."""

    def die(plan: Plan) -> None:
        for move in plan.moves[:renames]:
            moves.carry_out(move, Access())
        raise Power

    delivery_run = make(faults=[die], rendition=[{}, {"suffix": "_2"}])
    delivery_run.journal.sessions.begin()
    job = delivery_run.begin()
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW, OLD))
    until(lambda: delivery_run.delivery.failure is not None, "the crash")
    assert isinstance(delivery_run.delivery.failure, Power)
    assert delivery_run.job(job).state is JobState.PUBLISHING
    delivery_run.journal.close()
    return job, make(run="run-2", rendition=[{}, {"suffix": "_2"}])


@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_a_crash_amid_a_publication_is_finished_by_the_next_start(
    make: Callable[..., DeliveryRun], renames: int
) -> None:
    """At any point; nothing is computed again, duplicated or left over."""
    job, delivery_run = _crash(make, renames)
    _repair(delivery_run)
    assert delivery_run.files() == {"a.png": NEW, "a_2.png": OLD}
    assert delivery_run.job(job).state is JobState.DONE
    assert delivery_run.journal.reservations.published_sha256(NAME, "a.jpg") == digest(JPEG)
    assert len(delivery_run.journal.reservations.earlier(NAME, "a.jpg")) == 2
    assert [result.state for result in delivery_run.results] == [JobState.DONE]
    assert delivery_run.staged() == []
    assert not (delivery_run.folder.output / STAGING_NAME / "run-1").exists()


def test_a_crash_that_lost_a_result_is_undone_and_known(make: Callable[..., DeliveryRun]) -> None:
    """Results that have their names are not published twice."""
    job, delivery_run = _crash(make, 1)
    (delivery_run.folder.output / STAGING_NAME / "run-1.own" / f"{job.id}-1.png").unlink()
    _repair(delivery_run)
    assert delivery_run.job(job).state is JobState.QUEUED
    assert [one.path for one in delivery_run.journal.reservations.earlier(NAME, "a.jpg")] == ["a.png"]
    delivery_run.deliver("a.jpg", b"computed otherwise", OLD)
    assert delivery_run.files() == {"a.png": b"computed otherwise", "a_2.png": OLD}


def test_a_repair_waits_for_a_share_that_is_away(make: Callable[..., DeliveryRun]) -> None:
    """No file is swept before."""
    job, delivery_run = _crash(make, 1)
    away = delivery_run.folder.output.rename(delivery_run.root / "away")
    _repair(delivery_run)
    assert delivery_run.job(job).state is JobState.PUBLISHING
    away.rename(delivery_run.folder.output)
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    until(lambda: delivery_run.job(job).state is JobState.DONE, "the repair")
    assert delivery_run.files() == {"a.png": NEW, "a_2.png": OLD}


def test_staged_files_of_dead_runs_are_swept_and_those_of_others_are_not(
    make: Callable[..., DeliveryRun],
) -> None:
    """Another machine may work on the same share."""
    delivery_run = make()
    for run in ("dead", "dead.own", "another-machines", "another-machines.own"):
        staging = delivery_run.folder.output / STAGING_NAME / run
        staging.mkdir()
        (staging / "9-0.png").write_bytes(b"half")
    delivery_run.delivery.sweep(frozenset({"dead"}))
    delivery_run.settle()
    left = sorted(path.name for path in (delivery_run.folder.output / STAGING_NAME).iterdir())
    assert left == ["another-machines", "another-machines.own", "run-1", "run-1.own"]


def test_a_stop_leaves_nothing_staged(make: Callable[..., DeliveryRun]) -> None:
    """Of pictures that were in work when the workers ended."""
    delivery_run = make()
    job = delivery_run.begin()
    delivery_run.cut(job, NEW)
    delivery_run.end()
    assert not (delivery_run.folder.output / STAGING_NAME).exists()


def test_an_original_is_moved_once_its_cutout_is_done(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Mirrored, with its bytes."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "originals"))
    delivery_run.deliver("sub/a.jpg", NEW)
    assert not (delivery_run.folder.input / "sub/a.jpg").exists()
    assert (tmp_path / "originals/sub/a.jpg").read_bytes() == JPEG


def test_an_original_is_deleted_once_its_cutout_is_done(make: Callable[..., DeliveryRun]) -> None:
    """The folder is configured to delete originals."""
    delivery_run = make(originals="delete")
    delivery_run.deliver("a.jpg", NEW)
    assert not (delivery_run.folder.input / "a.jpg").exists()
    assert delivery_run.files() == {"a.png": NEW}


@pytest.mark.parametrize("originals", ["move", "delete"])
@pytest.mark.parametrize("name", ["a", "a.jpg.txt", "a.dat"])
def test_an_original_whose_name_is_no_pictures_stays(
    make: Callable[..., DeliveryRun], tmp_path: Path, originals: str, name: str
) -> None:
    """Whatever its content, it may be the file of a program; it is cut, and then ignored."""
    place = {"originals_dir": str(tmp_path / "originals")} if originals == "move" else {}
    delivery_run = make(originals=originals, **place)
    job = delivery_run.deliver(name, NEW)
    assert delivery_run.job(job).state is JobState.DONE
    assert (delivery_run.folder.input / name).read_bytes() == JPEG
    assert not delivery_run.journal.queue.cleanup_pending(delivery_run.folder.name)


@pytest.mark.parametrize("originals", ["move", "delete"])
def test_an_original_that_changed_meanwhile_is_not_touched(
    make: Callable[..., DeliveryRun], tmp_path: Path, originals: str
) -> None:
    """The file is a newer version, which was not cut."""
    place = {"originals_dir": str(tmp_path / "originals")} if originals == "move" else {}
    delivery_run = make(originals=originals, **place)
    job = delivery_run.begin()
    report = delivery_run.cut(job, NEW)
    (delivery_run.folder.input / "a.jpg").write_bytes(b"newer")
    delivery_run.delivery.deliver(job, report)
    delivery_run.settle()
    assert (delivery_run.folder.input / "a.jpg").read_bytes() == b"newer"
    assert delivery_run.job(job).state is JobState.DONE


def test_an_original_that_cannot_be_moved_is_moved_as_soon_as_possible(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Its cutout is done all the same."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "originals"))
    (tmp_path / "originals").rmdir()
    job = delivery_run.deliver("a.jpg", NEW)
    assert (delivery_run.folder.input / "a.jpg").exists()
    assert delivery_run.job(job).state is JobState.DONE
    assert [result.state for result in delivery_run.results] == [JobState.DONE]
    (tmp_path / "originals").mkdir()
    delivery_run.clock.advance(StorageError.delay_s + 1)
    delivery_run.poke()
    until(lambda: not delivery_run.journal.queue.cleanup_pending(NAME), "the original to go")
    assert (tmp_path / "originals/a.jpg").read_bytes() == JPEG


def test_an_original_that_could_not_be_moved_is_moved_after_the_next_start(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """The journal remembers that it is still there."""
    given = {"originals": "move", "originals_dir": str(tmp_path / "originals")}
    delivery_run = make(**given)
    (tmp_path / "originals").rmdir()
    job = delivery_run.deliver("a.jpg", NEW)
    delivery_run.end()
    again = make(run="run-2", **given)
    (left,) = again.journal.queue.cleanup_pending(NAME)
    assert left.id == job.id
    again.delivery.clean_up(left)
    again.settle()
    assert (tmp_path / "originals/a.jpg").read_bytes() == JPEG
    assert again.journal.queue.cleanup_pending(NAME) == []


@pytest.mark.parametrize("originals", ["keep", "delete"])
def test_a_source_that_is_unchanged_ends_like_a_published_one(
    make: Callable[..., DeliveryRun], originals: str
) -> None:
    """An earlier failure is over, and the original is moved or deleted as set."""
    delivery_run = make(originals=originals)
    delivery_run.deliver("a.jpg", NEW)
    delivery_run.delivery.fail(delivery_run.begin(content=JPEG + b", once broken"), FAILURE)
    delivery_run.settle()
    job = delivery_run.begin()
    delivery_run.delivery.deliver_unchanged(job, digest(JPEG))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.UNCHANGED
    assert not (delivery_run.folder.output / "failed" / "a.jpg.error.json").exists()
    assert (delivery_run.folder.input / "a.jpg").exists() is (originals == "keep")
    assert delivery_run.results[-1].state is JobState.UNCHANGED


def test_a_worker_cannot_declare_a_source_unchanged(make: Callable[..., DeliveryRun]) -> None:
    """Otherwise a lie would delete an original that was never cut."""
    delivery_run = make(originals="delete")
    job = delivery_run.begin()
    delivery_run.delivery.deliver_unchanged(job, digest(JPEG))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.FAILED
    assert (delivery_run.folder.input / "a.jpg").exists()


@pytest.mark.parametrize("renditions", [[], [0, 0], [-1], [1], [-2], [0, -1, -1]])
def test_a_cutout_has_exactly_the_configured_renditions(
    make: Callable[..., DeliveryRun], renditions: list[int]
) -> None:
    """No fewer, since the original may be deleted; and no more, as a hostile worker may invent."""
    delivery_run = make(originals="delete")
    job = delivery_run.begin()
    honest = delivery_run.cut(job, *[NEW] * len(renditions))
    staged = [replace(one, rendition=number) for one, number in zip(honest.staged, renditions, strict=True)]
    delivery_run.delivery.deliver(job, replace(honest, staged=tuple(staged)))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.FAILED
    assert delivery_run.files() == {}
    assert (delivery_run.folder.input / "a.jpg").exists()


def test_two_sources_of_one_name_get_two_results(make: Callable[..., DeliveryRun]) -> None:
    """By the claims in the journal."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", NEW)
    delivery_run.deliver("a.tif", OLD)
    assert delivery_run.files() == {"a.png": NEW, "a-tif.png": OLD}
    assert states(delivery_run.journal) == {"a.jpg": JobState.DONE, "a.tif": JobState.DONE}


def test_a_job_that_cannot_even_be_given_up_does_not_end_the_thread(make: Callable[..., DeliveryRun]) -> None:
    """In the journal it stays with this run, so that the next one resumes it."""
    delivery_run = make()
    job = delivery_run.begin()
    report = delivery_run.cut(job, NEW)
    delivery_run.journal.close()
    delivery_run.delivery.deliver(job, report)
    until(lambda: delivery_run.delivery.is_idle, "the delivery to go on")
    assert delivery_run.delivery.failure is None


@pytest.mark.parametrize("rendition", [7, -2])
def test_a_rendition_that_was_not_requested_does_not_end_the_daemon(
    make: Callable[..., DeliveryRun], rendition: int
) -> None:
    """A worker reads hostile pictures; its report can cost its own job at most."""
    delivery_run = make()
    job = delivery_run.deliver("a.jpg", NEW, rendition=rendition)
    assert delivery_run.job(job).state is not JobState.DONE
    assert delivery_run.files() == {}


@pytest.mark.parametrize("originals", ["delete", "move"])
def test_another_shot_under_a_used_camera_name_is_another_picture(
    make: Callable[..., DeliveryRun], tmp_path: Path, originals: str
) -> None:
    """The first original was moved away, so its cutout stays, and so do those of the third and the fourth."""
    delivery_run = make(
        originals=originals, originals_dir=str(tmp_path / "originals") if originals == "move" else ""
    )
    shots = [JPEG + bytes([number]) for number in range(4)]
    for number, shot in enumerate(shots):
        delivery_run.deliver("DSC_9999.jpg", b"cutout %d" % number, source=shot)
        assert not (delivery_run.folder.input / "DSC_9999.jpg").exists()
    names = ["DSC_9999.png", "DSC_9999-2.png", "DSC_9999-3.png", "DSC_9999-4.png"]
    assert [(delivery_run.folder.output / name).read_bytes() for name in names] == [
        b"cutout %d" % number for number in range(4)
    ]
    documents = [json.loads((delivery_run.folder.output / f"{name}.json").read_text()) for name in names]
    assert [one["source"]["sha256"] for one in documents] == [digest(shot) for shot in shots]


def test_pictures_of_a_used_name_are_numbered_after_the_first_ones_result(
    make: Callable[..., DeliveryRun],
) -> None:
    """Its name may contain its kind, or belong to another file by now; a later version keeps its number."""
    delivery_run = make(originals="delete")
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
        delivery_run.deliver(name, b"cutout %d" % number, source=JPEG + bytes([number]))
    expected = ["a.png", "a-tif.png", "a-tif-2.png", "a-2.png", "a-3.png", "A-jpg.png", "a-4.png"]
    assert delivery_run.files() == {name: b"cutout %d" % number for number, name in enumerate(expected, 1)}


def test_a_later_version_of_a_numbered_picture_replaces_its_result(make: Callable[..., DeliveryRun]) -> None:
    """The name is one that it could have been given, also for a rebuilt journal."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    (delivery_run.folder.input / "a.jpg").unlink()
    delivery_run.journal.sources.note_places(NAME, {"a.jpg": delivery_run.clock.now_us()})
    delivery_run.deliver("a.jpg", NEW, source=JPEG + b"2")
    assert delivery_run.files() == {"a.png": OLD, "a-2.png": NEW}
    delivery_run.deliver("a.jpg", b"newer", source=JPEG + b"2 and more")
    assert delivery_run.files() == {"a.png": OLD, "a-2.png": b"newer"}
    records = Records(
        FolderIdentity(NAME),
        output=delivery_run.folder.output,
        sidecar_dir=None,
        renditions=delivery_run.folder.recipe().renditions,
    )
    assert {one.path for record in records for one in record.published} == {"a.png", "a-2.png"}


def test_the_same_bytes_under_a_used_name_are_known_and_no_new_version(
    make: Callable[..., DeliveryRun],
) -> None:
    """A card that is read twice costs only a comparison, and the new original is deleted as well."""
    delivery_run = make(originals="delete")
    delivery_run.deliver("a.jpg", OLD)
    job = delivery_run.begin("a.jpg")
    assert job.generation == 1
    delivery_run.delivery.deliver_unchanged(job, digest(JPEG))
    delivery_run.settle()
    assert not (delivery_run.folder.input / "a.jpg").exists()
    assert {one.generation for one in Reader(delivery_run.journal.store).jobs()} == {0}
    assert [path.name for path in delivery_run.folder.output.glob("*.png")] == ["a.png"]


def dropped_again(delivery_run: DeliveryRun, content: bytes = JPEG) -> Job:
    """Let a missing picture return, whose bytes a worker recognises."""
    delivery_run.journal.sources.note_places(NAME, {"a.jpg": delivery_run.clock.now_us()})
    job = delivery_run.begin("a.jpg", content)
    assert job.generation == 1
    delivery_run.delivery.deliver_unchanged(job, digest(content), "i" * 64)
    delivery_run.settle()
    return job


@pytest.mark.parametrize("left", ["nothing", "the sidecar"])
@pytest.mark.parametrize("originals", ["keep", "delete"])
def test_a_picture_that_returns_is_cut_again_if_its_cutout_was_removed(
    make: Callable[..., DeliveryRun], left: str, originals: str
) -> None:
    """Under its former names; before, it counted as unchanged, and nothing appeared."""
    delivery_run = make(originals=originals)
    delivery_run.deliver("a.jpg", OLD)
    (delivery_run.folder.output / "a.png").unlink()
    if left == "nothing":
        (delivery_run.folder.output / "a.png.json").unlink()
    (delivery_run.folder.input / "a.jpg").unlink(missing_ok=True)
    job = dropped_again(delivery_run)
    assert delivery_run.job(job).state is JobState.QUEUED
    assert (
        delivery_run.journal.reservations.last_published(NAME, "a.jpg") is None
    )  # the worker is told of no result
    (delivery_run.folder.input / "a.jpg").unlink()
    delivery_run.journal.gone(delivery_run.job(job), "it vanished before its turn")
    delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.files() == {"a.png": NEW}
    assert json.loads((delivery_run.folder.output / "a.png.json").read_text())["source"]["sha256"] == digest(
        JPEG
    )
    assert delivery_run.results[-1].state is JobState.DONE


def test_a_picture_that_returns_keeps_its_cutout(make: Callable[..., DeliveryRun]) -> None:
    """Also one that was retouched; and the event names it."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    (delivery_run.folder.output / "a.png").write_bytes(b"painted into")
    job = dropped_again(delivery_run)
    assert delivery_run.job(job).state is JobState.UNCHANGED
    assert delivery_run.results[-1].outputs == (str(delivery_run.folder.output / "a.png"),)
    assert delivery_run.files() == {"a.png": b"painted into"}


def test_a_removed_cutout_is_not_made_again_for_a_picture_that_stays(
    make: Callable[..., DeliveryRun],
) -> None:
    """Touched, or back with other metadata; the event says how to get it."""
    delivery_run = make()
    cut_with_image_hash(delivery_run)
    (delivery_run.folder.output / "a.png").unlink()
    job = delivery_run.begin("a.jpg", JPEG)
    assert job.generation == 0
    delivery_run.delivery.deliver_unchanged(job, digest(JPEG))
    delivery_run.settle()
    rated_again = dropped_again(delivery_run, JPEG + b"*")
    assert [delivery_run.job(one).state for one in (job, rated_again)] == [JobState.UNCHANGED] * 2
    assert "retry" in delivery_run.results[-1].why
    assert delivery_run.files() == {}


def test_an_output_that_is_away_does_not_count_as_a_removed_cutout(make: Callable[..., DeliveryRun]) -> None:
    """The job waits, as a result would."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    delivery_run.folder.output.rename(delivery_run.root / "away")
    job = dropped_again(delivery_run)
    assert delivery_run.job(job).state is JobState.WORKING
    (delivery_run.root / "away").rename(delivery_run.folder.output)
    delivery_run.delivery.retry_now()
    until(lambda: delivery_run.job(job).state is JobState.UNCHANGED, "the job to go on")


def test_a_source_that_the_journal_has_forgotten_still_has_its_result(
    make: Callable[..., DeliveryRun],
) -> None:
    """History is limited in time; the sidecar says to which shot the result belongs."""
    delivery_run = make(originals="delete")
    delivery_run.deliver("a.jpg", OLD)
    delivery_run.journal.history.forget(NAME, ["a.jpg"])
    delivery_run.deliver("a.jpg", NEW, source=JPEG + b"another shot")
    assert (delivery_run.folder.output / "a.png").read_bytes() == OLD
    assert (delivery_run.folder.output / "a-jpg.png").read_bytes() == NEW


def test_an_original_that_was_replaced_by_one_of_equal_size_and_time_is_cut(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same size and time but other bytes: it is not removed, and the next scan accepts it."""
    delivery_run = make(originals="delete")
    job = delivery_run.begin("a.jpg")
    path = delivery_run.folder.input / "a.jpg"
    carry_out = delivery_run.publisher.carry_out

    def and_replaced(plan: Plan) -> None:
        carry_out(plan)
        status = path.stat()
        path.write_bytes(JPEG[::-1])
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))

    monkeypatch.setattr(delivery_run.publisher, "carry_out", and_replaced)
    delivery_run.delivery.deliver(job, delivery_run.cut(job, OLD))
    delivery_run.settle()
    assert path.read_bytes() == JPEG[::-1]
    assert not delivery_run.journal.sources.is_known(NAME, job.version)
    afresh = Sources(delivery_run.journal.store, delivery_run.clock)
    assert not afresh.is_known(NAME, job.version)
    (again,) = delivery_run.journal.sources.accept(NAME, [job.version])
    job_again = Reader(delivery_run.journal.store).job(again)
    assert job_again is not None
    assert job_again.generation == 0


def rated(delivery_run: DeliveryRun, content: bytes) -> Job:
    """Write a rating into the picture, and let a worker find nothing else changed."""
    job = delivery_run.begin("a.jpg", content)
    delivery_run.delivery.deliver_unchanged(job, digest(content), "i" * 64)
    delivery_run.settle()
    return job


def cut_with_image_hash(delivery_run: DeliveryRun) -> Job:
    """Cut a picture, with a hash of its image data apart from its metadata."""
    job = delivery_run.begin("a.jpg")
    cut = delivery_run.cut(job, OLD)
    delivery_run.delivery.deliver(job, replace(cut, source=replace(cut.source, image_sha256="i" * 64)))
    delivery_run.settle()
    return job


def test_a_rating_written_into_a_picture_does_not_cut_it_again(make: Callable[..., DeliveryRun]) -> None:
    """Again and again; its new bytes are known from then on."""
    delivery_run = make()
    cut_with_image_hash(delivery_run)
    for stars in (b"*", b"**"):
        job = rated(delivery_run, JPEG + stars)
        assert delivery_run.job(job).state is JobState.UNCHANGED
        assert delivery_run.job(job).sha256 == digest(JPEG + stars)
        last = delivery_run.journal.reservations.last_published(NAME, "a.jpg")
        assert last is not None
        assert (last.sha256, last.image_sha256) == (digest(JPEG + stars), "i" * 64)
    assert delivery_run.files() == {"a.png": OLD}
    delivery_run.deliver("a.jpg", NEW, source=JPEG + b"another picture")
    assert delivery_run.files() == {"a.png": NEW}


def test_an_original_with_a_new_rating_is_moved_away_by_its_own_hash(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """The rated file is moved; a file that has changed once more stays, and is examined."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "originals"))
    cut_with_image_hash(delivery_run)
    rated(delivery_run, JPEG + b"*")
    assert not (delivery_run.folder.input / "a.jpg").exists()
    kept = sorted(path.read_bytes() for path in (tmp_path / "originals").glob("a*.jpg"))
    assert kept == [JPEG, JPEG + b"*"]
    assert delivery_run.files() == {"a.png": OLD}


def test_a_worker_cannot_call_a_picture_known_that_is_not(make: Callable[..., DeliveryRun]) -> None:
    """Neither its bytes nor its image data are those of the published one."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    job = delivery_run.begin("a.jpg", JPEG + b"*")
    delivery_run.delivery.deliver_unchanged(job, digest(JPEG + b"*"), "i" * 64)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.FAILED


def test_a_cutout_that_gets_another_name_has_the_reason_in_its_sidecar(
    make: Callable[..., DeliveryRun],
) -> None:
    """In its sidecar and in the event. Before, nothing said why it was not `a.png`."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    (delivery_run.folder.output / "a.png").write_bytes(b"painted into")
    delivery_run.deliver("a.jpg", NEW, source=JPEG * 2)
    delivery_run.deliver("a.tif", NEW, source=JPEG * 3)
    (delivery_run.folder.output / "b.png").write_bytes(b"somebody else's")
    delivery_run.deliver("b.jpg", NEW, source=JPEG * 4)
    wanted = {
        "a-jpg.png": "a.png was changed by hand and stays, so this cutout is a-jpg.png",
        "a-tif.png": "another cutout has the name a.png, so this cutout is a-tif.png",
        "b-jpg.png": "a file that is not ours has the name b.png, or its sidecar's, so this cutout is b-jpg.png",
    }
    warnings = {
        name: json.loads((delivery_run.folder.output / f"{name}.json").read_bytes())["warnings"]
        for name in wanted
    }
    assert warnings == {name: [why] for name, why in wanted.items()}
    assert [result.note for result in delivery_run.results] == ["", *wanted.values()]
