"""The promise of the pool: whatever one worker does, the others go on and the pool stays intact."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.jobs import Task
from cutoutd.pool import start_policy, wire
from cutoutd.pool.local import LocalPool
from cutoutd.pool.slot import MAX_STEPS, STALL_S
from cutoutd.pool.slot import SUBSTITUTE_AFTER_S as PATIENCE_S_OF_A_SLOT
from cutoutd.pool.start_policy import MAX_FAILED_RESTARTS, MAX_FAILED_STARTS, WorkersFailError
from cutoutd.protocols import Finished, Lost, ModelSpec, Step
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from cutoutd.task_route import WorkerKind
from tests.integration.parts import give

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.protocols import PoolEvent

OBEDIENT = (sys.executable, "-P", str(Path(__file__).with_name("obedient_worker.py")))
SUBSTITUTE_AFTER_S = 60.0


class Hasty(Clock):
    """The machine's clock, which a test can advance."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        """Return the time in seconds."""
        return super().monotonic_s() + self.ahead_s


def setup(provider: str = "auto") -> wire.Setup:
    """Return the setup of a worker."""
    model = ModelSpec(
        name="none",
        file=Path("/none"),
        sha256="",
        bytes=0,
        input_size=320,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        licence="",
        source="",
    )
    return wire.Setup(
        parent=os.getpid(),
        models=(model,),
        provider=provider,
        memory_mb=1024,
        nice=0,
        max_pixels=1,
        max_file_bytes=1,
    )


def task(job: int, deed: str) -> Task:
    """Return a task that says what the worker does."""
    recipe = Recipe(
        renditions=(Rendition(format=Format.PNG, suffix=""),),
        refine=True,
        decontaminate=True,
        metadata=Metadata.NONE,
        review_below=0.0,
    )
    return Task(job=job, source=deed, size=1, mtime_ns=1, staging="/s", published_sha256=None, recipe=recipe)


@pytest.fixture
def make() -> Iterator[Callable[..., LocalPool]]:
    """A function that makes pools; they are closed with the test."""
    pools: list[LocalPool] = []

    def build(
        size: int = 2,
        *,
        job_timeout_s: float = SUBSTITUTE_AFTER_S,
        provider: str = "auto",
        clock: Clock | None = None,
    ) -> LocalPool:
        pool = LocalPool(
            size=size,
            setup=lambda: setup(provider),
            job_timeout_s=job_timeout_s,
            clock=clock or Clock(),
            command=OBEDIENT,
        )
        pools.append(pool)
        return pool

    yield build
    for pool in pools:
        pool.close()


def until(pool: LocalPool, condition: Callable[[], bool]) -> list[PoolEvent]:
    """Poll the pool until a condition holds."""
    events: list[PoolEvent] = []
    end = time.monotonic() + SUBSTITUTE_AFTER_S
    while not condition():
        assert time.monotonic() < end, "the pool did not get there"
        events += pool.poll(0.05)
    return events


def events_of(pool: LocalPool, count: int) -> list[PoolEvent]:
    """Return the next events."""
    events: list[PoolEvent] = []
    end = time.monotonic() + SUBSTITUTE_AFTER_S
    while len(events) < count:
        assert time.monotonic() < end, f"only {events}"
        events += pool.poll(0.05)
    return events


def test_a_task_comes_back_with_its_report(make: Callable[..., LocalPool]) -> None:
    """The slot is idle again."""
    pool = make()
    until(pool, lambda: pool.idle == 2)
    give(pool, task(5, "ok"))
    (event,) = events_of(pool, 1)
    assert isinstance(event, Finished)
    assert event.job == 5
    assert pool.idle == 2


def test_a_crash_costs_its_own_job_only(make: Callable[..., LocalPool], tmp_path: Path) -> None:
    """The other slot's job ends as usual, and the slot gets a new worker."""
    pool = make()
    until(pool, lambda: pool.idle == 2)
    give(pool, task(1, f"wait:{tmp_path / 'go'}"))
    give(pool, task(2, "crash"))
    (lost,) = events_of(pool, 1)
    assert isinstance(lost, Lost)
    assert (lost.job, lost.timed_out, lost.stuck) == (2, False, False)
    assert "SIGSEGV" in lost.why
    (tmp_path / "go").touch()
    (finished,) = events_of(pool, 1)
    assert isinstance(finished, Finished)
    assert finished.job == 1
    until(pool, lambda: pool.idle == 2)


