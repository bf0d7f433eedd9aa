"""The records of one folder's failures: left beside the results when a job is given up, or as soon as that can be.

Used by the folder's delivery thread alone. The journal has every reason in any case; it remembers, too, which records
are still owed, so that they are written even after a restart. It must not decide that a job has failed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.backoff import pause_s
from cutoutd.errors import CutoutdError, FailureCode, StorageError
from cutoutd.job_detail import failure_in
from cutoutd.jobs import Failure, JobState

if TYPE_CHECKING:
    from cutoutd.delivery.context import Context
    from cutoutd.jobs import Job

_LONGEST_S: Final = 3600.0

INVENTED: Final = Failure(
    code=FailureCode.FAULT,
    title="The picture could not be processed",
    cause="the worker reported what cannot be so",
    advice="The original is untouched. It may be a hostile file; `cutoutd retry` tries it again.",
    permanent=True,
)


class FailureRecords:
    """The folder's records, those that are owed included.

    Args:
        context: of the folder's delivery.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records = context.publisher.failures
        self._owed: dict[int, int] = {}  # jobs whose records were refused, and how often
        self._is_sweep_due = False
        self._next_sweep_s = StorageError.delay_s

    def leave(self, job: Job, failure: Failure) -> str | None:
        """Leave a record; where that is refused, again later, and ever more rarely.

        Returns:
            Its path in the output folder; None if it is not there yet.
        """
        try:
            self._context.prove_ownership()
            path = self._records.publish(self._context.sidecar_factory.failure_facts(job, failure))
        except CutoutdError as error:
            tries = self._owed.get(job.id, 0)
            self._owed[job.id] = tries + 1
            if tries == 0:
                self._context.log.warning("failure.not-written", job=job.id, path=job.path, why=str(error))
            again = partial(self._leave_if_owed, job, failure)
            delay_s = pause_s(tries, first_s=StorageError.delay_s, longest_s=_LONGEST_S)
            self._context.tasks.retry_later(again, delay_s, needs_staged=False)
            return None
        self._owed.pop(job.id, None)
        return path

    def leave_owed(self, job: Job) -> None:
        """Leave the record that an earlier run could not."""
        failure = failure_in(job)
        if failure is not None:
            self._leave_if_owed(job, failure)

    def clear(self, job: Job) -> None:
        """An earlier failure of the same source is over; that it is cannot be undone by a disk that refuses."""
        try:
            self._records.clear(job.path)
        except CutoutdError as error:
            self._context.log.warning("failure.not-cleared", job=job.id, path=job.path, why=str(error))
            self._sweep_later()

    def sweep(self) -> None:
        """Remove the records of failures that are over, which could not be removed when they were."""
        try:
            self._context.prove_ownership()
            for record in self._records.present(partial(self._is_over, after_us=0)):
                if self._is_over(record.path, after_us=record.at_us):
                    self._records.clear(record.path)
        except CutoutdError as error:
            self._context.log.warning("failures.not-swept", why=str(error))
            self._sweep_later()
        else:
            self._next_sweep_s = StorageError.delay_s

    def _is_over(self, path: str, *, after_us: int) -> bool:
        return self._context.journal.queue.is_over(self._context.folder.name, path, after_us=after_us)

    def _sweep_later(self) -> None:
        """Once for all of them, and ever more rarely: nothing waits for it."""
        if not self._is_sweep_due:
            self._is_sweep_due = True
            self._context.tasks.retry_later(self._sweep_again, self._next_sweep_s, needs_staged=False)
            self._next_sweep_s = min(2 * self._next_sweep_s, _LONGEST_S)

    def _sweep_again(self) -> None:
        self._is_sweep_due = False
        self.sweep()

    def _leave_if_owed(self, job: Job, failure: Failure) -> None:
        owed = {
            one.id
            for one in self._context.journal.queue.cleanup_pending(job.folder)
            if one.state is JobState.FAILED
        }
        if job.id in owed and self.leave(job, failure) is not None:
            self._context.journal.queue.cleaned_up(job.id)
