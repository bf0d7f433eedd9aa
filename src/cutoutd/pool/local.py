"""The pool on this machine: slots, their deadlines, and their replacement.

No lock is shared between slots and nothing waits for one of them: a worker that crashes, hangs, or hangs
even when killed costs its own job's time and nobody else's.
"""

from __future__ import annotations

import os
import selectors
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ModelError, SandboxError
from cutoutd.faults.isolation import is_expected, report
from cutoutd.jobs import Failure
from cutoutd.logs import get
from cutoutd.pool import wire
from cutoutd.pool.slot import SUBSTITUTE_AFTER_S, SlotState, WorkerSlot, spawn
from cutoutd.pool.start_policy import StartPolicy
from cutoutd.pool.usage import UsageWatch
from cutoutd.pool.worker_stderr import WorkerStderr
from cutoutd.protocols import Finished, Lost, WorkerFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Task
    from cutoutd.pool.slot import Spawned
    from cutoutd.protocols import Files, PoolEvent

START_TIMEOUT_S: Final = 60.0
"""Loading the model takes under a second; a slow disk at boot may need much longer."""

ABANDON_S: Final = 2.0
"""A worker that outlives SIGKILL by this is stuck in the kernel: it is left behind and replaced."""

# -P: a module that lies in the current directory must never be imported.
WORKER: Final = (sys.executable, "-P", "-m", "cutoutd.pool.worker")


