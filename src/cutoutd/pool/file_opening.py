"""A pool whose tasks have their files opened by the thread of their folder before a worker gets them.

The supervisor uses it as its pool. A task whose share does not answer waits as a worker would: after `SUBSTITUTE_AFTER_S` it
no longer counts as running, and after `STALL_S` it is given up, which is not counted as an attempt. Everything runs in the
main thread, except `FileOpeningPool._receive`. It must not open or close a file itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cutoutd.failure import failure_of
from cutoutd.faults.isolation import is_expected, report, unforeseen
from cutoutd.jobs import Failure
from cutoutd.logs import get
from cutoutd.pool.slot import STALL_S, SUBSTITUTE_AFTER_S
from cutoutd.protocols import Files, Finished, Lost, Step, Withdrawn, Workers
from cutoutd.task_route import WorkerKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Task
    from cutoutd.protocols import Pool, PoolEvent, WorkerFacts

_STALLED = "opening its files came to no end"


class FileOpener(Protocol):
    """Opens and closes the files of one folder's tasks in its own thread; implemented by `cutoutd.folder.file_opener.Opener`."""

    @property
    def progressed_s(self) -> float:
        """Time of its last start or end of an operation, in monotonic seconds."""

    def open(
        self, task: Task, tell: Callable[[Files | Failure | None], None], is_wanted: Callable[[], bool]
    ) -> None:
        """Open the files of a task if it is still wanted at its turn, and pass the outcome to ``tell`` from that thread."""

    def close(self, files: Files) -> None:
        """Close files that were opened."""

    def discard(self, task: Task) -> None:
        """Remove the files that were created for a task."""


