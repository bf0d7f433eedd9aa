"""The task queue of one folder's delivery: a thread runs the tasks in order, and again later if a disk refused.

It knows nothing of pictures or names. A task must be repeatable from its beginning at any time. An unforeseen error of a task is
logged, and the task is not repeated; the caller has to handle its job.
"""

from __future__ import annotations

import queue
import threading
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
    """A task that runs later.

    Attributes:
        until_s: when it runs, in monotonic seconds.
        needs_staged: whether it needs the staged files.
    """

    until_s: float
    task: QueuedTask
    needs_staged: bool


class SerialTaskQueue:
    """A thread, its tasks, and delayed tasks.

    Args:
        folder: name of the folder.
        clock: clock for monotonic times.
        wake: called after each task, and when the thread has died.
        on_refused: called with the error when a disk or share refuses a task for the first time.
        on_recovered: called when a refused task has succeeded.

    Attributes:
        busy_since_s: when the current task began, in monotonic seconds; None: there is none.
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
        self._backlog = 0
        self._counting = threading.Lock()  # any thread submits
        self._last: Sequence[Callable[[], object]] = ()
        self._under_way = False
        self._wants_end = False
        self.busy_since_s: float | None = None
        self._thread = SupervisedThread(f"deliver {folder}", self._run, wake)

    @property
    def backlog(self) -> int:
        """Number of tasks that are queued or running, without delayed ones."""
        return self._backlog

    @property
    def needs_staged(self) -> bool:
        """Whether a delayed task needs the staged files."""
        return any(delayed.needs_staged for delayed in self._delayed)

    @property
    def failure(self) -> BaseException | None:
        """Why the thread died; None: it has not."""
        return self._thread.failure

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended."""
        return self._thread.has_ended

    def start(self) -> None:
        """Start the thread; after a death, continue without the task that was running."""
        self._thread.start()

    def stop(self, last: Sequence[Callable[[], object]]) -> None:
        """End once the queued tasks are done, and ``last`` after them, one after the other."""
        self._last = last
        self._work.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end, but not for long; returns whether it has ended."""
        self._thread.join(timeout_s)
        return self.has_ended

    def submit(self, task: QueuedTask) -> None:
        """Queue a task."""
        self._count(1)
        self._work.put(task)

    def retry_now(self) -> None:
        """Retry delayed tasks at once."""
        self.submit(self._end_delays)

    def run_now(self, task: QueuedTask) -> None:
        """Run a task now, in the thread itself, and again later if a disk refuses.

        A task calls this for its next step once its own result is recorded, so that only the next step is repeated, whatever has
        happened to the files in between.
        """
        self._attempt(task, is_again=False)

    def _attempt(self, task: QueuedTask, *, is_again: bool) -> None:
        try:
            task()
        except StorageError as error:
            if not is_again:
                # Only the first refusal counts, so that retries do not lengthen a pause.
                self._on_refused(error)
            self.retry_later(partial(self._attempt, task, is_again=True), error.delay_s)
        else:
            if is_again:
                self._on_recovered()

    def retry_later(self, task: QueuedTask, delay_s: float, *, needs_staged: bool = True) -> None:
        """Run a task after ``delay_s`` seconds; to be called in the thread itself."""
        until_s = self._clock.monotonic_s() + delay_s
        self._delayed.append(_Delayed(until_s=until_s, task=task, needs_staged=needs_staged))

    def run_next(self) -> bool:
        """Wait for the next task and run it, in the thread itself; returns False if the queue has ended."""
        task = self._next()
        if task is None:
            return False
        self._under_way, self.busy_since_s = True, self._clock.monotonic_s()
        self._contained(partial(self.run_now, task))
        # Not after a death of the thread: the folder must not look idle before the death is known.
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
        """Run a task, and log an unforeseen error."""
        try:
            task()
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a step of the delivery")

    def _finish_one(self) -> None:
        self._count(-1)
        self._under_way, self.busy_since_s = False, None
        self._wake()

    def _count(self, change: int) -> None:
        with self._counting:
            self._backlog += change

    def _next(self) -> QueuedTask | None:
        """Return the next task: one whose delay is over, or the next that was queued."""
        while True:
            now_s = self._clock.monotonic_s()
            for delayed in [delayed for delayed in self._delayed if delayed.until_s <= now_s]:
                self._delayed.remove(delayed)
                self._count(1)
                return delayed.task
            ends = [delayed.until_s for delayed in self._delayed]
            try:
                return self._work.get(timeout=max(0.0, min(ends) - now_s) if ends else None)
            except queue.Empty:
                continue

    def _end_delays(self) -> None:
        now_s = self._clock.monotonic_s()
        self._delayed = [replace(delayed, until_s=now_s) for delayed in self._delayed]
