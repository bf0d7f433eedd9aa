"""Watches what workers use: too many threads, and processor time without a task.

The kernel limits address space, files and their sizes. It has no limit for the threads of one worker (RLIMIT_NPROC counts all
processes of the user, and none of root's), and HEIC decoders start one, so that the system call filter cannot refuse them.
Linux only: proc(5) is read whenever the pool is polled.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cutoutd.pool.slot import SlotState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cutoutd.pool.slot import WorkerSlot

LOOK_S: Final = 0.4
"""A little less than the interval of the main loop, so that every turn counts. A worker can start thousands of threads in it."""

MORE_THREADS: Final = 16
"""Threads beside those at the start. No decoder or encoder in use starts more than a few."""

MORE_THREADS_OF_DRIVERS: Final = 256
"""Likewise, where the model runs on a graphics processor: drivers have threads for each core, from the first picture on."""

IDLE_SHARE: Final = 0.2
"""Share of a processor. A correct worker without a task uses none."""

IDLE_LOOKS: Final = 6
"""Looks in a row, about three seconds: during the first the memory of a large picture may still be given back."""

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What a process uses.

    Attributes:
        threads: number of threads.
        cpu_s: processor time of all threads, in seconds.
    """

    threads: int
    cpu_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """State of a worker at the last look."""

    use: Use
    at_s: float
    task: int
    most_threads: int
    may_work: bool
    busy_looks: int = 0


def use_of(usage: int | None) -> Use | None:
    """Return what a process uses; None if it has ended or the system does not report it.

    Args:
        usage: descriptor of its ``stat`` in proc(5).
    """
    if usage is None:
        return None
    try:
        fields = os.pread(usage, 4096, 0).rpartition(b")")[2].split()  # its name may hold anything
        return Use(threads=int(fields[17]), cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S)
    except (OSError, ValueError, IndexError):
        return None


class UsageWatch:
    """Watches the workers of one pool."""

    def __init__(self) -> None:
        self._seen: dict[WorkerSlot, _Seen] = {}
        self._next_s = 0.0

    def begin(self, slot: WorkerSlot, now_s: float, *, has_drivers: bool) -> None:
        """Start watching a worker that is ready and has read no picture yet.

        Args:
            slot: slot of the worker.
            now_s: monotonic seconds.
            has_drivers: whether its model runs on a graphics processor, whose driver has threads that also work without a task.
        """
        if (use := use_of(slot.usage)) is not None:
            most = use.threads + (MORE_THREADS_OF_DRIVERS if has_drivers else MORE_THREADS)
            self._seen[slot] = _Seen(use=use, at_s=now_s, task=0, most_threads=most, may_work=has_drivers)

    def check(self, slots: Iterable[WorkerSlot], now_s: float) -> Iterator[tuple[WorkerSlot, str]]:
        """Yield the slots to end and the reason, at most once in `LOOK_S`.

        Args:
            slots: all slots.
            now_s: monotonic seconds.
        """
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        before, self._seen = self._seen, {}
        for slot in slots:
            last = before.get(slot)
            if last is None or slot.state is SlotState.DYING or (use := use_of(slot.usage)) is None:
                continue
            self._seen[slot] = seen = _compared(slot, use, last, now_s)
            if use.threads > seen.most_threads:
                yield slot, f"the worker had {use.threads} threads, more than it may have, and was ended"
            elif seen.busy_looks >= IDLE_LOOKS:
                yield slot, "the worker went on working without a task, and was ended"


def _compared(slot: WorkerSlot, use: Use, last: _Seen, now_s: float) -> _Seen:
    # A worker without a task so far has read no picture: a slow start must not count as work again and again.
    is_idle = slot.state is SlotState.IDLE and slot.tasks_given == last.task > 0 and not last.may_work
    works = is_idle and use.cpu_s - last.use.cpu_s > IDLE_SHARE * (now_s - last.at_s)
    busy_looks = last.busy_looks + 1 if works else 0
    return replace(last, use=use, at_s=now_s, task=slot.tasks_given, busy_looks=busy_looks)
