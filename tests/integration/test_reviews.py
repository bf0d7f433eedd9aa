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
from tests.integration.delivery_run import NEW, OLD, DeliveryRun, Power, recovered
from tests.integration.parts import JPEG, NAME, digest, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.jobs import Job

OVERLAY = b"what was cut away, veiled"
DOUBTFUL = {"review/a.png": NEW, "review/a-overlay.png": OVERLAY}


def doubtful(delivery_run: DeliveryRun, name: str = "a.jpg", source: bytes = JPEG) -> Job:
    """Publish a doubtful cutout with its overlay in review/."""
    job = delivery_run.begin(name, source)
    cut = delivery_run.cut(job, OVERLAY, NEW, source=source, review=True, rendition=-1)
    delivery_run.delivery.deliver(job, cut)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.REVIEW
    return job


def decide(delivery_run: DeliveryRun, job: Job, decision: ReviewDecision = ReviewDecision.ACCEPT) -> Job:
    """Carry out a person's decision; return the job afterwards."""
    decided = delivery_run.journal.review_decisions.decide(job.id, decision)
    assert decided is not None
    delivery_run.delivery.carry_out_decision(decided)
    delivery_run.settle()
    return delivery_run.job(job)


def sidecar(delivery_run: DeliveryRun, name: str) -> dict[str, Any]:
    """Return a sidecar of the output."""
    content: dict[str, Any] = json.loads((delivery_run.folder.output / name).read_bytes())
    return content


def test_an_accepted_result_gets_its_own_name_and_a_whole_sidecar(make: Callable[..., DeliveryRun]) -> None:
    """With the bytes that the person saw; review/ is empty, and the sidecar says who decided."""
    delivery_run = make()
    job = doubtful(delivery_run)
    assert delivery_run.files() == DOUBTFUL
    before = next(path for path in (delivery_run.folder.output / "review").glob("*.json"))
    doubt = json.loads(before.read_bytes())
    done = decide(delivery_run, job)
    assert done.state is JobState.DONE
    assert delivery_run.files() == {"a.png": NEW}
    assert list((delivery_run.folder.output / "review").iterdir()) == []
    document = sidecar(delivery_run, "a.png.json")
    assert document["outputs"] == [
        {"path": "a.png", "bytes": len(NEW), "sha256": digest(NEW), "width": 4, "height": 3, "format": "png"}
    ]
    assert document["quality"] == doubt["quality"] | {"doubtful": False}
    for key in ("source", "model", "runtime", "settings_sha256", "accepted_at", "job"):
        assert document[key] == doubt[key]
    assert "published as a person decided" in document["warnings"][-1]
    assert done.detail["model"] == doubt["model"]["name"]
    assert [one.path for one in delivery_run.journal.reservations.earlier(NAME, "a.jpg")] == ["a.png"]
    assert [result.state for result in delivery_run.results] == [JobState.REVIEW, JobState.DONE]
    assert delivery_run.staged() == []


def test_an_accepted_result_keeps_the_facts_in_its_sidecar_and_the_journal(
    make: Callable[..., DeliveryRun],
) -> None:
    """The lowered quality, and the score; no timings, since no worker was involved."""
    delivery_run = make()
    job = delivery_run.begin()
    cut = delivery_run.cut(job, OVERLAY, NEW, review=True, rendition=-1)
    lowered = tuple(replace(one, quality=71) if one.rendition == 0 else one for one in cut.staged)
    delivery_run.delivery.deliver(job, replace(cut, staged=lowered, quality=Quality(score=0.25, reasons=())))
    delivery_run.settle()
    done = decide(delivery_run, job)
    assert sidecar(delivery_run, "a.png.json")["outputs"][0]["quality"] == 71
    assert done.detail["score"] == 0.25
    assert "seconds" not in done.detail


