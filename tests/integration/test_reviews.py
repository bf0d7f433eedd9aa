"""A person's decision about a doubtful result is carried out once, completely, and also after a crash."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.errors import StorageError
from cutoutd.jobs import JobState, Quality
from cutoutd.journal.commands import ReviewDecision
from cutoutd.lease.lease import NotOwnerError
from cutoutd.publish import reviews
from tests.integration.desk import NEW, OLD, Desk, Power
from tests.integration.parts import JPEG, NAME, digest, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.jobs import Job

OVERLAY = b"what was cut away, veiled"
DOUBTFUL = {"review/a.png": NEW, "review/a-overlay.png": OVERLAY}


def doubtful(desk: Desk, name: str = "a.jpg", source: bytes = JPEG) -> Job:
    """Publish a doubtful cutout with its overlay in review/."""
    job = desk.begin(name, source)
    cut = desk.cut(job, OVERLAY, NEW, source=source, review=True, rendition=-1)
    desk.delivery.deliver(job, cut)
    desk.settle()
    assert desk.job(job).state is JobState.REVIEW
    return job


def decide(desk: Desk, job: Job, decision: ReviewDecision = ReviewDecision.ACCEPT) -> Job:
    """Carry out a person's decision; return the job afterwards."""
    decided = desk.journal.review_decisions.decide(job.id, decision)
    assert decided is not None
    desk.delivery.carry_out_decision(decided)
    desk.settle()
    return desk.job(job)


def sidecar(desk: Desk, name: str) -> dict[str, Any]:
    """Return a sidecar of the output."""
    content: dict[str, Any] = json.loads((desk.folder.output / name).read_bytes())
    return content


def test_an_accepted_result_gets_its_own_name_and_a_whole_sidecar(make: Callable[..., Desk]) -> None:
    """With the bytes that the person saw; review/ is empty, and the sidecar says who decided."""
    desk = make()
    job = doubtful(desk)
    assert desk.files() == DOUBTFUL
    before = next(path for path in (desk.folder.output / "review").glob("*.json"))
    doubt = json.loads(before.read_bytes())
    done = decide(desk, job)
    assert done.state is JobState.DONE
    assert desk.files() == {"a.png": NEW}
    assert list((desk.folder.output / "review").iterdir()) == []
    document = sidecar(desk, "a.png.json")
    assert document["outputs"] == [
        {"path": "a.png", "bytes": len(NEW), "sha256": digest(NEW), "width": 4, "height": 3, "format": "png"}
    ]
    assert document["quality"] == doubt["quality"] | {"doubtful": False}
    for key in ("source", "model", "runtime", "settings_sha256", "accepted_at", "job"):
        assert document[key] == doubt[key]
    assert "published as a person decided" in document["warnings"][-1]
    assert done.detail["model"] == doubt["model"]["name"]
    assert [one.path for one in desk.journal.reservations.earlier(NAME, "a.jpg")] == ["a.png"]
    assert [result.state for result in desk.results] == [JobState.REVIEW, JobState.DONE]
    assert desk.staged() == []


def test_an_accepted_result_keeps_the_facts_in_its_sidecar_and_the_journal(
    make: Callable[..., Desk],
) -> None:
    """The lowered quality, and the score; no timings, since no worker was involved."""
    desk = make()
    job = desk.begin()
    cut = desk.cut(job, OVERLAY, NEW, review=True, rendition=-1)
    lowered = tuple(replace(one, quality=71) if one.rendition == 0 else one for one in cut.staged)
    desk.delivery.deliver(job, replace(cut, staged=lowered, quality=Quality(score=0.25, reasons=())))
    desk.settle()
    done = decide(desk, job)
    assert sidecar(desk, "a.png.json")["outputs"][0]["quality"] == 71
    assert done.detail["score"] == 0.25
    assert "seconds" not in done.detail


def test_an_accepted_result_has_all_its_renditions_and_its_sidecar_elsewhere(
    make: Callable[..., Desk], tmp_path: Path
) -> None:
    """If sidecars have their own folder; nothing of the doubtful ones is left there either."""
    (tmp_path / "said").mkdir()
    desk = make(rendition=[{}, {"suffix": "_2"}], sidecar_dir=str(tmp_path / "said"))
    job = desk.begin()
    desk.delivery.deliver(job, desk.cut(job, OVERLAY, NEW, OLD, review=True, rendition=-1))
    desk.settle()
    decide(desk, job)
    assert desk.files() == {"a.png": NEW, "a_2.png": OLD}
    (sidecar_file,) = (path for path in (tmp_path / "said").rglob("*.json"))
    assert sidecar_file.name == "a.png.json"
    assert [one["path"] for one in json.loads(sidecar_file.read_bytes())["outputs"]] == ["a.png", "a_2.png"]


