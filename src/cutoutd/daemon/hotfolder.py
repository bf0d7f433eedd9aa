"""A hot folder in the daemon: its settings, its watcher, its delivery, and whether its jobs may be begun.

It owns no thread of its own and touches no file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.daemon.standing import Standing, Watching
from cutoutd.errors import CutoutdError
from cutoutd.jobs import Task

if TYPE_CHECKING:
    from cutoutd.daemon.delivery import Delivery
    from cutoutd.jobs import Job
    from cutoutd.journal.names import Names
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder

BACKLOG_PER_WORKER: Final = 2
"""Staged results take disk: a folder whose names are slow to give gets no more work meanwhile."""


HANGS_AFTER_S: Final = 30.0
"""A look that takes longer is no look any more; even 100,000 files on a slow share take less."""


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

    @property
    def has_ended(self) -> bool:
        """Its thread is gone."""

    def wait_for_first_look(self, timeout_s: float) -> bool:
        """Whether the folder was looked at within a time."""

    @property
    def turns(self) -> int:
        """How many looks were finished."""

    @property
    def turning_since_s(self) -> float | None:
        """When the look that is under way began, in monotonic seconds."""

    def look_at(self, path: str) -> None:
        """Look at one file soon."""

    def check_again(self) -> None:
        """See soon whether the folder is as it should be."""


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
        self._stuck_at_turn: int | None = None
        self._hangs = False
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

    @property
    def has_ended(self) -> bool:
        """Both threads are gone: nobody works on it any more."""
        return self.intake.has_ended and self.delivery.has_ended

    @property
    def standing(self) -> Standing:
        """How it stands, as its intake sees it, unless that hangs itself."""
        standing = self.intake.standing
        if not self._hangs:
            return standing
        return replace(standing, watching=Watching.STANDING_BY, why="the disk or share does not answer")

    def found_stuck(self) -> None:
        """A worker got stuck in it; it stands by until its intake has finished a look again."""
        self._stuck_at_turn = self.intake.turns
        self._hangs = True
        self.intake.check_again()

    def watch_the_watcher(self, now_s: float) -> None:
        """Notice a look that does not come to its end, and one that did again."""
        since_s = self.intake.turning_since_s
        overdue = since_s is not None and now_s - since_s > HANGS_AFTER_S
        if self._stuck_at_turn is not None and self.intake.turns > self._stuck_at_turn:
            self._stuck_at_turn = None
        self._hangs = overdue or self._stuck_at_turn is not None

    def may_work(self, workers: int) -> bool:
        """Whether its jobs may be begun."""
        return self.standing.is_open and self.delivery.backlog < BACKLOG_PER_WORKER * workers

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
        roots = self.intake.roots if self.standing.is_open else ()
        changed, self._roots = roots not in ((), self._roots), roots
        return changed

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