def test_an_accepted_result_has_all_its_renditions_and_its_sidecar_elsewhere(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """If sidecars have their own folder; nothing of the doubtful ones is left there either."""
    (tmp_path / "said").mkdir()
    delivery_run = make(rendition=[{}, {"suffix": "_2"}], sidecar_dir=str(tmp_path / "said"))
    job = delivery_run.begin()
    delivery_run.delivery.deliver(job, delivery_run.cut(job, OVERLAY, NEW, OLD, review=True, rendition=-1))
    delivery_run.settle()
    decide(delivery_run, job)
    assert delivery_run.files() == {"a.png": NEW, "a_2.png": OLD}
    (sidecar_file,) = (path for path in (tmp_path / "said").rglob("*.json"))
    assert sidecar_file.name == "a.png.json"
    assert [one["path"] for one in json.loads(sidecar_file.read_bytes())["outputs"]] == ["a.png", "a_2.png"]


@pytest.mark.parametrize("spoil", ["gone", "changed"])
def test_an_accept_that_is_refused_leaves_nothing_staged(
    make: Callable[..., DeliveryRun], spoil: str
) -> None:
    """Before, the first renditions were staged and then left there as large copies when the last one was found changed."""
    delivery_run = make(rendition=[{}, {"suffix": "_2"}])
    job = delivery_run.begin()
    delivery_run.delivery.deliver(job, delivery_run.cut(job, OVERLAY, NEW, OLD, review=True, rendition=-1))
    delivery_run.settle()
    last = delivery_run.folder.output / "review/a_2.png"
    last.unlink() if spoil == "gone" else last.write_bytes(b"retouched")
    assert delivery_run.staged() == []
    assert "refused" in decide(delivery_run, job).detail
    assert delivery_run.staged() == []


def test_renditions_that_were_changed_since_are_not_mixed_up(make: Callable[..., DeliveryRun]) -> None:
    """The doubtful result waits, and may be cut again or rejected."""
    delivery_run = make()
    job = doubtful(delivery_run)
    delivery_run.end()
    delivery_run.journal.close()
    again = make(run="run-2", rendition=[{}, {"suffix": "_2"}])
    refused = decide(again, job)
    assert "renditions" in refused.detail["refused"]
    assert again.staged() == []
    assert again.files() == DOUBTFUL


def test_an_accepted_result_sends_its_original_away_as_any_other(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Not before it has its name."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "kept"))
    job = doubtful(delivery_run)
    assert (delivery_run.folder.input / "a.jpg").exists()
    decide(delivery_run, job)
    assert (tmp_path / "kept" / "a.jpg").read_bytes() == JPEG
    assert not (delivery_run.folder.input / "a.jpg").exists()


def test_an_accepted_result_never_takes_a_strangers_name(make: Callable[..., DeliveryRun]) -> None:
    """The result gets the next free name, like any other."""
    delivery_run = make()
    job = doubtful(delivery_run)
    (delivery_run.folder.output / "a.png").write_bytes(b"theirs")
    decide(delivery_run, job)
    assert delivery_run.files() == {"a.png": b"theirs", "a-jpg.png": NEW}


def test_an_accepted_result_takes_its_own_earlier_ones_place(make: Callable[..., DeliveryRun]) -> None:
    """The good result of an earlier version is replaced, once."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD, source=JPEG + b"1")
    job = doubtful(delivery_run, source=JPEG + b"22")
    assert delivery_run.files() == {"a.png": OLD} | DOUBTFUL
    decide(delivery_run, job)
    assert delivery_run.files() == {"a.png": NEW}


@pytest.mark.parametrize("how", ["changed", "removed", "sidecar changed", "sidecar removed", "a link"])
def test_a_changed_result_is_not_accepted(make: Callable[..., DeliveryRun], how: str) -> None:
    """The result stays, the person is told the reason, and may decide again."""
    delivery_run = make()
    job = doubtful(delivery_run)
    target = delivery_run.folder.output / "review" / "a.png"
    (record,) = (delivery_run.folder.output / "review").glob("*.json")
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
    refused = decide(delivery_run, job)
    assert refused.state is JobState.REVIEW
    assert refused.detail["refused"]
    assert "decision" not in refused.detail
    assert not (delivery_run.folder.output / "a.png").exists()
    assert delivery_run.staged() == []
    if how == "changed":
        assert target.read_bytes() == b"retouched"
    rejected = decide(delivery_run, job, ReviewDecision.REJECT)
    assert rejected.state is JobState.FAILED
    assert os.path.lexists(target) is (how in ("changed", "a link"))


def test_a_rejected_result_is_removed_and_its_original_stays(make: Callable[..., DeliveryRun]) -> None:
    """The job counts as failed, with the reason.

    `retry --failed` leaves it out, `retry` with its number does not.
    """
    delivery_run = make(originals="delete")
    job = doubtful(delivery_run)
    rejected = decide(delivery_run, job, ReviewDecision.REJECT)
    assert rejected.state is JobState.FAILED
    assert rejected.detail["failure"]["code"] == "Rejected"
    assert "no subject" in rejected.detail["failure"]["cause"]
    assert delivery_run.files() == {}
    assert (delivery_run.folder.input / "a.jpg").read_bytes() == JPEG
    assert sidecar(delivery_run, "failed/a.jpg.error.json")["title"] == "Rejected in review"
    assert delivery_run.journal.reservations.published_sha256(NAME, "a.jpg") is None
    assert delivery_run.journal.queue.retry(None) == 0
    assert delivery_run.journal.queue.retry(job.id) == 1


def test_a_decision_about_a_finished_or_retried_job_is_ignored(make: Callable[..., DeliveryRun]) -> None:
    """The job is done, replaced by a newer version, or was retried meanwhile."""
    delivery_run = make()
    done = delivery_run.deliver("b.jpg", NEW)
    assert delivery_run.journal.review_decisions.decide(done.id, ReviewDecision.ACCEPT) is None
    job = doubtful(delivery_run)
    assert delivery_run.journal.review_decisions.decide(job.id, ReviewDecision.ACCEPT) is not None
    delivery_run.journal.queue.retry(job.id)
    delivery_run.delivery.carry_out_decision(job)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.QUEUED
    assert delivery_run.files() == {"b.png": NEW} | DOUBTFUL
    newer = doubtful(delivery_run, source=JPEG + b"newer")
    assert delivery_run.journal.review_decisions.decide(job.id, ReviewDecision.REJECT) is None
    assert delivery_run.journal.review_decisions.decide(newer.id, ReviewDecision.REJECT) is not None


@pytest.mark.parametrize("decision", [ReviewDecision.ACCEPT, ReviewDecision.REJECT])
@pytest.mark.parametrize("when", ["before", "amid", "after the names", "while clearing"])
def test_a_crash_at_any_step_is_repaired_by_the_next_start(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch, decision: ReviewDecision, when: str
) -> None:
    """One result, or none; nothing is left in review/, nothing is staged."""
    faults: list[Any] = []
    delivery_run = make(faults=faults)
    job = doubtful(delivery_run)
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
    decided = delivery_run.journal.review_decisions.decide(job.id, decision)
    assert decided is not None
    if when != "before":
        delivery_run.delivery.carry_out_decision(decided)
        until(lambda: delivery_run.delivery.failure is not None, "the crash")
    monkeypatch.setattr(reviews.Reviews, "clear", clear)
    again = recovered(delivery_run, make)
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


def test_a_decision_waits_for_a_disk_that_refuses(make: Callable[..., DeliveryRun]) -> None:
    """The decision is carried out when the disk works again."""
    faults: list[Any] = []
    delivery_run = make(faults=faults)
    job = doubtful(delivery_run)
    faults += [StorageError("full"), StorageError("full")]
    decide(delivery_run, job)
    assert delivery_run.job(job).state is JobState.PUBLISHING
    for _ in range(3):
        delivery_run.clock.advance(60)
        delivery_run.poke()
        delivery_run.settle()
    until(lambda: delivery_run.job(job).state is JobState.DONE, "the publication")
    assert delivery_run.files() == {"a.png": NEW}


@pytest.mark.parametrize("decision", [ReviewDecision.ACCEPT, ReviewDecision.REJECT])
def test_a_machine_that_lost_the_folder_decides_nothing(
    make: Callable[..., DeliveryRun], decision: ReviewDecision
) -> None:
    """The decision waits, and nothing of the doubtful result is lost."""
    delivery_run = make()
    job = doubtful(delivery_run)

    def refuse() -> None:
        raise NotOwnerError("another has it")

    delivery_run.prove = refuse
    waiting = decide(delivery_run, job, decision)
    assert (waiting.state, waiting.detail["decision"]) == (JobState.REVIEW, decision)
    assert delivery_run.files() == DOUBTFUL
