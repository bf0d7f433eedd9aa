"""The tasks of a delivery, done one by one without a thread: their order, and what is retried when."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from cutoutd.delivery.task_queue import SerialTaskQueue
from cutoutd.errors import StorageError

if TYPE_CHECKING:
    from tests.conftest import FakeClock


class Heard:
    """What the queue tells."""

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
        self.woken += 1

    def _recover(self) -> None:
        self.recovered += 1

    def refuse(self, name: str, left: list[None]) -> None:
        """A task that a disk refuses as often as something is left."""
        self.done.append(name)
        if left:
            left.pop()
            raise StorageError(f"{name} is refused")


@pytest.fixture
def heard(clock: FakeClock) -> Heard:
    """A queue, and what it tells."""
    return Heard(clock)


def test_tasks_are_done_in_their_order(heard: Heard) -> None:
    """And each is counted until it is over."""
    for name in "ab":
        heard.tasks.submit(partial(heard.done.append, name))
    assert heard.tasks.backlog == 2
    assert heard.tasks.run_next()
    assert (heard.done, heard.tasks.backlog, heard.woken) == (["a"], 1, 1)
    assert heard.tasks.run_next()
    assert (heard.done, heard.tasks.backlog, heard.tasks.busy_since_s) == (["a", "b"], 0, None)


def test_what_a_disk_refuses_is_retried_and_lets_others_pass(heard: Heard, clock: FakeClock) -> None:
    """Only the first refusal is told, and the recovery from it."""
    heard.tasks.submit(partial(heard.refuse, "a", [None, None]))
    heard.tasks.submit(partial(heard.done.append, "b"))
    heard.tasks.run_next()
    heard.tasks.run_next()
    assert (heard.done, heard.refused, heard.tasks.needs_staged) == (["a", "b"], ["a is refused"], True)
    for expected in (0, 1):
        clock.advance(StorageError.delay_s)
        heard.tasks.run_next()
        assert (len(heard.refused), heard.recovered) == (1, expected)
    assert (heard.done, heard.tasks.needs_staged) == (["a", "b", "a", "a"], False)


def test_what_waits_is_retried_at_once_when_that_is_asked_for(heard: Heard) -> None:
    """Without waiting for its time."""
    heard.tasks.submit(partial(heard.refuse, "a", [None]))
    heard.tasks.run_next()
    heard.tasks.retry_now()
    heard.tasks.run_next()
    heard.tasks.run_next()
    assert (heard.done, heard.recovered) == (["a", "a"], 1)


def test_a_step_that_follows_is_retried_by_itself(heard: Heard, clock: FakeClock) -> None:
    """What was done before it is not done again."""

    def first() -> None:
        heard.done.append("first")
        heard.tasks.run_now(partial(heard.refuse, "second", [None]))

    heard.tasks.submit(first)
    heard.tasks.run_next()
    clock.advance(StorageError.delay_s)
    heard.tasks.run_next()
    assert heard.done == ["first", "second", "second"]


def test_a_task_that_fails_by_a_fault_of_ours_costs_no_other(heard: Heard) -> None:
    """It is logged, and not done again."""

    def explode() -> None:
        raise ZeroDivisionError

    heard.tasks.submit(explode)
    heard.tasks.submit(partial(heard.done.append, "next"))
    assert heard.tasks.run_next()
    assert heard.tasks.run_next()
    assert (heard.done, heard.tasks.backlog) == (["next"], 0)


def test_nothing_is_begun_behind_the_end(heard: Heard) -> None:
    """What was given before it is done."""
    heard.tasks.submit(partial(heard.done.append, "a"))
    heard.tasks.stop(())
    assert heard.tasks.run_next()
    assert not heard.tasks.run_next()
