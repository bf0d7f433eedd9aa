"""A worker that a hostile picture has taken over affects only the job of that picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.jobs import Task
from cutoutd.pool import wire
from cutoutd.pool.local import LocalPool
from cutoutd.pool.usage import use_of
from cutoutd.protocols import Finished, Lost
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from tests.integration.parts import MODEL, PATIENCE_S, until
from tests.integration.parts import give as give_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.protocols import PoolEvent

pytestmark = pytest.mark.new_interpreters

HOSTILE = (sys.executable, "-P", str(Path(__file__).with_name("hostile_worker.py")))
LONG_S = 3.0


class ClockOfWork(Clock):
    """A clock that goes by the work of a pool's workers, and hardly else: they seem to use two fifths of a processor, at any load."""

    def __init__(self) -> None:
        self.pool: LocalPool | None = None
        self._used: dict[int, float] = {}

    def monotonic_s(self) -> float:
        """Return seconds."""
        for pid in () if self.pool is None else self.pool.pids:
            with suppress(OSError), Path(f"/proc/{pid}/stat").open("rb") as stat:
                use = use_of(stat.fileno())
                self._used[pid] = self._used.get(pid, 0.0) if use is None else use.cpu_s
        return 2.5 * sum(self._used.values()) + time.monotonic() / 10


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    """A pool of one slot."""
    yield from started(Clock())


def started(clock: Clock) -> Iterator[LocalPool]:
    """Yield a pool of one slot whose worker is ready; end it afterwards."""
    setup = wire.Setup(
        parent=os.getpid(),
        models=(MODEL,),
        provider="auto",
        memory_mb=1024,
        nice=0,
        max_pixels=1,
        max_file_bytes=1,
    )
    created = LocalPool(size=1, setup=lambda: setup, job_timeout_s=20.0, clock=clock, command=HOSTILE)
    until(lambda: created.poll(0.05) == [] and created.idle, "a worker")
    yield created
    created.close()


def give(pool: LocalPool, job: int, deed: str) -> None:
    """Give the worker a task that makes it do something."""
    recipe = Recipe(
        renditions=(Rendition(format=Format.PNG, suffix=""),),
        refine=False,
        decontaminate=False,
        metadata=Metadata.NONE,
        review_below=0.0,
    )
    give_task(
        pool,
        Task(job=job, source=deed, size=1, mtime_ns=1, staging="/s", published_sha256=None, recipe=recipe),
    )


def events_of(pool: LocalPool) -> list[PoolEvent]:
    """Return all events of a job, until its end."""
    events: list[PoolEvent] = []
    end = time.monotonic() + PATIENCE_S
    while not (events and not pool.busy) and time.monotonic() < end:
        events += pool.poll(0.05)
    return events


@pytest.mark.parametrize("deed", ["4 TiB", "4 TiB of many pixels", "nothing"])
def test_a_result_of_an_impossible_size_is_not_accepted(pool: LocalPool, deed: str) -> None:
    """The file is not even read."""
    give(pool, 1, deed)
    assert [(event.job, isinstance(event, Lost)) for event in events_of(pool)] == [(1, True)]


@pytest.mark.parametrize("deed", ["nested", "endless"])
def test_a_message_that_breaks_readers_costs_its_own_job(pool: LocalPool, deed: str) -> None:
    """The next job is done by another worker."""
    give(pool, 1, deed)
    (event,) = events_of(pool)
    assert isinstance(event, Lost)
    until(lambda: pool.poll(0.05) == [] and pool.idle, "another worker")
    give(pool, 2, "honest")
    (event,) = events_of(pool)
    assert isinstance(event, Finished)


def test_an_invalid_message_is_reported_briefly(pool: LocalPool, capfd: pytest.CaptureFixture[str]) -> None:
    """Once, and not for each of its values: the line would have 62 MB, and delay all folders."""
    give(pool, 1, "many complaints")
    (event,) = events_of(pool)
    assert isinstance(event, Lost)
    output = "".join(capfd.readouterr())
    assert "worker.confused" in output
    assert len(output) < 2000


@pytest.mark.parametrize(("deed", "is_believed"), [("long ago", False), ("in time", True)])
def test_a_step_that_took_longer_than_the_task_is_not_accepted(
    pool: LocalPool, deed: str, *, is_believed: bool
) -> None:
    """Such a step would distort the estimate of a folder's time per picture."""
    give(pool, 1, deed)
    assert [isinstance(event, Finished) for event in events_of(pool)] == [is_believed]


