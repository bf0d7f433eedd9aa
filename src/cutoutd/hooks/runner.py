"""Runs the owner's commands on events: a few at a time, each with a timeout, and without delaying the daemon.

The caller does not wait. Commands that do not fit in the queue are dropped with a warning. The processes inherit the
supervisor's filter: no network socket and no new privileges (docs/operating.md). It must not know what the commands are for.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.clock import Countdown
from cutoutd.failure import to_valid_utf8
from cutoutd.faults.isolation import report
from cutoutd.logs import get
from cutoutd.process import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUED: Final = 1000
"""Longest queue: an hour of a shoot at the pace of a camera, for a command that takes seconds."""

KEPT_BYTES: Final = 500
"""Bytes kept of the end of a command's standard error, where the reason usually is."""

_LOOK_S: Final = 0.1
_DEATH_S: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HookCommand:
    """A command to run.

    Attributes:
        event: name of the event, as in the configuration.
        command: program and all arguments.
        facts: variables for its environment.
        timeout_s: seconds after which it is killed, with its process group.
    """

    event: str
    command: tuple[str, ...]
    facts: Mapping[str, str]
    timeout_s: float


class HookRunner:
    """Runs commands in the order they come.

    Args:
        at_once: how many may run at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._queue: queue.Queue[HookCommand] = queue.Queue(QUEUED)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._logged: set[tuple[str, str]] = set()
        self._is_full = False
        self._has_ended = False
        self._log = get()

    def enqueue(self, hook: HookCommand) -> None:
        """Queue a command. Returns at once; callable from any thread."""
        with self._lock:
            if len(self._threads) < self._at_once:
                # Started late: most configurations have no command at all.
                thread = threading.Thread(target=self._run_all, name="hooks", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads: the next command tries it again
                    report(self._log, error, over="a hook", hook=hook.event)
                else:
                    self._threads.append(thread)
        try:
            self._queue.put_nowait(hook)
        except queue.Full:
            if not self._is_full:
                self._is_full = True
                self._log.warning("hook.dropped", hook=hook.event, why=f"{QUEUED} wait already")

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or running."""
        return not self._queue.unfinished_tasks

    def end(self, limit_s: float) -> bool:
        """Wait until all commands have run, up to a limit, and run no more after that. Returns whether all have run."""
        left = Countdown(limit_s, step_s=_LOOK_S)
        while self._queue.unfinished_tasks and left.left_s() > 0:
            time.sleep(0.02)
        self._has_ended = True
        return not self._queue.unfinished_tasks

    def _run_all(self) -> None:
        while True:
            hook = self._queue.get()
            try:
                if not self._has_ended:
                    self._note(hook, run(hook))
            except Exception as error:  # noqa: BLE001 -- a fault of one command must not affect the next one
                report(self._log, error, over="a hook", hook=hook.event)
            if self._queue.empty():
                self._is_full = False
            self._queue.task_done()

    def _note(self, hook: HookCommand, why: str) -> None:
        """Log a failure once, until the command works again or fails for another reason."""
        program = hook.command[0]
        with self._lock:
            if not why:
                self._logged = {failure for failure in self._logged if failure[0] != program}
                return
            is_new = (program, why) not in self._logged
            self._logged.add((program, why))
        if is_new:
            self._log.warning(
                "hook.failed", hook=hook.event, command=to_valid_utf8(program), why=to_valid_utf8(why)
            )


def run(hook: HookCommand) -> str:
    """Run a command until it ends or its timeout. Returns why it failed; empty if it did not."""
    try:
        process = subprocess.Popen(  # noqa: S603 -- the owner's own command, and no shell
            hook.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=child_environment.for_hook(os.environ) | dict(hook.facts),
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"it cannot be started: {getattr(error, 'strerror', None) or error}"
    with process:
        said, in_time = _listen(process, Countdown(hook.timeout_s, step_s=_LOOK_S))
        if not in_time:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # A process that hangs on a share survives even that; this thread then waits for it.
            return f"it took longer than timeout_s = {hook.timeout_s:g}"
    if process.returncode == 0:
        return ""
    reason = said.decode("utf-8", "replace").strip().replace("\n", " / ")
    how = f"code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
    return f"it ended with {how}{f': {reason}' if reason else ''}"


def _listen(process: subprocess.Popen[bytes], left: Countdown) -> tuple[bytes, bool]:
    """Return the end of the standard error, and whether the process ended in time. Its own children are not waited for."""
    assert process.stderr is not None  # noqa: S101 -- PIPE was asked for
    descriptor, said, is_open = process.stderr.fileno(), b"", True
    while process.poll() is None:
        left_s = left.left_s()
        if left_s <= 0:
            return said, False
        if not is_open:
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(left_s, _LOOK_S))
        elif select.select([descriptor], [], [], min(left_s, _LOOK_S))[0]:
            data = os.read(descriptor, 65536)
            is_open = bool(data)
            said = (said + data)[-KEPT_BYTES:]
    if is_open and select.select([descriptor], [], [], 0)[0]:
        said = (said + os.read(descriptor, 65536))[-KEPT_BYTES:]
    return said, True
