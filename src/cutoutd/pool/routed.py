"""Two pools as one: workers for folders without a tag, and others for tagged ones, which may be uploaded from.

A worker gets the opened files of its task and reaches nothing else; but what it has read once may stay in its memory. So
one that has read a picture of an untagged folder never makes a copy for the outbox, and no picture, however hostile, and
no fault of ours can put one into the other's way. It must not know folders or tasks beyond that.
"""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cutoutd.jobs import Task
    from cutoutd.pool.local import LocalPool
    from cutoutd.protocols import Files, PoolEvent, WorkerFacts


class RoutedPool:
    """Both pools; implements `cutoutd.protocols.Pool`.

    Args:
        ordinary: for folders without a tag.
        tagged: for the others.
        shares: how many slots each of them is to have; asked anew when all workers are replaced.
    """

    def __init__(
        self, *, ordinary: LocalPool, tagged: LocalPool, shares: Callable[[], tuple[int, int]]
    ) -> None:
        self._ordinary = ordinary
        self._tagged = tagged
        self._both = (ordinary, tagged)
        self._shares = shares
        self._events: list[PoolEvent] = []
        self._selector = selectors.DefaultSelector()
        for pool in self._both:
            self._selector.register(pool.fileno(), selectors.EVENT_READ)

    @property
    def size(self) -> int:
        """Number of slots."""
        return sum(pool.size for pool in self._both)

    def room(self, *, tagged: bool) -> int:
        """How many tasks of folders of this kind could be started now."""
        return (self._tagged if tagged else self._ordinary).room(tagged=tagged)

    def serves(self, *, tagged: bool) -> bool:
        """Whether there are workers for folders of this kind, or will be."""
        return (self._tagged if tagged else self._ordinary).serves(tagged=tagged)

    @property
    def busy(self) -> int:
        """Slots that have a task."""
        return sum(pool.busy for pool in self._both)

    @property
    def facts(self) -> WorkerFacts | None:
        """What workers say of themselves; None until all pools that have any are ready."""
        known = [pool.facts for pool in self._both if pool.size]
        return known[0] if known and all(known) else None

    @property
    def is_sound(self) -> bool:
        """Whether both can be relied on."""
        return all(pool.is_sound for pool in self._both)

    @property
    def waiting(self) -> Collection[int]:
        """Jobs whose workers wait for a disk or share."""
        return [job for pool in self._both for job in pool.waiting]

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs over which workers got stuck."""
        return [job for pool in self._both for job in pool.left_behind]

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Start a task; only while there is room for one of its kind."""
        (self._tagged if task.tagged else self._ordinary).submit(task, files, sent)

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events of either."""
        self._selector.select(min(pool.due_s(timeout_s) for pool in self._both))
        for pool in self._both:
            self._events += pool.poll(0.0)
        events, self._events = self._events, []
        return events

    def wake(self) -> None:
        """End a ``poll`` early."""
        self._ordinary.wake()

    def recycle(self) -> None:
        """Replace every worker by a fresh one, as many of each kind as there should be by now."""
        for pool, size in zip(self._both, self._shares(), strict=True):
            pool.resize(size)
            pool.recycle()

    def close(self) -> None:
        """End all workers at once."""
        self._selector.close()
        for pool in self._both:
            pool.close()
