"""A delivery whose folder was taken over by another machine: it publishes nothing, and gives up no job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from cutoutd.delivery.context import FolderChecks
from cutoutd.delivery.delivery import Delivery
from cutoutd.errors import StorageError
from cutoutd.jobs import JobState
from cutoutd.lease.lease import Lease, NotOwnerError
from tests.integration.delivery_run import FAILURE, NEW, DeliveryRun
from tests.integration.parts import sidecar_factory, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock


class Ownership:
    """A proof of ownership that a test can invalidate."""

    def __init__(self) -> None:
        self.asked = 0
        self.lost_at: int | None = None

    def __call__(self) -> None:
        """Raise if ownership is lost."""
        self.asked += 1
        if self.lost_at is not None and self.asked >= self.lost_at:
            raise NotOwnerError("another machine has taken the folder over")


@pytest.fixture
def ownership() -> Ownership:
    """A proof that is valid at first."""
    return Ownership()


@pytest.fixture
def delivery_run(tmp_path: Path, clock: FakeClock, ownership: Ownership) -> Iterator[DeliveryRun]:
    """A delivery that checks the proof."""
    created = DeliveryRun(tmp_path, clock, faults=[])
    created.delivery = Delivery(
        created.folder,
        journal=created.journal,
        publisher=created.publisher,
        sidecar_factory=sidecar_factory(clock),
        clock=clock,
        tell=created.results.append,
        wake=created.woken.set,
        checks=FolderChecks(owner=ownership),
    )
    created.delivery.start()
    yield created
    created.delivery.stop()
    assert created.delivery.join(20.0)
    created.journal.close()


def published(delivery_run: DeliveryRun) -> list[str]:
    """Return the published names."""
    return sorted(path.name for path in delivery_run.folder.output.rglob("*") if path.is_file())


def test_nothing_is_planned_without_the_folder(delivery_run: DeliveryRun, ownership: Ownership) -> None:
    """The picture waits, and its staged files are removed."""
    ownership.lost_at = 1
    job = delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.job(job).state is JobState.RETRY
    assert published(delivery_run) == []


def test_a_plan_is_not_carried_out_once_the_folder_is_lost(
    delivery_run: DeliveryRun, ownership: Ownership
) -> None:
    """Ownership is checked immediately before the first rename; the job goes back to the queue."""
    ownership.lost_at = 2
    job = delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.job(job).state is JobState.QUEUED
    assert published(delivery_run) == []


def test_a_plan_that_rests_is_left_to_the_other_machine(
    delivery_run: DeliveryRun, ownership: Ownership
) -> None:
    """When its delay is over, the folder belongs to the other machine."""
    delivery_run.publisher._faults.append(StorageError("the share is away"))  # type: ignore[attr-defined]  # noqa: SLF001 -- of a Faulty
    ownership.lost_at = 3
    job = delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.job(job).state is JobState.PUBLISHING
    delivery_run.delivery.retry_now()
    until(lambda: delivery_run.job(job).state is JobState.QUEUED, "the plan to be given up")
    assert published(delivery_run) == []


def test_a_plan_that_rests_is_carried_out_at_once_when_the_share_is_back(delivery_run: DeliveryRun) -> None:
    """Without waiting for the end of its delay."""
    delivery_run.publisher._faults.append(StorageError("the share is away"))  # type: ignore[attr-defined]  # noqa: SLF001 -- of a Faulty
    job = delivery_run.deliver("a.jpg", NEW)
    assert delivery_run.job(job).state is JobState.PUBLISHING
    delivery_run.delivery.retry_now()
    until(lambda: delivery_run.job(job).state is JobState.DONE, "the result")


def test_a_failure_is_not_declared_without_the_folder(
    delivery_run: DeliveryRun, ownership: Ownership
) -> None:
    """The machine that owns it may come to another result."""
    ownership.lost_at = 1
    job = delivery_run.begin()
    delivery_run.delivery.fail(job, FAILURE)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.RETRY
    assert published(delivery_run) == []


def test_records_are_not_swept_without_the_folder_and_nothing_is_said_of_another_machine(
    delivery_run: DeliveryRun, ownership: Ownership
) -> None:
    """A folder stands by for reasons of its own, which its status says; they are swept once it is held."""
    ownership.lost_at = 1
    with capture_logs() as lines:
        delivery_run.delivery.sweep(frozenset())
        until(lambda: ownership.asked, "the sweep")
        asked, ownership.lost_at = ownership.asked, None

        def is_swept_again() -> bool:
            delivery_run.delivery.retry_now()
            return ownership.asked > asked

        until(is_swept_again, "the next sweep")
    assert [line["event"] for line in lines if "not-swept" in line["event"]] == []


def test_a_folder_that_was_never_held_does_not_speak_of_another_machine(clock: FakeClock) -> None:
    """There may be none."""
    lease = Lease(run="run-1", is_dead=lambda _: False, clock=clock)
    with pytest.raises(NotOwnerError) as raised:
        lease.prove()
    assert "other" not in str(raised.value)
