"""What is left to do about a job that is over: the record of a failure, and the original.

None of it can undo the job's end, so it is owed, in the journal, until it is done: later in this run, or in the next.
It must not decide what becomes of a job.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cutoutd.errors import StorageError
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from cutoutd.daemon.deeds import Deeds
    from cutoutd.daemon.disposals import Disposals
    from cutoutd.daemon.failures import FailureRecords
    from cutoutd.jobs import Job
    from cutoutd.journal.queue import Queue


class Aftermath:
    """Of one folder's jobs; everything here is done in its delivery's thread.

    Args:
        failures: the folder's records.
        disposals: the folder's originals.
        queue: the journal's jobs.
        deeds: among which one that is refused rests.
    """

    def __init__(self, failures: FailureRecords, disposals: Disposals, queue: Queue, deeds: Deeds) -> None:
        self._failures = failures
        self._disposals = disposals
        self._queue = queue
        self._deeds = deeds

    def is_owed(self, job: Job, state: JobState) -> bool:
        """Whether anything is left to do once a job has ended as a result or a doubtful one; what can be is done now."""
        return self._disposes(state) or not self._failures.clear(job)

    def settle(self, job: Job, state: JobState, sha256: str) -> None:
        """Do it, after the commit mark; again later, where it is refused.

        Args:
            job: the job.
            state: that it has now.
            sha256: of the source as it was cut.
        """
        if not self._failures.clear(job):
            again = partial(self.settle, job, state, sha256)
            self._deeds.rest(again, StorageError.delay_s, needs_staged=False)
        elif self._disposes(state):
            self._disposals.add(job, sha256)
        else:
            self._queue.disposed(job.id)

    def resume(self, job: Job) -> None:
        """Do what an earlier run could not."""
        if job.state is JobState.FAILED:
            self._failures.leave_owed(job)
        else:
            self.settle(job, job.state, job.sha256 or "")

    def _disposes(self, state: JobState) -> bool:
        return state is not JobState.REVIEW and self._disposals.wanted
