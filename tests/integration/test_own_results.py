"""A published result that comes into an input is not cut, does not leave this machine, and is never moved away or deleted."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from cutoutd.clock import WallClockGuard
from cutoutd.daemon.outcomes import Outcomes
from cutoutd.job_options import JobOptions
from cutoutd.jobs import Exported, JobState, SourceFacts, Version
from cutoutd.journal.submissions import Submission
from tests.integration.delivery_run import NEW, OLD, DeliveryRun
from tests.integration.parts import JPEG, NAME, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.daemon.offload_coordinator import Coordinator
    from cutoutd.jobs import Job
    from tests.conftest import FakeClock

WHY = "it is a cutout that cutoutd made; `cutoutd retry` has it cut all the same"


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., DeliveryRun]]:
    """A function that makes started deliveries; they are ended with the test."""
    created: list[DeliveryRun] = []

    def build(originals: str = "keep") -> DeliveryRun:
        directory = str(tmp_path / "kept") if originals == "move" else ""
        created.append(DeliveryRun(tmp_path, clock, originals=originals, originals_dir=directory))
        created[-1].delivery.start()
        return created[-1]

    yield build
    for delivery_run in created:
        delivery_run.end()
        delivery_run.journal.close()


def last_result(delivery_run: DeliveryRun) -> tuple[JobState, str]:
    """Return the state of the last job that ended, and why."""
    return delivery_run.results[-1].state, delivery_run.results[-1].why


def deliver_next(delivery_run: DeliveryRun, content: bytes, *, source: bytes) -> Job:
    """Deliver the result of the next job in the queue."""
    job = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    delivery_run.journal.queue.claim(job)
    delivery_run.delivery.deliver(job, delivery_run.cut(job, content, source=source))
    delivery_run.settle()
    return job


@pytest.mark.parametrize("originals", ["keep", "move", "delete"])
def test_a_published_result_is_not_cut_again(make: Callable[..., DeliveryRun], originals: str) -> None:
    """Recognised by its bytes, without a sidecar; it stays where it is."""
    delivery_run = make(originals)
    delivery_run.deliver("a.jpg", OLD)
    job = delivery_run.deliver("old/a.png", NEW, source=OLD)
    assert delivery_run.job(job).state is JobState.SKIPPED
    assert delivery_run.job(job).detail["why"] == WHY
    assert last_result(delivery_run) == (JobState.SKIPPED, WHY)
    assert delivery_run.files() == {"a.png": OLD}
    assert delivery_run.staged() == []
    assert (delivery_run.folder.input / "old/a.png").read_bytes() == OLD


@pytest.mark.parametrize("originals", ["keep", "move", "delete"])
def test_a_result_that_was_left_out_is_left_out_where_it_is_moved_to(
    make: Callable[..., DeliveryRun], originals: str
) -> None:
    """Also once a later cutout has replaced it; before, it was cut when its directory was renamed, and then moved or deleted."""
    delivery_run = make(originals)
    delivery_run.deliver("a.jpg", OLD)
    left_out = delivery_run.deliver("old/a.png", NEW, source=OLD)
    assert delivery_run.job(left_out).state is JobState.SKIPPED
    with delivery_run.journal.store.transaction():  # as if a later version had replaced the result
        delivery_run.journal.store.write("DELETE FROM output WHERE sha256 = :sha256", sha256=digest(OLD))
    (delivery_run.folder.input / "old").rename(delivery_run.folder.input / "older")
    delivery_run.journal.sources.note_places(NAME, {"old/a.png": 1})
    job = delivery_run.deliver("older/a.png", NEW, source=OLD)
    assert delivery_run.job(job).state is JobState.SKIPPED
    assert (delivery_run.folder.input / "older/a.png").read_bytes() == OLD
    assert delivery_run.files() == {"a.png": OLD}


@pytest.mark.parametrize("originals", ["move", "delete"])
@pytest.mark.parametrize("known", ["to the journal", "to its sidecar"])
def test_a_result_that_a_person_has_had_cut_stays(
    make: Callable[..., DeliveryRun], originals: str, known: str
) -> None:
    """It is cut, and may be all that is left of the first picture."""
    delivery_run = make(originals)
    first = delivery_run.deliver("a.jpg", OLD)
    again = delivery_run.deliver("old/a.png", NEW, source=OLD)
    sidecar = (delivery_run.folder.output / "a.png.json").read_bytes()
    (delivery_run.folder.input / "old/a.png.json").write_bytes(sidecar)
    if known == "to its sidecar":
        with delivery_run.journal.store.transaction():  # as if the first picture was forgotten
            delivery_run.journal.store.write("DELETE FROM output WHERE sha256 = :sha256", sha256=digest(OLD))
    assert delivery_run.job(first).state is JobState.DONE
    delivery_run.journal.queue.retry(again.id)
    again = deliver_next(delivery_run, NEW, source=OLD)
    assert delivery_run.job(again).state is JobState.DONE
    assert delivery_run.files() == {"a.png": OLD, "old/a.png": NEW}
    assert (delivery_run.folder.input / "old/a.png").read_bytes() == OLD
    assert delivery_run.journal.queue.cleanup_pending(NAME) == []


def test_a_result_that_a_program_submitted_is_cut(make: Callable[..., DeliveryRun]) -> None:
    """It asks for just that."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    path = delivery_run.folder.input / "b.png"
    path.write_bytes(OLD)
    status = path.stat()
    version = Version(path="b.png", size=status.st_size, mtime_ns=status.st_mtime_ns)
    submission = Submission(key="k", folder=NAME, spool="x", name="b.png", options=JobOptions())
    delivery_run.journal.submissions.post(submission)
    delivery_run.journal.sources.accept_submitted(NAME, [(version, submission)], {})
    job = deliver_next(delivery_run, NEW, source=OLD)
    assert delivery_run.job(job).state is JobState.DONE