def test_a_job_reported_before_garbage_is_not_lost(pool: LocalPool) -> None:
    """Each job always gets one event: otherwise it would be in work for ever."""
    give(pool, 1, "report, then garbage")
    assert [event.job for event in events_of(pool)] == [1]


def test_a_job_reported_twice_gives_one_event(pool: LocalPool) -> None:
    """The second report is of a job it does not have."""
    give(pool, 1, "report twice")
    assert [event.job for event in events_of(pool)] == [1]


def test_a_worker_that_introduces_itself_amid_a_job_has_not_done_it(pool: LocalPool) -> None:
    """A worker may report to be ready only once, at its start."""
    give(pool, 1, "ready again")
    assert [(event.job, isinstance(event, Lost)) for event in events_of(pool)] == [(1, True)]


def test_a_worker_that_has_worked_cannot_call_the_model_unusable(pool: LocalPool) -> None:
    """A worker may report that only before its first task."""
    give(pool, 1, "unusable")
    assert [(event.job, isinstance(event, Lost)) for event in events_of(pool)] == [(1, True)]


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="nothing says what a process uses"
)


def ended_over(pool: LocalPool, capfd: pytest.CaptureFixture[str], job: int, deed: str) -> str:
    """Return the log entry about a worker that reported, and was ended afterwards."""
    give(pool, job, deed)
    (before,) = pool.pids
    assert [isinstance(event, Finished) for event in events_of(pool)] == [True]
    until(lambda: pool.poll(0.05) == [] and pool.idle and pool.pids != [before], "another worker")
    return "".join(capfd.readouterr())


@needs_proc
def test_a_worker_with_threads_without_end_is_ended_over_its_task(pool: LocalPool) -> None:
    """Before, a worker could start 6000 in four seconds, limited only by its memory."""
    give(pool, 1, "threads")
    (event,) = events_of(pool)
    assert isinstance(event, Lost)
    found = re.search(
        r"(\d+) threads, more than it may have", event.why
    )  # how many depends on when the watch comes round
    assert found
    assert int(found[1]) < 1000


@needs_proc
def test_an_idle_worker_with_threads_is_ended(pool: LocalPool, capfd: pytest.CaptureFixture[str]) -> None:
    """Before, an idle worker could go on for months, since it had no deadline. No job is blamed."""
    assert "threads, more than it may have" in ended_over(pool, capfd, 1, "threads afterwards")
    give(pool, 2, "honest")
    assert [isinstance(event, Finished) for event in events_of(pool)] == [True]


@needs_proc
def test_an_idle_worker_that_works_is_ended(capfd: pytest.CaptureFixture[str]) -> None:
    """Likewise. On a busy machine it gets little of a processor, and less than what counts as work."""
    clock = ClockOfWork()
    with contextmanager(started)(clock) as pool:
        clock.pool = pool
        assert "went on working without a task" in ended_over(pool, capfd, 1, "works afterwards")
        give(pool, 2, "honest")
        assert [isinstance(event, Finished) for event in events_of(pool)] == [True]


@needs_proc
def test_a_worker_that_frees_memory_after_its_task_is_not_ended(pool: LocalPool) -> None:
    """Freeing the memory of a large picture takes some time."""
    before = pool.pids
    give(pool, 1, "works a while afterwards")
    end = time.monotonic() + LONG_S
    while time.monotonic() < end:
        pool.poll(0.1)
    assert pool.pids == before


@needs_proc
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide processes")
def test_a_worker_is_observed_where_processes_are_hidden() -> None:
    """As by ProtectProc= of the service's unit: a process that hides its memory is not visible in /proc for its own user."""
    script = """if True:
        import os, sys
        from cutoutd.pool.usage import use_of
        from cutoutd.pool.slot import spawn
        hide = "import os; from cutoutd.sandbox.limits import hide_memory; os.read(0, 1); hide_memory();"
        worker = spawn((sys.executable, "-c", hide + "os.write(1, b'!'); os.read(0, 1)"))
        worker.tasks.send(b"\\n")  # as its set-up, which a worker waits for before it hides its memory
        assert worker.process.stdout.read(1)
        print(os.path.exists(f"/proc/{worker.process.pid}"), use_of(worker.usage).threads)
        worker.end()
    """
    nobody = ["setpriv", "--regid", "65534", "--clear-groups", "--bounding-set", "-sys_ptrace"]
    mounted = ["sh", "-c", 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"', "sh"]
    command = ["unshare", "-m", *mounted, *nobody, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["False", "1"], done.stderr
