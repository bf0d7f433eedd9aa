"""How a job ends without a result, or is put off: with its reason, in journal and output, and told.

Used by the folder's delivery thread alone. It must not publish a result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from cutoutd.delivery.failures import INVENTED
from cutoutd.errors import CutoutdError, StorageError, TemporaryError
from cutoutd.events import JobEnded
from cutoutd.failure import failure_of
from cutoutd.jobs import JobState
from cutoutd.logs import get
from cutoutd.retry import Again, GiveUp, after_failure, after_lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.circuit_breaker import CircuitBreaker
    from cutoutd.delivery.failures import FailureRecords
    from cutoutd.delivery.pending_retries import PendingRetries
    from cutoutd.jobs import Failure, Job
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.publisher import Publisher


class FailedJobs:
    """The ends of one folder's jobs.

    Args:
        folder: its name.
        journal: where they are written down.
        publisher: throws away what is staged.
        failures: leaves the records.
        waits: forgets the jobs that waited.
        breaker: the folder's circuit breaker.
        tell: is given each result.
        clear_moved: has what a job's picture left where it lay before removed.
        prove: raises a TemporaryError where this machine may not publish.
    """

    def __init__(
        self,
        folder: str,
        *,
        journal: Journal,
        publisher: Publisher,
        failures: FailureRecords,
        pending_retries: PendingRetries,
        breaker: CircuitBreaker,
        tell: Callable[[JobEnded], None],
        clear_moved: Callable[[Job], None],
        prove: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._publisher = publisher
        self._failures = failures
        self._pending_retries = pending_retries
        self._breaker = breaker
        self._tell = tell
        self._clear_moved = clear_moved
        self._prove = prove
        self._log = get(folder=folder)

    def postpone(self, job: Job, error: TemporaryError) -> None:
        """The disk or share refuses: what is staged is thrown away, and made again when it is better."""
        failure = failure_of(error)
        decision = after_failure(failure, tries=job.tries, age_s=0.0, patient=True)
        delay_s = decision.delay_s if isinstance(decision, Again) else error.delay_s
        self._journal.queue.rest(job.id, delay_s, detail={"failure": asdict(failure)})
        if isinstance(error, StorageError):
            self._breaker.record_failure(str(error), error.cause)
        self._log.warning("job.put-off", job=job.id, path=job.path, why=str(error), delay_s=delay_s)
        try:
            self._publisher.discard(job.id)
        except CutoutdError:
            return  # the sweep of the next start finds it
        finally:
            self.tell(job, JobState.RETRY, error.cause)

    def reject_report(self, job: Job) -> None:
        """A worker named other bytes than the picture has: another one tries it, and then it is given up.

        A picture that was overwritten while it was cut, with the same size and time, is cut the next time.
        """
        self._log.warning("job.other-bytes", job=job.id, path=job.path)
        if isinstance(after_lost(attempts=self._journal.queue.count_attempt(job.id)), GiveUp):
            self.fail(job, INVENTED)
            return
        with suppress(CutoutdError):  # the sweep of the next start finds it
            self._publisher.discard(job.id)
        self._journal.queue.put_back(job.id)

    def fail(self, job: Job, failure: Failure, sha256: str | None = None) -> None:
        """Give a job up, and leave the reason where its owner finds it.

        Args:
            job: the job.
            failure: why.
            sha256: of the source's bytes, where they are to be known again.
        """
        try:
            self._prove()
        except TemporaryError as error:
            self.postpone(job, error)  # whether it fails is for whoever has the folder to see
            return
        self._pending_retries.forget(job)
        with suppress(CutoutdError):  # the sweep of the next start finds it
            self._publisher.discard(job.id)
        record = self._failures.leave(job, failure)
        self._clear_moved(job)
        detail = {"failure": asdict(failure)}
        self._journal.queue.finish(
            job.id, JobState.FAILED, detail=detail, sha256=sha256, cleanup_pending=record is None
        )
        self._log.warning("job.failed", job=job.id, path=job.path, code=failure.code, why=failure.cause)
        self.tell(job, JobState.FAILED, failure.cause, advice=failure.advice, record=record or "")

    def tell(
        self,
        job: Job,
        state: JobState,
        why: str,
        *,
        outputs: tuple[str, ...] = (),
        advice: str = "",
        record: str = "",
    ) -> None:
        """Tell what became of a job."""
        self._tell(
            JobEnded(
                job=job.id,
                folder=job.folder,
                path=job.path,
                state=state,
                outputs=outputs,
                why=why,
                advice=advice,
                record=record,
            )
        )
