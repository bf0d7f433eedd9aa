"""The tasks of one folder's delivery: done in order by a thread of their own, and again later where a disk refused.

It knows nothing of pictures or names. A task can be done again from its beginning at any time. One that fails by a fault
of ours is logged and not done again; what becomes of its job is for whoever gave it to see to.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.errors import StorageError
from cutoutd.faults.isolation import is_expected, report
from cutoutd.faults.supervised_thread import SupervisedThread
from cutoutd.logs import get

if TYPE_CHECKING:
    from cutoutd.clock import Clock

QueuedTask = Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Delayed:
    """A task that is done again.

    Attributes:
        until_s: when, in monotonic seconds.
        needs_staged: what is staged is needed for it.
    """

    until_s: float
    task: QueuedTask
    needs_staged: bool


class SerialTaskQueue:
    """A thread, its tasks, and those that are retried later.

    Args:
        folder: its name.
        clock: its monotonic side.
        wake: called after each task, and when the thread has died.
        on_refused: told why a disk or share refused a task, the first time that it did.
        on_recovered: told that a task is done that was refused before.

    Attributes:
        busy_since_s: when the task under way was begun, in monotonic seconds; None: there is none.
    """

    def __init__(
        self,
        folder: str,
        clock: Clock,
        wake: Callable[[], None],
        *,
        on_refused: Callable[[StorageError], None] = lambda _: None,
        on_recovered: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._wake = wake
        self._on_refused = on_refused
        self._on_recovered = on_recovered
        self._log = get(folder=folder)
        self._work: queue.SimpleQueue[QueuedTask | None] = queue.SimpleQueue()
        self._delayed: list[_Delayed] = []
        self._submitted = 0
        self._finished = 0
        self._last: Sequence[Callable[[], object]] = ()
        self._under_way = False
        self._wants_end = False
        self.busy_since_s: float | None = None
        self._thread = SupervisedThread(f"deliver {folder}", self._run, wake)

    @property
    def backlog(self) -> int:
        """Tasks that wait for their turn, or are under way; those that wait to be retried are not counted."""
        return self._submitted - self._finished

    @property
    def needs_staged(self) -> bool:
        """Whether a task that is retried later needs what is staged."""
        return any(delayed.needs_staged for delayed in self._delayed)

    @property
    def failure(self) -> BaseException | None:
        """Why the thread died, if it did."""
        return self._thread.failure

    @property
    def has_ended(self) -> bool:
        """Its thread is gone."""
        return self._thread.has_ended

    def start(self) -> None:
        """Begin; or go on after a death, without the task that was under way."""
        self._thread.start()

    def stop(self, last: Sequence[Callable[[], object]]) -> None:
        """End once what was given is done, and ``last`` after all of it, one after the other."""
        self._last = last
        self._work.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end, but not for long; whether it has ended."""
        self._thread.join(timeout_s)
        return self.has_ended

    def submit(self, task: QueuedTask) -> None:
        """Have something done after what was given before."""
        self._submitted += 1
        self._work.put(task)

    def retry_now(self) -> None:
        """Retry at once what waits to be retried."""
        self.submit(self._end_delays)

    def run_now(self, task: QueuedTask) -> None:
        """Do something now, from the thread itself, and again later if a disk refuses.

        A task that goes on with another one attempts that one: what was done and written down already is then
        not done again, whatever has become of the files in between.
        """
        self._attempt(task, is_again=False)

    def _attempt(self, task: QueuedTask, *, is_again: bool) -> None:
        try:
            task()
        except StorageError as error:
            if not is_again:
                # A retried task is no news, nor does it lengthen a pause.
                self._on_refused(error)
            self.retry_later(partial(self._attempt, task, is_again=True), error.delay_s)
        else:
            if is_again:
                self._on_recovered()

    def retry_later(self, task: QueuedTask, delay_s: float, *, needs_staged: bool = True) -> None:
        """Have something done after ``delay_s`` seconds; from the thread itself."""
        until_s = self._clock.monotonic_s() + delay_s
        self._delayed.append(_Delayed(until_s=until_s, task=task, needs_staged=needs_staged))

    def run_next(self) -> bool:
        """Wait for the next task and do it, from the thread itself; False: there is none, as the queue is to end."""
        task = self._next()
        if task is None:
            return False
        self._under_way, self.busy_since_s = True, self._clock.monotonic_s()
        self._contained(partial(self.run_now, task))
        # Not after a death: the folder must not look idle before that is known.
        self._finish_one()
        return True

    def _run(self) -> None:
        if self._under_way:
            self._finish_one()
        while not self._wants_end and self.run_next():
            pass
        self._wants_end = True
        for last in self._last:
            self._contained(last)

    def _contained(self, task: Callable[[], object]) -> None:
        """Do something, and log what nobody foresaw."""
        try:
            task()
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a step of the delivery")

    def _finish_one(self) -> None:
        self._finished += 1
        self._under_way, self.busy_since_s = False, None
        self._wake()

    def _next(self) -> QueuedTask | None:
        """The next task: one whose delay is over, or the next that was submitted."""
        while True:
            now_s = self._clock.monotonic_s()
            for delayed in [delayed for delayed in self._delayed if delayed.until_s <= now_s]:
                self._delayed.remove(delayed)
                self._submitted += 1
                return delayed.task
            ends = [delayed.until_s for delayed in self._delayed]
            try:
                return self._work.get(timeout=max(0.0, min(ends) - now_s) if ends else None)
            except queue.Empty:
                continue

    def _end_delays(self) -> None:
        now_s = self._clock.monotonic_s()
        self._delayed = [replace(delayed, until_s=now_s) for delayed in self._delayed]
