"""Two pools as one: workers for folders without a tag, and workers for tagged folders, which may upload.

A worker gets the open files of its task and can reach nothing else, but what it has read may stay in its memory. So a worker
that has read a picture of an untagged folder never makes a copy for the outbox: neither a hostile picture nor a fault of
ours can mix the two. It must not know folders or tasks beyond that.
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
    """The two pools; implements `cutoutd.protocols.Pool`.

    Args:
        ordinary: workers for folders without a tag.
        tagged: workers for tagged folders.
        shares: returns the number of slots of each; called again when all workers are replaced.
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
        """How many tasks of folders of this kind could start now."""
        return (self._tagged if tagged else self._ordinary).room(tagged=tagged)

    def serves(self, *, tagged: bool) -> bool:
        """Whether there are workers for folders of this kind, or will be."""
        return (self._tagged if tagged else self._ordinary).serves(tagged=tagged)

    @property
    def busy(self) -> int:
        """Number of slots that have a task."""
        return sum(pool.busy for pool in self._both)

    @property
    def facts(self) -> WorkerFacts | None:
        """What workers report about themselves; None until all pools with slots are ready."""
        known = [pool.facts for pool in self._both if pool.size]
        return known[0] if known and all(known) else None

    @property
    def is_sound(self) -> bool:
        """Whether both pools can be relied on."""
        return all(pool.is_sound for pool in self._both)

    @property
    def waiting(self) -> Collection[int]:
        """Jobs whose workers wait for a disk or share."""
        return [job for pool in self._both for job in pool.waiting]

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs whose workers got stuck."""
        return [job for pool in self._both for job in pool.left_behind]

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Start a task. Allowed only while there is room for its kind."""
        (self._tagged if task.tagged else self._ordinary).submit(task, files, sent)

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events of either pool."""
        self._selector.select(min(pool.due_s(timeout_s) for pool in self._both))
        for pool in self._both:
            self._events += pool.poll(0.0)
        events, self._events = self._events, []
        return events

    def wake(self) -> None:
        """End a ``poll`` early."""
        self._ordinary.wake()

    def recycle(self) -> None:
        """Replace every worker by a new one, in the numbers that ``shares`` returns now."""
        for pool, size in zip(self._both, self._shares(), strict=True):
            pool.resize(size)
            pool.recycle()

    def close(self) -> None:
        """End all workers at once."""
        self._selector.close()
        for pool in self._both:
            pool.close()
