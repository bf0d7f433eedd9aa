"""The workers of a run: how many, of which kinds, and with which settings.

This module only assembles the pools: it must not give them work.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cutoutd.daemon.assembly import setup_of
from cutoutd.pool import capacity
from cutoutd.pool.local import WORKER, LocalPool
from cutoutd.pool.routed import RoutedPool
from cutoutd.pool.slot import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.clock import Clock
    from cutoutd.models.catalog import VerifiedModels
    from cutoutd.pool import wire
    from cutoutd.pool.slot import Spawned
    from cutoutd.settings.schema import Settings


@contextmanager
def spares(settings: Settings) -> Iterator[list[Spawned]]:
    """Processes that load their libraries while the folders are first looked at; those that are not taken from the list end."""
    started: list[Spawned] = []
    try:
        with suppress(OSError):  # the pool starts the missing ones, and reports why it cannot
            started.extend(spawn(WORKER) for _ in range(capacity.worker_count(settings.pool.workers)))
        yield started
    finally:
        for spawned in started:
            spawned.end()


class WorkerPools:
    """Makes the pool of a run.

    Args:
        verified_models: the models of all folders.
        settings: returns the configuration in force.
        clock: clock for deadlines.
        partitioned: whether tagged folders have workers of their own, since they may be uploaded from in this run.
    """

    def __init__(
        self,
        verified_models: VerifiedModels,
        *,
        settings: Callable[[], Settings],
        clock: Clock,
        partitioned: bool,
    ) -> None:
        self._verified_models = verified_models
        self._settings = settings
        self._clock = clock
        self._partitioned = partitioned

    def pool(self, spare: list[Spawned]) -> LocalPool | RoutedPool:
        """Start the workers.

        Args:
            spare: processes that are used first.
        """
        if not self._partitioned:
            return self._pool(self._size, spare)
        ordinary, tagged = self._shares()
        return RoutedPool(
            ordinary=self._pool(ordinary, spare), tagged=self._pool(tagged, spare), shares=self._shares
        )

    @property
    def _size(self) -> int:
        settings = self._settings()
        second = self._verified_models.get_if(settings.model.second)
        return capacity.worker_count(settings.pool.workers, 0 if second is None else second.room_mb)

    def _shares(self) -> tuple[int, int]:
        """Return how many workers there are for untagged and for tagged folders."""
        kinds = {folder.is_tagged for folder in self._settings().folder}
        if True not in kinds:
            return self._size, 0
        if False not in kinds:
            return 0, self._size
        # Little is left to do here for the hosted route, except for pictures that are cut here first.
        return self._size, max(1, self._size // 2)

    def _pool(self, size: int, spare: list[Spawned]) -> LocalPool:
        return LocalPool(
            size=size,
            setup=self._setup,
            job_timeout_s=self._settings().pool.job_timeout_s,
            clock=self._clock,
            spares=spare,
        )

    def _setup(self) -> wire.Setup:
        settings = self._settings()
        return setup_of(
            settings,
            [self._verified_models.get(name) for name in settings.models],
            self._verified_models.get_if(settings.model.second),
        )