class TaskPool(Workers, Protocol):
    """The workers, as the supervisor uses them."""

    def takes(self, *, kind: WorkerKind) -> bool:
        """Whether a task of a folder of this kind could start now without waiting."""

    def submit(self, task: Task, opener: FileOpener) -> None:
        """Start a task as soon as its files are open. Allowed only while `takes` is true for its kind."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Opening:
    """A task whose files are being opened, or that waits for a worker.

    Attributes:
        since_s: time at which it was passed to its opener, in monotonic seconds.
    """

    task: Task
    opener: FileOpener
    since_s: float

    @property
    def stands_still_since_s(self) -> float:
        """Start of the current wait, in monotonic seconds. Waiting behind other tasks on a slow share is no stall."""
        return max(self.since_s, self.opener.progressed_s)


class _Closing:
    """Closes the files of a task once: after that, their descriptors may belong to other files."""

    def __init__(self, opener: FileOpener, files: Files) -> None:
        self._opener = opener
        self._files: Files | None = files

    def __call__(self) -> None:
        """Close the files, unless that was done."""
        files, self._files = self._files, None
        if files is not None:
            self._opener.close(files)


class FileOpeningPool:
    """A pool whose tasks come with open files; implements `TaskPool`.

    Args:
        pool: the workers.
        clock: source of monotonic time.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._received: deque[tuple[_Opening, Files | Failure | None]] = deque()
        self._opening: dict[int, _Opening] = {}
        self._ready: deque[tuple[_Opening, Files]] = deque()
        self._given_up: set[_Opening] = set()
        self._alone: int | None = None  # the running job that needs the pool for itself
        # Kept if a poll fails midway, and returned by the next one.
        self._events: list[PoolEvent] = []
        self._log = get()

    @property
    def size(self) -> int:
        """How many tasks can run at the same time."""
        return self._pool.size

    @property
    def workers(self) -> int:
        """How many workers there are on this machine."""
        return self._pool.workers

    @property
    def busy(self) -> int:
        """How many tasks are running or about to run on this machine."""
        ahead = [*(one for one, _ in self._ready), *self._prompt]
        return self._pool.busy + sum(one.task.kind is not WorkerKind.CLUSTER for one in ahead)

    @property
    def facts(self) -> WorkerFacts | None:
        """What the workers report about themselves."""
        return self._pool.facts

    @property
    def is_sound(self) -> bool:
        """Whether the workers can be relied on."""
        return self._pool.is_sound

    @property
    def blocked_on_io(self) -> Collection[int]:
        """Jobs that have waited for a disk or share for longer than `SUBSTITUTE_AFTER_S`, in a worker or before it."""
        prompt = {one.task.job for one in self._prompt}
        return [*self._pool.blocked_on_io, *(job for job in self._opening if job not in prompt)]

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs whose worker or opening got stuck and has not ended yet."""
        return [*self._pool.left_behind, *(one.task.job for one in self._given_up)]

    def takes(self, *, kind: WorkerKind) -> bool:
        """Whether a task of a folder of this kind could start now."""
        ahead = [*(one for one, _ in self._ready), *self._prompt]
        return self._pool.room(kind=kind) > sum(one.task.kind is kind for one in ahead)

    def submit(self, task: Task, opener: FileOpener) -> None:
        """Have the files of a task opened, then give it to a worker."""
        opening = _Opening(task=task, opener=opener, since_s=self._clock.monotonic_s())
        self._opening[task.job] = opening
        opener.open(task, partial(self._receive, opening), partial(self._is_wanted, opening))

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events, ``wake`` or the timeout, whichever is first, and give workers the tasks whose files are open."""
        self._take_openings()
        self._give_up()
        self._hand_over()
        polled = self._pool.poll(0.0 if self._events else self._due_s(timeout_s))
        if any(event.job == self._alone for event in polled):
            self._alone = None
        self._events += polled
        self._take_openings()
        self._hand_over()
        events, self._events = self._events, []
        return events

    def wake(self) -> None:
        """End a ``poll`` early."""
        self._pool.wake()

    def recycle(self) -> None:
        """Replace every worker by a new one."""
        self._pool.recycle()

    def close(self) -> None:
        """End all workers at once."""
        self._pool.close()

    def _is_wanted(self, opening: _Opening) -> bool:
        """Whether the files are still to be opened. Called from the folder's thread."""
        return opening not in self._given_up

    def _receive(self, opening: _Opening, opened: Files | Failure | None) -> None:
        """Take the outcome of an opening. Called from the folder's thread."""
        self._received.append((opening, opened))
        self._pool.wake()

    @property
    def _prompt(self) -> list[_Opening]:
        """Tasks that have waited for less than `SUBSTITUTE_AFTER_S`, for their own files or for earlier ones."""
        now_s = self._clock.monotonic_s()
        return [one for one in self._opening.values() if now_s - one.since_s < SUBSTITUTE_AFTER_S]

    def _take_openings(self) -> None:
        while self._received:
            opening, opened = self._received.popleft()
            if opened is None or opening in self._given_up:
                self._given_up.discard(opening)
                if isinstance(opened, Files):
                    opening.opener.close(opened)
                    opening.opener.discard(opening.task)
                continue
            del self._opening[opening.task.job]
            if isinstance(opened, Failure):
                self._events.append(Finished(job=opening.task.job, report=opened))
            else:
                self._ready.append((opening, opened))

    def _give_up(self) -> None:
        now_s = self._clock.monotonic_s()
        late = [
            one for one in self._opening.values() if now_s - one.stands_still_since_s >= STALL_S[Step.READ]
        ]
        for one in late:
            del self._opening[one.task.job]
            self._given_up.add(one)
            lost = Lost(job=one.task.job, why=_STALLED, timed_out=False, stuck=True, stalled=Step.READ)
            self._events.append(lost)

    def _hand_over(self) -> None:
        """Give tasks with open files to workers. A task may have to wait for a free worker, or for all to be free."""
        for ready in list(self._ready):
            task = ready[0].task
            if not self._pool.serves(kind=task.kind):
                self._withdraw(*ready)
                self._ready.remove(ready)
            elif self._alone is not None and task.kind is not WorkerKind.CLUSTER:
                continue  # it needs all memory of this machine
            elif self._pool.room(kind=task.kind) > 0 and not (_is_alone(task) and self._pool.busy):
                self._start(*ready)
                self._ready.remove(ready)

    def _start(self, opening: _Opening, files: Files) -> None:
        """Give a task to a worker. An unforeseen error fails the job."""
        task, close = opening.task, _Closing(opening.opener, files)
        try:
            self._pool.submit(task, files, close)
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a job", job=task.job, path=task.source)
            close()
            self._events.append(Finished(job=task.job, report=failure_of(unforeseen(error))))
        else:
            if _is_alone(task):
                self._alone = task.job

    def _withdraw(self, opening: _Opening, files: Files) -> None:
        """Return a task: its folder is leaving or changed its kind, and there are no workers left for the old kind."""
        opening.opener.close(files)
        self._events.append(Withdrawn(job=opening.task.job))

    def _due_s(self, timeout_s: float) -> float:
        """Return how long ``poll`` may wait, given the deadlines of the openings."""
        now_s = self._clock.monotonic_s()
        ends = [one.stands_still_since_s + STALL_S[Step.READ] for one in self._opening.values()]
        ends += [one.since_s + SUBSTITUTE_AFTER_S for one in self._prompt]
        return max(0.0, min([now_s + timeout_s, *ends]) - now_s)


def _is_alone(task: Task) -> bool:
    """Whether a task needs all workers of this machine for itself; another machine sees to that by itself."""
    return task.alone and task.kind is not WorkerKind.CLUSTER
