"""Jobs that end without a result, or are delayed: the reason goes into the journal, and into a failure record.

Used only by the folder's delivery thread. The journal has every reason in any case. It also has which records are still to be
written, so that this happens even after a restart. This module must not publish a result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.delivery.steps import Retry
from cutoutd.errors import CutoutdError, FailureCode, StorageError, TemporaryError
from cutoutd.failure import failure_of
from cutoutd.faults.isolation import is_expected, report, unforeseen
from cutoutd.faults.retry import Again, GiveUp, after_failure, after_lost
from cutoutd.job_detail import JobResult
from cutoutd.jobs import OPEN, Failure, JobState
from cutoutd.journal.reader import Reader
from cutoutd.publish.faults import TargetHeldError
from cutoutd.publish.plan import Plan

if TYPE_CHECKING:
    from cutoutd.delivery.context import Context
    from cutoutd.delivery.failure_records import FailureRecords
    from cutoutd.delivery.former_paths import FormerPaths
    from cutoutd.delivery.steps import Abandon, CarryOut, Decide, Repair
    from cutoutd.delivery.task_queue import QueuedTask
    from cutoutd.jobs import Job

HELD_TRIES: Final = 30
"""Number of tries to replace a file that another program holds open: five minutes. Then that picture fails."""

INVENTED: Final = Failure(
    code=FailureCode.FAULT,
    title="The picture could not be processed",
    cause="the worker's report is impossible",
    advice="The original is untouched. It may be a hostile file; `cutoutd retry` tries it again.",
    permanent=True,
)


class PendingRetries:
    """Jobs whose plans wait for a disk, a share, or another program, so that other pictures are not affected.

    Args:
        context: context of the folder's delivery.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._logged: dict[int, str] = {}
        self._held: dict[int, int] = {}

    def wait(self, step: Abandon | CarryOut | Decide | Repair, error: TemporaryError) -> Retry:
        """Return a retry of the step: a recorded plan is carried out, however long the disk or share takes.

        Only a job's first failure counts for the circuit breaker, or it would never close.
        """
        job, why = step.job, str(error)
        if isinstance(error, StorageError) and job.id not in self._logged:
            self._context.breaker.record_error(error)
        if self._logged.get(job.id) != why:
            self._context.log.warning("job.half-published", job=job.id, path=job.path, why=why)
        self._logged[job.id] = why
        return Retry(step=step, delay_s=error.delay_s)

    def has_run_out(self, job: Job, error: TemporaryError) -> bool:
        """Whether a file to be replaced was held open for so long that the job is to fail."""
        if not isinstance(error, TargetHeldError):
            return False
        self._held[job.id] = self._held.get(job.id, 0) + 1
        return self._held[job.id] > HELD_TRIES

    def forget(self, job: Job) -> None:
        """Forget a job that does not wait any more."""
        self._logged.pop(job.id, None)
        self._held.pop(job.id, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedJobs:
    """Fails or delays jobs of one folder.

    Attributes:
        context: context of the folder's delivery.
        failures: the failure records.
        pending: the jobs that wait for a retry.
        former_paths: removes what pictures left at their earlier paths.
    """

    context: Context
    failures: FailureRecords
    pending: PendingRetries
    former_paths: FormerPaths

    def postpone(self, job: Job, error: TemporaryError) -> None:
        """Delay a job whose disk or share refuses; what is staged is discarded, and made again later."""
        failure = failure_of(error)
        decision = after_failure(failure, tries=job.tries, age_s=0.0, patient=True)
        delay_s = decision.delay_s if isinstance(decision, Again) else error.delay_s
        self.context.journal.queue.delay(job.id, delay_s, detail={"failure": asdict(failure)})
        if isinstance(error, StorageError):
            self.context.breaker.record_error(error)
        self.context.log.warning("job.put-off", job=job.id, path=job.path, why=str(error), delay_s=delay_s)
        self._discard(job)
        self.context.job_ended(job, JobState.RETRY, error.cause)

    def reject_report(self, job: Job) -> None:
        """Handle a report with other bytes than the picture has: another worker tries it, and then the job fails.

        A picture that was overwritten with the same size and time while it was cut is cut correctly at the next try.
        """
        queue = self.context.journal.queue
        self.context.log.warning("job.other-bytes", job=job.id, path=job.path)
        if isinstance(after_lost(attempts=queue.count_attempt(job.id)), GiveUp):
            self.fail(job, INVENTED)
            return
        self._discard(job)
        queue.put_back(job.id)

    def fail(
        self, job: Job, failure: Failure, sha256: str | None = None, *, forgets_results: bool = False
    ) -> None:
        """Fail a job, and record the reason for the owner.

        Args:
            job: the job.
            failure: the reason.
            sha256: SHA-256 of the source's bytes, if the failure is to be recognised by it; None: not.
            forgets_results: whether a person has rejected the cutout of this version.
        """
        try:
            self.context.prove_ownership()
        except TemporaryError as error:
            self.postpone(job, error)  # the machine that has the folder decides whether it fails
            return
        self.pending.forget(job)
        self._discard(job)
        record = self.failures.write(job, failure)
        self.former_paths.clear_entries(job)
        self.context.journal.fail(
            job,
            failure,
            sha256=sha256,
            cleanup_pending=record is None,
            forgets_results=forgets_results,
        )
        self.context.log.warning(
            "job.failed", job=job.id, path=job.path, code=failure.code, why=failure.cause
        )
        self.context.job_ended(
            job, JobState.FAILED, failure.cause, advice=failure.advice, record=record or ""
        )

    def _discard(self, job: Job) -> None:
        with suppress(CutoutdError):  # it is removed when the disk works again
            self.context.publisher.discard(job.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobGuard:
    """Runs tasks about one folder's jobs; one with an unforeseen error fails its own job alone.

    Attributes:
        context: context of the folder's delivery.
        failed_jobs: fails the jobs.
    """

    context: Context
    failed_jobs: FailedJobs

    def submit(self, job: Job, task: QueuedTask) -> None:
        """Queue a task about a job."""
        self.context.tasks.submit(partial(self._guarded, job, task))

    def run_now(self, job: Job, task: QueuedTask) -> None:
        """Run a task about a job now, and again later if a disk refuses."""
        self.context.tasks.run_now(partial(self._guarded, job, task))

    def retry_later(self, job: Job, task: QueuedTask, delay_s: float) -> None:
        """Run a task about a job after ``delay_s`` seconds."""
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
            if now.state not in OPEN and JobResult.of(now).decision:
                self.context.journal.review_decisions.refuse(job.id, failure.cause)
            if now.state not in OPEN:
                return  # it was over already: the error came after its end
            if now.state is JobState.PUBLISHING:
                self._undo(now)
            self.failed_jobs.fail(job, failure)
        except Exception as second:
            if is_expected(second):
                raise
            report(self.context.log, second, over="giving a job up", job=job.id, path=job.path)
            self._write_off(job, failure)

    def _undo(self, job: Job) -> None:
        """Undo a publication, as far as its plan can be read."""
        try:
            published = self.context.publisher.abandon(Plan.from_json(job.detail["plan"]))
        except Exception as error:
            if is_expected(error):
                raise
            report(self.context.log, error, over="a plan", job=job.id, path=job.path)
            published = ()
        self.context.journal.undo_publishing(job, published=published)

    def _write_off(self, job: Job, failure: Failure) -> None:
        """Fail a job in the journal only; the record is written at the next start."""
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