def test_a_hang_is_ended_at_its_deadline_and_not_before(make: Callable[..., LocalPool]) -> None:
    """Measured by a clock that never jumps."""
    pool = make(1, job_timeout_s=0.5)
    until(pool, lambda: pool.idle == 1)
    begun = time.monotonic()
    give(pool, task(1, "hang"))
    (lost,) = events_of(pool, 1)
    assert isinstance(lost, Lost)
    assert lost.timed_out
    assert time.monotonic() - begun >= 0.5


def test_killing_an_idle_worker_disturbs_nobody(make: Callable[..., LocalPool], tmp_path: Path) -> None:
    """This breaks the process pool of the standard library."""
    pool = make()
    until(pool, lambda: pool.idle == 2)
    before = set(pool.pids)
    give(pool, task(1, f"wait:{tmp_path / 'go'}"))
    idle = pool.pids[1]
    os.kill(idle, signal.SIGKILL)
    assert until(pool, lambda: pool.idle == 1 and idle not in pool.pids) == []
    (tmp_path / "go").touch()
    (finished,) = events_of(pool, 1)
    assert isinstance(finished, Finished)
    assert len(before & set(pool.pids)) == 1


def test_a_pool_with_more_at_work_than_places_has_no_room(
    make: Callable[..., LocalPool], tmp_path: Path
) -> None:
    """As after a resize, and after a share that did not respond for a while."""
    pool = make(2)
    until(pool, lambda: pool.idle == 2)
    for job in (1, 2):
        give(pool, task(job, f"wait:{tmp_path / 'go'}"))
    pool.resize(1)
    assert (pool.idle, pool.room(kind=WorkerKind.LOCAL)) == (0, 0)


@pytest.mark.parametrize("deed", ["garble", "flood", "lie"])
def test_a_worker_that_sends_invalid_messages_is_ended(make: Callable[..., LocalPool], deed: str) -> None:
    """The worker has read a hostile picture: none of its reports is trusted."""
    pool = make(1)
    until(pool, lambda: pool.idle == 1)
    give(pool, task(1, deed))
    (lost,) = events_of(pool, 1)
    assert isinstance(lost, Lost)
    until(pool, lambda: pool.idle == 1)


def test_workers_that_all_die_at_start_end_the_pool_with_a_reason(make: Callable[..., LocalPool]) -> None:
    """Instead of a tight loop of starts."""
    pool = make(2, provider="die-at-start")
    with pytest.raises(WorkersFailError, match="ended with code 7"):
        until(pool, lambda: pool.idle == 2)
    assert MAX_FAILED_STARTS < 10


def test_a_pool_is_sound_again_once_a_new_worker_has_passed_its_self_test(
    make: Callable[..., LocalPool],
) -> None:
    """The replacement of a dead worker runs the self-test."""
    pool = make(1)
    until(pool, lambda: pool.idle == 1)
    give(pool, task(1, "crash"))
    events_of(pool, 1)
    was_sound = pool.is_sound
    until(pool, lambda: pool.idle == 1)
    assert (was_sound, pool.is_sound) == (False, True)


