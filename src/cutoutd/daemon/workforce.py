"""The workers of a run: how many, what each kind is told, and which folders it may reach.

Assembly alone: it must not give them work.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cutoutd.daemon import machine
from cutoutd.daemon.assembly import setup_of
from cutoutd.pool.local import WORKER, LocalPool
from cutoutd.pool.partition import Partition
from cutoutd.pool.slot import spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.daemon.hotfolder import HotFolder
    from cutoutd.egress import Places
    from cutoutd.models.shelf import Shelf
    from cutoutd.pool import wire
    from cutoutd.settings.schema import Settings


@contextmanager
def spares(settings: Settings) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that load their libraries while the folders are looked at; those that are not taken out end."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        with suppress(OSError):  # the pool starts what is missing, and says why it cannot
            started.extend(spawn(WORKER) for _ in range(machine.worker_count(settings.pool.workers)))
        yield started
    finally:
        for process in started:
            process.kill()


class Workforce:
    """Makes the pool of a run.

    Args:
        shelf: has the models of all folders.
        settings: gives those in force.
        folders: gives the folders there are.
        clock: for deadlines.
        places: outbox and inbox; None: no folder may be uploaded from in this run.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        settings: Callable[[], Settings],
        folders: Callable[[], Iterable[HotFolder]],
        clock: Clock,
        places: Places | None,
    ) -> None:
        self._shelf = shelf
        self._settings = settings
        self._folders = folders
        self._clock = clock
        self._places = places

    def pool(self, spare: list[subprocess.Popen[bytes]]) -> LocalPool | Partition:
        """Start the workers.

        Args:
            spare: processes to be used first.
        """
        if self._places is None:
            return self._pool(self._size, self._setup, spare)
        ordinary, tagged = self._shares()
        return Partition(
            ordinary=self._pool(ordinary, lambda: self.setup_for(tagged=False), spare),
            tagged=self._pool(tagged, lambda: self.setup_for(tagged=True), spare),
            shares=self._shares,
        )

    def setup_for(self, *, tagged: bool) -> wire.Setup:
        """What a new worker of one kind is told.

        Args:
            tagged: it is for folders that may be uploaded from.
        """
        there = [folder for folder in self._there() if folder.is_tagged is tagged]
        if not tagged or self._places is None:
            return self._told(there, (), ())
        return self._told(there, (self._places.inbox,), (self._places.copies,))

    @property
    def _size(self) -> int:
        return machine.worker_count(self._settings().pool.workers)

    def _shares(self) -> tuple[int, int]:
        """How many workers there are for untagged and for tagged folders."""
        kinds = {folder.is_tagged for folder in self._settings().folder}
        if True not in kinds:
            return self._size, 0
        if False not in kinds:
            return 0, self._size
        # What the hosted route leaves to do here is little, but for pictures that are cut here first.
        return self._size, max(1, self._size // 2)

    def _pool(
        self, size: int, setup: Callable[[], wire.Setup], spare: list[subprocess.Popen[bytes]]
    ) -> LocalPool:
        return LocalPool(
            size=size,
            setup=setup,
            job_timeout_s=self._settings().pool.job_timeout_s,
            clock=self._clock,
            spares=spare,
        )

    def _setup(self) -> wire.Setup:
        return self._told(self._there(), (), ())

    def _there(self) -> list[HotFolder]:
        # What does not answer would hold a new worker up before it has begun.
        return [folder for folder in self._folders() if folder.is_there]

    def _told(self, there: list[HotFolder], inbox: tuple[Path, ...], copies: tuple[Path, ...]) -> wire.Setup:
        settings = self._settings()
        return setup_of(
            settings,
            [self._shelf.get(name) for name in settings.models],
            inputs=[*(place for folder in there for place in folder.sources), *inbox],
            stagings=[*(folder.staging for folder in there), *copies],
        )