class LocalPool:
    """Worker slots on this machine; implements `cutoutd.protocols.Pool`.

    All methods but ``wake`` belong to one thread, the one that lives as long as the process: the kernel
    ends the workers when the thread that started them ends.

    Args:
        size: number of slots.
        setup: gives what a new worker is told; asked anew for each, since limits may have changed.
        job_timeout_s: from the moment a task is given.
        clock: its monotonic side.
        command: what a worker is; anything that speaks `cutoutd.pool.wire`.
        spares: processes of this command that were started already; those it takes are removed from the list.
    """

    def __init__(
        self,
        *,
        size: int,
        setup: Callable[[], wire.Setup],
        job_timeout_s: float,
        clock: Clock,
        command: Sequence[str] = WORKER,
        spares: list[Spawned] | None = None,
    ) -> None:
        self._size = size
        self._command = command
        self._setup = setup
        self._job_timeout_s = job_timeout_s
        self._clock = clock
        self._log = get()
        self._selector = selectors.DefaultSelector()
        # Never closed: a thread that ends late may still write to it.
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._stderr = WorkerStderr()
        self._selector.register(self._stderr, selectors.EVENT_READ, self._stderr)
        self._slots: list[WorkerSlot] = []
        self._abandoned: list[WorkerSlot] = []
        self._stale: set[WorkerSlot] = set()
        self._usage = UsageWatch()
        self._starts = StartPolicy(clock)
        # Those of a poll that fails midway are handed out by the next one.
        self._events: list[PoolEvent] = []
        self.facts: WorkerFacts | None = None
        self._replace_missing(spares)

    @property
    def size(self) -> int:
        """Number of slots."""
        return self._size

    @property
    def idle(self) -> int:
        """Tasks that could be started now: as many as ``size`` work, but for those that wait for a share."""
        free = sum(self._is_free(slot) for slot in self._slots)
        at_work = sum(slot.job is not None for slot in self._slots) - len(self.waiting)
        return max(
            0, min(free, self._size - at_work)
        )  # a share that answers again may leave more at work than `size`

    def room(self, *, tagged: bool) -> int:  # noqa: ARG002 -- one kind of worker for both kinds of folder
        """How many tasks could be started now."""
        return self.idle

    def serves(self, *, tagged: bool) -> bool:  # noqa: ARG002 -- likewise
        """Whether there are workers at all, or will be."""
        return self._size > 0

    @property
    def busy(self) -> int:
        """Slots that have one."""
        return sum(slot.job is not None for slot in self._slots)

    @property
    def waiting(self) -> Collection[int]:
        """Jobs whose workers wait for a disk or share, and have for a while."""
        now_s = self._clock.monotonic_s()
        return [
            slot.job
            for slot in self._slots
            if slot.job is not None and slot.waits_s(now_s) >= SUBSTITUTE_AFTER_S
        ]

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs over which workers got stuck that have not ended to this day."""
        return [slot.job for slot in self._abandoned if slot.job is not None]

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [slot.pid for slot in self._slots]

    @property
    def is_sound(self) -> bool:
        """Whether a new worker has shown that it can work since the last one died."""
        return self._starts.are_sound

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Give a task to an idle slot; only while ``idle`` is above 0."""
        slot = next(slot for slot in self._slots if self._is_free(slot))
        now_s = self._clock.monotonic_s()
        slot.give(
            task,
            files,
            sent,
            now_s=now_s,
            deadline_s=now_s + self._job_timeout_s,
            lived_s=self._clock.lived_s(),
        )

    def wake(self) -> None:
        """End a ``poll`` early; safe from any thread and from signal handlers."""
        try:
            os.write(self._wake_in, b"\0")
        except BlockingIOError:
            return  # full: it wakes anyway

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events, ``wake`` or the time-out, whichever is first.

        Raises:
            ModelError: the model does not load.
            SandboxError: a layer of the sandbox is missing, and all are required.
            WorkersFailError: no worker comes up, time after time.
        """
        for slot in self._slots:
            slot.send_rest()
        self._stderr.resume(self._clock.monotonic_s())
        for key, _ in self._selector.select(self._until_next_deadline(timeout_s)):
            if key.fd == self._wake_out:
                _drain(self._wake_out)
            elif key.data is self._stderr:
                self._stderr.take(self._clock.monotonic_s())
            elif isinstance(key.data, WorkerSlot):
                self._events += self._listen(key.data)
        self._enforce_deadlines()
        self._retire_stale()
        self._retire_surplus()
        self._replace_missing()
        events, self._events = self._events, []
        return events

    def fileno(self) -> int:
        """A descriptor that is readable while there is something for ``poll`` to hear."""
        return self._selector.fileno()

    def due_s(self, timeout_s: float) -> float:
        """How long ``poll`` would wait at most: it has deadlines of its own to see to."""
        return self._until_next_deadline(timeout_s)

    def resize(self, size: int) -> None:
        """Have so many slots from the next ``poll`` on; idle ones that are too many end."""
        self._size = size

    def recycle(self) -> None:
        """Replace every worker by a fresh one, the busy ones once they are idle."""
        self._stale = {slot for slot in self._slots if slot.state is not SlotState.DYING}
        self.wake()

    def close(self) -> None:
        """End all workers at once; never waits for a stuck one."""
        now_s = self._clock.monotonic_s()
        for slot in self._slots:
            slot.retire(now_s)
        end_s = now_s + ABANDON_S
        while self._clock.monotonic_s() < end_s and not all(slot.reaped() for slot in self._slots):
            self._selector.select(0.01)
        for slot in list(self._slots):
            self._forget(slot)
        self._stderr.close()
        self._selector.close()

    def _is_free(self, slot: WorkerSlot) -> bool:
        return slot.state is SlotState.IDLE and slot not in self._stale

    def _listen(self, slot: WorkerSlot) -> list[PoolEvent]:
        events: list[PoolEvent] = []
        try:
            lines, ended = slot.read()
            for line in lines:
                events += self._hear(slot, line)
        except wire.WireError as error:
            self._log.warning("worker.confused", pid=slot.pid, said=str(error))
            self._end_confused(slot)
            return events
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="what a worker said", pid=slot.pid)
            self._end_confused(slot)
            return events
        if ended:
            self._selector.unregister(slot.reports)
            if slot.state is not SlotState.DYING:
                slot.kill(self._clock.monotonic_s(), timed_out=False)
        return events

    def _end_confused(self, slot: WorkerSlot) -> None:
        slot.kill(self._clock.monotonic_s(), timed_out=False)
        self._selector.unregister(slot.reports)

    def _hear(self, slot: WorkerSlot, line: bytes) -> list[PoolEvent]:
        if slot.state is SlotState.DYING:
            return []  # it was killed over this task, which is somebody else's by now
        message = wire.decode_message(line)
        starts = isinstance(message, WorkerFacts | Failure)
        if (slot.state is SlotState.STARTING) != starts:
            raise wire.WireError("it speaks out of turn")
        if isinstance(message, WorkerFacts):
            slot.rest()
            self._usage.begin(slot, self._clock.monotonic_s(), has_drivers=message.provider != "cpu")
            say = self._log.info if self.facts is None else self._log.debug  # the first says what really runs
            self.facts = message
            self._starts.worked(self_tested=slot.self_tests)
            say(
                "worker.ready",
                pid=slot.pid,
                sandbox=message.layers,
                model=", ".join(slot.models),
                provider=message.provider,
            )
            return []
        if isinstance(message, Failure):
            self._turn_away(slot, message)
            return []
        job = message.job if isinstance(message, wire.Progress) else message[0]
        if slot.job != job or slot.state is not SlotState.BUSY:
            raise wire.WireError(f"a report of job {job}, which it does not have")
        if isinstance(message, wire.Progress):
            slot.go_on(message.step, self._clock.monotonic_s())
            return []
        report = message[1]
        wire.check(report, slot.asked(self._clock.lived_s()))
        alone = slot.alone
        slot.rest()
        if alone:
            slot.retire(
                self._clock.monotonic_s()
            )  # memory that one huge picture took is not given back otherwise
        return [Finished(job=job, report=report)]

    def _turn_away(self, slot: WorkerSlot, why: Failure) -> None:
        """End a worker that cannot work; what no other start would change ends all.

        Raises:
            ModelError: it is the model.
            SandboxError: it is the sandbox.
        """
        for kind in (ModelError, SandboxError):
            if why.code is kind.code:
                raise kind(why.cause, advice=why.advice)
        slot.reason = why.cause
        slot.kill(self._clock.monotonic_s(), timed_out=False)

    def _enforce_deadlines(self) -> None:
        now_s = self._clock.monotonic_s()
        for slot, why in self._usage.look(self._slots, now_s):
            slot.reason = why
            slot.kill(now_s, timed_out=False)
        for slot in list(self._slots):
            if slot.state is not SlotState.DYING:
                self._enforce_deadline(slot, now_s)
            if slot.state is SlotState.DYING and (slot.reaped() or now_s >= slot.since_s + ABANDON_S):
                self._events += self._reap(slot)
        self._abandoned = [slot for slot in self._abandoned if not slot.reaped()]

    def _enforce_deadline(self, slot: WorkerSlot, now_s: float) -> None:
        if slot.stalls_at_s is not None and now_s >= slot.stalls_at_s:
            slot.kill(now_s, timed_out=False, stalled=slot.step)
        elif slot.deadline_s is not None and now_s >= slot.deadline_s:
            slot.kill(now_s, timed_out=True)

    def _reap(self, slot: WorkerSlot) -> list[PoolEvent]:
        stuck = not slot.reaped()
        last = self._forget(slot)
        if stuck:
            self._abandoned.append(slot)
        why = slot.end()
        if slot.job is not None:
            self._starts.died()
            self._log.warning("worker.lost", pid=slot.pid, job=slot.job, why=why, timed_out=slot.timed_out)
            return [Lost(job=slot.job, why=why, timed_out=slot.timed_out, stuck=stuck, stalled=slot.stalled)]
        if slot.did_not_start:
            # It has seen no picture yet: none speaks through it.
            why += f"; its last words: {last}" if last and not slot.reason else ""
            self._starts.failed(why, is_first=self.facts is None)
        elif not slot.retired:
            self._log.warning("worker.lost", pid=slot.pid, job=None, why=why)
        return []

    def _forget(self, slot: WorkerSlot) -> str:
        """Close its pipes; its last words."""
        self._slots.remove(slot)
        self._stale.discard(slot)
        if slot.reports in self._selector.get_map():
            self._selector.unregister(slot.reports)
        last = self._stderr.remove(slot.stderr, self._clock.monotonic_s())
        slot.close()
        return last

    def _retire_stale(self) -> None:
        for slot in [slot for slot in self._stale if slot.state in (SlotState.IDLE, SlotState.STARTING)]:
            self._stale.discard(slot)
            slot.retire(self._clock.monotonic_s())

    def _retire_surplus(self) -> None:
        """A share that hung answers again: those that were started in place of its workers are not needed."""
        surplus = len(self._slots) - self._wanted()
        for slot in [slot for slot in self._slots if slot.state is SlotState.IDLE][: max(0, surplus)]:
            slot.retire(self._clock.monotonic_s())

    def _wanted(self) -> int:
        """How many slots there should be: half as many again, at most, if some wait for a share."""
        return self._size + min(len(self.waiting), max(1, self._size // 2))

    def _replace_missing(self, spares: list[Spawned] | None = None) -> None:
        if self._clock.monotonic_s() < self._starts.next_s:
            return
        while len(self._slots) < self._wanted():
            if self._one_tries_for_all():
                return
            deadline_s = self._clock.monotonic_s() + START_TIMEOUT_S
            setup = replace(self._setup(), self_test=not self._starts.are_sound)
            try:
                spawned = spares.pop() if spares else spawn(self._command)
                slot = WorkerSlot(spawned, setup, deadline_s=deadline_s)
            except OSError as error:  # no more descriptors, processes or memory
                self._starts.failed(error.strerror or str(error), is_first=self.facts is None)
                return
            self._slots.append(slot)
            self._selector.register(slot.reports, selectors.EVENT_READ, slot)
            self._stderr.add(slot.stderr, slot.pid, self._clock.monotonic_s())

    def _one_tries_for_all(self) -> bool:
        """Whether starts have failed, and the next one to show whether they still do is under way."""
        return self._starts.have_failed and any(slot.state is SlotState.STARTING for slot in self._slots)

    def _until_next_deadline(self, timeout_s: float) -> float:
        now_s = self._clock.monotonic_s()
        ends = [now_s + timeout_s, *self._stderr.due_s()]
        for slot in self._slots:
            ends += slot.due_s(now_s)
        if len(self._slots) < self._size and not self._one_tries_for_all():
            ends.append(self._starts.next_s)
        return max(0.0, min(ends) - now_s)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return
