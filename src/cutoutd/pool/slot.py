"""One worker slot: a process of its own, three pipes of its own, a monotonic deadline.

Nothing here blocks: what does not fit into a pipe is sent later, reads are non-blocking, and a kill is never waited for.
"""

from __future__ import annotations

import os
import signal
import subprocess
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd import inheritance
from cutoutd.pool import wire
from cutoutd.ports import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cutoutd.jobs import Task

# One thread a worker: two one-thread workers give 1.5 times the throughput of one two-thread worker, and
# a thread that numpy starts on import would exist before the sandbox does.
ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "OPENCV_LOG_LEVEL": "SILENT",  # what is wrong with a picture is in the report
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Frames come and go with each picture, and pages of 4 KiB would be zeroed one by one: 5 % of a picture's time, a third
    # of decoding's. Where the system gives no huge pages, nothing changes. Up to 64 MiB are kept from one picture to the
    # next: to give them back and have them zeroed again is 1 % more.
    "GLIBC_TUNABLES": (
        "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=0x2000000:glibc.malloc.trim_threshold=0x4000000"
    ),
}

STALL_S: Final = {Step.READ: 20.0, Step.WRITE: 20.0, Step.SYNC: 60.0}
"""Without progress for this long, a disk or share does not answer. A healthy one gives 4 MB at a time; a sync has
to write out a whole result before it says anything, which a slow line needs its time for."""

PATIENCE_S: Final = 3.0
"""A worker that waits for a disk or share for longer needs no core: another may be started in its place."""

BIND_S: Final = 5.0
"""A root that does not answer a starting worker for this long is left out of the next one's."""

MAX_STEPS: Final = 10_000
"""Of one task: an honest worker tells of one every half second at most."""


class SlotState(Enum):
    """Where a slot's process stands."""

    STARTING = auto()  # loads the model
    IDLE = auto()  # waits for a task
    BUSY = auto()  # has one, and a deadline
    DYING = auto()  # was killed, and is not yet reaped


def spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a worker's process, which loads its libraries and then waits for its set-up.

    Args:
        command: what to start; it finds its pipes as its standard input, output and error.

    Raises:
        OSError: no more descriptors, processes or memory.
    """
    return subprocess.Popen(  # noqa: S603 -- the command is this program's own
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Never the user's terminal or log: it would be open for reading what is typed, and for emptying the file.
        stderr=subprocess.PIPE,
        env=inheritance.for_worker(os.environ) | ENVIRONMENT,
        bufsize=0,
        start_new_session=True,  # it has no terminal, and a Ctrl-C there is for the supervisor alone
    )


class Slot:
    """A worker process and the pipes to it.

    Args:
        process: of `spawn`.
        setup: the first line it is sent.
        deadline_s: monotonic seconds by which it must be ready.
    """

    def __init__(self, process: subprocess.Popen[bytes], setup: wire.Setup, *, deadline_s: float) -> None:
        self._process = process
        assert self._process.stdin is not None  # noqa: S101 -- PIPE was asked for
        assert self._process.stdout is not None  # noqa: S101 -- PIPE was asked for
        assert self._process.stderr is not None  # noqa: S101 -- PIPE was asked for
        self._tasks = self._process.stdin.fileno()
        self.reports = self._process.stdout.fileno()
        self.complaints = self._process.stderr.fileno()
        os.set_blocking(self.reports, False)
        os.set_blocking(self._tasks, False)
        self._unread = b""
        self._unsent = b""
        self.state = SlotState.STARTING
        self.since_s = 0.0
        self.job: int | None = None
        self.deadline_s: float | None = deadline_s
        self.timed_out = False
        self.step = Step.CUT
        self.stepped_s = 0.0
        self._steps = 0
        self.binding: int | None = None
        self.stalled: Step | None = None
        self.alone = False
        self.did_not_start = False
        self.retired = False
        self.complaint = ""
        self.rehearses = setup.rehearse
        self.models = tuple(model.name for model in setup.models)
        self.roots = (*setup.read_roots, *setup.write_roots)
        self._send(wire.encode_setup(setup))

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def give(self, task: Task, now_s: float, deadline_s: float) -> None:
        """Hand a task to the idle worker.

        Args:
            task: the task.
            now_s: monotonic seconds.
            deadline_s: when it is killed.
        """
        self.step, self.stepped_s, self._steps = Step.READ, now_s, 0
        self.state = SlotState.BUSY
        self.job = task.job
        self.alone = task.alone
        self.deadline_s = deadline_s
        self._send(wire.encode_task(task))

    def go_on(self, step: Step, now_s: float) -> None:
        """It says where it stands.

        Raises:
            WireError: it says so more often than any honest one.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise wire.WireError("it tells of its progress without end")
        self.step, self.stepped_s = step, now_s

    def waits_s(self, now_s: float) -> float:
        """For how long it has waited for a disk or share; 0 if it does not."""
        return now_s - self.stepped_s if self.state is SlotState.BUSY and self.step in STALL_S else 0.0

    @property
    def stalls_at_s(self) -> float | None:
        """When it has waited for too long, in monotonic seconds."""
        return self.stepped_s + STALL_S[self.step] if self.waits_s(self.stepped_s + 1) else None

    def rest(self) -> None:
        """Its task is reported."""
        self.state = SlotState.IDLE
        self.job = None
        self.alone = False
        self.deadline_s = None

    def read(self) -> tuple[list[bytes], bool]:
        """Whole lines the worker wrote, and whether its pipe has ended.

        Raises:
            WireError: a line is longer than any honest one.
        """
        ended = False
        while True:
            try:
                data = os.read(self.reports, 65536)
            except BlockingIOError:
                break
            if not data:
                ended = True
                break
            self._unread += data
            if len(self._unread) > wire.MAX_LINE_BYTES:
                raise wire.WireError("a worker's message has no end")
        *lines, self._unread = self._unread.split(b"\n")
        return lines, ended

    def kill(self, now_s: float, *, timed_out: bool, stalled: Step | None = None) -> None:
        """SIGKILL, without waiting for its effect."""
        self.stalled = self.stalled or stalled
        self.did_not_start = self.state is SlotState.STARTING
        self.timed_out = self.timed_out or timed_out
        self._end(now_s)

    def retire(self, now_s: float) -> None:
        """As `kill`, but by our own wish: no fault of the worker's."""
        self.retired = True
        self._end(now_s)

    def _end(self, now_s: float) -> None:
        self._process.kill()
        self.state = SlotState.DYING
        self.since_s = now_s

    def reaped(self) -> bool:
        """Whether the process is gone; never waits."""
        return self._process.poll() is not None

    def end(self) -> str:
        """How the process ended, in words: its own, where it could still say why."""
        if self.complaint:
            return self.complaint
        code = self._process.returncode
        if code is None:
            return "it does not even answer to being killed, as happens on a share that hangs"
        if code >= 0:
            return f"the worker ended with code {code}"
        try:
            return f"the worker was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"the worker was ended by signal {-code}"

    def close(self) -> None:
        """Close our ends of the pipes."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def send_rest(self) -> bool:
        """Send as much as the pipe takes of what it did not take at once; whether that was all. Never waits."""
        while self._unsent:
            try:
                self._unsent = self._unsent[os.write(self._tasks, self._unsent) :]
            except BlockingIOError:
                return False
            except BrokenPipeError:
                self._unsent = b""  # a dead worker shows itself at the other pipe
        return True

    def due_s(self, now_s: float) -> Iterator[float]:
        """When it is to be looked at again, in monotonic seconds."""
        if self.state is SlotState.DYING:
            yield now_s + 0.02  # a killed process is gone within milliseconds
            return
        if self._unsent:
            yield now_s + 0.02
        if self.deadline_s is not None:
            yield self.deadline_s
        if self.stalls_at_s is not None:
            yield self.stalls_at_s
            if self.waits_s(now_s) < PATIENCE_S:
                yield self.stepped_s + PATIENCE_S
        if self.state is SlotState.STARTING and self.binding is not None:
            yield max(self.since_s + BIND_S, now_s + 0.1)

    def unreachable(self, now_s: float) -> str | None:
        """The root that it has waited for in vain while it started."""
        if self.state is not SlotState.STARTING or self.binding is None or now_s < self.since_s + BIND_S:
            return None
        return self.roots[self.binding] if 0 <= self.binding < len(self.roots) else None

    def _send(self, line: bytes) -> None:
        """Send a line; a long one, such as a task with many hashes, goes in parts as the worker reads."""
        self._unsent += line
        self.send_rest()
