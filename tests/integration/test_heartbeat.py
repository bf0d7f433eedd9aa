"""When the watchdog gets its keep-alives and when not, with a real supervisor, journal and delivery."""

from __future__ import annotations

import itertools
import sqlite3
from typing import TYPE_CHECKING

from cutoutd.daemon.heartbeat import EXTEND_EVERY_S, OVERSLEPT_S, Heartbeat
from cutoutd.folder.hot_folder import HANGS_AFTER_S
from cutoutd.journal.store import FILE_NAME
from cutoutd.process.sd_notify import ServiceManager
from tests.integration.parts import until

if TYPE_CHECKING:
    from tests.conftest import FakeClock
    from tests.integration.supervisor_run import SupervisorRun

PERIOD_S = 20.0


class Heard(ServiceManager):
    """A service manager that records messages."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__("/nowhere", PERIOD_S)
        self._clock = clock
        self.messages: list[tuple[float, str]] = []

    def _notify(self, *lines: str) -> None:
        """Record the first line of a message with its time."""
        self.messages.append((self._clock.monotonic_s(), lines[0]))

    def times(self, word: str) -> list[float]:
        """Return the times of the messages that begin with a word."""
        return [at for at, line in self.messages if line.startswith(word)]


def watched(supervisor_run: SupervisorRun, *, seconds: float) -> Heard:
    """Run the supervisor for some time. Returns the messages."""
    manager = Heard(supervisor_run.clock)
    supervisor_run.heartbeat = Heartbeat(manager, supervisor_run.clock)
    supervisor = supervisor_run.supervise(once=False)
    end_s = supervisor_run.clock.monotonic_s() + seconds
    before = supervisor_run.workers.before_poll

    def poll() -> None:
        before()
        if supervisor_run.clock.monotonic_s() >= end_s:
            supervisor.stop()

    supervisor_run.workers.before_poll = poll
    supervisor.run()
    return manager


def longest_pause_s(manager: Heard) -> float:
    """Return the longest pause between two keep-alives."""
    times = manager.times("WATCHDOG=1")
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_the_service_is_ready_once_a_worker_is_and_keep_alives_follow(supervisor_run: SupervisorRun) -> None:
    """Several times in each period."""
    facts, supervisor_run.workers.facts = supervisor_run.workers.facts, None
    start_s = supervisor_run.clock.monotonic_s()

    def load() -> None:
        if supervisor_run.clock.monotonic_s() > start_s + 5:
            supervisor_run.workers.facts = facts

    supervisor_run.workers.before_poll = load
    manager = watched(supervisor_run, seconds=60)
    (ready_s,) = manager.times("READY=1")
    assert ready_s >= start_s + 5
    assert longest_pause_s(manager) < PERIOD_S / 5


def test_one_folder_that_hangs_does_not_stop_the_keep_alives(supervisor_run: SupervisorRun) -> None:
    """A restart would not repair the share."""
    supervisor_run.monitor.now(looking_since_s=supervisor_run.clock.monotonic_s())
    manager = watched(supervisor_run, seconds=3 * OVERSLEPT_S)
    assert not supervisor_run.hot.status.is_open
    assert longest_pause_s(manager) < PERIOD_S / 5
    assert manager.times("STATUS=")[-1] > HANGS_AFTER_S
    assert any("1 standing by" in line for _, line in manager.messages)


def test_a_monitor_that_never_scans_again_stops_the_keep_alives(supervisor_run: SupervisorRun) -> None:
    """The monitor sleeps because of an internal error, not for a share, and its folder's files would wait for ever."""
    manager = watched(supervisor_run, seconds=3 * OVERSLEPT_S)
    start_s, end_s = manager.times("READY=1")[0], manager.times("WATCHDOG=1")[-1]
    assert OVERSLEPT_S - 5 < end_s - start_s < OVERSLEPT_S + 5


def test_a_removed_folder_whose_share_hangs_does_not_stop_the_keep_alives(
    supervisor_run: SupervisorRun,
) -> None:
    """The folder was removed from the configuration; that it is not scanned any more is no fault."""
    supervisor_run.folder_set._leaving.append(supervisor_run.folder_set.active.popitem()[1])  # noqa: SLF001 -- in the middle of a reload
    supervisor_run.hot.delivery._tasks._backlog += 1  # noqa: SLF001 -- a task that does not end
    manager = watched(supervisor_run, seconds=3 * OVERSLEPT_S)
    supervisor_run.hot.delivery._tasks._backlog -= 1  # noqa: SLF001 -- see above
    assert longest_pause_s(manager) < PERIOD_S / 5


def test_a_monitor_that_scans_now_and_then_does_not_stop_the_keep_alives(
    supervisor_run: SupervisorRun,
) -> None:
    """As in the test before the last, but the monitor still scans."""

    def turn() -> None:
        supervisor_run.monitor.now(looks=int(supervisor_run.clock.monotonic_s() // 60))

    supervisor_run.workers.before_poll = turn
    assert longest_pause_s(watched(supervisor_run, seconds=3 * OVERSLEPT_S)) < PERIOD_S / 5


def test_a_journal_that_refuses_does_not_stop_the_keep_alives(supervisor_run: SupervisorRun) -> None:
    """Its disk is full: a restart would meet the same disk."""
    other = sqlite3.connect(supervisor_run.root / FILE_NAME, timeout=0, isolation_level=None)
    supervisor_run.journal.store._connection.execute("PRAGMA busy_timeout = 0")  # noqa: SLF001 -- the real one is 15 s
    start_s = supervisor_run.clock.monotonic_s()

    def refuse() -> None:
        if not other.in_transaction and supervisor_run.clock.monotonic_s() > start_s + 5:
            other.execute("BEGIN EXCLUSIVE")

    supervisor_run.workers.before_poll = refuse
    manager = watched(supervisor_run, seconds=30)
    other.close()
    assert longest_pause_s(manager) < PERIOD_S / 5


def test_a_long_stop_asks_for_more_time_while_it_progresses(supervisor_run: SupervisorRun) -> None:
    """The status says that the daemon is stopping."""
    supervisor_run.accept("a.jpg")
    manager = watched(supervisor_run, seconds=3)  # the worker never answers
    extensions = manager.times("EXTEND_TIMEOUT_USEC=")
    (stopping_s,) = manager.times("STOPPING=1")
    assert extensions[0] == stopping_s
    assert len(extensions) > 15
    assert max(b - a for a, b in itertools.pairwise(extensions)) < 2 * EXTEND_EVERY_S


def test_the_status_shows_queue_and_rate(supervisor_run: SupervisorRun) -> None:
    """The rate is that of the last minute."""
    supervisor_run.accept("a.jpg", "b.jpg", "c.jpg")
    supervisor_run.workers.answer = lambda task: (
        supervisor_run.cut(task) if len(supervisor_run.workers.given) < 3 else None
    )
    # A delivery works in real time: without that, a slow disk takes more than a minute of the clock.
    supervisor_run.workers.before_poll = lambda: until(
        lambda: not supervisor_run.hot.delivery.backlog, "the delivery"
    )
    manager = watched(supervisor_run, seconds=20)
    assert any(line == "STATUS=1 waiting, 2 in the last minute; 1 folder" for _, line in manager.messages)
    assert any(line.startswith("STATUS=ending what is in work; ") for _, line in manager.messages)
