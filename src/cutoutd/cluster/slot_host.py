"""The worker slots of a machine of the cluster: a pool in a thread that lives as long as the process.

Pictures arrive as bytes and are put into unnamed files, which a slot receives opened. A slot is confined as on any machine: it can
open neither sockets nor files, so it reaches neither the cluster nor its keys. This module must not import Dask.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.clock import Clock
from cutoutd.errors import CutoutdError
from cutoutd.jobs import Cut, NeedsRoom
from cutoutd.logs import get
from cutoutd.pool.local import LocalPool
from cutoutd.protocols import Files, Finished, Lost
from cutoutd.publish.staging import result_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cutoutd.jobs import Report, Task
    from cutoutd.pool import wire
    from cutoutd.protocols import PoolEvent, WorkerFacts

_TURN_S: Final = 0.5
_RATE_S: Final = 60.0
_REMEMBERED: Final = 1000
READY_S: Final = 120.0
"""Longest time until the first slot is ready."""


class SlotsFailError(CutoutdError):
    """The slots of this machine cannot work."""

    title = "This machine's workers cannot work"
    advice = "`cutoutd doctor` on that machine says what is wrong."


class TooLargeError(ValueError):
    """The results of a picture are larger than allowed."""


class DiedError(Exception):
    """The slot died while it worked on the picture."""


class WithdrawnError(Exception):
    """Nobody waits for the picture any more."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Order:
    """A task for whose end a thread waits.

    Attributes:
        key: key by which it can be withdrawn; empty: it cannot be.
        is_withdrawn: whether it was withdrawn.
    """

    task: Task
    files: Files
    key: str = ""
    is_withdrawn: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    event: PoolEvent | None = None


