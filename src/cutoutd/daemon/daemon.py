"""The daemon: its state directory, journal, pool, folders and supervisor are put together, started, and stopped.

This module has only the assembly and the order of start and stop.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.daemon import worker_pools
from cutoutd.daemon.alarm import AlarmWatch
from cutoutd.daemon.assembly import confine, handling_signals
from cutoutd.daemon.companion_watch import CompanionWatch
from cutoutd.daemon.folder_factory import FolderFactory, preview_store
from cutoutd.daemon.folder_set import FolderSet
from cutoutd.daemon.heartbeat import Heartbeat
from cutoutd.daemon.reload import Reloader
from cutoutd.daemon.routes_away import RoutesAway
from cutoutd.daemon.start_attempts import Made, StartAbandonedError, at_once, retry_until_writable
from cutoutd.daemon.status_file import StatusFile
from cutoutd.daemon.status_outputs import StatusSinks
from cutoutd.daemon.supervisor import Supervisor
from cutoutd.daemon.tally import Once, Outcome, Tally
from cutoutd.daemon.worker_pools import WorkerPools
from cutoutd.errors import CutoutdError
from cutoutd.events import AlarmChanged, Started
from cutoutd.exchange.webhooks import WebhookPaths, withdraw_others
from cutoutd.folder.overlaps import Overlaps
from cutoutd.folder.root_access import check_root
from cutoutd.hooks.dispatch import HookDispatch
from cutoutd.journal import wake
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.state import StateDirectory
from cutoutd.logs import get
from cutoutd.models.catalog import VerifiedModels
from cutoutd.offload.webhook_handover import WebhookHandover, renamed_folders
from cutoutd.pool.file_opening import FileOpeningPool
from cutoutd.process.sd_notify import ServiceManager
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.rules import older_score_limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from cutoutd.clock import Clock
    from cutoutd.events import EventSink, JobEnded
    from cutoutd.pool.local import LocalPool
    from cutoutd.pool.routed import RoutedPool
    from cutoutd.pool.slot import Spawned
    from cutoutd.settings.schema import Settings

FIRST_LOOK_S: Final = 2.0
"""How long the start waits for all folders; one that hangs gets its workers later."""

JOIN_S: Final = 10.0
"""How long the end waits for a folder that responds, so that nothing stays staged; a busy disk may need seconds."""

HANGING_JOIN_S: Final = 2.0
"""How long the end waits for a folder that does not respond, or that had the time for pictures in work already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The options of one run, beside its configuration.

    Attributes:
        once: cut what is there, and end.
        timeout_s: with ``once``: end after this many seconds in any case; None: no limit.
        shows_queue: whether a person watches who wants to see the queue.
        manager: the service manager that started this process, if one did.
        read_again: reads the configuration again for a reload; None: reloads are refused.
        hangup_reloads: whether SIGHUP requests a reload; else it ends the run, as at the end of a terminal.
        uploads: whether an uploader belongs to this run, for tagged folders and for webhooks.
        cluster: whether a gateway to the cluster belongs to this run.
        companions: the companion processes.
    """

    once: bool
    timeout_s: float | None = None
    shows_queue: bool = False
    manager: ServiceManager = field(default_factory=ServiceManager)
    read_again: Callable[[], Settings] | None = None
    hangup_reloads: bool = False
    uploads: bool = False
    cluster: bool = False
    companions: CompanionWatch = field(default_factory=CompanionWatch)


def run(
    settings: Settings,
    options: RunOptions,
    *,
    clock: Clock,
    emit: EventSink,
    registration: AbstractContextManager[None] | None = None,
) -> Outcome:
    """Run the daemon until it is stopped, or with ``once`` until nothing is left to do.

    Args:
        settings: the whole configuration.
        options: the options of the run.
        clock: the machine's clock.
        emit: receives each event.
        registration: announces the running daemon to this user's commands; entered once the state directory is locked.

    Raises:
        AlreadyRunningError: another daemon uses the state directory.
        RootRefusedError: this process is root, and others can change a folder.
        ModelError: a model is missing or was altered.
        SandboxError: a layer of the sandbox is missing, and all are required.
        CutoutdError: an unexpected error of the machine or of the program.
    """
    verified_models = VerifiedModels()
    # With ``once`` the run ends instead of waiting for a disk.
    attempt = retry_until_writable if not options.once else at_once
    with (
        attempt(partial(StateDirectory, settings.service.state_dir)) as state,
        registration or nullcontext(),
    ):
        _enter_sandbox(settings, state)
        hooks = HookDispatch(emit, settings)
        try:
            check_root(settings)
            verified_models.add(settings.needed_models)
            opened = attempt(partial(Journal, state.path, session=state.session, clock=clock))
            opened.store.guard(state.lock)
            with clock.ticking(), closing(opened) as journal:
                parts = Daemon(
                    settings, options, verified_models, state=state, journal=journal, clock=clock, hooks=hooks
                )
                return parts.run()
        except CutoutdError as error:
            ended = f"it has ended: {error.title}: {error}"
            hooks(AlarmChanged(folder="", kind=error.code.lower(), message=ended))
            raise
        finally:
            hooks.close(patient=options.once)


def _enter_sandbox(settings: Settings, state: StateDirectory) -> None:
    """Enter the sandbox before there is any thread: all processes that are started from here on have no network."""
    layers = confine(settings)
    get().info("daemon.started", pid=os.getpid(), state_dir=str(state.path), sandbox=layers)
    for name, word in older_score_limits(settings):
        get().warning("settings.older-meaning", folder=name, why=word)


class Daemon:
    """The parts of one run, put together.

    Args:
        settings: the whole configuration.
        options: the options of the run.
        verified_models: the models of all folders.
        state: the state directory, locked.
        journal: the open journal.
        clock: the machine's clock.
        hooks: receives each event.
    """

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        verified_models: VerifiedModels,
        *,
        state: StateDirectory,
        journal: Journal,
        clock: Clock,
        hooks: HookDispatch,
    ) -> None:
        self._options = options
        self._state = state
        self._journal = journal
        self._clock = clock
        self._emit = hooks
        self._pool: LocalPool | RoutedPool | None = None
        self._supervisor: Supervisor | None = None
        self._stop_asked = False
        self._results: deque[JobEnded] = deque()
        read_again = options.read_again or (lambda: settings)
        self._reloader = Reloader(settings, read_again, self._wake, verified_models)
        hooks.follow(lambda: self._reloader.settings)
        self._overlaps = Overlaps(state.path, state.session, self._check_again)
        self._factory = FolderFactory(
            state=state,
            journal=journal,
            clock=clock,
            verified_models=verified_models,
            overlaps=self._overlaps,
            settings=lambda: self._reloader.settings,
            facts=lambda: self._pool.facts if self._pool is not None else None,
            emit=hooks,
            tell=self._results.append,
            wake=self._wake,
            once=options.once,
            tells=options.uploads and bool(settings.with_webhooks),
            previews=preview_store(settings, state.path, once=options.once),
        )
        self._folders = self._folder_set(frozenset())
        self._routes = RoutesAway.of_run(
            state.path,
            journal,
            clock,
            settings=lambda: self._reloader.settings,
            once=options.once,
            uploads=options.uploads,
            cluster=options.cluster,
        )
        self._webhooks = self._handover() if options.uploads and settings.with_webhooks else None
        self._worker_pools = WorkerPools(
            verified_models,
            settings=lambda: self._reloader.settings,
            clock=clock,
            uploads=self._routes.outbox is not None,
            cluster=None if self._routes.cluster is None else self._routes.cluster.paths,
        )

    def run(self) -> Outcome:
        """Start everything, work, and stop everything.

        Raises:
            ModelError: a model does not load.
            CutoutdError: the workers do not start, or a folder's thread died.
        """
        started_s = self._clock.monotonic_s()
        # First of all: without a handler SIGHUP would end the process during its start.
        on_hangup = self._reloader.request if self._options.hangup_reloads else None
        tally = Tally()
        with handling_signals(self._ask_to_stop, on_hangup):
            try:
                with worker_pools.spares(self._reloader.settings) as spares:
                    self._start_folders()
                    supervisor = self._start_supervisor(spares)
            except StartAbandonedError:
                self._stop()
            else:
                try:
                    supervisor.run()
                finally:
                    self._stop()
                tally = supervisor.tally
        took_s = round(self._clock.monotonic_s() - started_s, 1)
        get().info("daemon.stopped", **tally.counts(), seconds=took_s)
        return self._outcome(tally)

    def _ask_to_stop(self) -> None:
        self._stop_asked = True
        if self._supervisor is not None:
            self._supervisor.stop()

    def _attempt(self, step: Callable[[], Made]) -> Made:
        """Run a step of the start, again and again while the state directory's disk refuses, unless the run is to end.

        Raises:
            StartAbandonedError: see `retry_until_writable`.
            JournalError: the disk refuses, and with ``once`` nothing waits for it.
        """
        if self._options.once:
            return step()
        return retry_until_writable(step, is_ending=lambda: self._stop_asked)

    def _start_folders(self) -> None:
        self._folders = self._folder_set(dead=self._attempt(self._take_over))
        self._attempt(partial(self._folders.change, self._reloader.settings.folder))
        self._attempt(partial(self._folders.reconcile, ()))
        self._wait_for_first_looks()
        self._attempt(partial(self._folders.reconcile, ()))

    def _start_supervisor(self, spares: list[Spawned]) -> Supervisor:
        self._routes.open(self._state.path)
        self._begin_notifications()
        self._pool = self._worker_pools.pool(spares)
        self._supervisor = supervisor = Supervisor(
            journal=self._journal,
            pool=FileOpeningPool(self._pool, self._clock),
            folders=self._folders,
            results=self._results,
            sinks=self._status_sinks(),
            clock=self._clock,
            once=Once(timeout_s=self._options.timeout_s) if self._options.once else None,
            routes=self._routes,
            webhooks=self._webhooks,
        )
        if self._stop_asked:
            supervisor.stop()
        wake.listen(self._state.path, supervisor.look_at_commands)
        self._emit(Started(folders=len(self._folders.active), workers=self._pool.workers))
        return supervisor

    def _status_sinks(self) -> StatusSinks:
        return StatusSinks(
            emit=self._emit,
            heartbeat=Heartbeat(self._options.manager, self._clock),
            alarm=AlarmWatch(
                self._emit,
                count_waiting=Reader(self._journal.store).count_waiting,
                state_dir=self._state.path,
                clock=self._clock,
            ),
            status=StatusFile(self._state.path, self._state.session, self._options.companions),
            shows_queue=self._options.shows_queue,
        )

    def _begin_notifications(self) -> None:
        """Record ended jobs for webhooks from now on; without webhooks, nothing."""
        if self._webhooks is None:
            if not self._reloader.settings.with_webhooks:
                with suppress(OSError):  # messages for webhooks that were removed
                    withdraw_others(WebhookPaths.under(self._state.path), ())
            settings = self._reloader.settings
            renamed = renamed_folders(settings, self._journal.folders.former_names)
            kept = [*renamed, *(folder.name for folder in settings.with_webhooks)]
            self._attempt(partial(self._journal.ended.follow, (), kept=kept))
        else:
            self._attempt(self._webhooks.follow)

    def _handover(self) -> WebhookHandover:
        return WebhookHandover(
            settings=lambda: self._reloader.settings,
            former_names=self._journal.folders.former_names,
            ended=self._journal.ended,
            state_dir=self._state.path,
            clock=self._clock,
            in_force=lambda: uploads_sha256(self._reloader.settings),
        )

    def _folder_set(self, dead: frozenset[str]) -> FolderSet:
        return FolderSet(
            self._journal,
            self._factory.make,
            dead=dead,
            reloader=None if self._options.read_again is None else self._reloader,
            clock=self._clock,
            configured=self._overlaps.configure,
        )

    def _check_again(self, name: str) -> None:
        """Check a folder that was found to have to give way; called from the other folder's thread."""
        folder = self._folders.active.get(name)
        if folder is not None:
            folder.check_again()
        self._wake()

    def _take_over(self) -> frozenset[str]:
        """Take over the work of ended sessions, and return their ids; may be called again."""
        self._journal.queue.recover()
        dead = self._journal.sessions.begin(self._state.previous_session, self._state.recorded_session)
        self._state.note_recorded()
        return dead

    def _wait_for_first_looks(self) -> None:
        end_s = self._clock.monotonic_s() + FIRST_LOOK_S
        for folder in self._folders.active.values():
            folder.wait_for_first_look(max(0.0, end_s - self._clock.monotonic_s()))

    def _wake(self) -> None:
        if self._pool is not None:
            self._pool.wake()

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.close()
        if self._webhooks is not None:
            self._webhooks.stop(HANGING_JOIN_S)
        for folder in self._folders.all_folders:
            folder.stop()
        started_s = self._clock.monotonic_s()
        is_overdue = self._supervisor is not None and self._supervisor.is_overdue
        for folder in self._folders.all_folders:
            end_s = started_s + (JOIN_S if folder.is_there and not is_overdue else HANGING_JOIN_S)
            folder.join(max(0.0, end_s - self._clock.monotonic_s()))

    def _outcome(self, tally: Tally) -> Outcome:
        reader = Reader(self._journal.store)
        return Outcome(
            tally=tally,
            remaining={name: reader.remaining(name) for name in self._folders.active},
            held_up={name: folder.status.held_up for name, folder in self._folders.active.items()},
            closed={
                name: status.why for name, status in self._folders.statuses().items() if not status.is_open
            },
            uploads=self._routes.closed_for_uploads,
            cluster={name: self._routes.closed_for(hot.folder) for name, hot in self._folders.active.items()},
        )
