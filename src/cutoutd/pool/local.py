"""The pool on this machine: slots, their deadlines and their replacement.

Slots share no lock, and nothing waits for one of them: a worker that crashes, hangs, or survives being killed costs only
the time of its own job.
"""

from __future__ import annotations

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
from cutoutd.pool.start_policy import START_TIMEOUT_S, StartPolicy
from cutoutd.pool.usage import UsageWatch
from cutoutd.pool.wake_pipe import WakePipe
from cutoutd.pool.worker_stderr import WorkerStderr
from cutoutd.protocols import Finished, Lost, Withdrawn, WorkerFacts
from cutoutd.task_route import Returned

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Task
    from cutoutd.pool.slot import Spawned
    from cutoutd.protocols import Files, PoolEvent
    from cutoutd.task_route import WorkerKind

ABANDON_S: Final = 2.0
"""A worker that survives SIGKILL for this long is stuck in the kernel: it is abandoned and replaced."""

# -P: a module in the current directory must never be imported.
WORKER: Final = (sys.executable, "-P", "-m", "cutoutd.pool.worker")


class LocalPool:
    """Worker slots on this machine; implements `cutoutd.protocols.Pool`.

    All methods but ``wake`` belong to one thread, which must live as long as the process: the kernel ends the workers when
    the thread that started them ends.

    Args:
        size: number of slots.
        setup: returns the set-up of a new worker; called for each, since limits may have changed.
        job_timeout_s: seconds from the moment a worker gets a task.
        clock: source of monotonic time.
        command: command of a worker; any program that speaks `cutoutd.pool.wire`.
        spares: processes of this command that were started already; those that are used are removed from the list.
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
        self._wake = WakePipe()
        self._selector.register(self._wake, selectors.EVENT_READ, self._wake)
        self._stderr = WorkerStderr()
        self._selector.register(self._stderr, selectors.EVENT_READ, self._stderr)
        self._slots: list[WorkerSlot] = []
        self._abandoned: list[WorkerSlot] = []
        self._stale: set[WorkerSlot] = set()
        self._usage = UsageWatch()
        self._starts = StartPolicy(clock)
        # Kept if a poll fails midway, and returned by the next one.
        self._events: list[PoolEvent] = []
        self.facts: WorkerFacts | None = None
        self._replace_missing(spares)

    @property
    def size(self) -> int:
        """Number of slots."""
        return self._size

    @property
    def workers(self) -> int:
        """Number of slots that cut on this machine; a pool of proxies is counted by whoever made it one."""
        return self._size

    @property
    def idle(self) -> int:
        """How many tasks could start now: at most ``size`` run, not counting those that wait for a share."""
        free = sum(self._is_free(slot) for slot in self._slots)
        at_work = sum(slot.job is not None for slot in self._slots) - len(self.blocked_on_io)
        # A share that answers again may leave more at work than `size`.
        return max(0, min(free, self._size - at_work))

    def room(self, *, kind: WorkerKind) -> int:  # noqa: ARG002 -- one kind of worker for all kinds of folders
        """How many tasks could start now."""
        return self.idle

    def serves(self, *, kind: WorkerKind) -> bool:  # noqa: ARG002 -- likewise
        """Whether there are workers, or will be."""
        return self._size > 0

    @property
    def busy(self) -> int:
        """Number of slots that have a task."""
        return sum(slot.job is not None for slot in self._slots)

    @property
    def blocked_on_io(self) -> Collection[int]:
        """Jobs whose workers have waited for a disk or share for longer than `SUBSTITUTE_AFTER_S`."""
        now_s = self._clock.monotonic_s()
        return [
            slot.job
            for slot in self._slots
            if slot.job is not None and slot.waits_s(now_s) >= SUBSTITUTE_AFTER_S
        ]

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs whose workers got stuck and have not ended yet."""
        return [slot.job for slot in self._abandoned if slot.job is not None]

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [slot.pid for slot in self._slots]

    @property
    def is_sound(self) -> bool:
        """Whether a new worker has passed the self-test since the last one died."""
        return self._starts.are_sound

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Give a task to an idle slot. Allowed only while ``idle`` is above 0."""
        slot = next(slot for slot in self._slots if self._is_free(slot))
        now_s = self._clock.monotonic_s()
        slot.assign(
            task,
            files,
            sent,
            now_s=now_s,
            deadline_s=now_s + self._job_timeout_s,
            lived_s=self._clock.lived_s(),
        )

    def give_up(self, job: int) -> None:
        """End the worker that has a job, since nobody waits for what comes of it; there is no event."""
        for slot in [slot for slot in self._slots if slot.job == job and slot.state is SlotState.BUSY]:
            slot.become_idle()
            slot.retire(self._clock.monotonic_s())

    def wake(self) -> None:
        """End a ``poll`` early; safe from any thread and from signal handlers."""
        self._wake.wake()

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events, ``wake`` or the timeout, whichever is first.

        Raises:
            ModelError: the model cannot be loaded.
            SandboxError: a layer of the sandbox is missing, and all are required.
            WorkersFailError: too many starts in a row failed.
        """
        for slot in self._slots:
            slot.send_rest()
        self._stderr.resume(self._clock.monotonic_s())
        for key, _ in self._selector.select(self._until_next_deadline(timeout_s)):
            if key.data is self._wake:
                self._wake.drain()
            elif key.data is self._stderr:
                self._stderr.take(self._clock.monotonic_s())
            elif isinstance(key.data, WorkerSlot):
                self._events += self._on_readable(key.data)
        self._enforce_deadlines()
        self._retire_stale()
        self._retire_surplus()
        self._replace_missing()
        events, self._events = self._events, []
        return events

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is something for ``poll`` to read."""
        return self._selector.fileno()

    def due_s(self, timeout_s: float) -> float:
        """Return how long ``poll`` would wait at most, given its own deadlines."""
        return self._until_next_deadline(timeout_s)

    def resize(self, size: int) -> None:
        """Set the number of slots from the next ``poll`` on. Surplus slots end once they are idle."""
        self._size = size

    def recycle(self) -> None:
        """Replace every worker by a new one, the busy ones once they are idle."""
        self._stale = {slot for slot in self._slots if slot.state is not SlotState.DYING}
        self.wake()

    def close(self) -> None:
        """End all workers at once. Never waits for a stuck one."""
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

    def _on_readable(self, slot: WorkerSlot) -> list[PoolEvent]:
        events: list[PoolEvent] = []
        try:
            lines, ended = slot.read()
            for line in lines:
                events += self._on_message(slot, line)
        except wire.WireError as error:
            self._log.warning("worker.confused", pid=slot.pid, said=str(error))
            self._end_faulty(slot)
            return events
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="what a worker said", pid=slot.pid)
            self._end_faulty(slot)
            return events
        if ended:
            self._selector.unregister(slot.reports)
            if slot.state is not SlotState.DYING:
                slot.kill(self._clock.monotonic_s(), timed_out=False)
        return events

    def _end_faulty(self, slot: WorkerSlot) -> None:
        slot.kill(self._clock.monotonic_s(), timed_out=False)
        self._selector.unregister(slot.reports)

    def _on_message(self, slot: WorkerSlot, line: bytes) -> list[PoolEvent]:
        if slot.state is SlotState.DYING:
            return []  # it was killed over this task, which another worker may have by now
        message = wire.decode_message(line)
        starts = isinstance(message, WorkerFacts | Failure)
        if (slot.state is SlotState.STARTING) != starts:
            raise wire.WireError("it sent a message when none was expected")
        if isinstance(message, WorkerFacts):
            slot.become_idle()
            self._usage.begin(slot, self._clock.monotonic_s(), has_drivers=message.provider != "cpu")
            say = (
                self._log.info if self.facts is None else self._log.debug
            )  # the first one shows what is in use
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
            self._refuse(slot, message)
            return []
        job = message.job if isinstance(message, wire.Progress) else message[0]
        if slot.job != job or slot.state is not SlotState.BUSY:
            raise wire.WireError(f"a report of job {job}, which it does not have")
        if isinstance(message, wire.Progress):
            slot.record_progress(message.step, self._clock.monotonic_s())
            return []
        report = message[1]
        wire.check(report, slot.assigned(self._clock.lived_s()))
        alone = slot.alone
        slot.become_idle()
        if alone:  # a process does not give back the memory that one huge picture took
            slot.retire(self._clock.monotonic_s())
        if isinstance(report, Returned):
            return [Withdrawn(job=job, why=report.why)]
        return [Finished(job=job, report=report)]

    def _refuse(self, slot: WorkerSlot, why: Failure) -> None:
        """End a worker that cannot work. A fault that every worker would have is raised.

        Raises:
            ModelError: the model cannot be loaded.
            SandboxError: a required layer of the sandbox is missing.
        """
        for kind in (ModelError, SandboxError):
            if why.code is kind.code:
                raise kind(why.cause, advice=why.advice)
        slot.reason = why.cause
        slot.kill(self._clock.monotonic_s(), timed_out=False)

    def _enforce_deadlines(self) -> None:
        now_s = self._clock.monotonic_s()
        for slot, why in self._usage.check(self._slots, now_s):
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
            # It has read no picture yet, so its output can be trusted as far as the log.
            why += f"; the last line of its log: {last}" if last and not slot.reason else ""
            self._starts.failed(why, is_first=self.facts is None)
        elif not slot.retired:
            self._log.warning("worker.lost", pid=slot.pid, job=None, why=why)
        return []

    def _forget(self, slot: WorkerSlot) -> str:
        """Close the pipes of a slot and return the last line of its standard error."""
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
        """End idle workers that replaced ones stuck on a share, once the share answers again."""
        surplus = len(self._slots) - self._wanted()
        for slot in [slot for slot in self._slots if slot.state is SlotState.IDLE][: max(0, surplus)]:
            slot.retire(self._clock.monotonic_s())

    def _wanted(self) -> int:
        """Return how many slots there should be: up to half as many more while some wait for a share."""
        return self._size + min(len(self.blocked_on_io), max(1, self._size // 2))

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
        """Whether starts have failed, and one further attempt is under way."""
        return self._starts.have_failed and any(slot.state is SlotState.STARTING for slot in self._slots)

    def _until_next_deadline(self, timeout_s: float) -> float:
        now_s = self._clock.monotonic_s()
        ends = [now_s + timeout_s, *self._stderr.due_s()]
        for slot in self._slots:
            ends += slot.due_s(now_s)
        if len(self._slots) < self._size and not self._one_tries_for_all():
            ends.append(self._starts.next_s)
        return max(0.0, min(ends) - now_s)
