"""What becomes of a job over which a folder's delivery fails by a fault of ours: it alone is given up, with its reason.

Used by the folder's delivery thread alone. It must not decide what a fault is; `cutoutd.fault_isolation` does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.failure import failure_of
from cutoutd.fault_isolation import is_expected, report, unforeseen
from cutoutd.job_detail import JobResult
from cutoutd.jobs import OPEN, JobState
from cutoutd.journal.reader import Reader
from cutoutd.publish.plan import Plan

if TYPE_CHECKING:
    from cutoutd.delivery.context import Context
    from cutoutd.delivery.failures import FailedJobs
    from cutoutd.delivery.task_queue import QueuedTask
    from cutoutd.jobs import Failure, Job


@dataclass(frozen=True, kw_only=True, slots=True)
class JobGuard:
    """The jobs of one folder.

    Attributes:
        context: of the folder's delivery.
        failed_jobs: ends the jobs that fail.
    """

    context: Context
    failed_jobs: FailedJobs

    def submit(self, job: Job, task: QueuedTask) -> None:
        """Have something done about a job, after what was given before."""
        self.context.tasks.submit(partial(self._guarded, job, task))

    def run_now(self, job: Job, task: QueuedTask) -> None:
        """Do something about a job now, and again later if a disk refuses."""
        self.context.tasks.run_now(partial(self._guarded, job, task))

    def retry_later(self, job: Job, task: QueuedTask, delay_s: float) -> None:
        """Have something done about a job after ``delay_s`` seconds."""
        self.context.tasks.retry_later(partial(self._guarded, job, task), delay_s)

    def _guarded(self, job: Job, task: QueuedTask) -> None:
        try:
            task()
        except Exception as error:
            if is_expected(error):
                raise
            report(self.context.log, error, over="a job", job=job.id, path=job.path)
            self._give_up(job, error)

    def _give_up(self, job: Job, error: Exception) -> None:
        failure = failure_of(unforeseen(error))
        try:
            now = Reader(self.context.journal.store).job(job.id)
            if now is None:
                return
            if now.state is JobState.REVIEW and JobResult.of(now).decision:
                self.context.journal.review_decisions.refuse(job.id, failure.cause)
            if now.state not in OPEN:
                return  # it was over: what failed came after its end
            if now.state is JobState.PUBLISHING:
                self._undo(now)
            self.failed_jobs.fail(job, failure)
        except Exception as second:
            if is_expected(second):
                raise
            report(self.context.log, second, over="giving a job up", job=job.id, path=job.path)
            self._write_off(job, failure)

    def _undo(self, job: Job) -> None:
        """Take back what has its name, as far as the plan can be read."""
        try:
            standing = self.context.publisher.abandon(Plan.from_json(job.detail["plan"]))
        except Exception as error:
            if is_expected(error):
                raise
            report(self.context.log, error, over="a plan", job=job.id, path=job.path)
            standing = ()
        self.context.journal.undo_publishing(job, standing=standing)

    def _write_off(self, job: Job, failure: Failure) -> None:
        """The journal alone knows the reason; the record is written at the next start."""
        try:
            self.context.journal.queue.finish(
                job.id, JobState.FAILED, detail={"failure": asdict(failure)}, cleanup_pending=True
            )
        except Exception as error:
            if is_expected(error):
                raise
            report(
                self.context.log, error, over="a job that the next start takes up", job=job.id, path=job.path
            )
