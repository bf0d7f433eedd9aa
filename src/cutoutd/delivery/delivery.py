"""A folder's delivery: publishes its results, records its failures, and repairs interrupted publications.

Each folder has a thread of its own, since any call on a share may hang and must not block other folders. The order of the
steps is in `cutoutd.delivery.publication`; here each step runs as a task of the queue.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cutoutd.delivery.context import UNCHECKED, Context
from cutoutd.delivery.displaced import DisplacedResults
from cutoutd.delivery.failure_records import FailureRecords
from cutoutd.delivery.failures import INVENTED, FailedJobs, JobGuard, PendingRetries
from cutoutd.delivery.former_paths import FormerPaths
from cutoutd.delivery.known_pictures import KnownPictures
from cutoutd.delivery.originals import OriginalsCleanup
from cutoutd.delivery.publication import PublicationSteps
from cutoutd.delivery.reviews import DecidedReviews
from cutoutd.delivery.steps import (
    CarryOut,
    Commit,
    Decide,
    Deliver,
    DeliverMoved,
    DeliverResult,
    DeliverUnchanged,
    Done,
    Repair,
    Retry,
)
from cutoutd.delivery.task_queue import SerialTaskQueue
from cutoutd.delivery.unknown_decisions import UnknownDecisions
from cutoutd.errors import CutoutdError, JournalError
from cutoutd.faults.circuit_breaker import LONGEST_S, CircuitBreaker
from cutoutd.jobs import JobState, Unchanged
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.delivery.context import FolderChecks
    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.delivery.steps import Step
    from cutoutd.errors import StorageError
    from cutoutd.events import JobEnded
    from cutoutd.jobs import Cut, Failure, Job, Moved
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder


class Delivery:
    """The publishing side of one hot folder.

    Args:
        folder: settings of the folder.
        journal: the journal, in which each step is recorded.
        publisher: publishes the files.
        sidecar_factory: provides model, settings and runtime for sidecars.
        clock: clock for the times that are written.
        tell: receives each ended job, in the delivery's thread.
        wake: called when the supervisor has something new to look at.
        checks: what the folder's watching side knows, asked immediately before something in the folder changes.
        named: name that a person gave to the only result; empty: results are named after their sources.

    Attributes:
        breaker: circuit breaker, open while the folder's output refuses results.
        steps: the steps of publication, without the thread.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        journal: Journal,
        publisher: Publisher,
        sidecar_factory: SidecarFactory,
        clock: Clock,
        tell: Callable[[JobEnded], None],
        wake: Callable[[], None],
        checks: FolderChecks = UNCHECKED,
        named: str = "",
    ) -> None:
        self._log = get(folder=folder.name)
        self._publisher = publisher
        self.breaker = CircuitBreaker(
            clock,
            trial_s=LONGEST_S,
            on_failure=lambda why: self._log.warning("folder.rests", why=why),
            on_close=lambda: self._log.info("folder.resumes"),
        )
        self._tasks = SerialTaskQueue(
            folder.name,
            clock,
            wake,
            on_refused=self._record_refusal,
            on_recovered=self.breaker.record_success,
        )
        self.steps = _steps(
            Context(
                folder=folder,
                journal=journal,
                publisher=publisher,
                sidecar_factory=sidecar_factory,
                clock=clock,
                breaker=self.breaker,
                tasks=self._tasks,
                tell=tell,
                checks=checks,
                log=self._log,
                named=named,
            )
        )
        self._unswept: frozenset[str] | None = None  # sessions whose files could not be removed yet
        self._guard = JobGuard(context=self.steps.context, failed_jobs=self.steps.failed_jobs)

    @property
    def backlog(self) -> int:
        """Number of tasks that are queued or running."""
        return self._tasks.backlog

    @property
    def is_idle(self) -> bool:
        """Whether no task is queued or running."""
        return self.backlog == 0

    @property
    def busy_since_s(self) -> float | None:
        """When the current task began, in monotonic seconds; None: there is none."""
        return self._tasks.busy_since_s

    @property
    def failure(self) -> BaseException | None:
        """Why its thread died; None: it has not."""
        return self._tasks.failure

    @property
    def has_ended(self) -> bool:
        """Whether its thread has ended."""
        return self._tasks.has_ended

    def start(self) -> None:
        """Start the thread."""
        self._tasks.start()

    def stop(
        self, *, sweep: bool = True, first: Callable[[], object] = lambda: None, for_good: bool = False
    ) -> None:
        """End once the queued tasks are done; to be called when no worker has a picture of this folder.

        With ``sweep`` everything staged is removed, after a call of ``first`` in the delivery's thread. ``for_good``: the folder may not
        be started again, so all displaced results get a name.
        """
        if for_good:
            self._tasks.submit(self.steps.displaced.restore_all)
        self._tasks.stop((first, partial(self._sweep, frozenset({self._publisher.run}))) if sweep else ())

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end, but not for long; returns whether it has ended."""
        return self._tasks.join(timeout_s)

    def retry_now(self) -> None:
        """Retry delayed tasks at once: the disk or share works again."""
        self._tasks.retry_now()

    def repair(self, job: Job) -> None:
        """Finish or undo a publication that an ended session had begun."""
        self._guard.submit(job, lambda: self._take(Repair.of_job(job)))

    def sweep(self, dead: frozenset[str]) -> None:
        """Remove what ended sessions staged and no plan needs; after the repairs."""
        self._tasks.submit(partial(self._sweep, dead))
        self._tasks.submit(self.steps.failures.sweep)
        self._tasks.submit(self.steps.displaced.adopt_strays)

    def tidy(self) -> None:
        """Remove staged files that could not be removed before, if there are any."""
        if self._unswept is not None or self._publisher.has_left_over:
            self._tasks.submit(self._tidy)

    def expire_displaced(self) -> None:
        """Handle displaced results whose pictures were not found; once the folder's pictures are known."""
        self._tasks.submit(self.steps.displaced.expire)

    def deliver(self, job: Job, cut: Cut, directory: str = "") -> None:
        """Publish a cutout.

        Args:
            job: the job.
            cut: the worker's report.
            directory: name of the job's own directory with the results; empty: they are in the session's directory.
        """
        self._submit(Deliver(job=job, cut=cut, directory=directory))

    def deliver_known(self, job: Job, report: Unchanged | Moved) -> None:
        """Handle a known picture: unchanged, or moved from elsewhere."""
        if isinstance(report, Unchanged):
            self.deliver_unchanged(job, report.sha256, report.image_sha256)
        else:
            self.deliver_moved(job, report.sha256)

    def deliver_unchanged(self, job: Job, sha256: str, image_sha256: str | None = None) -> None:
        """Handle a picture whose bytes, or whose data without metadata, are published already."""
        self._submit(DeliverUnchanged(job=job, sha256=sha256, image_sha256=image_sha256))

    def deliver_moved(self, job: Job, sha256: str) -> None:
        """Handle a picture whose bytes are those of a source that vanished elsewhere."""
        self._submit(DeliverMoved(job=job, sha256=sha256))

    def leave_out_result(self, job: Job, sha256: str) -> None:
        """Skip a picture whose bytes are those of a published result."""
        self._submit(DeliverResult(job=job, sha256=sha256))

    def carry_out_decision(self, job: Job) -> None:
        """Carry out a person's decision about a doubtful cutout."""
        self._submit(Decide(job=job))

    def tell_sidecar(self, job: Job) -> None:
        """Have the sidecar of a published cutout say whether it is doubtful, as a person decided in place."""
        self._guard.submit(job, partial(self.steps.reviews.tell_sidecar, job))

    def clean_up(self, job: Job) -> None:
        """Move or delete an original, or write a failure record, that an earlier session could not."""
        if job.state is JobState.FAILED:
            self._guard.submit(job, partial(self.steps.failures.write_owed, job))
        else:
            self._guard.submit(job, partial(self.steps.originals.add, job, job.sha256 or ""))

    def fail(self, job: Job, failure: Failure) -> None:
        """Fail a job, and record the reason for the owner."""
        self._guard.submit(job, partial(self.steps.failed_jobs.fail, job, failure))

    def reject_report(self, job: Job) -> None:
        """Fail a job whose worker reported something impossible."""
        self.fail(job, INVENTED)

    def distrusts_workers(self) -> bool:
        """Whether, since the last call, a worker kept a file open or the output began to refuse.

        A worker can fill a disk through a file that it keeps open, even if the file has no name any more.
        """
        met, self._publisher.was_file_kept_open = self._publisher.was_file_kept_open, False
        if met:
            self._log.warning("worker.kept-a-file")
        return self.breaker.has_opened() or met

    def _submit(self, step: Step) -> None:
        self._guard.submit(step.job, partial(self._take, step))

    def _take(self, step: Step) -> None:
        """Take a step and the next ones; what is recorded becomes a task of its own, so that it is not repeated."""
        following = self.steps.advance(step)
        match following:
            case Done():
                pass
            case Retry(step=again, delay_s=0.0):
                self._submit(again)
            case Retry(step=again):
                self._guard.retry_later(again.job, partial(self._take, again), following.delay_s)
            case CarryOut() | Commit():
                self._guard.run_now(following.job, partial(self._take, following))
            case _:
                self._take(following)

    def _sweep(self, dead: frozenset[str]) -> None:
        """Remove what sessions with these ids left; what cannot be removed now is tried again by `tidy`."""
        is_first, self._unswept = self._unswept is None, dead
        is_swept = self.steps.originals.sweep(dead, is_first=is_first)
        if self._tasks.needs_staged:
            return  # a delayed task may still need what is staged
        try:
            removed = self._publisher.sweep(dead)
        except CutoutdError as error:
            if is_first:
                self._log.warning("staging.not-swept", why=str(error))
            return
        if is_swept:
            self._unswept = None
        if removed:
            self._log.info("staging.swept", files=removed)

    def _tidy(self) -> None:
        self._publisher.remove_left_over()
        if self._unswept is not None:
            self._sweep(self._unswept)

    def _record_refusal(self, error: StorageError) -> None:
        """Record in the circuit breaker that the output refused a task, since it would refuse others too."""
        if isinstance(error, JournalError):
            self._log.error("delivery.refused", why=str(error))
        else:
            self.breaker.record_error(error)


def _steps(context: Context) -> PublicationSteps:
    """Return the parts of a delivery, connected with each other."""
    failures = FailureRecords(context)
    former_paths = FormerPaths(context=context, failures=failures)
    pending = PendingRetries(context)
    failed_jobs = FailedJobs(context=context, failures=failures, pending=pending, former_paths=former_paths)
    originals = OriginalsCleanup(context)
    displaced = DisplacedResults(context)
    return PublicationSteps(
        context=context,
        pending=pending,
        failures=failures,
        failed_jobs=failed_jobs,
        originals=originals,
        displaced=displaced,
        unknown=UnknownDecisions(context=context),
        known=KnownPictures(
            context=context,
            failures=failures,
            failed_jobs=failed_jobs,
            originals=originals,
            displaced=displaced,
            former_paths=former_paths,
        ),
        former_paths=former_paths,
        reviews=DecidedReviews(context=context, pending=pending, failed_jobs=failed_jobs),
    )