@pytest.mark.parametrize("spoil", ["gone", "changed"])
def test_an_accept_that_is_refused_leaves_nothing_staged(make: Callable[..., Desk], spoil: str) -> None:
    """Before, the first renditions were staged and then left there as large copies when the last one was found changed."""
    desk = make(rendition=[{}, {"suffix": "_2"}])
    job = desk.begin()
    desk.delivery.deliver(job, desk.cut(job, OVERLAY, NEW, OLD, review=True, rendition=-1))
    desk.settle()
    last = desk.folder.output / "review/a_2.png"
    last.unlink() if spoil == "gone" else last.write_bytes(b"retouched")
    assert desk.staged() == []
    assert "refused" in decide(desk, job).detail
    assert desk.staged() == []


def test_renditions_that_were_changed_since_are_not_mixed_up(make: Callable[..., Desk]) -> None:
    """The doubtful result waits, and may be cut again or rejected."""
    desk = make()
    job = doubtful(desk)
    desk.end()
    desk.journal.close()
    again = make(run="run-2", rendition=[{}, {"suffix": "_2"}])
    refused = decide(again, job)
    assert "renditions" in refused.detail["refused"]
    assert again.staged() == []
    assert again.files() == DOUBTFUL


def test_an_accepted_result_sends_its_original_away_as_any_other(
    make: Callable[..., Desk], tmp_path: Path
) -> None:
    """Not before it has its name."""
    desk = make(originals="move", originals_dir=str(tmp_path / "kept"))
    job = doubtful(desk)
    assert (desk.folder.input / "a.jpg").exists()
    decide(desk, job)
    assert (tmp_path / "kept" / "a.jpg").read_bytes() == JPEG
    assert not (desk.folder.input / "a.jpg").exists()


def test_an_accepted_result_never_takes_a_strangers_name(make: Callable[..., Desk]) -> None:
    """The result gets the next free name, like any other."""
    desk = make()
    job = doubtful(desk)
    (desk.folder.output / "a.png").write_bytes(b"theirs")
    decide(desk, job)
    assert desk.files() == {"a.png": b"theirs", "a-jpg.png": NEW}


def test_an_accepted_result_takes_its_own_earlier_ones_place(make: Callable[..., Desk]) -> None:
    """The good result of an earlier version is replaced, once."""
    desk = make()
    desk.deliver("a.jpg", OLD, source=JPEG + b"1")
    job = doubtful(desk, source=JPEG + b"22")
    assert desk.files() == {"a.png": OLD} | DOUBTFUL
    decide(desk, job)
    assert desk.files() == {"a.png": NEW}


@pytest.mark.parametrize("how", ["changed", "removed", "sidecar changed", "sidecar removed", "a link"])
def test_a_changed_result_is_not_accepted(make: Callable[..., Desk], how: str) -> None:
    """The result stays, the person is told the reason, and may decide again."""
    desk = make()
    job = doubtful(desk)
    target = desk.folder.output / "review" / "a.png"
    (record,) = (desk.folder.output / "review").glob("*.json")
    match how:
        case "changed":
            target.write_bytes(b"retouched")
        case "removed":
            target.unlink()
        case "a link":
            target.unlink()
            target.symlink_to("/etc/hostname")
        case "sidecar changed":
            record.write_text(record.read_text().replace(digest(JPEG), "0" * 64))
        case _:
            record.unlink()
    refused = decide(desk, job)
    assert refused.state is JobState.REVIEW
    assert refused.detail["refused"]
    assert "decision" not in refused.detail
    assert not (desk.folder.output / "a.png").exists()
    assert desk.staged() == []
    if how == "changed":
        assert target.read_bytes() == b"retouched"
    rejected = decide(desk, job, ReviewDecision.REJECT)
    assert rejected.state is JobState.FAILED
    assert os.path.lexists(target) is (how in ("changed", "a link"))


def test_a_rejected_result_is_removed_and_its_original_stays(make: Callable[..., Desk]) -> None:
    """The job counts as failed, with the reason.

    `retry --failed` leaves it out, `retry` with its number does not.
    """
    desk = make(originals="delete")
    job = doubtful(desk)
    rejected = decide(desk, job, ReviewDecision.REJECT)
    assert rejected.state is JobState.FAILED
    assert rejected.detail["failure"]["code"] == "Rejected"
    assert "no subject" in rejected.detail["failure"]["cause"]
    assert desk.files() == {}
    assert (desk.folder.input / "a.jpg").read_bytes() == JPEG
    assert sidecar(desk, "failed/a.jpg.error.json")["title"] == "Rejected in review"
    assert desk.journal.reservations.published_sha256(NAME, "a.jpg") is None
    assert desk.journal.queue.retry(None) == 0
    assert desk.journal.queue.retry(job.id) == 1


