"""Tasks whose files are opened for workers: a share without an answer delays no other task."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from cutoutd.errors import FailureCode
from cutoutd.jobs import Failure, Task
from cutoutd.pool.file_opening import FileOpeningPool
from cutoutd.pool.routed import RoutedPool
from cutoutd.pool.slot import STALL_S, SUBSTITUTE_AFTER_S
from cutoutd.protocols import Files, Finished, Lost, Step, Withdrawn
from cutoutd.recipe import Metadata, Recipe
from cutoutd.task_route import ClusterTask, WorkerKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cutoutd.pool.local import LocalPool
    from cutoutd.protocols import PoolEvent, WorkerFacts
    from tests.conftest import FakeClock

RECIPE = Recipe(renditions=(), refine=False, decontaminate=False, metadata=Metadata.NONE, review_below=0.0)
FAILURE = Failure(code=FailureCode.SOURCE_GONE, title="t", cause="c", advice="a", permanent=False)


class Slots:
    """A pool of one kind of workers, in which tasks end only when a test says so."""

    def __init__(self, size: int) -> None:
        self.size = self.workers = size
        self.facts: WorkerFacts | None = None
        self.is_sound = True
        self.blocked_on_io: tuple[int, ...] = ()
        self.left_behind: tuple[int, ...] = ()
        self.given: list[int] = []
        self.waited: list[float] = []
        self.said: list[PoolEvent] = []
        self.faulty: set[int] = set()

    @property
    def busy(self) -> int:
        """The number of workers with a task."""
        return len(self.given)

    def room(self, *, kind: WorkerKind) -> int:  # noqa: ARG002 -- as the protocol has it
        """Return the number of workers without a task."""
        return self.size - len(self.given)

    def serves(self, *, kind: WorkerKind) -> bool:  # noqa: ARG002 -- likewise
        """Whether the pool has any workers."""
        return self.size > 0

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:  # noqa: ARG002 -- likewise
        """Take a task; fail for the jobs in `faulty`."""
        assert self.room(kind=task.kind) > 0
        if task.job in self.faulty:
            raise RuntimeError("an internal error")
        self.given.append(task.job)
        sent()

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Return the events that a test has prepared; fail once if `faulty` contains -1."""
        self.waited.append(timeout_s)
        if -1 in self.faulty:
            self.faulty.discard(-1)
            raise RuntimeError("an internal error")
        said, self.said = self.said, []
        return said

    def wake(self) -> None:
        """Do nothing: no poll blocks."""

    def recycle(self) -> None:
        """Do nothing: there are no processes."""

    def close(self) -> None:
        """Do nothing: there are no processes."""


