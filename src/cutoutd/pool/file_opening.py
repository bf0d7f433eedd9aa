"""Tasks on their way to workers: each has its files opened by its folder's own thread before a worker gets it.

To the supervisor this is the pool. While a folder's share does not answer, its task waits for it as a worker would:
after a while it keeps no worker from others, and after a longer one it is given up without blame. Main thread alone, but
for `FileOpeningPool._hear`. It must not open or close a file itself.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Task
    from cutoutd.protocols import Pool, PoolEvent, WorkerFacts

_STALLED = "opening its files came to no end"


class FileOpener(Protocol):
    """Opens and closes the files of a folder's tasks in a thread of its own; `cutoutd.folder.file_opener.Opener`."""

    @property
    def went_on_s(self) -> float:
        """When it last began or ended something, in monotonic seconds."""

    def open(
        self, task: Task, tell: Callable[[Files | Failure | None], None], is_wanted: Callable[[], bool]
    ) -> None:
        """Open what a task takes if it is wanted when its turn comes, and tell it from that thread."""

    def close(self, files: Files) -> None:
        """Close what was opened."""

    def discard(self, task: Task) -> None:
        """Remove what was made for a task."""


class TaskPool(Workers, Protocol):
    """Workers as the supervisor sees them."""

    def takes(self, *, tagged: bool) -> bool:
        """Whether a task of a folder of this kind could be started now without waiting."""

    def submit(self, task: Task, opener: FileOpener) -> None:
        """Start a task, as soon as its files are open; only while one of its kind is taken."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Opening:
    """A task whose files are being opened, or wait for a worker.

    Attributes:
        since_s: when it was given to its opener, in monotonic seconds.
    """

    task: Task
    opener: FileOpener
    since_s: float

    @property
    def stands_still_since_s(self) -> float:
        """Since when it has waited for one call: others of a slow share that come first are no hang."""
        return max(self.since_s, self.opener.went_on_s)


class _Closing:
    """Closes the files of a task, once: by a second time their numbers may be those of other files."""

    def __init__(self, opener: FileOpener, files: Files) -> None:
        self._opener = opener
        self._files: Files | None = files

    def __call__(self) -> None:
        """Close them, unless that was done."""
        files, self._files = self._files, None
        if files is not None:
            self._opener.close(files)


class FileOpeningPool:
    """A pool whose tasks come with their files; implements `TaskPool`.

    Args:
        pool: the workers.
        clock: its monotonic side.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._heard: deque[tuple[_Opening, Files | Failure | None]] = deque()
        self._opening: dict[int, _Opening] = {}
        self._ready: deque[tuple[_Opening, Files]] = deque()
        self._given_up: set[_Opening] = set()
        self._alone: int | None = None  # the job at work that no other may run beside
        # Those of a poll that fails midway are handed out by the next one.
        self._events: list[PoolEvent] = []
        self._log = get()

    @property
    def size(self) -> int:
        """How many tasks can run at the same time."""
        return self._pool.size

    @property
    def busy(self) -> int:
        """How many tasks are running, or about to."""
        return self._pool.busy + len(self._ready) + len(self._prompt)

    @property
    def facts(self) -> WorkerFacts | None:
        """What the workers say of themselves."""
        return self._pool.facts

    @property
    def is_sound(self) -> bool:
        """Whether the workers can be relied on."""
        return self._pool.is_sound

    @property
    def waiting(self) -> Collection[int]:
        """Jobs that wait for a disk or share, and have for a while: in a worker, or on their way to one."""
        prompt = {one.task.job for one in self._prompt}
        return [*self._pool.waiting, *(job for job in self._opening if job not in prompt)]

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs over which workers or openings got stuck that have not ended to this day."""
        return [*self._pool.left_behind, *(one.task.job for one in self._given_up)]

    def takes(self, *, tagged: bool) -> bool:
        """Whether a task of a folder of this kind could be started now."""
        ahead = [*(one for one, _ in self._ready), *self._prompt]
        return self._pool.room(tagged=tagged) > sum(one.task.tagged is tagged for one in ahead)

    def submit(self, task: Task, opener: FileOpener) -> None:
        """Have a task's files opened, and give it to a worker then."""
        opening = _Opening(task=task, opener=opener, since_s=self._clock.monotonic_s())
        self._opening[task.job] = opening
        opener.open(task, partial(self._hear, opening), partial(self._is_wanted, opening))

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events, ``wake`` or the time-out, whichever is first; and give workers what is open by now."""
        self._take_openings()
        self._give_up()
        self._hand_over()
        heard = self._pool.poll(0.0 if self._events else self._due_s(timeout_s))
        if any(event.job == self._alone for event in heard):
            self._alone = None
        self._events += heard
        self._take_openings()
        self._hand_over()
        events, self._events = self._events, []
        return events

    def wake(self) -> None:
        """End a ``poll`` early."""
        self._pool.wake()

    def recycle(self) -> None:
        """Replace every worker by a fresh one."""
        self._pool.recycle()

    def close(self) -> None:
        """End all workers at once."""
        self._pool.close()

    def _is_wanted(self, opening: _Opening) -> bool:
        """Whether its files are still to be opened; asked by its folder's thread."""
        return opening not in self._given_up

    def _hear(self, opening: _Opening, opened: Files | Failure | None) -> None:
        """A folder's thread has opened the files of a task, or says why it cannot."""
        self._heard.append((opening, opened))
        self._pool.wake()

    @property
    def _prompt(self) -> list[_Opening]:
        """Those that have not waited for long, be it for their own files or for those before them on a slow share."""
        now_s = self._clock.monotonic_s()
        return [one for one in self._opening.values() if now_s - one.since_s < SUBSTITUTE_AFTER_S]

    def _take_openings(self) -> None:
        while self._heard:
            opening, opened = self._heard.popleft()
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
        """Give open tasks to workers; one that came late may have to wait for another's end, or for all to end."""
        for ready in list(self._ready):
            task = ready[0].task
            if not self._pool.serves(tagged=task.tagged):
                self._withdraw(*ready)
                self._ready.remove(ready)
            elif self._alone is not None:
                return
            elif self._pool.room(tagged=task.tagged) > 0 and not (task.alone and self._pool.busy):
                self._start(*ready)
                self._ready.remove(ready)

    def _start(self, opening: _Opening, files: Files) -> None:
        """Give an open task to a worker; it fails where that does by a fault of ours."""
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
            if task.alone:
                self._alone = task.job

    def _withdraw(self, opening: _Opening, files: Files) -> None:
        """Its folder is leaving or has become one of the other kind, and the last workers of its kind went with it."""
        opening.opener.close(files)
        self._events.append(Withdrawn(job=opening.task.job))

    def _due_s(self, timeout_s: float) -> float:
        """How long may be waited: it has deadlines of its own to see to."""
        now_s = self._clock.monotonic_s()
        ends = [one.stands_still_since_s + STALL_S[Step.READ] for one in self._opening.values()]
        ends += [one.since_s + SUBSTITUTE_AFTER_S for one in self._prompt]
        return max(0.0, min([now_s + timeout_s, *ends]) - now_s)
