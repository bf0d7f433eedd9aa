"""One worker slot: a process, a channel, two pipes and a monotonic deadline.

Nothing here blocks: what does not fit into the channel is sent later, reads are non-blocking, and nothing waits for a kill.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd.pool import wire
from cutoutd.pool.report_checks import AssignedTask
from cutoutd.process import channel, child_environment
from cutoutd.protocols import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cutoutd.jobs import Task
    from cutoutd.process.channel import Sender
    from cutoutd.protocols import Files

# One thread a worker: two one-thread workers give 1.5 times the throughput of one two-thread worker, and
# a thread that numpy starts on import would exist before the sandbox does.
ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "OPENCV_LOG_LEVEL": "SILENT",  # faults of a picture are in the report
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Arrays come and go with each picture. Zeroing them in pages of 4 KiB costs 5 % of the time of a picture, and a third of
    # decoding. Where the system has no huge pages, nothing changes. Up to 64 MiB are kept from one picture to the next: giving
    # them back and zeroing them again costs another 1 %.
    "GLIBC_TUNABLES": (
        "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=0x2000000:glibc.malloc.trim_threshold=0x4000000"
    ),
}

STALL_S: Final = {Step.READ: 20.0, Step.WRITE: 20.0, Step.SYNC: 60.0}
"""Seconds without progress after which a disk or share counts as not answering. A healthy one transfers 4 MB at a time; a
sync reports nothing until a whole result is written, which takes long on a slow connection."""

SUBSTITUTE_AFTER_S: Final = 3.0
"""A worker that waits longer for a disk or share needs no core: another may be started in its place."""

MAX_STEPS: Final = 10_000
"""Progress messages of one task; a correct worker sends at most one every half second."""


class SlotState(Enum):
    """State of the process of a slot."""

    STARTING = auto()  # loads the model
    IDLE = auto()  # waits for a task
    BUSY = auto()  # has a task, and a deadline
    DYING = auto()  # was killed, and is not yet reaped


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spawned:
    """The process of a worker that has not got its set-up yet.

    Attributes:
        process: the process, with the pipe of its reports.
        tasks: our end of the channel for the set-up, tasks and their files.
        usage: descriptor of its ``stat`` in proc(5); None where there is none.
    """

    process: subprocess.Popen[bytes]
    tasks: Sender
    usage: int | None

    def end(self) -> None:
        """End the process, which is not needed."""
        self.process.kill()
        self.tasks.close()
        if self.usage is not None:
            os.close(self.usage)


def spawn(command: Sequence[str]) -> Spawned:
    """Start the process of a worker, which loads its libraries and then waits for its set-up.

    Args:
        command: command to start; the channel and its pipes are its standard input, output and error.

    Raises:
        OSError: no more descriptors, processes or memory.
    """
    tasks, theirs = channel.pair()
    try:
        process = subprocess.Popen(  # noqa: S603 -- the command is this program's own
            command,
            stdin=theirs,
            stdout=subprocess.PIPE,
            # Never the terminal or log of the user: the worker could read what is typed there, or empty the file.
            stderr=subprocess.PIPE,
            env=child_environment.for_worker(os.environ) | ENVIRONMENT,
            bufsize=0,
            start_new_session=True,  # no terminal: Ctrl-C is for the supervisor alone
        )
    except BaseException:
        tasks.close()
        raise
    finally:
        os.close(theirs)
    return Spawned(process=process, tasks=tasks, usage=_usage(process.pid))


def _usage(pid: int) -> int | None:
    """Open /proc/PID/stat. Must happen before the process hides its memory: where /proc is restricted, it is invisible then."""
    try:
        return os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # macOS has none
        return None


class WorkerSlot:
    """A worker process, the channel to it and the pipe from it.

    Args:
        spawned: process from `spawn`.
        setup: set-up, sent as the first line.
        deadline_s: monotonic seconds by which it must be ready.
    """

    def __init__(self, spawned: Spawned, setup: wire.Setup, *, deadline_s: float) -> None:
        self._process = spawned.process
        self._tasks = spawned.tasks
        self.usage = spawned.usage
        assert self._process.stdout is not None  # noqa: S101 -- PIPE was asked for
        assert self._process.stderr is not None  # noqa: S101 -- PIPE was asked for
        self.reports = self._process.stdout.fileno()
        self.stderr = self._process.stderr.fileno()
        os.set_blocking(self.reports, False)
        self._unread = b""
        self.state = SlotState.STARTING
        self.since_s = 0.0
        self.job: int | None = None
        self._task: Task | None = None
        self._given_s = 0.0
        self.tasks_given = 0
        self.deadline_s: float | None = deadline_s
        self.timed_out = False
        self.step = Step.CUT
        self.stepped_s = 0.0
        self._steps = 0
        self.stalled: Step | None = None
        self.alone = False
        self.did_not_start = False
        self.retired = False
        self.reason = ""
        self.self_tests = setup.self_test
        self.max_pixels = setup.max_pixels
        self.models = tuple(model.name for model in setup.models)
        self._tasks.send(wire.encode_setup(setup))

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def assign(
        self,
        task: Task,
        files: Files,
        sent: Callable[[], object],
        *,
        now_s: float,
        deadline_s: float,
        lived_s: float,
    ) -> None:
        """Send a task to the idle worker.

        Args:
            task: the task.
            files: its open files.
            sent: called once the files may be closed here.
            now_s: monotonic seconds.
            deadline_s: monotonic seconds at which the worker is killed.
            lived_s: now, by a clock that includes stops and sleep, during which the worker may run on.
        """
        line = wire.encode_task(task, files)  # before the state changes: the slot stays idle if this fails
        self._task, self._given_s = task, lived_s
        self.tasks_given += 1
        self.step, self.stepped_s, self._steps = Step.READ, now_s, 0
        self.state = SlotState.BUSY
        self.job = task.job
        self.alone = task.alone
        self.deadline_s = deadline_s
        self._tasks.send(line, files.descriptors, sent)

    def assigned(self, lived_s: float) -> AssignedTask:
        """Return the current task and its age. Allowed only while there is a task.

        Args:
            lived_s: now, as for `assign`.
        """
        assert self._task is not None  # noqa: S101 -- it has one
        since_ms = (lived_s - self._given_s) * 1000
        return AssignedTask(task=self._task, max_pixels=self.max_pixels, since_ms=since_ms)

    def record_progress(self, step: Step, now_s: float) -> None:
        """Take note of a progress message.

        Raises:
            WireError: there were more than `MAX_STEPS`.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise wire.WireError("it reports progress without end")
        self.step, self.stepped_s = step, now_s

    def waits_s(self, now_s: float) -> float:
        """Return for how long the worker has waited for a disk or share, in seconds; 0 if it does not."""
        return now_s - self.stepped_s if self.state is SlotState.BUSY and self.step in STALL_S else 0.0

    @property
    def stalls_at_s(self) -> float | None:
        """Monotonic seconds at which the worker has waited for too long; None if it does not wait."""
        return self.stepped_s + STALL_S[self.step] if self.waits_s(self.stepped_s + 1) else None

    def become_idle(self) -> None:
        """Become idle: the task is reported."""
        self.state = SlotState.IDLE
        self.job = self._task = None
        self.alone = False
        self.deadline_s = None

    def read(self) -> tuple[list[bytes], bool]:
        """Return the whole lines that the worker wrote, and whether its pipe has ended.

        Raises:
            WireError: a line is longer than `wire.MAX_LINE_BYTES`.
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
        """Send SIGKILL, without waiting for its effect."""
        self.stalled = self.stalled or stalled
        self.did_not_start = self.state is SlotState.STARTING
        self.timed_out = self.timed_out or timed_out
        self._end(now_s)

    def retire(self, now_s: float) -> None:
        """End the worker as `kill` does, but not because of a fault."""
        self.retired = True
        self._end(now_s)

    def _end(self, now_s: float) -> None:
        self._process.kill()
        self.state = SlotState.DYING
        self.since_s = now_s

    def reaped(self) -> bool:
        """Whether the process is gone. Never waits."""
        return self._process.poll() is not None

    def end(self) -> str:
        """Return how the process ended, in words; the reason it gave itself comes first."""
        if self.reason:
            return self.reason
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
        """Close our ends of the channel and the pipes."""
        self._tasks.close()
        if self.usage is not None:
            os.close(self.usage)
            self.usage = None
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def send_rest(self) -> bool:
        """Send what the channel did not take at once, as far as it does now. Returns whether that was all. Never waits."""
        return self._tasks.send_rest()

    def due_s(self, now_s: float) -> Iterator[float]:
        """Yield the times of the next checks, in monotonic seconds."""
        if self.state is SlotState.DYING:
            yield now_s + 0.02  # a killed process is gone within milliseconds
            return
        if self._tasks.is_waiting:
            yield now_s + 0.02
        if self.deadline_s is not None:
            yield self.deadline_s
        if self.stalls_at_s is not None:
            yield self.stalls_at_s
            if self.waits_s(now_s) < SUBSTITUTE_AFTER_S:
                yield self.stepped_s + SUBSTITUTE_AFTER_S