class Places(Slots):
    """Slots that are one pool of several."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        """Return a descriptor that is never readable."""
        return self._read

    def due_s(self, timeout_s: float) -> float:
        """Return the timeout."""
        return timeout_s

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self._read)
        os.close(self._write)


class Share:
    """A share that opens files when a test says so."""

    def __init__(self) -> None:
        self.asked: dict[int, Callable[[Files | Failure | None], None]] = {}
        self.wanted: dict[int, Callable[[], bool]] = {}
        self.progressed_s = 0.0
        self.closed: list[Files] = []
        self.discarded: list[int] = []

    def open(
        self, task: Task, tell: Callable[[Files | Failure | None], None], is_wanted: Callable[[], bool]
    ) -> None:
        """Record the task as waiting for its files."""
        if self.asked:  # else it is under way at once
            self.wanted[task.job] = is_wanted
        self.asked[task.job] = tell

    def close(self, files: Files) -> None:
        """Record the files as closed."""
        self.closed.append(files)

    def discard(self, task: Task) -> None:
        """Record the task as discarded."""
        self.discarded.append(task.job)

    def answer(self, job: int, what: Files | Failure | None = None) -> None:
        """Answer a waiting task with files, a failure, or None if the files are no longer wanted."""
        is_wanted = self.wanted.pop(job, None)
        if is_wanted is not None and not is_wanted():
            self.asked.pop(job)(None)
            return
        self.asked.pop(job)(Files(source=100 + job) if what is None else what)


def task(job: int, *, alone: bool = False, tagged: bool = False) -> Task:
    """Return a task."""
    return Task(
        job=job,
        source=f"/in/{job}.jpg",
        size=1,
        mtime_ns=1,
        staging=f"/s/{job}",
        published_sha256=None,
        recipe=RECIPE,
        alone=alone,
        tagged=tagged,
    )


@pytest.fixture
def share() -> Share:
    """A share on which no task waits."""
    return Share()


def test_a_worker_gets_a_task_once_its_files_are_open_and_they_are_closed_here(
    share: Share, clock: FakeClock
) -> None:
    """Until then a worker is reserved."""
    slots = Slots(1)
    pool = FileOpeningPool(slots, clock)
    pool.submit(task(1), share)
    assert not list(pool.poll(0.1))
    assert (pool.takes(kind=WorkerKind.LOCAL), pool.busy, slots.given) == (False, 1, [])
    share.answer(1)
    assert not list(pool.poll(0.1))
    assert (slots.given, pool.busy) == ([1], 1)
    assert [files.source for files in share.closed] == [101]


def test_files_that_cannot_be_opened_are_a_report_of_their_job(share: Share, clock: FakeClock) -> None:
    """As if a worker had failed to open them."""
    pool = FileOpeningPool(Slots(1), clock)
    pool.submit(task(1), share)
    share.answer(1, FAILURE)
    assert list(pool.poll(0.1)) == [Finished(job=1, report=FAILURE)]
    assert pool.takes(kind=WorkerKind.LOCAL)


def test_a_share_that_does_not_answer_keeps_no_worker_from_others(share: Share, clock: FakeClock) -> None:
    """After a while the job waits without a worker; a late answer lets it run in its turn."""
    slots = Slots(1)
    pool = FileOpeningPool(slots, clock)
    other = Share()
    pool.submit(task(1), share)
    pool.poll(100.0)
    assert slots.waited[-1] == pytest.approx(SUBSTITUTE_AFTER_S)
    clock.advance(SUBSTITUTE_AFTER_S)
    assert list(pool.blocked_on_io) == [1]
    assert (pool.takes(kind=WorkerKind.LOCAL), pool.busy) == (True, 0)
    pool.submit(task(2), other)
    other.answer(2)
    pool.poll(0.1)
    share.answer(1)
    pool.poll(0.1)
    assert (slots.given, list(pool.blocked_on_io)) == ([2], [])
    assert not pool.takes(kind=WorkerKind.LOCAL)
    slots.given.clear()
    pool.poll(0.1)
    assert slots.given == [1]


def test_a_share_that_never_answers_costs_its_job_no_attempt(share: Share, clock: FakeClock) -> None:
    """The job counts as stuck, as with a stuck worker; a later answer is discarded."""
    slots = Slots(1)
    pool = FileOpeningPool(slots, clock)
    pool.submit(task(1), share)
    clock.advance(STALL_S[Step.READ])
    (lost,) = pool.poll(0.1)
    assert isinstance(lost, Lost)
    assert (lost.job, lost.stuck, lost.stalled, lost.timed_out) == (1, True, Step.READ, False)
    assert (list(pool.left_behind), list(pool.blocked_on_io)) == ([1], [])
    share.answer(1)
    assert not list(pool.poll(0.1))
    assert (list(pool.left_behind), slots.given) == ([], [])
    assert ([files.source for files in share.closed], share.discarded) == ([101], [1])


def test_a_picture_that_needs_all_the_memory_waits_until_all_others_are_done(
    share: Share, clock: FakeClock
) -> None:
    """Also if its files were opened late."""
    slots = Slots(2)
    pool = FileOpeningPool(slots, clock)
    pool.submit(task(1, alone=True), share)
    clock.advance(SUBSTITUTE_AFTER_S)
    pool.submit(task(2), share)
    share.answer(2)
    share.answer(1)
    pool.poll(0.1)
    pool.poll(0.1)
    assert slots.given == [2]
    slots.given.clear()
    pool.poll(0.1)
    assert slots.given == [1]


def test_a_picture_that_needs_all_the_memory_and_those_of_other_machines_do_not_wait_for_each_other(
    share: Share, clock: FakeClock
) -> None:
    """A proxy needs hardly any; before, a large picture waited until all proxies were idle, and none was begun beside it."""
    here, there = Places(1), Places(4)
    routed = RoutedPool(
        cast("dict[WorkerKind, LocalPool]", {WorkerKind.LOCAL: here, WorkerKind.CLUSTER: there}), shares=dict
    )
    pool = FileOpeningPool(routed, clock)
    remote = ClusterTask(folder="f")
    for one in (replace(task(1), cluster=remote), task(2, alone=True), replace(task(3), cluster=remote)):
        pool.submit(one, share)
        share.answer(one.job)
        pool.poll(0.0)
    assert (here.given, there.given) == ([2], [1, 3])
    assert pool.busy == 1
    pool.close()


def test_a_share_that_answers_again_when_more_are_at_work_than_places_gives_its_task_to_nobody_yet(
    share: Share, clock: FakeClock
) -> None:
    """Extra workers were started meanwhile: for a moment more are at work than there are places."""
    slots = Slots(1)
    pool = FileOpeningPool(slots, clock)
    pool.submit(task(1), share)
    slots.given += [2, 3]
    slots.said = [Finished(job=77, report=FAILURE)]
    share.answer(1)
    assert list(pool.poll(0.1)) == [Finished(job=77, report=FAILURE)]
    slots.given.clear()
    pool.poll(0.1)
    assert slots.given == [1]


def test_an_internal_error_over_one_task_loses_no_other_task_or_event(share: Share, clock: FakeClock) -> None:
    """The task fails as one that could not begin; its files are closed once."""
    slots = Slots(3)
    slots.faulty = {1}
    pool = FileOpeningPool(slots, clock)
    for job in (1, 2):
        pool.submit(task(job), share)
    slots.said = [Finished(job=77, report=FAILURE)]
    for job in (1, 2):
        share.answer(job)
    failed, other = pool.poll(0.1)
    assert isinstance(failed, Finished)
    assert isinstance(failed.report, Failure)
    assert (failed.job, failed.report.code) == (1, "Unforeseen")
    assert (other.job, slots.given) == (77, [2])
    assert sorted(files.source for files in share.closed) == [101, 102]


def test_a_poll_that_fails_midway_is_completed_by_the_next(share: Share, clock: FakeClock) -> None:
    """No task that was given up or could not be opened is reported twice."""
    slots = Slots(3)
    slots.faulty = {-1}
    pool = FileOpeningPool(slots, clock)
    pool.submit(task(1), share)
    share.answer(1, FAILURE)
    with pytest.raises(RuntimeError):
        pool.poll(0.1)
    assert list(pool.poll(0.1)) == [Finished(job=1, report=FAILURE)]


def test_a_slow_share_with_progress_does_not_count_as_hanging(share: Share, clock: FakeClock) -> None:
    """A task that waits behind others on it reserves no worker, and is given up only without progress."""
    slots = Slots(2)
    pool = FileOpeningPool(slots, clock)
    for job in (1, 2):
        pool.submit(task(job), share)
    clock.advance(STALL_S[Step.READ] - 1)
    share.answer(1)
    share.progressed_s = clock.monotonic_s()
    assert not list(pool.poll(0.1))
    assert (slots.given, list(pool.blocked_on_io), pool.takes(kind=WorkerKind.LOCAL)) == ([1], [2], True)
    clock.advance(STALL_S[Step.READ] - 1)
    assert not list(pool.poll(0.1))
    clock.advance(1.0)
    (lost,) = pool.poll(0.1)
    assert (lost.job, list(pool.left_behind)) == (2, [2])


def test_a_task_that_was_given_up_before_its_turn_is_not_opened_any_more(
    share: Share, clock: FakeClock
) -> None:
    """Opening it would delay the tasks behind it for nothing."""
    pool = FileOpeningPool(Slots(2), clock)
    for job in (1, 2):
        pool.submit(task(job), share)
    clock.advance(STALL_S[Step.READ])
    assert [lost.job for lost in pool.poll(0.1)] == [1, 2]
    share.answer(2)
    pool.poll(0.1)
    assert (list(pool.left_behind), share.closed, share.discarded) == ([1], [], [])


def test_nothing_is_begun_beside_a_picture_that_needs_all_the_memory(share: Share, clock: FakeClock) -> None:
    """Not even a task whose files were late, although the huge one began meanwhile."""
    slots = Slots(2)
    pool = FileOpeningPool(slots, clock)
    pool.submit(task(1), share)
    clock.advance(SUBSTITUTE_AFTER_S)
    assert pool.busy == 0
    pool.submit(task(2, alone=True), share)
    for job in (2, 1):
        share.answer(job)
    pool.poll(0.1)
    assert slots.given == [2]
    slots.given.clear()
    slots.said = [Finished(job=2, report=FAILURE)]
    pool.poll(0.1)
    assert slots.given == [1]


def test_a_task_for_whose_kind_of_folder_no_workers_are_left_is_returned(
    share: Share, clock: FakeClock
) -> None:
    """A reload removed the last folder of the kind while its files were being opened."""
    slots = Slots(1)
    pool = FileOpeningPool(slots, clock)
    pool.submit(task(1), share)
    slots.size = 0
    share.answer(1)
    assert list(pool.poll(0.1)) == [Withdrawn(job=1)]
    assert [files.source for files in share.closed] == [101]
    assert not list(pool.poll(0.1))
