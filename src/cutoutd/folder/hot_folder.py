"""A hot folder in the daemon: its settings, its monitor, its delivery, and whether its jobs may be begun.

The main loop sees it as a `FolderSnapshot`, and tells it what to look at. It owns no thread of its own and touches no file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.errors import FailureCode
from cutoutd.faults.supervised_thread import Restartable, SupervisedThread, ThreadSupervisor
from cutoutd.folder.status import FolderSnapshot, FolderState, FolderStatus
from cutoutd.folder.tasks import TaskFactory
from cutoutd.jobs import Cut, Exported, Failure
from cutoutd.protocols import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cutoutd.delivery.delivery import Delivery
    from cutoutd.folder.file_opener import Opener
    from cutoutd.folder.overlaps import Overlaps
    from cutoutd.jobs import Job, Report, Task
    from cutoutd.journal.corrections import Corrections
    from cutoutd.journal.moves import PictureMoves
    from cutoutd.journal.reservations import Reservations
    from cutoutd.lease.heartbeat import LeaseHeartbeat
    from cutoutd.protocols import Lost
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder

BACKLOG_PER_WORKER: Final = 2
"""Staged results take disk: a folder whose names are slow to give gets no more work meanwhile."""


HANGS_AFTER_S: Final = 30.0
"""A look that takes longer is no look any more; even 100,000 files on a slow share take less."""

LAST_LOOK_S: Final = 5.0
"""How long the end of a folder waits for a look that is under way."""

_FIRST_GUESS_S: Final = 1.5
_WEIGHT_OF_LAST: Final = 0.2
"""Of what a picture takes here, an average that follows the last dozen."""

_HANGS: Final = "the disk or share does not answer"
_STUCK_OVER: Final = {
    None: "a worker is stuck over",
    Step.READ: "reading",
    Step.CUT: "a worker is stuck over",
    Step.WRITE: "writing the result of",
    Step.SYNC: "syncing the result of",
}


class Monitor(Protocol):
    """What a hot folder needs of its monitor: `cutoutd.folder.monitor.FolderMonitor`, or what takes its place."""

    @property
    def thread(self) -> SupervisedThread:
        """In which it looks."""

    @property
    def snapshot(self) -> FolderSnapshot:
        """How the folder is now, as it sees it."""

    def stop(self) -> None:
        """End soon."""

    def wait_for_first_look(self, timeout_s: float) -> bool:
        """Whether the folder was looked at within a time."""

    def look_at(self, path: str) -> None:
        """Look at one file soon."""

    def take_submissions(self) -> None:
        """Take soon what programs have handed in."""

    def check_again(self, probe: str | None = None) -> int:
        """See soon whether the folder is as it should be.

        Args:
            probe: a file that could not be read, or whose result could not be written.

        Returns:
            The number of the check.
        """


class HotFolder:
    """One hot folder: its monitor, its opener and its delivery.

    Args:
        folder: its settings.
        monitor: notices its files.
        delivery: its publishing side.
        publisher: knows the staging directory.
        opener: opens the files of its tasks.
        reservations: the journal's, for what is published now.
        moves: the journal's, for what vanished and may lie elsewhere now.
        model: that cuts its pictures, by name; empty: the first that workers have.
        heartbeat: renews the lease on the folder, where others may want it.
        overlaps: knows which folders must give way to others; None: there are no others.
        corrections: the journal's, for what people drew; None: nobody does.
        has_model: whether workers have a model of a name, which a person may ask for.
        backgrounds: directory of the pictures that requests want behind their subjects.
    """

    def __init__(  # noqa: PLR0913 -- its parts, each by its name, put together in one place
        self,
        folder: Folder,
        *,
        monitor: Monitor,
        delivery: Delivery,
        publisher: Publisher,
        opener: Opener,
        reservations: Reservations,
        model: str = "",
        heartbeat: LeaseHeartbeat | None = None,
        overlaps: Overlaps | None = None,
        moves: PictureMoves | None = None,
        corrections: Corrections | None = None,
        has_model: Callable[[str], bool] = lambda _: False,
        backgrounds: Path = Path(),
    ) -> None:
        self.folder = folder
        self._monitor = monitor
        self.has_model = has_model
        self.delivery = delivery
        self._heartbeat = heartbeat
        self._looks_awaited = 0
        threads: dict[str, Restartable] = {
            "monitor": monitor.thread,
            "delivery": delivery,
            "opener": opener.thread,
        }
        if heartbeat is not None:
            threads["lease heartbeat"] = heartbeat.thread
        self._threads = ThreadSupervisor(folder.name, threads)
        self._overlaps = overlaps
        self.opener = opener
        self._awaited = 0
        self._left_behind: set[int] = set()
        self._waiting: frozenset[int] = frozenset()
        self._trouble = ""
        self._recoveries = 0
        self.staging = publisher.staging.directory
        self._tasks = TaskFactory(
            folder,
            staging=self.staging,
            reservations=reservations,
            moves=moves,
            corrections=corrections,
            model=model,
            has_model=has_model,
            backgrounds=backgrounds,
        )
        self.is_tagged = folder.is_tagged
        self.seconds_each = _FIRST_GUESS_S

    def start(self) -> None:
        """Begin watching, opening and delivering."""
        self.delivery.start()
        self.opener.thread.start()
        self._monitor.thread.start()
        if self._heartbeat is not None:
            self._heartbeat.thread.start()

    def stop(self) -> None:
        """End all threads soon."""
        self.stop_monitor()
        self.stop_delivery()

    def stop_monitor(self) -> None:
        """Look for nothing new any more, soon."""
        self._monitor.stop()

    def stop_delivery(self, *, sweep: bool = True, for_good: bool = False) -> None:
        """End the delivery's thread soon, once the monitor's has been told to end.

        Args:
            sweep: leave nothing staged. That waits for the monitor, whose last look may make the directory anew, and for
                the opener.
            for_good: it may never be looked after again.
        """
        self.opener.stop()
        self.delivery.stop(sweep=sweep, first=self._wait_for_last, for_good=for_good)

    def _wait_for_last(self) -> None:
        """Wait until nothing is made in the staging directory any more, but not for long."""
        self._monitor.thread.join(LAST_LOOK_S)
        self.opener.thread.join(LAST_LOOK_S)

    def join(self, timeout_s: float) -> None:
        """Wait for all, but not for long: one that hangs on a share is left behind."""
        self._monitor.thread.join(timeout_s)
        self.opener.thread.join(timeout_s)
        ended = self.delivery.join(timeout_s)
        if self._heartbeat is not None:
            self._heartbeat.stop(release=ended)
            self._heartbeat.thread.join(timeout_s if ended else 0.0)

    def has_let_go(self) -> bool:
        """Whether nobody works on it any more, its lease included, which is released last."""
        threads = (self._monitor.thread, self.opener.thread, self.delivery)
        if not all(thread.has_ended for thread in threads):
            return False
        if self._heartbeat is None:
            return True
        self._heartbeat.stop(release=True)
        return self._heartbeat.thread.has_ended

    @property
    def snapshot(self) -> FolderSnapshot:
        """How it is now: as its monitor sees it, unless that hangs itself, or has died."""
        seen = self._monitor.snapshot
        why = self._failed(seen) or self._why_closed or self._trouble
        if not why:
            return seen
        return replace(seen, status=replace(seen.status, watching=FolderState.STANDING_BY, why=why))

    @property
    def status(self) -> FolderStatus:
        """How it stands."""
        return self.snapshot.status

    @property
    def _why_closed(self) -> str:
        return self._overlaps.why_closed(self.folder.name) if self._overlaps is not None else ""

    @property
    def is_there(self) -> bool:
        """Whether its directories answer, even if nothing is to be begun in it for now."""
        status = self.status
        return status.is_open or status.watching is FolderState.PAUSED

    @property
    def shown(self) -> FolderStatus:
        """How it stands, for people: paused as well while its output refuses."""
        status, why = self.status, self.delivery.breaker.why
        if not status.is_open or not why:
            return status
        return replace(status, watching=FolderState.PAUSED, why=why)

    def heard(self, report: Report) -> None:
        """A worker has something to say that concerns all of the folder's pictures; or nothing, and others may try."""
        match report:
            case Failure(code=FailureCode.OUTPUT):
                self.delivery.breaker.record_failure(f"{self.folder.output}: {report.cause}. {report.advice}")
            case Cut():  # its delivery tells
                worked_s = report.timings_ms.get("total", 0.0) / 1000
                self.seconds_each += _WEIGHT_OF_LAST * (worked_s - self.seconds_each)
            case Exported():
                pass
            case _:
                self.delivery.breaker.cancel_trial()

    @property
    def is_examined(self) -> bool:
        """Whether a check that was asked for is not over yet."""
        return self._monitor.snapshot.checks < self._awaited

    def examine(self, probe: str | None = None) -> None:
        """Begin none of its jobs until its monitor has seen that the folder is well."""
        self._awaited = self._monitor.check_again(probe)

    def check_again(self) -> None:
        """See soon whether it is as it should be, while its jobs go on."""
        self._monitor.check_again()

    def look_at(self, path: str) -> None:
        """Look at one file soon."""
        self._monitor.look_at(path)

    def take_submissions(self) -> None:
        """Take soon what programs have handed in."""
        self._monitor.take_submissions()

    def wait_for_first_look(self, timeout_s: float) -> bool:
        """Whether it was looked at within a time."""
        return self._monitor.wait_for_first_look(timeout_s)

    def found_stuck(self, job: Job, lost: Lost) -> None:
        """Disk or share did not answer a worker; it stands by until it is well and no worker is stuck in it."""
        if lost.stuck:
            self._left_behind.add(job.id)
        self._trouble = f"{_HANGS}: {_STUCK_OVER[lost.stalled]} {job.path}"
        self.examine(job.path)

    def watch_over(self, now_s: float, *, waiting: Collection[int], left_behind: Collection[int]) -> None:
        """Notice what hangs, and what answers again.

        Args:
            now_s: monotonic seconds.
            waiting: jobs of the folder that wait for disk or share, in workers or on their way to one.
            left_behind: jobs over which workers or openings got stuck and have not ended.
        """
        self._waiting = frozenset(waiting)
        self._left_behind.intersection_update(left_behind)
        for since_s, whose in (
            (self._monitor.snapshot.looking_since_s, "a look at the input"),
            (self.delivery.busy_since_s, "giving a result its name"),
            (self.opener.busy_since_s, "opening or removing a file"),
        ):
            if since_s is not None and now_s - since_s > HANGS_AFTER_S:
                self._trouble = f"{_HANGS}: {whose} has not finished"
                return
        if self._trouble and not self.is_examined and not self._left_behind:
            self._trouble = ""
            self._recoveries = -1  # what was put off is told so

    def has_recovered(self) -> bool:
        """Whether it is well again since this was last asked: what was put off need not wait any longer."""
        now = self.snapshot
        if not now.status.is_open or now.recoveries == self._recoveries:
            return False
        self._recoveries = now.recoveries
        return True

    def may_work(self, workers: int) -> bool:
        """Whether its jobs may be begun."""
        delivery = self.delivery
        return (
            self.status.is_open
            and not self.is_examined
            and not self._waiting
            and not delivery.breaker.is_open
            and delivery.backlog < BACKLOG_PER_WORKER * workers
        )

    def look_after_threads(self, now_s: float) -> None:
        """Start those of its threads again that have died, after a pause in which it stands by.

        Args:
            now_s: monotonic seconds.

        Raises:
            CutoutdError: one met what concerns the whole run, such as damage to the journal.
        """
        if self._threads.look(now_s):
            self._looks_awaited = self._monitor.snapshot.looks + 1

    @property
    def has_settled(self) -> bool:
        """All that can be taken now has been taken; or nothing will be, since a thread dies time after time."""
        seen = self._monitor.snapshot
        if self._failed(seen):
            return self._threads.has_given_up
        return seen.has_settled and seen.checks >= self._awaited

    @property
    def knows_its_pictures(self) -> bool:
        """All that came while no daemon ran is known by now."""
        return self.status.is_open and self.has_settled

    def _failed(self, seen: FolderSnapshot) -> str:
        """Why it stands by after one of its threads has died; empty once it was looked at again."""
        if self._threads.why or seen.looks >= self._looks_awaited:
            return self._threads.why
        return "one of its threads failed by a fault of ours, and was started again"

    def task(self, job: Job) -> Task:
        """A job as a worker gets it."""
        self.delivery.breaker.begin_trial()
        return self._tasks.task(job)