def test_a_decision_about_a_finished_or_retried_job_is_ignored(make: Callable[..., Desk]) -> None:
    """The job is done, replaced by a newer version, or was retried meanwhile."""
    desk = make()
    done = desk.deliver("b.jpg", NEW)
    assert desk.journal.review_decisions.decide(done.id, ReviewDecision.ACCEPT) is None
    job = doubtful(desk)
    assert desk.journal.review_decisions.decide(job.id, ReviewDecision.ACCEPT) is not None
    desk.journal.queue.retry(job.id)
    desk.delivery.carry_out_decision(job)
    desk.settle()
    assert desk.job(job).state is JobState.QUEUED
    assert desk.files() == {"b.png": NEW} | DOUBTFUL
    newer = doubtful(desk, source=JPEG + b"newer")
    assert desk.journal.review_decisions.decide(job.id, ReviewDecision.REJECT) is None
    assert desk.journal.review_decisions.decide(newer.id, ReviewDecision.REJECT) is not None


@pytest.mark.parametrize("decision", [ReviewDecision.ACCEPT, ReviewDecision.REJECT])
@pytest.mark.parametrize("when", ["before", "amid", "after the names", "while clearing"])
def test_a_crash_at_any_step_is_repaired_by_the_next_start(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, decision: ReviewDecision, when: str
) -> None:
    """One result, or none; nothing is left in review/, nothing is staged."""
    faults: list[Any] = []
    desk = make(faults=faults)
    job = doubtful(desk)
    clear = reviews.Reviews.clear

    def dies(self: reviews.Reviews, *arguments: Any) -> None:  # noqa: ANN401 -- as of clear
        if when == "while clearing":
            clear(self, *arguments)
        raise Power

    if when == "amid":
        faults.append(Power())
    if when in ("after the names", "while clearing") or (
        when == "amid" and decision is ReviewDecision.REJECT
    ):
        monkeypatch.setattr(reviews.Reviews, "clear", dies)
    decided = desk.journal.review_decisions.decide(job.id, decision)
    assert decided is not None
    if when != "before":
        desk.delivery.carry_out_decision(decided)
        until(lambda: desk.delivery.failure is not None, "the crash")
    monkeypatch.setattr(reviews.Reviews, "clear", clear)
    desk.journal.close()
    again = make(run="run-2")
    for unfinished in again.journal.queue.recover():
        again.delivery.repair(unfinished)
    again.delivery.sweep(frozenset({"run-1"}))
    for waiting in again.journal.review_decisions.pending(NAME):
        again.delivery.carry_out_decision(waiting)
    again.settle()
    if decision is ReviewDecision.ACCEPT:
        assert again.job(job).state is JobState.DONE
        assert again.files() == {"a.png": NEW}
        assert sidecar(again, "a.png.json")["outputs"][0]["sha256"] == digest(NEW)
        assert again.job(job).detail["model"] == "m"
    else:
        assert again.job(job).state is JobState.FAILED
        assert again.files() == {}
    assert not list((again.folder.output / "review").glob("*"))
    assert again.staged() == []


def test_a_decision_waits_for_a_disk_that_refuses(make: Callable[..., Desk]) -> None:
    """The decision is carried out when the disk works again."""
    faults: list[Any] = []
    desk = make(faults=faults)
    job = doubtful(desk)
    faults += [StorageError("full"), StorageError("full")]
    decide(desk, job)
    assert desk.job(job).state is JobState.PUBLISHING
    for _ in range(3):
        desk.clock.advance(60)
        desk.poke()
        desk.settle()
    until(lambda: desk.job(job).state is JobState.DONE, "the publication")
    assert desk.files() == {"a.png": NEW}


@pytest.mark.parametrize("decision", [ReviewDecision.ACCEPT, ReviewDecision.REJECT])
def test_a_machine_that_lost_the_folder_decides_nothing(
    make: Callable[..., Desk], decision: ReviewDecision
) -> None:
    """The decision waits, and nothing of the doubtful result is lost."""
    desk = make()
    job = doubtful(desk)

    def refuse() -> None:
        raise NotOwnerError("another has it")

    desk.prove = refuse
    waiting = decide(desk, job, decision)
    assert (waiting.state, waiting.detail["decision"]) == (JobState.REVIEW, decision)
    assert desk.files() == DOUBTFUL
