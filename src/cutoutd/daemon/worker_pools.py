"""The workers of a run: how many, of which kinds, and with which settings.

This module only assembles the pools: it must not give them work.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from os import fspath
from typing import TYPE_CHECKING, Final

from cutoutd.daemon.assembly import setup_of
from cutoutd.pool import capacity
from cutoutd.pool.local import WORKER, LocalPool
from cutoutd.pool.routed import RoutedPool
from cutoutd.pool.slot import spawn
from cutoutd.settings.types import Route
from cutoutd.task_route import WorkerKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.clock import Clock
    from cutoutd.exchange.cluster_spool import ClusterPaths
    from cutoutd.models.catalog import VerifiedModels
    from cutoutd.pool import wire
    from cutoutd.pool.slot import Spawned
    from cutoutd.settings.schema import Settings


# As `cutoutd.pool.local.WORKER`, with the exchange directory as its argument.
PROXY: Final = (*WORKER[:-1], "cutoutd.pool.cluster_proxy")

FOR_EVER_S: Final = 30 * 86_400.0
"""A proxy's deadline. The gateway has deadlines of its own, and a cluster may be away for as long as it likes."""


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
        uploads: whether tagged folders have workers of their own, since they may be uploaded from in this run.
        cluster: the exchange directory of the cluster that pictures may be sent to in this run; None: none.
    """

    def __init__(
        self,
        verified_models: VerifiedModels,
        *,
        settings: Callable[[], Settings],
        clock: Clock,
        uploads: bool,
        cluster: ClusterPaths | None = None,
    ) -> None:
        self._verified_models = verified_models
        self._settings = settings
        self._clock = clock
        self._uploads = uploads
        self._cluster = cluster

    def pool(self, spare: list[Spawned]) -> LocalPool | RoutedPool:
        """Start the workers.

        Args:
            spare: processes that are used first.
        """
        if not self._uploads and self._cluster is None:
            return self._pool(self._size, spare)
        kinds = [WorkerKind.LOCAL]
        if self._uploads:
            kinds.append(WorkerKind.UPLOADED)
        shares = self._shares()
        pools = {kind: self._pool(shares[kind], spare) for kind in kinds}
        if self._cluster is not None:
            pools[WorkerKind.CLUSTER] = self._proxies(shares[WorkerKind.CLUSTER], self._cluster)
        return RoutedPool(pools, shares=self._shares)

    @property
    def _size(self) -> int:
        settings = self._settings()
        second = self._verified_models.get_if(settings.model.second)
        return capacity.worker_count(settings.pool.workers, 0 if second is None else second.room_mb)

    def _shares(self) -> dict[WorkerKind, int]:
        """How many workers there are of each kind."""
        settings = self._settings()
        routes = {folder.route for folder in settings.folder}
        uploaded = any(route.uses_hosted for route in routes) and self._uploads
        cluster = any(route.uses_cluster for route in routes) and self._cluster is not None
        here = any(
            not (
                (route.uses_hosted and self._uploads)
                or (route is Route.CLUSTER and self._cluster is not None)
            )
            for route in routes
        )
        # What the hosted route leaves to do here is little, but for pictures that are cut here first.
        few = max(1, self._size // 2) if here else self._size
        return {
            WorkerKind.LOCAL: self._size if here else 0,
            WorkerKind.UPLOADED: few if uploaded else 0,
            WorkerKind.CLUSTER: settings.cluster.max_in_flight if cluster else 0,
        }

    def _proxies(self, size: int, exchange: ClusterPaths) -> LocalPool:
        return LocalPool(
            size=size,
            setup=self._setup,
            job_timeout_s=FOR_EVER_S,
            clock=self._clock,
            command=(*PROXY, fspath(exchange.root)),
        )

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
