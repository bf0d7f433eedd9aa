"""What follows from a worker's report or death for its job.

Main thread only. It must not touch a folder's files: publishing, failure records and looks are passed to the folder's own
threads. Whether a failure is tried again is decided by `cutoutd.faults.retry`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import FailureCode, LostError, StorageError
from cutoutd.events import JobEnded
from cutoutd.failure import failure_of
from cutoutd.faults import retry
from cutoutd.jobs import Cut, Exported, Failure, JobState, Moved, NeedsRoom, Unchanged, answers
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections import deque

    from cutoutd.clock import WallClockGuard
    from cutoutd.daemon.offload_coordinator import Coordinator
    from cutoutd.folder.hot_folder import HotFolder
    from cutoutd.jobs import Job, Report, Task
    from cutoutd.journal.journal import Journal
    from cutoutd.protocols import Lost

_MAY_GROW: Final = (
    f"A new file may not be complete yet, so this one is tried again at growing intervals until it is {retry.FRESH_S / 60:.0f} "
    "minutes old; then it counts as failed."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A job that a worker has, and the folder it was started for; another folder may have its name by now."""

    job: Job
    folder: HotFolder
    task: Task


class Outcomes:
    """Handles reports and deaths.

    Args:
        journal: the journal.
        wall_clock: measures how long ago a job was accepted, even if the clock was set.
        results: ended jobs, to be announced.
        coordinator: the hosted route's part.
        patient: whether a failure can be tried again later in this run.

    Attributes:
        lost_jobs: jobs whose workers died, until a new worker has shown that workers start.
    """

    def __init__(
        self,
        journal: Journal,
        wall_clock: WallClockGuard,
        results: deque[JobEnded],
        coordinator: Coordinator,
        *,
        patient: bool,
    ) -> None:
        self._journal = journal
        self._wall_clock = wall_clock
        self._results = results
        self._coordinator = coordinator
        self._patient = patient
        # Jobs whose sources were missing once, and how often their folder had recovered then.
        self._doubted: dict[int, int] = {}
        self._log = get()
        self.lost_jobs: list[Held] = []

    def take(self, held: Held, report: Report) -> None:
        """Handle a worker's report."""
        job, folder = held.job, held.folder
        if not answers(held.task, report):
            self._log.warning("worker.lied", job=job.id, folder=job.folder, said=type(report).__name__)
            folder.delivery.breaker.cancel_trial()
            folder.delivery.reject_report(job)
            return
        self._take(held, report)

    def _take(self, held: Held, report: Report) -> None:
        job, folder = held.job, held.folder
        folder.note_report(report)
        if not (isinstance(report, Failure) and report.code is FailureCode.SOURCE_GONE):
            self._doubted.pop(job.id, None)
        if isinstance(report, Cut) and report.remote is not None:
            self._coordinator.cut_elsewhere()
        match report:
            case Cut() if not self._coordinator.escalates(job, folder, report):
                folder.delivery.deliver(job, report, Path(held.task.staging).name)
                return  # it needs what is staged
            case Exported():
                self._send(job, folder, report)
            case Unchanged() | Moved():
                folder.delivery.deliver_known(job, report)
            case NeedsRoom() if job.alone:  # it has all the memory already, and would ask for ever
                folder.delivery.reject_report(job)
            case NeedsRoom():
                self._log.info(
                    "job.needs-room", job=job.id, folder=job.folder, path=job.path, pixels=report.pixels
                )
                self._journal.queue.put_back(job.id, alone=True)
            case Failure() if self._coordinator.falls_back(job, folder, report):
                pass
            case Failure():
                self._handle_failure(job, folder, report)
        folder.opener.discard(held.task)

    def _send(self, job: Job, folder: HotFolder, copy: Exported) -> None:
        if self._journal.is_own_result(job, copy.source.sha256):
            folder.delivery.leave_out_result(job, copy.source.sha256)
        elif not self._coordinator.exported(job, copy):
            folder.delivery.reject_report(job)

    def _handle_failure(self, job: Job, folder: HotFolder, failure: Failure) -> None:
        if failure.code is FailureCode.SOURCE_GONE:
            recoveries = folder.snapshot.recoveries
            if self._doubted.get(job.id) != recoveries:
                # When a share goes away, its files seem gone: only a folder that is healthy all the time has really lost one.
                self._doubted[job.id] = recoveries
                folder.examine()
                self._journal.queue.put_back(job.id)
                return
            del self._doubted[job.id]
            if self._keeps_result(job, folder, failure):
                return
            self._journal.gone(job, failure.cause)
            self._log.info("job.gone", job=job.id, folder=job.folder, path=job.path, why=failure.cause)
            folder.look_at(job.path)
            self._results.append(JobEnded.of(job, JobState.GONE, failure.cause))
            return
        if failure.code in (FailureCode.STORAGE, FailureCode.OUTPUT):
            folder.examine(job.path)
        # Copying programs and shares keep old file times, so a file may have come later than its time.
        age_s = self._wall_clock.since_s(job.accepted_us)
        decision = retry.after_failure(failure, tries=job.tries, age_s=age_s, patient=self._patient)
        if isinstance(decision, retry.Again):
            if failure.permanent:
                failure = replace(failure, advice=_MAY_GROW)
            self._journal.queue.delay(job.id, decision.delay_s, detail={"failure": asdict(failure)})
            self._log.warning(
                "job.retry",
                job=job.id,
                folder=job.folder,
                path=job.path,
                why=failure.cause,
                delay_s=decision.delay_s,
            )
            self._results.append(
                JobEnded.of(job, JobState.RETRY, failure.cause, failure.advice if failure.permanent else "")
            )
        else:
            folder.delivery.fail(job, failure)

    def _keeps_result(self, job: Job, folder: HotFolder, failure: Failure) -> bool:
        """Keep the cutout of a job that was to be cut again but whose original is gone; returns whether that applies."""
        published = self._journal.reservations.last_published(job.folder, job.path) if job.forced else None
        if published is None or published.generation != job.generation or job.sha256 != published.sha256:
            return False
        why = f"it was not cut again, and its cutout is as it was: {failure.cause}"
        detail = self._journal.reservations.result_kept(job)
        state = self._journal.leave_unchanged(
            job,
            sha256=published.sha256,
            generation=job.generation,
            detail=detail | {"why": why},
            cleanup_pending=False,
        )
        self._log.warning("job.not-cut-again", job=job.id, folder=job.folder, path=job.path, why=why)
        folder.look_at(job.path)
        self._results.append(JobEnded.of(job, state, why))
        return True

    def take_lost(self, held: Held, lost: Lost) -> None:
        """Handle the death of a worker, or its forced end."""
        job, folder = held.job, held.folder
        if lost.stuck or lost.stalled is not None:
            folder.note_stuck(job, lost)
            # Other pictures come first, in case only this one's directory does not respond.
            self._delay(job, StorageError(f"no answer for a long time; {lost.why}"))
            return
        attempts = self._journal.queue.count_attempt(job.id)
        if isinstance(retry.after_lost(attempts=attempts), retry.Again):
            self.lost_jobs.append(held)
            return
        why = "it took longer than job_timeout_s allows" if lost.timed_out else lost.why
        folder.delivery.fail(job, failure_of(LostError(f"{why}; tried {attempts} times")))

    def give_up(self, job: Job, folder: HotFolder, failure: Failure) -> None:
        """Fail a job at once that could not be started, or it would be the next one again."""
        detail = {"failure": asdict(failure)}
        self._journal.queue.finish(job.id, JobState.FAILED, detail=detail, cleanup_pending=True)
        folder.delivery.clean_up(replace(job, state=JobState.FAILED, detail=detail))  # its record
        self._results.append(JobEnded.of(job, JobState.FAILED, failure.cause))

    def requeue_lost(self) -> None:
        """Queue the jobs again over which workers died, once a new worker has started."""
        while self.lost_jobs:
            self._journal.queue.put_back(self.lost_jobs[0].job.id)
            del self.lost_jobs[0]

    def _delay(self, job: Job, error: StorageError) -> None:
        failure = failure_of(error)
        decision = retry.after_failure(failure, tries=job.tries, age_s=0.0, patient=True)
        delay_s = decision.delay_s if isinstance(decision, retry.Again) else error.delay_s
        self._journal.queue.delay(job.id, delay_s, detail={"failure": asdict(failure)})
        self._results.append(JobEnded.of(job, JobState.RETRY, failure.cause))
