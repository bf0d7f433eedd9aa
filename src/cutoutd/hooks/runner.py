"""Runs commands of the owner's when something has happened: a few at a time, each for a bounded time, never in anybody's way.

Whoever gives an hook does not wait for it. What does not fit in the queue is not run, and said so. The processes
inherit the supervisor's filter: no network socket, and no privileges to be gained (docs/operating.md). It must not
know what the commands are for.
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
"""So many hooks wait at most: an hour of a shoot at the pace of a camera, for a command that takes seconds."""

KEPT_BYTES: Final = 500
"""Of what a command says on standard error, its end: the reason stands there."""

_LOOK_S: Final = 0.1
_DEATH_S: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HookCommand:
    """A command that is to be run.

    Attributes:
        event: what for, as the configuration calls it.
        command: program and arguments, all of them.
        facts: for its environment.
        timeout_s: after which it is ended, with all that it started and did not detach.
    """

    event: str
    command: tuple[str, ...]
    facts: Mapping[str, str]
    timeout_s: float


class HookRunner:
    """Runs them, in the order they come.

    Args:
        at_once: so many at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._queue: queue.Queue[HookCommand] = queue.Queue(QUEUED)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()
        self._is_full = False
        self._has_ended = False
        self._log = get()

    def give(self, hook: HookCommand) -> None:
        """Have it run; returns at once, from any thread."""
        with self._lock:
            if len(self._threads) < self._at_once:
                # Not before there is something to do: most have no command at all.
                thread = threading.Thread(target=self._run_all, name="hooks", daemon=True)
                self._threads.append(thread)
                thread.start()
        try:
            self._queue.put_nowait(hook)
        except queue.Full:
            if not self._is_full:
                self._is_full = True
                self._log.warning("hook.dropped", hook=hook.event, why=f"{QUEUED} wait already")

    @property
    def is_idle(self) -> bool:
        """Nothing waits, and nothing runs."""
        return not self._queue.unfinished_tasks

    def end(self, limit_s: float) -> bool:
        """Wait until all are run, but not for longer, and run no more; whether they are."""
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
            except Exception as error:  # noqa: BLE001 -- one command's fault must not keep the next from being run
                report(self._log, error, over="a hook", hook=hook.event)
            if self._queue.empty():
                self._is_full = False
            self._queue.task_done()

    def _note(self, hook: HookCommand, why: str) -> None:
        """A failure is said once, until the command has worked again or fails otherwise."""
        program = hook.command[0]
        with self._lock:
            if not why:
                self._told = {told for told in self._told if told[0] != program}
                return
            is_new = (program, why) not in self._told
            self._told.add((program, why))
        if is_new:
            self._log.warning(
                "hook.failed", hook=hook.event, command=to_valid_utf8(program), why=to_valid_utf8(why)
            )


def run(hook: HookCommand) -> str:
    """Run it to its end, or to the end of its time; why it failed, or nothing."""
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
            # One that hangs on a share outlives even that: this thread then waits with it.
            return f"it took longer than timeout_s = {hook.timeout_s:g}"
    if process.returncode == 0:
        return ""
    reason = said.decode("utf-8", "replace").strip().replace("\n", " / ")
    how = f"code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
    return f"it ended with {how}{f': {reason}' if reason else ''}"


def _listen(process: subprocess.Popen[bytes], left: Countdown) -> tuple[bytes, bool]:
    """The end of what it says, and whether it ended in time; what it leaves running behind it is not waited for."""
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
