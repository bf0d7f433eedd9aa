"""Reports the daemon's state at each tick: to the terminal, the owner, the service manager and `cutoutd status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.events import QueueCounts
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.daemon.alarm import AlarmWatch
    from cutoutd.daemon.folder_set import FolderSet
    from cutoutd.daemon.heartbeat import Heartbeat
    from cutoutd.daemon.status_file import StatusFile
    from cutoutd.events import EventSink
    from cutoutd.journal.queue import Queue
    from cutoutd.offload.cluster_route import ClusterAway
    from cutoutd.pool.file_opening import TaskPool


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusSinks:
    """Where a run reports to.

    Attributes:
        emit: receives each event.
        heartbeat: reports to the service manager.
        alarm: raises alarms for the owner; None: there are none.
        status: the file for `cutoutd status`; None: none is written.
        shows_queue: whether the queue's counts are emitted, which costs a look into the journal at each tick.
    """

    emit: EventSink
    heartbeat: Heartbeat
    alarm: AlarmWatch | None = None
    status: StatusFile | None = None
    shows_queue: bool = False


class StatusOutputs:
    """Reports the daemon's state.

    Args:
        queue: the jobs in the journal.
        pool: the workers.
        folders: the hot folders.
        sinks: where it is reported to.
        cluster: returns since when the cluster is away; None: it is not, or nothing is sent to one.
    """

    def __init__(
        self,
        queue: Queue,
        pool: TaskPool,
        folders: FolderSet,
        sinks: StatusSinks,
        cluster: Callable[[], ClusterAway | None],
    ) -> None:
        self._queue = queue
        self._pool = pool
        self._folders = folders
        self._sinks = sinks
        self._cluster = cluster

    def show(self, *, paused: bool) -> None:
        """Report to all of them.

        Args:
            paused: whether a person has paused new work.
        """
        sinks = self._sinks
        if sinks.shows_queue:
            counts = self._queue.open_by_state()
            sinks.emit(QueueCounts.of(counts, is_paused=paused))
        statuses = self._folders.statuses()
        if sinks.alarm is not None:
            sinks.alarm.check(statuses)
        if sinks.heartbeat.wants_status:
            sinks.heartbeat.status(
                statuses.values(),
                queue=self._queue.count_open(),
                paused=paused,
            )
        if sinks.status is None:
            return
        try:
            sinks.status.show(
                statuses,
                workers=self._pool.workers,
                facts=self._pool.facts,
                paused=paused,
                refused_configuration=self._folders.refused_configuration,
                cluster=self._cluster(),
            )
        except OSError as error:
            get().debug("status.not-written", why=str(error))  # tried again at the next tick
