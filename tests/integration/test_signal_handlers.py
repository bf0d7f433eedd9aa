"""A signal handler may run between any two instructions of the main thread, also while that holds a lock."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import RunningClock
from cutoutd.process.stop_flag import StopFlag
from tests.integration.supervisor_run import FakeThread, SupervisorRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from _typeshed import TraceFunction

    from tests.conftest import FakeClock

_PATIENCE_S = 10.0


def hangs_at(make: Callable[[], tuple[Callable[[], object], Callable[[], object]]]) -> int | None:
    """Run a handler once amid an action, as the interpreter may for a signal, at each of the action's instructions in turn.

    Args:
        make: returns the action and the handler, anew for each instruction.

    Returns:
        The number of the first instruction at which the action does not end; None: it always does.
    """
    for at in count(1):
        action, handler = make()
        interruption = Interruption(handler, at)
        thread = threading.Thread(target=interruption.run, args=(action,), daemon=True)
        thread.start()
        thread.join(_PATIENCE_S)
        if thread.is_alive():
            return at
        if interruption.left > 0:
            return None
    raise AssertionError


class Interruption:
    """Calls a handler between two instructions of the thread that runs an action."""

    def __init__(self, handler: Callable[[], object], at: int) -> None:
        self._handler = handler
        self.left = at

    def run(self, action: Callable[[], object]) -> None:
        """Run the action."""
        sys.settrace(self._trace)
        action()

    def _trace(self, frame: FrameType, event: str, _: object) -> TraceFunction:
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self._handler()
        return self._trace


def test_an_event_of_the_library_waits_for_itself() -> None:
    """This is why the handlers set none; and the method of these tests finds it."""

    def make() -> tuple[Callable[[], object], Callable[[], object]]:
        event = threading.Event()
        return lambda: event.wait(0.01), event.set

    assert hangs_at(make) is not None


@pytest.mark.parametrize("timeout_s", [-1.0, 0.0, 0.01, 30.0])
def test_a_stop_flag_may_be_set_amid_a_wait_for_it(timeout_s: float) -> None:
    """All waits end, also those of other threads."""
    flags: list[StopFlag] = []

    def make() -> tuple[Callable[[], object], Callable[[], object]]:
        flags.append(StopFlag())
        if timeout_s > 1:
            threading.Timer(0.02, flags[-1].set).start()  # where it is interrupted no more
        return partial(flags[-1].wait, timeout_s), flags[-1].set

    assert hangs_at(make) is None
    assert len(flags) > 10
    others = [threading.Thread(target=flags[0].wait, daemon=True) for _ in range(3)]
    for other in others:
        other.start()
        other.join(_PATIENCE_S)
        assert not other.is_alive()


def test_all_waits_for_a_stop_flag_end_together() -> None:
    """One wake reaches every thread, and a wait that ends for lack of time says so."""
    flag = StopFlag()
    assert not flag.wait(0.01)
    others = [threading.Thread(target=flag.wait, daemon=True) for _ in range(3)]
    for other in others:
        other.start()
    flag.set()
    for other in others:
        other.join(_PATIENCE_S)
        assert not other.is_alive()


TAKEN_BY_ANOTHER_THREAD = """
import signal, threading
from pathlib import Path
from cutoutd.process.stop_flag import StopFlag

flag = StopFlag()
signal.signal(signal.SIGTERM, lambda _, __: flag.set())
main = Path(f"/proc/self/task/{threading.main_thread().native_id}/status")

def end():
    same = 0
    before = ""
    while same < 50:  # each reading lets the main thread go on, until it waits for nothing but the flag
        now = main.read_text()
        same = same + 1 if now == before else 0
        before = now
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=end).start()
assert flag.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stop_flag_ends_a_wait_whichever_thread_takes_the_signal() -> None:
    """The kernel chooses one of them; the handler runs in the main thread, which nothing wakes then. Before, it waited for ever."""
    done = subprocess.run([sys.executable, "-c", TAKEN_BY_ANOTHER_THREAD], check=False, timeout=60)
    assert done.returncode == 0


def test_a_daemon_that_is_reading_its_clock_can_be_stopped(tmp_path: Path, clock: FakeClock) -> None:
    """Before, its handler waited for ever for the clock's lock, which the main thread itself held; only SIGKILL ended it."""
    parts = SupervisorRun(tmp_path, clock)

    def make() -> tuple[Callable[[], object], Callable[[], object]]:
        running = RunningClock()
        return running.monotonic_s, parts.supervise(once=False, clock=running).stop

    try:
        assert hangs_at(make) is None
        parts.supervisor.stop()
        parts.supervisor.run()  # it ends at once
    finally:
        parts.end()


class HangingThread(FakeThread):
    """A thread that does not end, with the times that were waited for it."""

    def __init__(self, waited_s: list[float]) -> None:
        super().__init__()
        self._waited_s = waited_s

    def join(self, timeout_s: float) -> None:
        """Wait in vain."""
        self._waited_s.append(timeout_s)
        time.sleep(timeout_s)


def test_the_end_waits_for_all_threads_of_a_folder_together(tmp_path: Path, clock: FakeClock) -> None:
    """Before, it waited so long for each of three: 47 s after SIGTERM instead of 25 where an output hung."""
    parts = SupervisorRun(tmp_path, clock)
    waited_s: list[float] = []
    opener = parts.hot.opener.thread
    parts.monitor.thread = parts.hot.opener.thread = HangingThread(waited_s)
    try:
        parts.hot.join(0.2)
        assert len(waited_s) == 2
        assert sum(waited_s) <= 0.2
    finally:
        parts.monitor.thread, parts.hot.opener.thread = FakeThread(), opener
        parts.end()
