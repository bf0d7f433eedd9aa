"""A decision is undone: a published or rejected result is in review again, undecided, also after a crash."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.daemon import fixes
from cutoutd.job_detail import JobResult, failure_in
from cutoutd.jobs import JobState, Quality, Wanted
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.fix_request import FixAction, FixRequest
from cutoutd.publish import reviews
from tests.integration.delivery_run import NEW, OLD, Power, recovered
from tests.integration.parts import JPEG, NAME, until
from tests.integration.test_reviews import decide, doubtful, sidecar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.jobs import Job
    from tests.integration.delivery_run import DeliveryRun


def hold(delivery_run: DeliveryRun, job: Job) -> Job:
    """Undo a decision as a person does."""
    return decide(delivery_run, job, ReviewDecision.HOLD)


def test_an_accepted_result_is_in_review_again_and_can_be_decided_again(
    make: Callable[..., DeliveryRun],
) -> None:
    """With the same bytes; nothing is left under its own name, and the sidecar says what it said before."""
    delivery_run = make()
    job = doubtful(delivery_run)
    before = sidecar(delivery_run, "review/a-overlay.png.json")
    assert JobResult.of(decide(delivery_run, job)).accepted
    held = hold(delivery_run, job)
    assert held.state is JobState.REVIEW
    assert not JobResult.of(held).accepted
    assert (held.wanted, JobResult.of(held).decision) == (None, "")
    assert delivery_run.files() == {"review/a.png": NEW}
    assert [path.name for path in delivery_run.folder.output.glob("*.json")] == []
    document = sidecar(delivery_run, "review/a.png.json")
    assert document["quality"] == before["quality"]
    assert document["warnings"] == before["warnings"]
    assert held.detail["why"] == "no subject"
    assert [(one.path, one.review) for one in delivery_run.journal.reservations.earlier(NAME, "a.jpg")] == [
        ("review/a.png", True)
    ]
    assert delivery_run.staged() == []
    assert decide(delivery_run, job).state is JobState.DONE
    assert delivery_run.files() == {"a.png": NEW}


def test_a_result_that_was_never_doubtful_is_put_into_review(make: Callable[..., DeliveryRun]) -> None:
    """With all its renditions."""
    delivery_run = make(rendition=[{}, {"suffix": "_2"}])
    job = delivery_run.deliver("a.jpg", NEW, OLD)
    assert hold(delivery_run, job).state is JobState.REVIEW
    assert delivery_run.files() == {"review/a.png": NEW, "review/a_2.png": OLD}
    assert delivery_run.job(job).detail["why"] == "a person has put it back into review"
    rejected = failure_in(decide(delivery_run, job, ReviewDecision.REJECT))
    assert rejected is not None
    assert rejected.cause == "rejected in review"


@pytest.mark.parametrize("score", [0.25, 0.9])
def test_a_published_result_that_was_held_is_published_again_as_it_was(
    make: Callable[..., DeliveryRun], score: float
) -> None:
    """Doubtful or not, undecided, with its own warnings, and its original stays where it may be wrong."""
    delivery_run = make(originals="delete")
    job = delivery_run.begin()
    cut = replace(
        delivery_run.cut(job, NEW),
        quality=Quality(score=score, reasons=("no subject",)),
        warnings=("a worker's warning",),
    )
    is_doubtful = score < delivery_run.folder.doubtful_below
    delivery_run.delivery.deliver(job, cut)
    delivery_run.settle()
    before, detail = sidecar(delivery_run, "a.png.json"), delivery_run.job(job).detail
    assert before["quality"]["doubtful"] is is_doubtful
    assert (delivery_run.folder.input / "a.jpg").exists() is is_doubtful
    assert hold(delivery_run, job).state is JobState.REVIEW
    verb = ReviewDecision.REPUBLISH_DOUBTFUL if is_doubtful else ReviewDecision.REPUBLISH
    again = decide(delivery_run, job, verb)
    assert again.state is JobState.DONE
    assert again.detail == {name: value for name, value in detail.items() if name != "seconds"}
    document = sidecar(delivery_run, "a.png.json")
    del before["published_at"], document["published_at"]
    assert document == before
    assert delivery_run.results[-1].doubtful is is_doubtful
    assert (delivery_run.folder.input / "a.jpg").exists() is is_doubtful
    assert delivery_run.files() == {"a.png": NEW}
    assert delivery_run.staged() == []


@pytest.mark.parametrize("is_touched", [False, True])
def test_a_result_that_is_accepted_where_it_lies_is_right_in_its_sidecar_too(
    make: Callable[..., DeliveryRun], *, is_touched: bool
) -> None:
    """And may be wrong again once that is taken back. A result that somebody else has changed keeps its sidecar."""
    delivery_run = make()
    job = delivery_run.begin()
    cut = replace(delivery_run.cut(job, NEW), quality=Quality(score=0.25, reasons=("no subject",)))
    delivery_run.delivery.deliver(job, cut)
    delivery_run.settle()
    before = sidecar(delivery_run, "a.png.json")
    assert before["quality"]["doubtful"]
    if is_touched:
        (delivery_run.folder.output / "a.png").write_bytes(OLD)
    decisions = delivery_run.journal.review_decisions
    for change, doubtful_now in ((decisions.confirm, False), (decisions.doubt, True)):
        assert change(job.id)
        assert [one.id for one in decisions.sidecars_behind(delivery_run.folder.name)] == [job.id]
        delivery_run.delivery.tell_sidecar(job)
        delivery_run.settle()
        document = sidecar(delivery_run, "a.png.json")
        assert document["quality"].pop("doubtful") is (doubtful_now or is_touched)
        assert document == {**before, "quality": {"score": 0.25, "reasons": ["no subject"]}}
        assert decisions.sidecars_behind(delivery_run.folder.name) == []
    assert delivery_run.files() == {"a.png": OLD if is_touched else NEW}
    assert delivery_run.staged() == []


def test_the_notes_of_a_hold_stay_until_it_is_undone(make: Callable[..., DeliveryRun]) -> None:
    """A person held it back, it was accepted, and the acceptance is undone: it says what it said when it was held."""
    delivery_run = make()
    job = delivery_run.deliver("a.jpg", NEW)
    hold(delivery_run, job)
    before = sidecar(delivery_run, "review/a.png.json")
    detail = delivery_run.job(job).detail
    assert "back into review" in before["warnings"][-1]
    decide(delivery_run, job)
    assert hold(delivery_run, job).detail == detail
    document = sidecar(delivery_run, "review/a.png.json")
    assert (document["warnings"], document["quality"]) == (before["warnings"], before["quality"])


def test_a_cutout_whose_original_was_deleted_is_not_removed_by_a_rejection(
    make: Callable[..., DeliveryRun],
) -> None:
    """Accepted, undone and rejected: it stays in review, with the reason; once its original is back, it is removed."""
    delivery_run = make(originals="delete")
    job = doubtful(delivery_run)
    assert decide(delivery_run, job).state is JobState.DONE
    original = delivery_run.folder.input / "a.jpg"
    assert not original.exists()
    hold(delivery_run, job)
    kept = decide(delivery_run, job, ReviewDecision.REJECT)
    assert kept.state is JobState.REVIEW
    assert delivery_run.files() == {"review/a.png": NEW}
    assert "all that is left of the picture" in JobResult.of(kept).refused
    assert "retry" not in JobResult.of(kept).refused
    original.write_bytes(JPEG)
    assert decide(delivery_run, job, ReviewDecision.REJECT).state is JobState.FAILED
    assert delivery_run.files() == {}


def test_an_original_that_was_moved_away_by_us_is_there(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Its cutout is rejected, and can be cut again; a file under its name with other bytes is another picture."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "originals"))
    job = doubtful(delivery_run)
    decide(delivery_run, job)
    moved = tmp_path / "originals" / "a.jpg"
    assert moved.exists()
    hold(delivery_run, job)
    moved.write_bytes(b"another picture")
    assert decide(delivery_run, job, ReviewDecision.REJECT).state is JobState.REVIEW
    moved.write_bytes(JPEG)
    assert decide(delivery_run, job, ReviewDecision.REJECT).state is JobState.FAILED


def test_a_picture_cut_again_from_the_folder_for_originals_can_be_corrected(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Accepted, undone, rejected and undone again: in review, with its original in the folder for originals."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "originals"))
    job = doubtful(delivery_run)
    decide(delivery_run, job)
    delivery_run.journal.sources.note_places(NAME, {"a.jpg": 5})
    hold(delivery_run, job)
    decide(delivery_run, job, ReviewDecision.REJECT)
    hold(delivery_run, job)
    again = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert again is not None
    delivery_run.journal.queue.claim(again)
    delivery_run.delivery.deliver(again, delivery_run.cut(again, NEW, review=True))
    delivery_run.settle()
    held = delivery_run.job(job)
    assert held.state is JobState.REVIEW
    assert fixes.why_not(delivery_run.journal, held, FixRequest(job=job.id, action=FixAction.UNDO)) == ""


def test_a_rejected_one_is_cut_again_and_held_back_whatever_its_score(
    make: Callable[..., DeliveryRun],
) -> None:
    """Its files in review were removed, so a worker makes them again."""
    delivery_run = make()
    job = doubtful(delivery_run)
    assert decide(delivery_run, job, ReviewDecision.REJECT).state is JobState.FAILED
    queued = hold(delivery_run, job)
    assert (queued.state, queued.wanted, queued.forced) == (JobState.QUEUED, Wanted.HELD, True)
    delivery_run.journal.queue.put_back(job.id)  # for a reason that is not its own
    again = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert again is not None
    assert again.wanted is Wanted.HELD
    delivery_run.journal.queue.claim(again)
    delivery_run.delivery.deliver(again, delivery_run.cut(again, NEW, review=True))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.REVIEW
    assert delivery_run.job(job).wanted is None
    assert delivery_run.files() == {"review/a.png": NEW}


def test_a_decision_that_was_not_carried_out_is_withdrawn(make: Callable[..., DeliveryRun]) -> None:
    """Nothing was done, and nothing is done."""
    delivery_run = make()
    job = doubtful(delivery_run)
    before = delivery_run.files()
    assert delivery_run.journal.review_decisions.decide(job.id, ReviewDecision.REJECT) is not None
    held = hold(delivery_run, job)
    assert (held.state, JobResult.of(held).decision) == (JobState.REVIEW, "")
    assert delivery_run.files() == before


def test_a_decision_undone_during_publication_is_undone_right_after_it(
    make: Callable[..., DeliveryRun],
) -> None:
    """The request survives the end of the publication, and a crash before that."""
    delivery_run = make(faults=(faults := []))
    job = doubtful(delivery_run)
    faults.append(
        lambda plan: delivery_run.journal.review_decisions.decide(job.id, ReviewDecision.HOLD) and None  # noqa: ARG005 -- as a publisher calls
    )
    held = decide(delivery_run, job)
    assert held.state is JobState.REVIEW
    assert delivery_run.files() == {"review/a.png": NEW}


def test_a_retouched_result_stays_and_the_person_is_notified(
    make: Callable[..., DeliveryRun],
) -> None:
    """Nobody's work is moved."""
    delivery_run = make()
    job = delivery_run.deliver("a.jpg", NEW)
    (delivery_run.folder.output / "a.png").write_bytes(b"retouched")
    held = hold(delivery_run, job)
    assert held.state is JobState.DONE
    assert "changed" in held.detail["refused"]
    assert (held.wanted, JobResult.of(held).decision) == (None, "")
    assert delivery_run.files() == {"a.png": b"retouched"}
    assert delivery_run.staged() == []


