"""Puts the parts of a hot folder together: its monitor, opener, delivery and lease.

It must not start anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd import backgrounds
from cutoutd.daemon.assembly import publisher_of
from cutoutd.delivery.context import FolderChecks
from cutoutd.delivery.delivery import Delivery
from cutoutd.delivery.sidecar_factory import SidecarFactory
from cutoutd.exchange import cutout_previews
from cutoutd.folder.file_opener import Opener
from cutoutd.folder.health import HealthCheck
from cutoutd.folder.hot_folder import HotFolder
from cutoutd.folder.monitor import FolderMonitor
from cutoutd.folder.retention import Retention
from cutoutd.folder.tasks import TaskFactory
from cutoutd.lease.heartbeat import LeaseHeartbeat
from cutoutd.lease.lease import Lease
from cutoutd.settings.digest import settings_sha256
from cutoutd.settings.loader import pair_state_dir
from cutoutd.settings.webhooks import WebhookEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.events import EventSink, JobEnded
    from cutoutd.exchange.cutout_previews import PreviewStore
    from cutoutd.folder.overlaps import Overlaps
    from cutoutd.journal.journal import Journal
    from cutoutd.journal.state import StateDirectory
    from cutoutd.models.catalog import VerifiedModels
    from cutoutd.protocols import ModelSpec, WorkerFacts
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder, Settings


def preview_store(settings: Settings, state_dir: Path, *, once: bool) -> PreviewStore | None:
    """What keeps cutouts in small for the page; None where there is none, and nothing of it stays then.

    Args:
        settings: the configuration at the start: what it says of the page holds for the whole run.
        state_dir: held by this process.
        once: the run ends by itself, and has no page.
    """
    if not settings.page.enabled:
        cutout_previews.clear(state_dir)
    if once or not settings.page.enabled:
        return None
    return cutout_previews.PreviewStore(state_dir, min_free_mb=settings.service.min_free_disk_mb)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderFactory:
    """Makes the hot folders of one run.

    Attributes:
        state: the state directory, locked.
        journal: the open journal.
        clock: the machine's clock.
        verified_models: the models of all folders.
        overlaps: the places of all folders.
        settings: returns the configuration in force.
        facts: returns what the workers run on; None: no worker is up yet.
        emit: receives events when files are accepted.
        tell: receives the ended jobs.
        wake: wakes the supervisor.
        once: cut what is there, and end.
        tells: whether webhooks are notified of results in this run.
        previews: store for previews of the results; None: no previews are made.
    """

    state: StateDirectory
    journal: Journal
    clock: Clock
    verified_models: VerifiedModels
    overlaps: Overlaps
    settings: Callable[[], Settings]
    facts: Callable[[], WorkerFacts | None]
    emit: EventSink
    tell: Callable[[JobEnded], None]
    wake: Callable[[], None]
    once: bool
    tells: bool = False
    previews: PreviewStore | None = None

    def make(self, folder: Folder) -> HotFolder:
        """Put a folder together; nothing of it is started.

        Raises:
            StorageError: the journal refuses.
        """
        publisher = publisher_of(folder, name=folder.name, run=self.state.session, previews=self.previews)
        lease = Lease(run=self.state.session, is_dead=self.journal.sessions.is_dead, clock=self.clock)
        health = HealthCheck(
            folder,
            memory=self.journal.folders,
            publisher=publisher,
            service=self.settings().service,
            lease=lease,
            overlaps=self.overlaps,
            configured=self._configured,
            predecessor=pair_state_dir(folder.input, folder.output),
        )
        monitor = FolderMonitor(
            folder,
            sources=self.journal.sources,
            health=health,
            clock=self.clock,
            emit=self.emit,
            wake=self.wake,
            once=self.once,
            retention=self._retention(folder),
            submissions=self.journal.submissions,
        )
        opener = Opener(
            folder.name,
            root=folder.input,
            staging=publisher.staging,
            clock=self.clock,
            wake=self.wake,
            boundary=lambda: health.boundary,
            originals=folder.originals_dir,
            previews=self.previews,
            mattes=None if self.previews is None else self.state.path,
        )
        return HotFolder(
            folder,
            monitor=monitor,
            delivery=self._delivery(folder, publisher, lease, health),
            opener=opener,
            tasks=self._tasks(folder, publisher),
            overlaps=self.overlaps,
            heartbeat=LeaseHeartbeat(folder.name, lease, lost=monitor.check_again),
        )

    def _tasks(self, folder: Folder, publisher: Publisher) -> TaskFactory:
        return TaskFactory(
            folder,
            staging=publisher.staging.directory,
            reservations=self.journal.reservations,
            moves=self.journal.moves,
            corrections=self.journal.corrections,
            model=self.settings().model_of(folder),
            has_model=lambda name: name in self.settings().needed_models,
            backgrounds=backgrounds.directory_in(self.state.path),
        )

    def _delivery(self, folder: Folder, publisher: Publisher, lease: Lease, health: HealthCheck) -> Delivery:
        return Delivery(
            folder,
            journal=self.journal,
            publisher=publisher,
            sidecar_factory=self._sidecar_factory(folder, publisher),
            clock=self.clock,
            tell=self.tell,
            wake=self.wake,
            checks=FolderChecks(
                owner=lease.prove, places=health.prove_places, boundary=lambda: health.boundary
            ),
        )

    def _configured(self) -> Mapping[str, str]:
        return {folder.name: os.fspath(folder.input) for folder in self.settings().folder}

    def _retention(self, folder: Folder) -> Retention | None:
        keep_days = self.settings().service.keep_history_days
        if keep_days == 0:
            return None
        return Retention(
            folder.name,
            root=folder.input,
            history=self.journal.history,
            keep_days=keep_days,
            clock=self.clock,
        )

    def _sidecar_factory(self, folder: Folder, publisher: Publisher) -> SidecarFactory:
        # One per folder, since a folder may come back with other settings during the run.
        model = self.verified_models.get(self.settings().model_of(folder))
        second = self.verified_models.get_if(self.settings().model.second)
        return SidecarFactory(
            model=model,
            second=second,
            settings_sha256={
                folder.name: settings_sha256(folder, model.name, "" if second is None else second.name)
            },
            worker=self.facts,
            clock=self.clock,
            marker=lambda: publisher.identity.marker,
            webhooks=[
                {"host": one.url.authority, "include": one.include.value}
                for one in (folder.webhook if self.tells else ())
                if {WebhookEvent.DONE, WebhookEvent.REVIEW} & {*one.events}
            ],
            asked=lambda name: self._model_on_request(folder, name),
        )

    def _model_on_request(self, folder: Folder, name: str) -> tuple[ModelSpec, str] | None:
        """Return a model that a person asked for, and the settings' hash with it and without a second model; None: unknown."""
        if name not in self.settings().needed_models:
            return None
        return self.verified_models.get(name), settings_sha256(folder, name)
