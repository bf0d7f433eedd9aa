"""Where pictures may go in a run besides this machine: to the uploader's outbox, and to a cluster.

Assembly alone: what goes is decided by `cutoutd.daemon.offload_coordinator`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.errors import StorageError
from cutoutd.exchange import cluster_spool, spool
from cutoutd.exchange.cluster_spool import ClusterPaths
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.offload.cluster_route import ClusterRoute
from cutoutd.offload.outbox import Outbox
from cutoutd.settings.digest import cluster_sha256, uploads_sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.journal import Journal
    from cutoutd.settings.schema import Folder, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutesAway:
    """The routes of one run.

    Attributes:
        outbox: outbox and inbox; None: nothing is uploaded.
        cluster: the route to a cluster; None: nothing is sent to one.
    """

    outbox: Outbox | None = None
    cluster: ClusterRoute | None = None

    @classmethod
    def of_run(
        cls,
        state_dir: Path,
        journal: Journal,
        clock: Clock,
        *,
        settings: Callable[[], Settings],
        once: bool,
        uploads: bool,
        cluster: bool,
    ) -> RoutesAway:
        """Those that folders are tagged for, and that belong to this run.

        Args:
            state_dir: of the service.
            journal: what is remembered.
            clock: the machine's.
            settings: gives those in force.
            once: the run ends by itself.
            uploads: an uploader belongs to it.
            cluster: a gateway to the cluster belongs to it.
        """
        chosen = settings()
        outbox = route = None
        if uploads and chosen.tagged:
            outbox = Outbox(
                state_dir,
                journal,
                clock,
                max_upload_px=chosen.hosted.max_upload_px,
                once=once,
                in_force=lambda: uploads_sha256(settings()),
            )
        if cluster and chosen.clustered:
            route = ClusterRoute(
                ClusterPaths.under(state_dir),
                clock,
                settings=lambda: settings().cluster,
                folders=lambda: frozenset(folder.name for folder in settings().clustered),
                in_force=lambda: cluster_sha256(settings()),
                once=once,
            )
        return cls(outbox=outbox, cluster=route)

    def open(self, state_dir: Path) -> None:
        """Begin a run; pictures of a folder that was tagged once must not lie anywhere.

        Args:
            state_dir: of the service.

        Raises:
            StorageError: the disk refuses.
        """
        if self.outbox is not None:
            self.outbox.open()
        else:
            with suppress(OSError):
                spool.clear(SpoolPaths.under(state_dir))
        if self.cluster is None:
            with suppress(OSError):
                cluster_spool.clear(ClusterPaths.under(state_dir))
            return
        try:
            self.cluster.open()
        except OSError as error:
            raise StorageError(f"the system says: {error.strerror}", path=self.cluster.paths.root) from error

    @property
    def closed_for_uploads(self) -> str:
        """Why nothing can be uploaded just now; empty if that is not known."""
        return "" if self.outbox is None else self.outbox.closed

    def closed_for(self, folder: Folder) -> str:
        """Why no picture of a folder can be sent to a cluster; empty if one can, or is not to be."""
        return self.cluster.closed if self.cluster is not None and folder.is_clustered else ""
