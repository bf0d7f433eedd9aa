"""The failure records of a folder: written, tried again if the disk refuses, and removed once a picture has a result."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, StorageError
from cutoutd.faults.backoff import pause_s
from cutoutd.job_detail import failure_in
from cutoutd.jobs import JobState
from cutoutd.lease.lease import NotOwnerError

if TYPE_CHECKING:
    from cutoutd.delivery.context import Context
    from cutoutd.jobs import Failure, Job

_LONGEST_S: Final = 3600.0


class FailureRecords:
    """The failure records of one folder, including those still to be written.

    Args:
        context: context of the folder's delivery.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records = context.publisher.failures
        self._owed: dict[int, int] = {}  # jobs whose records were refused: number of tries
        self._is_sweep_due = False
        self._next_sweep_s = StorageError.delay_s

    def write(self, job: Job, failure: Failure) -> str | None:
        """Write a record; if that is refused, try again with an increasing delay.

        Returns:
            Its path in the output folder; None if it is not written yet.
        """
        try:
            self._context.prove_ownership()
            path = self._records.publish(self._context.sidecar_factory.failure_facts(job, failure))
        except CutoutdError as error:
            tries = self._owed.get(job.id, 0)
            self._owed[job.id] = tries + 1
            if tries == 0:
                self._context.log.warning("failure.not-written", job=job.id, path=job.path, why=str(error))
            again = partial(self._write_if_owed, job, failure)
            delay_s = pause_s(tries, first_s=StorageError.delay_s, longest_s=_LONGEST_S)
            self._context.tasks.retry_later(again, delay_s, needs_staged=False)
            return None
        self._owed.pop(job.id, None)
        return path

    def write_owed(self, job: Job) -> None:
        """Write a record that an earlier session could not."""
        failure = failure_in(job)
        if failure is not None:
            self._write_if_owed(job, failure)

    def clear(self, job: Job) -> None:
        """Remove the record of an earlier failure of the same source; a refusal by the disk does not stop the job's success."""
        try:
            self._records.clear(job.path)
        except CutoutdError as error:
            self._context.log.warning("failure.not-cleared", job=job.id, path=job.path, why=str(error))
            self._sweep_later()

    def sweep(self) -> None:
        """Remove records of earlier failures whose sources have a result since."""
        try:
            self._context.prove_ownership()
            for record in self._records.present(partial(self._is_over, after_us=0)):
                if self._is_over(record.path, after_us=record.at_us):
                    self._records.clear(record.path)
        except NotOwnerError:
            self._sweep_later()  # the folder stands by, and its status says why
        except CutoutdError as error:
            self._context.log.warning("failures.not-swept", why=str(error))
            self._sweep_later()
        else:
            self._next_sweep_s = StorageError.delay_s

    def _is_over(self, path: str, *, after_us: int) -> bool:
        return self._context.journal.queue.is_over(self._context.folder.name, path, after_us=after_us)

    def _sweep_later(self) -> None:
        """Sweep later, once for all records, with an increasing delay."""
        if not self._is_sweep_due:
            self._is_sweep_due = True
            self._context.tasks.retry_later(self._sweep_again, self._next_sweep_s, needs_staged=False)
            self._next_sweep_s = min(2 * self._next_sweep_s, _LONGEST_S)

    def _sweep_again(self) -> None:
        self._is_sweep_due = False
        self.sweep()

    def _write_if_owed(self, job: Job, failure: Failure) -> None:
        owed = {
            one.id
            for one in self._context.journal.queue.cleanup_pending(job.folder)
            if one.state is JobState.FAILED
        }
        if job.id in owed and self.write(job, failure) is not None:
            self._context.journal.queue.cleaned_up(job.id)
