"""A hot folder in the daemon: its settings, monitor, opener and delivery, and whether its jobs may be started.

The main loop reads it as a `FolderSnapshot`, and requests looks at files. It owns no thread of its own and touches no file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.clock import Countdown
from cutoutd.errors import FailureCode
from cutoutd.faults.supervised_thread import Restartable, SupervisedThread, ThreadSupervisor
from cutoutd.folder.status import FolderSnapshot, FolderState, FolderStatus, paused, standing_by
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.jobs import Cut, Exported, Failure
from cutoutd.protocols import Step

if TYPE_CHECKING:
    from collections.abc import Collection

    from cutoutd.delivery.delivery import Delivery
    from cutoutd.folder.file_opener import Opener
    from cutoutd.folder.overlaps import Overlaps
    from cutoutd.folder.status import Closed
    from cutoutd.folder.tasks import TaskFactory
    from cutoutd.jobs import Job, Report, Task
    from cutoutd.lease.heartbeat import LeaseHeartbeat
    from cutoutd.protocols import Lost
    from cutoutd.settings.schema import Folder

BACKLOG_PER_WORKER: Final = 2
"""The most staged results per worker, since they take disk space: above it the folder gets no more work."""


HANGS_AFTER_S: Final = 30.0
"""A look that takes longer counts as hanging; even 100,000 files on a slow share take less."""

LAST_LOOK_S: Final = 5.0
"""How long the end of a folder waits for a look in progress."""

TIDY_S: Final = 15.0
"""The pause between two attempts to remove staged files that a failing disk has kept."""

_FIRST_GUESS_S: Final = 1.5
_WEIGHT_OF_LAST: Final = 0.2  # the average time of a picture follows about the last dozen

_HANGS: Final = "the disk or share does not answer"
_STUCK_OVER: Final = {
    None: "a worker does not finish",
    Step.READ: "reading",
    Step.CUT: "a worker does not finish",
    Step.WRITE: "writing the result of",
    Step.SYNC: "syncing the result of",
}


class Monitor(Protocol):
    """What a hot folder needs of its monitor, as `cutoutd.folder.monitor.FolderMonitor` has it."""

    @property
    def thread(self) -> SupervisedThread:
        """The thread in which it looks."""

    @property
    def snapshot(self) -> FolderSnapshot:
        """The folder as the monitor sees it now."""

    def stop(self) -> None:
        """End soon."""

    def wait_for_first_look(self, timeout_s: float) -> bool:
        """Wait until the folder was looked at; returns whether that happened in time."""

    def look_at(self, path: str) -> None:
        """Look at one file soon."""

    def take_submissions(self) -> None:
        """Take submissions soon."""

    def check_again(self, probe: str | None = None) -> int:
        """Check the folder's health soon.

        Args:
            probe: a file that could not be read, or whose result could not be written.

        Returns:
            The number of the check.
        """


class HotFolder:
    """One hot folder: its monitor, its opener and its delivery.

    Args:
        folder: settings of the folder.
        monitor: notices its files.
        delivery: publishes its results.
        opener: opens the files of its tasks.
        tasks: makes its tasks.
        heartbeat: renews the lease on the folder; None: no other machine may want it.
        overlaps: knows which folders must give way to others; None: there are no others.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        monitor: Monitor,
        delivery: Delivery,
        opener: Opener,
        tasks: TaskFactory,
        heartbeat: LeaseHeartbeat | None = None,
        overlaps: Overlaps | None = None,
    ) -> None:
        self.folder = folder
        self._monitor = monitor
        self.has_model = tasks.has_model
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
        self._blocked_on_io: frozenset[int] = frozenset()
        self._hangs: Closed | None = None
        self._recoveries = 0
        self._tidy_s = 0.0
        self.staging = tasks.staging
        self._tasks = tasks
        self.seconds_each = _FIRST_GUESS_S

    def start(self) -> None:
        """Start the monitor, the opener, the delivery and the heartbeat."""
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
        """End the monitor soon: it looks for no new files any more."""
        self._monitor.stop()

    def stop_delivery(self, *, sweep: bool = True, for_good: bool = False) -> None:
        """End the delivery's thread soon, once the monitor was told to end.

        Args:
            sweep: whether to remove everything staged. That waits for the monitor, whose last look may create the directory
                again, and for the opener.
            for_good: whether the folder may not be started again.
        """
        self.opener.stop()
        self.delivery.stop(sweep=sweep, first=self._wait_for_last, for_good=for_good)

    def _wait_for_last(self) -> None:
        """Wait until the monitor and the opener create nothing in the staging directory any more, but not for long."""
        self._monitor.thread.join(LAST_LOOK_S)
        self.opener.thread.join(LAST_LOOK_S)

    def join(self, timeout_s: float) -> None:
        """Wait for all threads, in all so many seconds: one that hangs on a share is abandoned."""
        rest = Countdown(timeout_s, step_s=timeout_s)
        self._monitor.thread.join(max(0.0, rest.left_s()))
        self.opener.thread.join(max(0.0, rest.left_s()))
        ended = self.delivery.join(max(0.0, rest.left_s()))
        if self._heartbeat is not None:
            self._heartbeat.stop(release=ended)
            self._heartbeat.thread.join(max(0.0, rest.left_s()) if ended else 0.0)

    def is_released(self) -> bool:
        """Whether all its threads have ended and its lease is released, which comes last."""
        threads = (self._monitor.thread, self.opener.thread, self.delivery)
        if not all(thread.has_ended for thread in threads):
            return False
        if self._heartbeat is None:
            return True
        self._heartbeat.stop(release=True)
        return self._heartbeat.thread.has_ended

    @property
    def snapshot(self) -> FolderSnapshot:
        """The folder now: as its monitor sees it, unless that hangs or has died."""
        seen = self._monitor.snapshot
        closed = self._failed(seen) or self._overlap or self._hangs
        return seen if closed is None else replace(seen, status=seen.status.closed(closed))

    @property
    def status(self) -> FolderStatus:
        """The state of the folder."""
        return self.snapshot.status

    @property
    def _overlap(self) -> Closed | None:
        why = self._overlaps.why_closed(self.folder.name) if self._overlaps is not None else ""
        return standing_by(why, FolderTrouble.OVERLAP) if why else None

    @property
    def is_there(self) -> bool:
        """Whether its directories respond, even if no job may be started in it now."""
        status = self.status
        return status.is_open or status.watching is FolderState.PAUSED

    @property
    def effective_status(self) -> FolderStatus:
        """The state of the folder for people: also paused while its output refuses."""
        status, failure = self.status, self.delivery.breaker.last_failure
        if not status.is_open or failure is None:
            return status
        return status.closed(paused(failure.why, failure.trouble))

    def note_report(self, report: Report) -> None:
        """Record what a worker's report says of the folder's output: it refused, or the trial of another job is free again."""
        match report:
            case Failure(code=FailureCode.OUTPUT):
                self.delivery.breaker.record_failure(
                    f"{self.folder.output}: {report.cause}. {report.advice}", trouble=report.trouble
                )
            case Cut():  # its delivery reports the output's state
                worked_s = report.timings_ms.get("total", 0.0) / 1000
                self.seconds_each += _WEIGHT_OF_LAST * (worked_s - self.seconds_each)
            case Exported():
                pass
            case _:
                self.delivery.breaker.cancel_trial()

    @property
    def is_examined(self) -> bool:
        """Whether a requested health check is not finished."""
        return self._monitor.snapshot.checks < self._awaited

    def examine(self, probe: str | None = None) -> None:
        """Have the monitor check the folder, and start no jobs until it is found healthy."""
        self._awaited = self._monitor.check_again(probe)

    def check_again(self) -> None:
        """Have the monitor check the folder soon, while jobs go on."""
        self._monitor.check_again()

    def look_at(self, path: str) -> None:
        """Look at one file soon."""
        self._monitor.look_at(path)

    def take_submissions(self) -> None:
        """Take submissions soon."""
        self._monitor.take_submissions()

    def wait_for_first_look(self, timeout_s: float) -> bool:
        """Wait until the folder was looked at; returns whether that happened in time."""
        return self._monitor.wait_for_first_look(timeout_s)

    def note_stuck(self, job: Job, lost: Lost) -> None:
        """Stand by because disk or share did not respond to a worker, until the folder is healthy and no worker is stuck in it."""
        if lost.stuck:
            self._left_behind.add(job.id)
        self._hangs = standing_by(f"{_HANGS}: {_STUCK_OVER[lost.stalled]} {job.path}")
        self.examine(job.path)

    def watch_over(
        self, now_s: float, *, blocked_on_io: Collection[int], left_behind: Collection[int]
    ) -> None:
        """Notice threads that hang, and that they respond again.

        Args:
            now_s: monotonic seconds.
            blocked_on_io: ids of the folder's jobs that wait for disk or share, in workers or while being opened.
            left_behind: ids of jobs whose workers or openings are stuck.
        """
        self._blocked_on_io = frozenset(blocked_on_io)
        if now_s >= self._tidy_s and not self.delivery.breaker.is_open and self.status.is_open:
            self._tidy_s = now_s + TIDY_S
            self.delivery.tidy()
        self._left_behind.intersection_update(left_behind)
        for since_s, whose in (
            (self._monitor.snapshot.looking_since_s, "a scan of the input"),
            (self.delivery.busy_since_s, "renaming a result"),
            (self.opener.busy_since_s, "opening or removing a file"),
        ):
            if since_s is not None and now_s - since_s > HANGS_AFTER_S:
                self._hangs = standing_by(f"{_HANGS}: {whose} has not finished")
                return
        if self._hangs is not None and not self.is_examined and not self._left_behind:
            self._hangs = None
            self._recoveries = -1  # so that `has_recovered` reports it

    def has_recovered(self) -> bool:
        """Whether the folder has recovered since the last call, so that delayed jobs need not wait any longer."""
        now = self.snapshot
        if not now.status.is_open or now.recoveries == self._recoveries:
            return False
        self._recoveries = now.recoveries
        return True

    def may_work(self, workers: int) -> bool:
        """Whether its jobs may be started."""
        delivery = self.delivery
        return (
            self.status.is_open
            and not self.is_examined
            and not self._blocked_on_io
            and not delivery.breaker.is_open
            and delivery.backlog < BACKLOG_PER_WORKER * workers
        )

    def look_after_threads(self, now_s: float) -> None:
        """Restart threads that have died, after a pause in which the folder stands by.

        Args:
            now_s: monotonic seconds.

        Raises:
            CutoutdError: a thread met an error that ends the daemon, such as damage to the journal.
        """
        if self._threads.check(now_s):
            self._looks_awaited = self._monitor.snapshot.looks + 1
            self.check_again()  # the next look by schedule may be a minute away

    @property
    def has_settled(self) -> bool:
        """Whether all that can be taken now has been taken; or nothing will be, because a thread keeps dying."""
        seen = self._monitor.snapshot
        if self._failed(seen) is not None:
            return self._threads.has_given_up
        return seen.has_settled and seen.checks >= self._awaited

    @property
    def knows_its_pictures(self) -> bool:
        """Whether all files that came while no daemon ran are known."""
        return self.status.is_open and self.has_settled

    def _failed(self, seen: FolderSnapshot) -> Closed | None:
        """Return that the folder stands by after one of its threads has died; None once it was looked at again."""
        if why := self._threads.why:
            return standing_by(why)
        if seen.looks >= self._looks_awaited:
            return None
        return standing_by("one of its threads failed with an internal error, and was started again")

    def task(self, job: Job) -> Task:
        """Return a job's task for a worker."""
        self.delivery.breaker.begin_trial()
        return self._tasks.task(job)
