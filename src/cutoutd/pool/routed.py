"""Several pools as one: workers for folders without a tag, for those that may be uploaded from, and proxies of a cluster's.

A worker gets the opened files of its task and reaches nothing else; but what it has read once may stay in its memory. So
one that has read a picture of an untagged folder never makes a copy for the outbox, nor sends one to another machine, and no
picture, however hostile, and no internal error can put one into the other's way. It must not know folders or tasks beyond that.
"""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

from cutoutd.task_route import WorkerKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cutoutd.jobs import Task
    from cutoutd.pool.local import LocalPool
    from cutoutd.protocols import Files, PoolEvent, WorkerFacts


class RoutedPool:
    """All pools; implements `cutoutd.protocols.Pool`.

    Args:
        pools: for each kind of worker there is in this run; that for folders without a tag comes first.
        shares: how many slots each of them is to have; asked anew when all workers are replaced.
    """

    def __init__(
        self,
        pools: Mapping[WorkerKind, LocalPool],
        *,
        shares: Callable[[], Mapping[WorkerKind, int]],
    ) -> None:
        self._pools = pools
        self._shares = shares
        self._events: list[PoolEvent] = []
        self._selector = selectors.DefaultSelector()
        for pool in self._all:
            self._selector.register(pool.fileno(), selectors.EVENT_READ)

    @property
    def _all(self) -> Collection[LocalPool]:
        return self._pools.values()

    @property
    def size(self) -> int:
        """Number of slots."""
        return sum(pool.size for pool in self._all)

    @property
    def workers(self) -> int:
        """Number of slots that cut on this machine: a proxy of another machine's is none."""
        return sum(pool.size for kind, pool in self._pools.items() if kind is not WorkerKind.CLUSTER)

    def room(self, *, kind: WorkerKind) -> int:
        """How many tasks of this kind could be started now."""
        return self._pools[kind].room(kind=kind) if kind in self._pools else 0

    def serves(self, *, kind: WorkerKind) -> bool:
        """Whether there are workers of this kind, or will be."""
        return kind in self._pools and self._pools[kind].serves(kind=kind)

    @property
    def busy(self) -> int:
        """Slots of this machine that have a task."""
        return sum(pool.busy for kind, pool in self._pools.items() if kind is not WorkerKind.CLUSTER)

    @property
    def facts(self) -> WorkerFacts | None:
        """What workers say of themselves; None until all pools that have any are ready."""
        known = [pool.facts for pool in self._all if pool.size]
        return known[0] if known and all(known) else None

    @property
    def is_sound(self) -> bool:
        """Whether all can be relied on."""
        return all(pool.is_sound for pool in self._all)

    @property
    def blocked_on_io(self) -> Collection[int]:
        """Jobs whose workers wait for a disk or share."""
        return [job for pool in self._all for job in pool.blocked_on_io]

    @property
    def left_behind(self) -> Collection[int]:
        """Jobs over which workers got stuck."""
        return [job for pool in self._all for job in pool.left_behind]

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:
        """Start a task; only while there is room for one of its kind."""
        self._pools[task.kind].submit(task, files, sent)

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Wait for events of any."""
        self._selector.select(min(pool.due_s(timeout_s) for pool in self._all))
        for pool in self._all:
            self._events += pool.poll(0.0)
        events, self._events = self._events, []
        return events

    def wake(self) -> None:
        """End a ``poll`` early."""
        next(iter(self._all)).wake()

    def recycle(self) -> None:
        """Replace every worker by a fresh one, as many of each kind as there should be by now."""
        shares = self._shares()
        for kind, pool in self._pools.items():
            pool.resize(shares.get(kind, 0))
            pool.recycle()

    def close(self) -> None:
        """End all workers at once."""
        self._selector.close()
        for pool in self._all:
            pool.close()
