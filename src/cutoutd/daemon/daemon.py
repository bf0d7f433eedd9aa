"""The daemon put together: state directory, journal, pool, folders, supervisor; and taken apart again.

Assembly and order of start and stop alone; what the parts do is theirs.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.daemon import machine
from cutoutd.daemon.assembly import publisher_of, rules_of, setup_of, stopped_by_signals
from cutoutd.daemon.delivery import Delivery
from cutoutd.daemon.gate import Gate
from cutoutd.daemon.hotfolder import HotFolder
from cutoutd.daemon.keeper import Keeper
from cutoutd.daemon.provenance import Provenance
from cutoutd.daemon.statusfile import StatusFile
from cutoutd.daemon.supervisor import Supervisor, Tally
from cutoutd.daemon.watcher import Watcher
from cutoutd.intake.tenancy import Tenancy
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.state import StateDirectory
from cutoutd.logs import get
from cutoutd.models import catalog
from cutoutd.pool.local import LocalPool
from cutoutd.sandbox.worker import confine_supervisor
from cutoutd.settings.digest import settings_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.clock import Clock
    from cutoutd.daemon.listener import Listener, Result
    from cutoutd.daemon.standing import HeldUp
    from cutoutd.jobs import Job
    from cutoutd.pool import wire
    from cutoutd.ports import ModelSpec
    from cutoutd.settings.schema import Folder, Settings

FIRST_LOOK_S: Final = 2.0
"""How long the start waits for every folder: one that hangs gets its workers later."""

JOIN_S: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        tally: what became of its jobs.
        remaining: jobs that are not over, by folder.
        held_up: files that could not be taken yet, and why.
        closed: folders that could not be worked on, and why.
    """

    tally: Tally
    remaining: Mapping[str, list[Job]]
    held_up: Mapping[str, tuple[HeldUp, ...]]
    closed: Mapping[str, str]

    @property
    def is_clean(self) -> bool:
        """Nothing failed, nothing remains, and every folder could be looked at."""
        left = (*self.remaining.values(), *self.held_up.values(), self.closed)
        return not self.tally.failed and not any(left)


def run(
    settings: Settings, *, clock: Clock, listener: Listener, once: bool, timeout_s: float | None = None
) -> Outcome:
    """Be the daemon until told to stop, or with ``once`` until nothing is left to do.

    Args:
        settings: the whole configuration.
        clock: the machine's.
        listener: is told of each result.
        once: cut what is there, and end.
        timeout_s: with ``once``: end after so long in any case.

    Raises:
        AlreadyRunningError: another daemon holds the state directory.
        ModelError: the model is missing or altered.
        CutoutdError: a fault of the machine's or ours.
    """
    model = catalog.find(settings.model.name)
    catalog.verify(model)
    with StateDirectory(settings.service.state_dir) as state:
        # Before any thread: everything this process starts from here on is without a network.
        layers = confine_supervisor()
        get().info("daemon.started", pid=os.getpid(), state_dir=str(state.path), sandbox=layers)
        with closing(Journal(state.path, run=state.run, clock=clock)) as journal:
            daemon = Daemon(
                settings, model, state=state, journal=journal, clock=clock, listener=listener, once=once
            )
            outcome = daemon.run(timeout_s)
        get().info("daemon.stopped", **asdict(outcome.tally))
        return outcome


