"""A folder's delivery: gives its results their names, writes down its failures, and repairs after a crash.

A thread of its own for each folder, since any call on a share may hang and must hold up nobody else. What is done in
which order, `cutoutd.delivery.publication` says; here it is done, each step as a task of the queue.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cutoutd.delivery.context import Context
from cutoutd.delivery.displaced import DisplacedResults
from cutoutd.delivery.failures import INVENTED, FailedJobs, FailureRecords, JobGuard, PendingRetries
from cutoutd.delivery.known_pictures import FormerPaths, KnownPictures
from cutoutd.delivery.originals import OriginalsCleanup
from cutoutd.delivery.publication import PublicationSteps
from cutoutd.delivery.reviews import DecidedReviews
from cutoutd.delivery.steps import (
    CarryOut,
    Commit,
    Decide,
    Deliver,
    DeliverMoved,
    DeliverUnchanged,
    Done,
    Repair,
    Retry,
)
from cutoutd.delivery.task_queue import SerialTaskQueue
from cutoutd.errors import CutoutdError, JournalError
from cutoutd.faults.circuit_breaker import LONGEST_S, CircuitBreaker
from cutoutd.jobs import JobState, Unchanged
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.delivery.steps import Step
    from cutoutd.errors import StorageError
    from cutoutd.events import JobEnded
    from cutoutd.fs.tree import Boundary
    from cutoutd.jobs import Cut, Failure, Job, Moved
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder


class Delivery:
    """The publishing side of one hot folder.

    Args:
        folder: its settings.
        journal: where each step is written down.
        publisher: gives the names.
        sidecar_factory: knows what a sidecar says of model, settings and runtime.
        clock: for the times written down.
        run: id of this run.
        tell: is given each result, from this thread.
        wake: called when the supervisor has something new to look at.
        prove: raises where this machine may not publish, as another has the folder now.
        boundary: gives what inside the input belongs to somebody else.
        named: the name that a person gave the only result; empty: names go by the source.

    Attributes:
        breaker: open while the folder's output refuses results.
        steps: what is done in which order; without the thread.
    """

    def __init__(  # noqa: PLR0913 -- its parts, each by its name, put together in one place
        self,
        folder: Folder,
        *,
        journal: Journal,
        publisher: Publisher,
        sidecar_factory: SidecarFactory,
        clock: Clock,
        run: str,
        tell: Callable[[JobEnded], None],
        wake: Callable[[], None],
        prove: Callable[[], None] = lambda: None,
        boundary: Callable[[], Boundary | None] = lambda: None,
        named: str = "",
    ) -> None:
        self._log = get(folder=folder.name)
        self._publisher = publisher
        self._run_id = run
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
                run=run,
                breaker=self.breaker,
                tasks=self._tasks,
                tell=tell,
                check_owner=prove,
                boundary=boundary,
                log=self._log,
                named=named,
            )
        )
        self._guard = JobGuard(context=self.steps.context, failed_jobs=self.steps.failed_jobs)

    @property
    def backlog(self) -> int:
        """Results and failures that wait for their names, or are getting them."""
        return self._tasks.backlog

    @property
    def is_idle(self) -> bool:
        """Nothing waits, and nothing is under way."""
        return self.backlog == 0

    @property
    def busy_since_s(self) -> float | None:
        """When the task under way was begun, in monotonic seconds; None: there is none."""
        return self._tasks.busy_since_s

    @property
    def failure(self) -> BaseException | None:
        """Why its thread died, if it did."""
        return self._tasks.failure

    @property
    def has_ended(self) -> bool:
        """Its thread is gone."""
        return self._tasks.has_ended

    def start(self) -> None:
        """Begin."""
        self._tasks.start()

    def stop(
        self, *, sweep: bool = True, first: Callable[[], object] = lambda: None, for_good: bool = False
    ) -> None:
        """End once what was given is done; to be called when no worker has a picture of this folder.

        With ``sweep`` nothing stays staged; ``first`` is done before that, in the delivery's thread. ``for_good``: the
        folder may never be looked after again, so all displaced results get a name.
        """
        if for_good:
            self._tasks.submit(self.steps.displaced.restore_all)
        self._tasks.stop((first, partial(self._sweep, frozenset({self._run_id}))) if sweep else ())

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end, but not for long; whether it has ended."""
        return self._tasks.join(timeout_s)

    def retry_now(self) -> None:
        """Retry at once what waits to be retried: the disk or share is well again."""
        self._tasks.retry_now()

    def repair(self, job: Job) -> None:
        """Finish, or undo, what a run that died was giving its names."""
        self._guard.submit(job, lambda: self._take(Repair.of_job(job)))

    def sweep(self, dead: frozenset[str]) -> None:
        """Clear away what dead runs staged and no plan needs; after the repairs."""
        self._tasks.submit(partial(self._sweep, dead))
        self._tasks.submit(self.steps.failures.sweep)
        self._tasks.submit(self.steps.displaced.adopt_strays)

    def expire_displaced(self) -> None:
        """End what was displaced and is nobody's; once the folder's pictures are known."""
        self._tasks.submit(self.steps.displaced.expire)

    def deliver(self, job: Job, cut: Cut, directory: str = "") -> None:
        """Publish a cutout.

        Args:
            job: the job.
            cut: as its worker reported it.
            directory: the job's own in which the results lie; empty: they lie in that of the run.
        """
        self._submit(Deliver(job=job, cut=cut, directory=directory))

    def deliver_known(self, job: Job, report: Unchanged | Moved) -> None:
        """The picture is known, here or from where it lay before."""
        if isinstance(report, Unchanged):
            self.deliver_unchanged(job, report.sha256, report.image_sha256)
        else:
            self.deliver_moved(job, report.sha256)

    def deliver_unchanged(self, job: Job, sha256: str, image_sha256: str | None = None) -> None:
        """The source's bytes, or its data apart from metadata, are those that are published already."""
        self._submit(DeliverUnchanged(job=job, sha256=sha256, image_sha256=image_sha256))

    def deliver_moved(self, job: Job, sha256: str) -> None:
        """The source's bytes are those of one that lay elsewhere and vanished from there."""
        self._submit(DeliverMoved(job=job, sha256=sha256))

    def carry_out_decision(self, job: Job) -> None:
        """Carry out what a person decided about a doubtful cutout."""
        self._submit(Decide(job=job))

    def clean_up(self, job: Job) -> None:
        """Move or delete an original, or write the record of a failure, that an earlier run could not."""
        if job.state is JobState.FAILED:
            self._guard.submit(job, partial(self.steps.failures.write_owed, job))
        else:
            self._guard.submit(job, partial(self.steps.originals.add, job, job.sha256 or ""))

    def fail(self, job: Job, failure: Failure) -> None:
        """Give a job up, and leave the reason where its owner finds it."""
        self._guard.submit(job, partial(self.steps.failed_jobs.fail, job, failure))

    def reject_report(self, job: Job) -> None:
        """Give a job up whose worker said what no honest one would."""
        self.fail(job, INVENTED)

    def distrusts_workers(self) -> bool:
        """Whether, since this was last asked, one has kept a file open, or the output has begun to refuse.

        What a worker keeps open it can fill a disk with, also where the file has no name any more.
        """
        met, self._publisher.has_met_a_writer = self._publisher.has_met_a_writer, False
        if met:
            self._log.warning("worker.kept-a-file")
        return self.breaker.has_opened() or met

    def _submit(self, step: Step) -> None:
        self._guard.submit(step.job, partial(self._take, step))

    def _take(self, step: Step) -> None:
        """Take a step and what follows it; what is written down already is a task of its own, and not done again."""
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
        """Clear away what runs with these ids left."""
        self.steps.originals.sweep(dead)
        if self._tasks.needs_staged:
            return  # it may still need what is staged; the next start sweeps
        try:
            removed = self._publisher.sweep(dead)
        except CutoutdError as error:
            self._log.warning("staging.not-swept", why=str(error))
        else:
            if removed:
                self._log.info("staging.swept", files=removed)

    def _record_refusal(self, error: StorageError) -> None:
        """What one task met at the output, the folder's others would too, whatever they are about."""
        if isinstance(error, JournalError):
            self._log.error("delivery.refused", why=str(error))
        else:
            self.breaker.record_failure(str(error), error.cause)


def _steps(context: Context) -> PublicationSteps:
    """The parts of a delivery, each with those that it needs."""
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
