"""The steps of a publication, one by one without a thread: what each writes, and which one follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.delivery.failures import HELD_TRIES
from cutoutd.delivery.steps import (
    Abandon,
    CarryOut,
    Commit,
    Decide,
    Deliver,
    DeliverMoved,
    DeliverUnchanged,
    Done,
    MakePlan,
    Repair,
    ResultFacts,
    Retry,
)
from cutoutd.errors import StorageError
from cutoutd.job_detail import JobResult
from cutoutd.jobs import JobState
from cutoutd.journal.commands import ReviewDecision
from cutoutd.lease.lease import NotOwnerError
from cutoutd.offload.routing import RoutePlan
from cutoutd.publish.faults import NameRefusedError, ResultLostError, TargetHeldError, TargetTakenError
from tests.integration.delivery_run import NEW, OLD, DeliveryRun
from tests.integration.parts import JPEG, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.delivery.steps import Step
    from cutoutd.publish.plan import Plan
    from tests.conftest import FakeClock


@pytest.fixture
def faults() -> list[BaseException | Callable[[Plan], None]]:
    """The faults of the next renames."""
    return []


@pytest.fixture
def delivery_run(
    tmp_path: Path, clock: FakeClock, faults: list[BaseException | Callable[[Plan], None]]
) -> Iterator[DeliveryRun]:
    """A delivery whose thread is not started."""
    created = DeliveryRun(tmp_path, clock, faults=faults)
    yield created
    created.journal.close()


def delivery_step(
    delivery_run: DeliveryRun, name: str = "a.jpg", *contents: bytes, review: bool = False
) -> Deliver:
    """Return the delivery step of a job that a worker has cut."""
    job = delivery_run.begin(name)
    first = -1 if review else 0  # an overlay comes before what is held back
    return Deliver(job=job, cut=delivery_run.cut(job, *(contents or (NEW,)), review=review, rendition=first))


def take(delivery_run: DeliveryRun, step: Step, *kinds: type) -> Any:  # noqa: ANN401 -- the last of the kinds
    """Take a step and those that follow it, which must be of these kinds; return the last one."""
    following: Any = step
    for kind in kinds:
        following = delivery_run.delivery.steps.advance(following)
        assert type(following) is kind
    return following


def state(delivery_run: DeliveryRun, step: Step) -> JobState:
    """Return the state of a step's job in the journal."""
    return delivery_run.job(step.job).state


def test_a_cutout_goes_from_its_worker_to_the_commit_mark(delivery_run: DeliveryRun) -> None:
    """The plan is recorded before any rename, and the commit mark is written after all of them."""
    first = delivery_step(delivery_run)
    planned = take(delivery_run, first, MakePlan)
    assert (state(delivery_run, first), delivery_run.files()) == (JobState.WORKING, {})
    written = take(delivery_run, planned, CarryOut)
    assert (state(delivery_run, first), delivery_run.files()) == (JobState.PUBLISHING, {})
    renamed = take(delivery_run, written, Commit)
    assert (state(delivery_run, first), delivery_run.files()) == (JobState.PUBLISHING, {"a.png": NEW})
    assert not delivery_run.results
    take(delivery_run, renamed, Done)
    assert state(delivery_run, first) is JobState.DONE
    assert [result.state for result in delivery_run.results] == [JobState.DONE]


def test_every_step_can_be_taken_again_after_a_crash(delivery_run: DeliveryRun) -> None:
    """Only from the job's row in the journal."""
    first = delivery_step(delivery_run)
    committing = take(delivery_run, first, MakePlan, CarryOut, Commit)
    again = Repair.of_job(delivery_run.job(first.job))
    assert (again.plan, again.facts.sha256) == (committing.plan, committing.facts.sha256)
    take(delivery_run, again, Commit, Done)
    assert (state(delivery_run, first), delivery_run.files()) == (JobState.DONE, {"a.png": NEW})


def test_a_result_that_is_held_back_keeps_its_reason_after_a_crash(delivery_run: DeliveryRun) -> None:
    """From the job's row alone, which no route takes for a reason to upload the picture."""
    first = delivery_step(delivery_run, "a.jpg", OLD, NEW, review=True)
    take(delivery_run, first, MakePlan, CarryOut, Commit)
    crashed = delivery_run.job(first.job)
    assert not RoutePlan.of(crashed.detail).why
    take(delivery_run, Repair.of_job(crashed), Commit, Done)
    ended = delivery_run.job(first.job)
    assert (ended.state, JobResult.of(ended).why) == (JobState.REVIEW, "no subject")


def test_a_plan_of_an_earlier_version_recalls_nothing(delivery_run: DeliveryRun) -> None:
    """Its row does not say that published results go back into review, so they stay where they are."""
    first = delivery_step(delivery_run, "a.jpg", OLD, NEW, review=True)
    take(delivery_run, first, MakePlan, CarryOut)
    row = delivery_run.job(first.job)
    detail = {name: value for name, value in row.detail.items() if name != "recalls"}
    assert not Repair.of_job(replace(row, detail=detail)).facts.recalls


def test_a_name_that_is_taken_meanwhile_has_the_plan_made_again(
    delivery_run: DeliveryRun, faults: list[BaseException]
) -> None:
    """After the tasks that wait already."""
    faults.append(TargetTakenError("a stranger's"))
    retry = take(delivery_run, delivery_step(delivery_run), MakePlan, CarryOut, Retry)
    assert retry.delay_s == 0.0
    take(delivery_run, retry.step, CarryOut, Commit, Done)
    assert delivery_run.files() == {"a.png": NEW}


