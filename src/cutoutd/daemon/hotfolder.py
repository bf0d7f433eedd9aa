"""A hot folder in the daemon: its settings, its watcher, its delivery, and whether its jobs may be begun.

It owns no thread of its own and touches no file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.errors import CutoutdError
from cutoutd.jobs import Task

if TYPE_CHECKING:
    from cutoutd.daemon.delivery import Delivery
    from cutoutd.daemon.standing import Standing
    from cutoutd.jobs import Job
    from cutoutd.journal.names import Names
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder

BACKLOG_PER_WORKER: Final = 2
"""Staged results take disk: a folder whose names are slow to give gets no more work meanwhile."""


class ThreadDiedError(CutoutdError):
    """A folder's thread ended by a fault of ours; going on without it would lose files silently."""

    title = "A part of the daemon failed"


class Intake(Protocol):
    """What a supervisor asks of a folder's intake; `cutoutd.daemon.watcher.Watcher` in the daemon."""

    @property
    def standing(self) -> Standing:
        """How the folder stands."""

    @property
    def failure(self) -> BaseException | None:
        """Why its thread died, if it did."""

    @property
    def has_settled(self) -> bool:
        """All that can be taken now has been taken."""

    @property
    def roots(self) -> tuple[tuple[int, int], ...]:
        """Device and inode of the directories the workers are bound to."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End soon."""

    def join(self, timeout_s: float) -> None:
        """Wait for the end, but not for long."""

    def wait_for_first_look(self, timeout_s: float) -> bool:
        """Whether the folder was looked at within a time."""

    def look_at(self, path: str) -> None:
        """Look at one file soon."""

    def stand_by(self, why: str) -> None:
        """Leave the folder alone until it has been looked at anew."""


class HotFolder:
    """One hot folder: its intake and its delivery.

    Args:
        folder: its settings.
        intake: notices its files.
        delivery: its publishing side.
        publisher: knows the staging directory.
        names: the journal's, for what is published now.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        intake: Intake,
        delivery: Delivery,
        publisher: Publisher,
        names: Names,
    ) -> None:
        self.folder = folder
        self.intake = intake
        self.delivery = delivery
        self._names = names
        self._roots: tuple[tuple[int, int], ...] = ()
        self.staging = publisher.staging.directory

    def start(self) -> None:
        """Begin watching and delivering."""
        self.delivery.start()
        self.intake.start()

    def stop(self) -> None:
        """End both threads soon."""
        self.intake.stop()
        self.delivery.stop()

    def join(self, timeout_s: float) -> None:
        """Wait for both, but not for long: one that hangs on a share is left behind."""
        self.intake.join(timeout_s)
        self.delivery.join(timeout_s)

    def may_work(self, workers: int) -> bool:
        """Whether its jobs may be begun."""
        return self.intake.standing.is_open and self.delivery.backlog < BACKLOG_PER_WORKER * workers

    def check_alive(self) -> None:
        """See that both threads live.

        Raises:
            ThreadDiedError: one does not.
        """
        failure = self.intake.failure or self.delivery.failure
        if failure is not None:
            raise ThreadDiedError(f"folder {self.folder.name!r}: {failure!r}") from failure

    def wants_new_workers(self) -> bool:
        """Whether input or staging directory are others than when this was last asked.

        A sandbox is bound to directories, not to their names: a share that came back is out of its reach.
        """
        if self.intake.roots == self._roots:
            return False
        self._roots = self.intake.roots
        return True

    def task(self, job: Job) -> Task:
        """A job as a worker gets it."""
        published = None if job.forced else self._names.published_sha256(job.folder, job.path)
        return Task(
            job=job.id,
            source=os.fspath(Path(self.folder.input, job.path)),
            size=job.size,
            mtime_ns=job.mtime_ns,
            staging=os.fspath(self.staging),
            published_sha256=published,
            recipe=self.folder.recipe(),
            alone=job.alone,
        )