def test_no_result_is_uploaded(make: Callable[..., DeliveryRun], clock: FakeClock) -> None:
    """It would be billed; other pictures are handed over."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    handed_over: list[str] = []

    def hand_over(job: Job, _: Exported) -> bool:
        handed_over.append(job.path)
        return True

    coordinator = SimpleNamespace(exported=hand_over)
    outcomes = Outcomes(
        delivery_run.journal,
        WallClockGuard(clock),
        deque(),
        cast("Coordinator", coordinator),
        patient=True,
    )
    jobs = {name: delivery_run.begin(name, content) for name, content in (("b.png", OLD), ("c.jpg", JPEG))}
    for name, content in (("b.png", OLD), ("c.jpg", JPEG)):
        outcomes._take(held_by(delivery_run, jobs[name]), exported(content))  # noqa: SLF001 -- past the check of the kind
    delivery_run.settle()
    assert handed_over == ["c.jpg"]
    assert delivery_run.job(jobs["b.png"]).state is JobState.SKIPPED


def test_a_false_report_keeps_no_picture_from_being_cut(make: Callable[..., DeliveryRun]) -> None:
    """A worker that was taken over may name the bytes of a result."""
    delivery_run = make()
    delivery_run.deliver("a.jpg", OLD)
    job = delivery_run.begin("b.jpg", JPEG + b"2")
    delivery_run.delivery.leave_out_result(job, digest(OLD))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.QUEUED


def held_by(delivery_run: DeliveryRun, job: Job) -> Any:  # noqa: ANN401 -- a part of a Held
    """Return a job as a worker holds it."""
    hot = SimpleNamespace(
        delivery=delivery_run.delivery,
        note_report=lambda _: None,
        opener=SimpleNamespace(discard=lambda _: None),
    )
    return SimpleNamespace(job=job, folder=hot, task=None)


def exported(content: bytes) -> Exported:
    """Return the report of a copy for upload."""
    facts = SourceFacts(
        bytes=len(content), sha256=digest(content), width=4, height=3, format="PNG", orientation=1
    )
    return Exported(source=facts, bytes=1, sha256="0" * 64, width=1, height=1)