class Daemon:
    """The parts of one run.

    Args:
        settings: the whole configuration.
        model: the model in use.
        state: the state directory, held.
        journal: open.
        clock: the machine's.
        listener: is told of each result.
        once: cut what is there, and end.
    """

    def __init__(
        self,
        settings: Settings,
        model: ModelSpec,
        *,
        state: StateDirectory,
        journal: Journal,
        clock: Clock,
        listener: Listener,
        once: bool,
    ) -> None:
        self._settings = settings
        self._model = model
        self._state = state
        self._journal = journal
        self._clock = clock
        self._listener = listener
        self._once = once
        self._pool: LocalPool | None = None
        self._results: deque[Result] = deque()
        self._provenance = Provenance(
            model=model,
            settings_sha256={folder.name: settings_sha256(folder, model.name) for folder in settings.folder},
            worker=lambda: self._pool.facts if self._pool is not None else None,
            clock=clock,
        )
        self._folders = {folder.name: self._hot_folder(folder) for folder in settings.folder}

    def run(self, timeout_s: float | None) -> Outcome:
        """Start all, work, stop all.

        Raises:
            ModelError: the model does not load.
            CutoutdError: the workers do not start, or a folder's thread died.
        """
        unfinished = self._journal.queue.recover()
        self._journal.queue.park(set(self._folders))
        dead_runs = self._journal.runs.begin()
        for folder in self._folders.values():
            folder.start()
        self._wait_for_first_looks()
        for job in unfinished:  # not before: another machine may have the folder by now
            if job.folder in self._folders:
                self._folders[job.folder].delivery.repair(job)
        for folder in self._folders.values():
            folder.delivery.sweep(dead_runs)
            for job in self._journal.queue.undisposed(folder.folder.name):
                folder.delivery.dispose(job)
        self._pool = LocalPool(
            size=machine.worker_count(self._settings.pool.workers),
            setup=self._setup,
            job_timeout_s=self._settings.pool.job_timeout_s,
            clock=self._clock,
        )
        supervisor = Supervisor(
            journal=self._journal,
            pool=self._pool,
            folders=self._folders,
            results=self._results,
            listener=self._listener,
            status=StatusFile(self._state.path, self._state.run),
            clock=self._clock,
            once=self._once,
            timeout_s=timeout_s,
        )
        self._listener.started(len(self._folders), self._pool.size)
        try:
            with stopped_by_signals(supervisor.stop):
                supervisor.run()
        finally:
            self._stop()
        return self._outcome(supervisor.tally)

    def _hot_folder(self, folder: Folder) -> HotFolder:
        publisher = publisher_of(folder, name=folder.name, run=self._state.run)
        tenancy = Tenancy(run=self._state.run, is_dead=self._is_dead, clock=self._clock)
        gate = Gate(
            folder,
            memory=self._journal.folders,
            publisher=publisher,
            min_free_mb=self._settings.service.min_free_disk_mb,
            state_dir=self._state.path,
            tenancy=tenancy,
        )
        watcher = Watcher(
            folder,
            rules=rules_of(folder),
            acceptance=self._journal.acceptance,
            gate=gate,
            clock=self._clock,
            listener=self._listener,
            wake=self._wake,
            once=self._once,
        )
        delivery = Delivery(
            folder,
            journal=self._journal,
            publisher=publisher,
            provenance=self._provenance,
            clock=self._clock,
            run=self._state.run,
            tell=self._results.append,
            wake=self._wake,
            prove=tenancy.prove,
        )
        return HotFolder(
            folder,
            intake=watcher,
            delivery=delivery,
            publisher=publisher,
            names=self._journal.names,
            keeper=Keeper(folder.name, tenancy, lost=watcher.check_again),
        )

    def _is_dead(self, run: str) -> bool:
        """Whether a run was one on this state directory, before this one."""
        return run == self._state.previous or self._journal.runs.is_dead(run)

    def _wait_for_first_looks(self) -> None:
        end_s = self._clock.monotonic_s() + FIRST_LOOK_S
        for folder in self._folders.values():
            folder.intake.wait_for_first_look(max(0.0, end_s - self._clock.monotonic_s()))
            folder.wants_new_workers()  # the workers that are started next are laid out for what is there now

    def _setup(self) -> wire.Setup:
        # What does not answer would hold a new worker up before it has begun.
        folders = [folder for folder in self._folders.values() if folder.standing.is_open]
        return setup_of(
            self._settings,
            self._model,
            inputs=[folder.folder.input for folder in folders],
            stagings=[folder.staging for folder in folders],
        )

    def _wake(self) -> None:
        if self._pool is not None:
            self._pool.wake()

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.close()
        for folder in self._folders.values():
            folder.stop()
        end_s = self._clock.monotonic_s() + JOIN_S
        for folder in self._folders.values():
            folder.join(max(0.0, end_s - self._clock.monotonic_s()))

    def _outcome(self, tally: Tally) -> Outcome:
        reader = Reader(self._journal.store)
        return Outcome(
            tally=tally,
            remaining={name: reader.remaining(name) for name in self._folders},
            held_up={name: folder.standing.held_up for name, folder in self._folders.items()},
            closed={
                name: standing.why
                for name, folder in self._folders.items()
                if not (standing := folder.standing).is_open
            },
        )