def test_a_disk_that_refuses_has_the_same_step_taken_again(
    delivery_run: DeliveryRun, faults: list[BaseException]
) -> None:
    """The circuit breaker opens once, and closes with the commit."""
    faults += [StorageError("the share is away"), StorageError("the share is away")]
    written = take(delivery_run, delivery_step(delivery_run), MakePlan, CarryOut)
    for _ in range(2):
        retry = take(delivery_run, written, Retry)
        assert (retry.step, retry.delay_s) == (written, StorageError.delay_s)
    assert delivery_run.delivery.breaker.why
    take(delivery_run, retry.step, Commit, Done)
    assert not delivery_run.delivery.breaker.why


def test_a_result_that_is_lost_is_repaired_or_cut_again(
    delivery_run: DeliveryRun, faults: list[BaseException]
) -> None:
    """In this case it is still there."""
    faults.append(ResultLostError("it is gone"))
    take(delivery_run, delivery_step(delivery_run), MakePlan, CarryOut, Repair, Commit, Done)
    assert delivery_run.files() == {"a.png": NEW}


def test_a_result_that_stays_lost_goes_back_to_the_queue(delivery_run: DeliveryRun) -> None:
    """Nothing is under its name, and nothing is staged."""
    first = delivery_step(delivery_run)
    written = take(delivery_run, first, MakePlan, CarryOut)
    delivery_run.publisher.discard(first.job.id)
    take(delivery_run, written, Repair, Done)
    assert (state(delivery_run, first), delivery_run.files()) == (JobState.QUEUED, {})


def test_a_folder_that_another_machine_has_is_left_to_it(delivery_run: DeliveryRun) -> None:
    """Staged files are removed, and the job goes back to the queue."""
    first = delivery_step(delivery_run)
    written = take(delivery_run, first, MakePlan, CarryOut)

    def refuse() -> None:
        raise NotOwnerError("another has it")

    delivery_run.prove = refuse
    abandoning = take(delivery_run, written, Abandon)
    take(delivery_run, abandoning, Done)
    assert (state(delivery_run, first), delivery_run.files(), delivery_run.staged()) == (
        JobState.QUEUED,
        {},
        [],
    )


def test_a_name_that_the_disk_refuses_fails_its_picture_alone(
    delivery_run: DeliveryRun, faults: list[BaseException]
) -> None:
    """With a record beside the results, and without the circuit breaker."""
    faults.append(NameRefusedError("no file of this name"))
    first = delivery_step(delivery_run)
    take(delivery_run, first, MakePlan, CarryOut, Abandon, Done)
    assert state(delivery_run, first) is JobState.FAILED
    assert not delivery_run.delivery.breaker.why


def test_a_result_that_another_program_keeps_open_is_given_up_in_the_end(
    delivery_run: DeliveryRun, faults: list[BaseException]
) -> None:
    """After the allowed number of attempts, and not before."""
    faults += [TargetHeldError("held")] * (HELD_TRIES + 1)
    step = take(delivery_run, delivery_step(delivery_run), MakePlan, CarryOut)
    for _ in range(HELD_TRIES):
        take(delivery_run, step, Retry)
    take(delivery_run, step, Abandon, Done)


def test_a_report_that_cannot_be_true_ends_at_once(delivery_run: DeliveryRun) -> None:
    """Nothing is planned for it."""
    first = delivery_step(delivery_run, "a.jpg", NEW, OLD)
    take(delivery_run, first, Done)
    assert state(delivery_run, first) is JobState.FAILED


def test_an_unchanged_picture_and_one_that_is_no_move_need_no_plan(delivery_run: DeliveryRun) -> None:
    """The first emits its event, the second is queued to be cut."""
    take(delivery_run, delivery_step(delivery_run), MakePlan, CarryOut, Commit, Done)
    source = delivery_run.folder.input / "a.jpg"
    source.touch()
    again = delivery_run.begin()
    take(delivery_run, DeliverUnchanged(job=again, sha256=digest(JPEG)), Done)
    assert delivery_run.results[-1].state is JobState.UNCHANGED
    other = delivery_run.begin("b.jpg", JPEG + b"other")
    take(delivery_run, DeliverMoved(job=other, sha256=digest(JPEG)), Done)
    assert state(delivery_run, DeliverMoved(job=other, sha256="")) is JobState.QUEUED


def test_an_accepted_result_is_planned_in_the_step_that_stages_it(delivery_run: DeliveryRun) -> None:
    """If no plan is possible, nothing stays staged."""
    first = delivery_step(delivery_run, "a.jpg", OLD, NEW, review=True)
    take(delivery_run, first, MakePlan, CarryOut, Commit, Done)
    assert state(delivery_run, first) is JobState.REVIEW
    delivery_run.journal.review_decisions.decide(first.job.id, ReviewDecision.ACCEPT)
    take(delivery_run, Decide(job=first.job), CarryOut, Commit, Done)
    assert (state(delivery_run, first), delivery_run.files()) == (JobState.DONE, {"a.png": NEW})
    take(delivery_run, Decide(job=first.job), Done)  # it waits for nothing any more


def test_the_record_of_a_result_is_read_back(delivery_run: DeliveryRun) -> None:
    """All that a repair needs."""
    facts = ResultFacts(
        sha256="0" * 64, model="m", review=False, doubtful="doubtful, score 0.30", why="no subject", score=0.3
    )
    job = replace(delivery_run.begin(), sha256="0" * 64, detail=facts.to_detail())
    assert ResultFacts.of_job(job) == facts
    assert facts.figures == {"score": 0.3}
