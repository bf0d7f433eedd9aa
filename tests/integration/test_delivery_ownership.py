"""A delivery whose folder was taken over by another machine: it publishes nothing, and gives up no job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.delivery.delivery import Delivery
from cutoutd.errors import StorageError
from cutoutd.jobs import JobState
from cutoutd.lease.lease import NotOwnerError
from tests.integration.desk import FAILURE, NEW, Desk
from tests.integration.parts import sidecar_factory, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock


class Proof:
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
def proof() -> Proof:
    """A proof that is valid at first."""
    return Proof()


@pytest.fixture
def desk(tmp_path: Path, clock: FakeClock, proof: Proof) -> Iterator[Desk]:
    """A delivery that checks the proof."""
    created = Desk(tmp_path, clock, faults=[])
    created.delivery = Delivery(
        created.folder,
        journal=created.journal,
        publisher=created.publisher,
        sidecar_factory=sidecar_factory(clock),
        clock=clock,
        run="run-1",
        tell=created.results.append,
        wake=created.woken.set,
        prove=proof,
    )
    created.delivery.start()
    yield created
    created.delivery.stop()
    assert created.delivery.join(20.0)
    created.journal.close()


def published(desk: Desk) -> list[str]:
    """Return the published names."""
    return sorted(path.name for path in desk.folder.output.rglob("*") if path.is_file())


def test_nothing_is_planned_without_the_folder(desk: Desk, proof: Proof) -> None:
    """The picture waits, and its staged files are removed."""
    proof.lost_at = 1
    job = desk.deliver("a.jpg", NEW)
    assert desk.job(job).state is JobState.RETRY
    assert published(desk) == []


def test_a_plan_is_not_carried_out_once_the_folder_is_lost(desk: Desk, proof: Proof) -> None:
    """Ownership is checked immediately before the first rename; the job goes back to the queue."""
    proof.lost_at = 2
    job = desk.deliver("a.jpg", NEW)
    assert desk.job(job).state is JobState.QUEUED
    assert published(desk) == []


def test_a_plan_that_rests_is_left_to_the_other_machine(desk: Desk, proof: Proof) -> None:
    """When its delay is over, the folder belongs to the other machine."""
    desk.publisher._faults.append(StorageError("the share is away"))  # type: ignore[attr-defined]  # noqa: SLF001 -- of a Faulty
    proof.lost_at = 3
    job = desk.deliver("a.jpg", NEW)
    assert desk.job(job).state is JobState.PUBLISHING
    desk.delivery.retry_now()
    until(lambda: desk.job(job).state is JobState.QUEUED, "the plan to be given up")
    assert published(desk) == []


def test_a_plan_that_rests_is_carried_out_at_once_when_the_share_is_back(desk: Desk) -> None:
    """Without waiting for the end of its delay."""
    desk.publisher._faults.append(StorageError("the share is away"))  # type: ignore[attr-defined]  # noqa: SLF001 -- of a Faulty
    job = desk.deliver("a.jpg", NEW)
    assert desk.job(job).state is JobState.PUBLISHING
    desk.delivery.retry_now()
    until(lambda: desk.job(job).state is JobState.DONE, "the result")


def test_a_failure_is_not_declared_without_the_folder(desk: Desk, proof: Proof) -> None:
    """The machine that owns it may come to another result."""
    proof.lost_at = 1
    job = desk.begin()
    desk.delivery.fail(job, FAILURE)
    desk.settle()
    assert desk.job(job).state is JobState.RETRY
    assert published(desk) == []
