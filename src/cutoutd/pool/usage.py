"""Looks at what workers do to the machine: threads without end, and work without a task.

Address space, files and their sizes have limits in the kernel. Threads have none that would be a worker's own (RLIMIT_NPROC
counts all that its user runs, and root's are not counted), and decoders of HEIC start one, so that the filter cannot refuse
them. Linux alone: read in proc(5), whenever the pool is polled anyway.
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
"""A little less than the main loop's pace, so that none is left out. A worker can start some thousands of threads meanwhile."""

MORE_THREADS: Final = 16
"""Beside those it had when it was ready. No decoder or encoder that it uses starts more than a few."""

MORE_THREADS_OF_DRIVERS: Final = 256
"""Likewise, where the model runs on a graphics processor: drivers have threads for each core, from the first picture on."""

IDLE_SHARE: Final = 0.2
"""Of a processor. An honest worker without a task waits, and uses none."""

IDLE_LOOKS: Final = 6
"""In a row, which are three seconds: the memory of a large picture may still be given back at the first."""

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What a process uses.

    Attributes:
        threads: their number.
        cpu_s: seconds of processors, of all its threads together.
    """

    threads: int
    cpu_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What was seen of a worker at the last look."""

    use: Use
    at_s: float
    task: int
    most_threads: int
    may_work: bool
    busy_looks: int = 0


def use_of(usage: int | None) -> Use | None:
    """What a process uses; None where nothing says it, or it has ended.

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
    """The workers of one pool."""

    def __init__(self) -> None:
        self._seen: dict[WorkerSlot, _Seen] = {}
        self._next_s = 0.0

    def begin(self, slot: WorkerSlot, now_s: float, *, has_drivers: bool) -> None:
        """A worker is ready, and has seen no picture yet.

        Args:
            slot: the worker's.
            now_s: monotonic seconds.
            has_drivers: its model runs on a graphics processor, whose driver has threads of its own, also without a task.
        """
        if (use := use_of(slot.usage)) is not None:
            most = use.threads + (MORE_THREADS_OF_DRIVERS if has_drivers else MORE_THREADS)
            self._seen[slot] = _Seen(use=use, at_s=now_s, task=0, most_threads=most, may_work=has_drivers)

    def look(self, slots: Iterable[WorkerSlot], now_s: float) -> Iterator[tuple[WorkerSlot, str]]:
        """Those that are to be ended, and why; at most once in `LOOK_S`.

        Args:
            slots: all that there are.
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
                yield slot, f"the worker had {use.threads} threads, which no honest one has, and was ended"
            elif seen.busy_looks >= IDLE_LOOKS:
                yield slot, "the worker went on working without a task, and was ended"


def _compared(slot: WorkerSlot, use: Use, last: _Seen, now_s: float) -> _Seen:
    # One that has not had a task has read nobody's picture: no slow start is taken for work, again and again.
    is_idle = slot.state is SlotState.IDLE and slot.tasks_given == last.task > 0 and not last.may_work
    works = is_idle and use.cpu_s - last.use.cpu_s > IDLE_SHARE * (now_s - last.at_s)
    busy_looks = last.busy_looks + 1 if works else 0
    return replace(last, use=use, at_s=now_s, task=slot.tasks_given, busy_looks=busy_looks)