class SlotHost:
    """The slots of this process.

    Args:
        size: number of slots.
        setup: returns what a slot is told when it starts.
        job_timeout_s: time limit for one picture.
    """

    def __init__(self, *, size: int, setup: Callable[[], wire.Setup], job_timeout_s: float) -> None:
        self.size = size
        self._setup = setup
        self._job_timeout_s = job_timeout_s
        self._lock = threading.Lock()
        self._queue: deque[_Order] = deque()
        self._at_work: dict[int, _Order] = {}
        # A task may be withdrawn before its thread has queued it.
        self._withdrawn: deque[str] = deque(maxlen=_REMEMBERED)
        self._numbers = 0
        self._pool: LocalPool | None = None
        self._is_ready = threading.Event()
        self._closing = threading.Event()
        self._ended: deque[float] = deque(maxlen=10_000)
        self.fault: CutoutdError | None = None
        self.done = 0
        self._thread = threading.Thread(target=self._run, name="slots", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> WorkerFacts | None:
        """Facts that the slots report; None until the first one is ready."""
        return self._pool.facts if self._pool is not None else None

    @property
    def waiting(self) -> int:
        """Number of pictures that wait for a slot."""
        return len(self._queue)

    @property
    def at_work(self) -> int:
        """Number of pictures that slots are working on."""
        return len(self._at_work)

    @property
    def per_minute(self) -> int:
        """Number of pictures that ended in the last minute."""
        since_s = time.monotonic() - _RATE_S
        return sum(at_s >= since_s for at_s in tuple(self._ended))

    def wait_until_ready(self) -> WorkerFacts:
        """Wait until the first slot is ready.

        Raises:
            SlotsFailError: none becomes ready.
        """
        self._is_ready.wait(READY_S)
        facts = self.facts
        if facts is None:
            raise self.fault or SlotsFailError("none has come up in time")
        return facts

    def carry_out(
        self,
        task: Task,
        picture: bytes | memoryview,
        backgrounds: Sequence[bytes | memoryview],
        *,
        max_result_bytes: int,
        key: str = "",
    ) -> tuple[Report, list[bytes]]:
        """Have a slot carry out a task, and wait for it. Any thread may call this.

        Args:
            task: the task, as it was received.
            picture: content of the picture's file.
            backgrounds: contents of the background pictures' files, in the order of the recipe.
            max_result_bytes: limit of all results together.
            key: key for `withdraw`; empty: the task cannot be withdrawn.

        Returns:
            The report, and the results in its order.

        Raises:
            DiedError: the slot died.
            WithdrawnError: `withdraw` was called with its key.
            TooLargeError: the results are larger than the limit.
            SlotsFailError: no slot can work.
            OSError: the disk refuses.
        """
        with ExitStack() as opened:
            file_of = partial(_temporary_file, opened)
            source = file_of(picture)
            files = Files(
                source=source,
                results=tuple(file_of(b"") for _ in range(len(task.recipe.renditions) + 1)),
                backgrounds=tuple(map(file_of, backgrounds)),
            )
            with self._lock:
                self._numbers += 1
                number = self._numbers
            here = replace(
                task,
                job=number,
                mtime_ns=os.fstat(source).st_mtime_ns,
                alone=False,
                tagged=False,
                cluster=None,
            )
            event = self._done(_Order(task=here, files=files, key=key))
            if isinstance(event, Lost):
                why = "it took longer than job_timeout_s allows" if event.timed_out else event.why
                raise DiedError(why)
            if not isinstance(event, Finished):
                raise SlotsFailError("the slots are ending")
            return _collect_results(event.report, task, files, max_result_bytes)

    def withdraw(self, key: str) -> None:
        """Stop a task that nobody waits for, and the worker that has it. Any thread may call this.

        Args:
            key: key that was given to `carry_out`.
        """
        with self._lock:
            self._withdrawn.append(key)
        if self._pool is not None:
            self._pool.wake()

    def close(self) -> None:
        """End all slots."""
        self._closing.set()
        if self._pool is not None:
            self._pool.wake()
        self._thread.join(5.0)

    def _done(self, order: _Order) -> PoolEvent | None:
        with self._lock:
            self._check()
            self._queue.append(order)
        if self._pool is not None:
            self._pool.wake()
        order.done.wait()
        if order.is_withdrawn:
            raise WithdrawnError
        self._check(order.event)
        with self._lock:
            self.done += 1
            self._ended.append(time.monotonic())
        return order.event

    def _check(self, event: PoolEvent | None = None) -> None:
        """Check that there is an event, or that one can still come.

        Raises:
            SlotsFailError: the slots cannot work.
        """
        if event is None and self.fault is not None:
            raise SlotsFailError(self.fault.cause, path=self.fault.path, advice=self.fault.advice)

    def _run(self) -> None:
        """Run the pool. The kernel ends the slots when this thread ends."""
        try:
            self._pool = LocalPool(
                size=self.size, setup=self._setup, job_timeout_s=self._job_timeout_s, clock=Clock()
            )
            while not self._closing.is_set():
                for event in self._pool.poll(_TURN_S):
                    self._take_event(event)
                if self._pool.facts is not None:
                    self._is_ready.set()
                self._end_withdrawn(self._pool)
                self._hand_out(self._pool)
            self._pool.close()
        except Exception as error:  # noqa: BLE001 -- passed to the waiting threads; the machine then leaves the cluster
            known = (
                error
                if isinstance(error, CutoutdError)
                else SlotsFailError(f"{type(error).__name__}: {error}")
            )
            get().error("cluster.slots-failed", why=str(known))
            self.fault = known
        with self._lock:  # with it: a task that is queued after this would wait for ever
            self.fault = self.fault or SlotsFailError("the slots are ending")
            orders = [*self._queue, *self._at_work.values()]
            self._queue.clear()
        self._is_ready.set()
        for order in orders:
            order.done.set()

    def _take_event(self, event: PoolEvent) -> None:
        order = self._at_work.pop(event.job, None)
        if order is None:
            return
        if isinstance(event, Finished) and isinstance(event.report, NeedsRoom) and not order.task.alone:
            order.task = replace(order.task, alone=True)
            for descriptor in (order.files.source, *order.files.backgrounds):
                os.lseek(descriptor, 0, os.SEEK_SET)  # the worker that has read them shares their offset
            with self._lock:
                self._queue.appendleft(order)
            return
        order.event = event
        order.done.set()

    def _end_withdrawn(self, pool: LocalPool) -> None:
        with self._lock:
            keys = frozenset(self._withdrawn)
            orders = [one for one in (*self._queue, *self._at_work.values()) if one.key in keys]
            self._queue = deque(one for one in self._queue if one.key not in keys)
        for order in orders:
            if self._at_work.pop(order.task.job, None) is not None:
                pool.give_up(order.task.job)
            get().info("cluster.withdrawn", source=order.task.source)
            order.is_withdrawn = True
            order.done.set()

    def _hand_out(self, pool: LocalPool) -> None:
        """Give waiting tasks to free slots; a task that needs all memory runs alone."""
        while pool.idle:
            if any(order.task.alone for order in self._at_work.values()):
                return
            with self._lock:
                if not self._queue or (self._queue[0].task.alone and self._at_work):
                    return
                order = self._queue.popleft()
            self._at_work[order.task.job] = order
            # The thread that waits for the answer closes the files.
            pool.submit(order.task, order.files, lambda: None)


def _temporary_file(opened: ExitStack, content: bytes | memoryview) -> int:
    """Return the descriptor of an unnamed file with this content; the stack closes it."""
    file = opened.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 -- the stack closes it
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) or 0 :]
    file.seek(0)
    return file.fileno()


def _collect_results(report: Report, task: Task, files: Files, most: int) -> tuple[Report, list[bytes]]:
    """Return a report with the number that the task has at its origin, and the results that it names.

    Raises:
        TooLargeError: the results are larger than allowed.
    """
    if not isinstance(report, Cut):
        return report, []
    total = sum(staged.bytes for staged in report.staged)
    if total > most:
        raise TooLargeError(f"its results have {total / 1e6:.0f} MB")
    places = [task.file_of(one.rendition) for one in report.staged]
    staged = tuple(
        replace(one, name=result_name(task.job, place, one.format.extension))
        for one, place in zip(report.staged, places, strict=True)
    )
    results = [
        os.pread(files.results[place], one.bytes, 0)
        if one.bytes < 1 << 30
        else _read_whole(files.results[place], one.bytes)
        for one, place in zip(staged, places, strict=True)
    ]
    return replace(report, staged=staged), results


def _read_whole(descriptor: int, size: int) -> bytes:
    """Read a file that may be too large for one call: on Linux a call reads 2 GiB at most."""
    parts, at = [], 0
    while at < size and (piece := os.pread(descriptor, min(1 << 30, size - at), at)):
        parts.append(piece)
        at += len(piece)
    return b"".join(parts)
