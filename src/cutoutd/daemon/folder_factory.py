"""Puts the parts of a hot folder together: its watching side, its publishing side, and the hold on it.

It must not start anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutoutd.daemon.assembly import publisher_of, rules_of
from cutoutd.delivery.delivery import Delivery
from cutoutd.delivery.sidecar_factory import SidecarFactory
from cutoutd.folder.file_opener import Opener
from cutoutd.folder.health import HealthCheck
from cutoutd.folder.hot_folder import HotFolder
from cutoutd.folder.monitor import FolderMonitor
from cutoutd.folder.retention import Retention
from cutoutd.lease.heartbeat import LeaseHeartbeat
from cutoutd.lease.lease import Lease
from cutoutd.settings.digest import settings_sha256
from cutoutd.settings.loader import pair_state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cutoutd.clock import Clock
    from cutoutd.events import EventSink, JobEnded
    from cutoutd.folder.overlaps import Overlaps
    from cutoutd.journal.journal import Journal
    from cutoutd.journal.state import StateDirectory
    from cutoutd.models.catalog import VerifiedModels
    from cutoutd.protocols import WorkerFacts
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder, Settings


class FolderFactory:
    """Makes the hot folders of one run.

    Args:
        state: the state directory, held.
        journal: open.
        clock: the machine's.
        verified_models: has the models of all folders.
        overlaps: the places of all folders.
        settings: gives the configuration in force.
        facts: gives what the workers run on, once one is up.
        emit: is told what is accepted.
        tell: takes the results.
        wake: wakes the supervisor.
        once: cut what is there, and end.
    """

    def __init__(  # noqa: PLR0913 -- all that a folder's parts share, each a keyword
        self,
        *,
        state: StateDirectory,
        journal: Journal,
        clock: Clock,
        verified_models: VerifiedModels,
        overlaps: Overlaps,
        settings: Callable[[], Settings],
        facts: Callable[[], WorkerFacts | None],
        emit: EventSink,
        tell: Callable[[JobEnded], None],
        wake: Callable[[], None],
        once: bool,
    ) -> None:
        self._state = state
        self._journal = journal
        self._clock = clock
        self._verified_models = verified_models
        self._overlaps = overlaps
        self._settings = settings
        self._facts = facts
        self._emit = emit
        self._tell = tell
        self._wake = wake
        self._once = once

    def make(self, folder: Folder) -> HotFolder:
        """Put a folder together; nothing of it has begun then.

        Raises:
            StorageError: the journal refuses just now.
        """
        publisher = publisher_of(folder, name=folder.name, run=self._state.session)
        lease = Lease(run=self._state.session, is_dead=self._journal.sessions.is_dead, clock=self._clock)
        health = HealthCheck(
            folder,
            memory=self._journal.folders,
            publisher=publisher,
            min_free_mb=self._settings().service.min_free_disk_mb,
            state_dir=self._state.path,
            lease=lease,
            overlaps=self._overlaps,
            configured=self._configured,
            allow_root=self._settings().service.allow_root,
            predecessor=pair_state_dir(folder.input, folder.output),
        )
        monitor = FolderMonitor(
            folder,
            rules=rules_of(folder),
            sources=self._journal.sources,
            health=health,
            clock=self._clock,
            emit=self._emit,
            wake=self._wake,
            once=self._once,
            retention=self._retention(folder),
        )
        delivery = Delivery(
            folder,
            journal=self._journal,
            publisher=publisher,
            sidecar_factory=self._provenance(folder, publisher),
            clock=self._clock,
            run=self._state.session,
            tell=self._tell,
            wake=self._wake,
            prove=lease.prove,
            boundary=lambda: health.boundary,
        )
        opener = Opener(
            folder.name,
            root=folder.input,
            staging=publisher.staging,
            clock=self._clock,
            wake=self._wake,
            boundary=lambda: health.boundary,
        )
        return HotFolder(
            folder,
            monitor=monitor,
            delivery=delivery,
            publisher=publisher,
            opener=opener,
            reservations=self._journal.reservations,
            moves=self._journal.moves,
            model=self._settings().model_of(folder),
            overlaps=self._overlaps,
            heartbeat=LeaseHeartbeat(folder.name, lease, lost=monitor.check_again),
        )

    def _configured(self) -> Mapping[str, str]:
        return {folder.name: os.fspath(folder.input) for folder in self._settings().folder}

    def _retention(self, folder: Folder) -> Retention | None:
        keep_days = self._settings().service.keep_history_days
        if keep_days == 0:
            return None
        return Retention(
            folder.name,
            root=folder.input,
            history=self._journal.history,
            keep_days=keep_days,
            clock=self._clock,
        )

    def _provenance(self, folder: Folder, publisher: Publisher) -> SidecarFactory:
        # One for each, since a folder may come back with other settings while the run goes on.
        model = self._verified_models.get(self._settings().model_of(folder))
        second = self._verified_models.get_if(self._settings().model.second)
        return SidecarFactory(
            model=model,
            second=second,
            settings_sha256={
                folder.name: settings_sha256(folder, model.name, "" if second is None else second.name)
            },
            worker=self._facts,
            clock=self._clock,
            marker=lambda: publisher.identity.marker,
        )
