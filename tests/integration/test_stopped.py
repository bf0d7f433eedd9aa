"""After a process was stopped for longer than a deadline, no job, hook or probe is blamed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cutoutd.clock import STOPPED_S, RunningClock, WallClockGuard
from tests.integration.stopped import LIMIT_S


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """The outcomes of a job, a hook and a probe during which the waiting program was stopped."""
    file = tmp_path_factory.mktemp("stopped") / "go"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.stopped", "all", str(file)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert "given\n" in iter(program.stdout.readline, "")
        os.kill(program.pid, signal.SIGSTOP)
        time.sleep(LIMIT_S + STOPPED_S)  # what passes here is what the test is about
        os.kill(program.pid, signal.SIGCONT)
        time.sleep(0.3)  # it has looked at its deadlines by now
        file.touch()
        found: dict[str, bool] = json.loads(program.stdout.readlines()[-1])
    return found


@pytest.mark.parametrize("waited_for", ["cut", "hook", "question"])
def test_time_in_which_a_process_was_stopped_counts_in_no_deadline(
    outcomes: dict[str, bool], waited_for: str
) -> None:
    """A worker with its job, a hook with its limit, a share that was probed: all get their full time."""
    assert outcomes[waited_for]


def test_a_running_clock_leaves_out_a_stop_and_the_clock_did_not_jump(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first reader notices the gap; the guard of the wall clock still counts it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = RunningClock()
    monkeypatch.setattr(RunningClock, "_tick", lambda *_: None)
    with clock.ticking():
        before_s = clock.monotonic_s()
        now[0] += STOPPED_S - 0.1
        assert clock.monotonic_s() - before_s == pytest.approx(STOPPED_S - 0.1)
        now[0] += 3600
        assert clock.monotonic_s() - before_s < STOPPED_S + 2
        assert clock.elapsed_s() == now[0]
    assert clock.monotonic_s() <= clock.elapsed_s()


def test_a_stop_is_no_jump_of_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the clock would be distrusted for ten minutes after a lid was closed."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time_ns", lambda: int((now[0] + 1e9) * 1e9))
    monkeypatch.setattr(RunningClock, "_tick", lambda *_: None)
    clock = RunningClock()
    guard = WallClockGuard(clock)
    with clock.ticking():
        now[0] += 3600
        clock.monotonic_s()
        assert abs(guard.check()) < 1
        assert guard.since_s(clock.now_us() - 3_600_000_000) == pytest.approx(3600, abs=1)
