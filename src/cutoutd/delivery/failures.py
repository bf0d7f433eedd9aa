"""The records of one folder's failures: left beside the results when a job is given up, or as soon as that can be.

Used by the folder's delivery thread alone. The journal has every reason in any case; it remembers, too, which records
are still owed, so that they are written even after a restart. It must not decide that a job has failed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.backoff import pause_s
from cutoutd.errors import CutoutdError, StorageError
from cutoutd.jobs import Failure, JobState
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.delivery.task_queue import SerialTaskQueue
    from cutoutd.jobs import Job
    from cutoutd.journal.queue import Queue
    from cutoutd.publish.failures import Failures

_LONGEST_S: Final = 3600.0

INVENTED: Final = Failure(
    code="Fault",
    title="The picture could not be processed",
    cause="the worker reported what cannot be so",
    advice="The original is untouched. It may be a hostile file; `cutoutd retry` tries it again.",
    permanent=True,
)


class FailureRecords:
    """The folder's records, those that are owed included.

    Args:
        folder: its name.
        records: where they lie.
        queue: the journal's jobs.
        tasks: of the folder's delivery, in which one that is refused waits to be retried.
        sidecar_factory: knows what a record says.
        prove: raises a TemporaryError where this machine may not publish.
    """

    def __init__(
        self,
        folder: str,
        records: Failures,
        *,
        queue: Queue,
        tasks: SerialTaskQueue,
        sidecar_factory: SidecarFactory,
        prove: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._records = records
        self._queue = queue
        self._tasks = tasks
        self._provenance = sidecar_factory
        self._prove = prove
        self._owed: dict[int, int] = {}  # jobs whose records were refused, and how often
        self._sweeps = False
        self._patience_s = StorageError.delay_s
        self._log = get(folder=folder)

    def leave(self, job: Job, failure: Failure) -> str | None:
        """Leave a record; where that is refused, again later, and ever more rarely.

        Returns:
            Its path in the output folder; None if it is not there yet.
        """
        try:
            self._prove()
            path = self._records.publish(self._provenance.failure_facts(job, failure))
        except CutoutdError as error:
            tries = self._owed.get(job.id, 0)
            self._owed[job.id] = tries + 1
            if tries == 0:
                self._log.warning("failure.not-written", job=job.id, path=job.path, why=str(error))
            again = partial(self._leave_if_owed, job, failure)
            delay_s = pause_s(tries, first_s=StorageError.delay_s, longest_s=_LONGEST_S)
            self._tasks.retry_later(again, delay_s, needs_staged=False)
            return None
        self._owed.pop(job.id, None)
        return path

    def leave_owed(self, job: Job) -> None:
        """Leave the record that an earlier run could not."""
        self._leave_if_owed(job, Failure(**job.detail["failure"]))

    def clear(self, job: Job) -> None:
        """An earlier failure of the same source is over; that it is cannot be undone by a disk that refuses."""
        try:
            self._records.clear(job.path)
        except CutoutdError as error:
            self._log.warning("failure.not-cleared", job=job.id, path=job.path, why=str(error))
            self._sweep_later()

    def sweep(self) -> None:
        """Remove the records of failures that are over, which could not be removed when they were."""
        try:
            self._prove()
            for record in self._records.present(partial(self._is_over, after_us=0)):
                if self._is_over(record.path, after_us=record.at_us):
                    self._records.clear(record.path)
        except CutoutdError as error:
            self._log.warning("failures.not-swept", why=str(error))
            self._sweep_later()
        else:
            self._patience_s = StorageError.delay_s

    def _is_over(self, path: str, *, after_us: int) -> bool:
        return self._queue.is_over(self._folder, path, after_us=after_us)

    def _sweep_later(self) -> None:
        """Once for all of them, and ever more rarely: nothing waits for it."""
        if not self._sweeps:
            self._sweeps = True
            self._tasks.retry_later(self._sweep_again, self._patience_s, needs_staged=False)
            self._patience_s = min(2 * self._patience_s, _LONGEST_S)

    def _sweep_again(self) -> None:
        self._sweeps = False
        self.sweep()

    def _leave_if_owed(self, job: Job, failure: Failure) -> None:
        owed = {one.id for one in self._queue.cleanup_pending(job.folder) if one.state is JobState.FAILED}
        if job.id in owed and self.leave(job, failure) is not None:
            self._queue.cleaned_up(job.id)
