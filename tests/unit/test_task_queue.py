"""The tasks of a delivery, run one by one without a thread: their order, and when they are retried."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from cutoutd.delivery.task_queue import SerialTaskQueue
from cutoutd.errors import StorageError

if TYPE_CHECKING:
    from tests.conftest import FakeClock


class RecordedQueue:
    """A task queue, and a record of its callbacks."""

    def __init__(self, clock: FakeClock) -> None:
        self.done: list[str] = []
        self.refused: list[str] = []
        self.recovered = 0
        self.woken = 0
        self.tasks = SerialTaskQueue(
            "f",
            clock,
            self._wake,
            on_refused=lambda error: self.refused.append(error.cause),
            on_recovered=self._recover,
        )

    def _wake(self) -> None:
        """Count a call."""
        self.woken += 1

    def _recover(self) -> None:
        """Count a recovery."""
        self.recovered += 1

    def refuse(self, name: str, left: list[None]) -> None:
        """Run a task that fails once for each element of `left`."""
        self.done.append(name)
        if left:
            left.pop()
            raise StorageError(f"{name} is refused")


@pytest.fixture
def recorded(clock: FakeClock) -> RecordedQueue:
    """A task queue, and a record of its callbacks."""
    return RecordedQueue(clock)


def test_tasks_are_done_in_their_order(recorded: RecordedQueue) -> None:
    """Each counts as waiting until it is over."""
    for name in "ab":
        recorded.tasks.submit(partial(recorded.done.append, name))
    assert recorded.tasks.backlog == 2
    assert recorded.tasks.run_next()
    assert (recorded.done, recorded.tasks.backlog, recorded.woken) == (["a"], 1, 1)
    assert recorded.tasks.run_next()
    assert (recorded.done, recorded.tasks.backlog, recorded.tasks.busy_since_s) == (["a", "b"], 0, None)


def test_a_task_that_a_disk_refuses_is_retried_and_delays_no_other(
    recorded: RecordedQueue, clock: FakeClock
) -> None:
    """Only the first refusal and the recovery are reported."""
    recorded.tasks.submit(partial(recorded.refuse, "a", [None, None]))
    recorded.tasks.submit(partial(recorded.done.append, "b"))
    recorded.tasks.run_next()
    recorded.tasks.run_next()
    assert (recorded.done, recorded.refused, recorded.tasks.needs_staged) == (
        ["a", "b"],
        ["a is refused"],
        True,
    )
    for expected in (0, 1):
        clock.advance(StorageError.delay_s)
        recorded.tasks.run_next()
        assert (len(recorded.refused), recorded.recovered) == (1, expected)
    assert (recorded.done, recorded.tasks.needs_staged) == (["a", "b", "a", "a"], False)


def test_waiting_tasks_are_retried_at_once_on_request(recorded: RecordedQueue) -> None:
    """Before its scheduled time."""
    recorded.tasks.submit(partial(recorded.refuse, "a", [None]))
    recorded.tasks.run_next()
    recorded.tasks.retry_now()
    recorded.tasks.run_next()
    recorded.tasks.run_next()
    assert (recorded.done, recorded.recovered) == (["a", "a"], 1)


def test_a_step_that_follows_is_retried_by_itself(recorded: RecordedQueue, clock: FakeClock) -> None:
    """The completed first step is not repeated."""

    def first() -> None:
        recorded.done.append("first")
        recorded.tasks.run_now(partial(recorded.refuse, "second", [None]))

    recorded.tasks.submit(first)
    recorded.tasks.run_next()
    clock.advance(StorageError.delay_s)
    recorded.tasks.run_next()
    assert recorded.done == ["first", "second", "second"]


def test_a_task_with_an_internal_error_affects_no_other(recorded: RecordedQueue) -> None:
    """The error is logged, and the task is not retried."""

    def explode() -> None:
        raise ZeroDivisionError

    recorded.tasks.submit(explode)
    recorded.tasks.submit(partial(recorded.done.append, "next"))
    assert recorded.tasks.run_next()
    assert recorded.tasks.run_next()
    assert (recorded.done, recorded.tasks.backlog) == (["next"], 0)


def test_no_task_is_begun_after_the_end(recorded: RecordedQueue) -> None:
    """Tasks queued earlier are completed."""
    recorded.tasks.submit(partial(recorded.done.append, "a"))
    recorded.tasks.stop(())
    assert recorded.tasks.run_next()
    assert not recorded.tasks.run_next()