def test_a_result_whose_original_was_moved_away_goes_back_without_it(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Nothing is cut; and a later file at the original's path is another picture."""
    delivery_run = make(originals="move", originals_dir=str(tmp_path / "kept"))
    job = delivery_run.deliver("a.jpg", NEW)
    assert not (delivery_run.folder.input / "a.jpg").exists()
    assert hold(delivery_run, job).state is JobState.REVIEW
    assert delivery_run.journal.sources.is_put_away(NAME, "a.jpg")
    assert decide(delivery_run, job).state is JobState.DONE
    assert delivery_run.files() == {"a.png": NEW}
    assert (tmp_path / "kept" / "a.jpg").read_bytes() == JPEG


@pytest.mark.parametrize("when", ["before", "amid", "before the names go", "after the names went"])
def test_a_crash_at_any_step_is_repaired_by_the_next_start(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The result is in review once, and nowhere else."""
    faults: list[Any] = []
    delivery_run = make(faults=faults)
    job = delivery_run.deliver("a.jpg", NEW)
    clear = reviews.Reviews.clear

    def dies(self: reviews.Reviews, *arguments: Any) -> None:  # noqa: ANN401 -- as of clear
        if when == "after the names went":
            clear(self, *arguments)
        raise Power

    if when == "amid":
        faults.append(Power())
    elif when != "before":
        monkeypatch.setattr(reviews.Reviews, "clear", dies)
    decided = delivery_run.journal.review_decisions.decide(job.id, ReviewDecision.HOLD)
    assert decided is not None
    if when != "before":
        delivery_run.delivery.carry_out_decision(decided)
        until(lambda: delivery_run.delivery.failure is not None, "the crash")
    monkeypatch.setattr(reviews.Reviews, "clear", clear)
    again = recovered(delivery_run, make)
    again.settle()
    assert again.job(job).state is JobState.REVIEW
    assert again.files() == {"review/a.png": NEW}
    assert again.staged() == []