def test_workers_that_begin_to_die_later_get_more_time_but_not_for_ever(
    make: Callable[..., LocalPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade may be in progress; one start at a time tries, with growing pauses."""
    monkeypatch.setattr(start_policy, "MAX_PAUSE_S", 0.02)
    pool = make(2, provider="die-at-rehearsal")
    until(pool, lambda: pool.idle == 2)
    give(pool, task(1, "crash"))
    give(pool, task(2, "crash"))
    assert sorted(event.job for event in events_of(pool, 2)) == [1, 2]
    with pytest.raises(WorkersFailError, match=f"{MAX_FAILED_RESTARTS} starts in a row failed"):
        until(pool, lambda: False)
    assert not pool.is_sound


def test_a_task_that_does_not_fit_into_a_pipe_is_done(make: Callable[..., LocalPool]) -> None:
    """Many vanished pictures of one size. Before, its worker waited for the rest of the task, and the picture was blamed."""
    pool = make(1)
    until(pool, lambda: pool.idle == 1)
    give(pool, replace(task(1, "fine"), moved_sha256s=tuple(f"{number:064x}" for number in range(5000))))
    (event,) = events_of(pool, 1)
    assert isinstance(event, Finished)


def test_the_pause_between_failing_starts_grows_and_nothing_spins(
    make: Callable[..., LocalPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll waits for its whole time, also while another attempt is not yet due or in progress."""
    pool = make(1, provider="die-at-rehearsal")
    until(pool, lambda: pool.idle == 1)
    give(pool, task(1, "crash"))
    events: list[str] = []
    log = SimpleNamespace(warning=lambda event, **_: events.append(event))
    monkeypatch.setattr(pool._starts, "_log", log)  # noqa: SLF001 -- what it says is what is counted
    until(pool, lambda: events.count("worker.did-not-start") == 3)
    begun, polls, used = time.monotonic(), 0, time.process_time()
    while time.monotonic() - begun < 1.0:
        pool.poll(0.5)
        polls += 1
    assert polls < 10
    assert time.process_time() - used < 0.5


def test_recycling_replaces_idle_workers_at_once_and_busy_ones_when_they_are_done(
    make: Callable[..., LocalPool], tmp_path: Path
) -> None:
    """No job is lost."""
    pool = make()
    until(pool, lambda: pool.idle == 2)
    old = list(pool.pids)
    give(pool, task(1, f"wait:{tmp_path / 'go'}"))
    pool.recycle()
    assert until(pool, lambda: old[1] not in pool.pids and pool.idle == 1) == []
    assert old[0] in pool.pids
    (tmp_path / "go").touch()
    assert [event.job for event in events_of(pool, 1)] == [1]
    until(pool, lambda: pool.idle == 2 and not set(old) & set(pool.pids))


def test_wake_ends_a_poll(make: Callable[..., LocalPool]) -> None:
    """From any thread or signal handler."""
    pool = make(1)
    until(pool, lambda: pool.idle == 1)
    pool.wake()
    begun = time.monotonic()
    pool.poll(60.0)
    assert time.monotonic() - begun < 30.0


def test_closing_leaves_no_process(make: Callable[..., LocalPool]) -> None:
    """Not even a hanging one."""
    pool = make()
    until(pool, lambda: pool.idle == 2)
    give(pool, task(1, "hang"))
    pids = list(pool.pids)
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("step", [Step.READ, Step.WRITE, Step.SYNC])
def test_a_worker_that_waits_for_a_share_is_replaced_and_then_ended(
    make: Callable[..., LocalPool], step: Step
) -> None:
    """First another one does its work; later it is killed, and the picture is not blamed."""
    clock = Hasty()
    pool = make(1, clock=clock, job_timeout_s=1000.0)
    until(pool, lambda: pool.idle == 1)
    (stalled,) = pool.pids
    give(pool, task(1, f"step:{step}:1"))
    until(pool, lambda: pool._slots[0].step is step)  # noqa: SLF001 -- it has said so
    clock.ahead_s += PATIENCE_S_OF_A_SLOT
    until(pool, lambda: pool.idle == 1)
    assert (list(pool.blocked_on_io), len(pool.pids)) == ([1], 2)
    give(pool, task(2, "ok"))
    assert [event.job for event in events_of(pool, 1)] == [2]
    clock.ahead_s += STALL_S[step]
    (lost,) = events_of(pool, 1)
    assert isinstance(lost, Lost)
    assert (lost.job, lost.stalled, lost.timed_out, lost.stuck) == (1, step, False, False)
    until(pool, lambda: stalled not in pool.pids and pool.idle == 1 and len(pool.pids) == 1)


def test_a_worker_that_computes_for_long_has_its_own_deadline(make: Callable[..., LocalPool]) -> None:
    """No share is blamed."""
    clock = Hasty()
    pool = make(1, clock=clock, job_timeout_s=1000.0)
    until(pool, lambda: pool.idle == 1)
    give(pool, task(1, f"step:{Step.CUT}:1"))
    until(pool, lambda: pool._slots[0].step is Step.CUT)  # noqa: SLF001 -- it has said so
    clock.ahead_s += 500.0
    assert list(pool.poll(0.1)) == []
    assert (list(pool.blocked_on_io), len(pool.pids)) == ([], 1)
    clock.ahead_s += 600.0
    (lost,) = events_of(pool, 1)
    assert isinstance(lost, Lost)
    assert (lost.timed_out, lost.stalled) == (True, None)


def test_a_worker_that_reports_progress_without_end_is_not_believed(make: Callable[..., LocalPool]) -> None:
    """Otherwise it would never count as stalled."""
    pool = make(1)
    until(pool, lambda: pool.idle == 1)
    give(pool, task(1, f"step:{Step.READ}:{MAX_STEPS + 1}"))
    (lost,) = events_of(pool, 1)
    assert isinstance(lost, Lost)
    assert lost.stalled is None
