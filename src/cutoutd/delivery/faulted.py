"""What becomes of a job over which a folder's delivery fails by a fault of ours: it alone is given up, with its reason.

Used by the folder's delivery thread alone. It must not decide what a fault is; `cutoutd.fault_isolation` does.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.failure import failure_of
from cutoutd.fault_isolation import is_expected, report, unforeseen
from cutoutd.jobs import OPEN, JobState
from cutoutd.journal.reader import Reader
from cutoutd.logs import get
from cutoutd.publish.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.delivery.task_queue import QueuedTask, SerialTaskQueue
    from cutoutd.jobs import Failure, Job
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.publisher import Publisher


class JobGuard:
    """The jobs of one folder.

    Args:
        folder: its name.
        journal: where it is written down.
        publisher: undoes what was half published.
        tasks: of the folder's delivery.
        fail: has a job given up, with a record beside the results.
    """

    def __init__(
        self,
        folder: str,
        journal: Journal,
        publisher: Publisher,
        tasks: SerialTaskQueue,
        fail: Callable[[Job, Failure], None],
    ) -> None:
        self._journal = journal
        self._tasks = tasks
        self._publisher = publisher
        self._fail = fail
        self._log = get(folder=folder)

    def submit(self, job: Job, task: QueuedTask) -> None:
        """Have something done about a job, after what was given before."""
        self._tasks.submit(partial(self._guarded, job, task))

    def run_now(self, job: Job, task: QueuedTask) -> None:
        """Do something about a job now, and again later if a disk refuses."""
        self._tasks.run_now(partial(self._guarded, job, task))

    def retry_later(self, job: Job, task: QueuedTask, delay_s: float) -> None:
        """Have something done about a job after ``delay_s`` seconds."""
        self._tasks.retry_later(partial(self._guarded, job, task), delay_s)

    def _guarded(self, job: Job, task: QueuedTask) -> None:
        try:
            task()
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a job", job=job.id, path=job.path)
            self._give_up(job, error)

    def _give_up(self, job: Job, error: Exception) -> None:
        failure = failure_of(unforeseen(error))
        try:
            now = Reader(self._journal.store).job(job.id)
            if now is None:
                return
            if now.state is JobState.REVIEW and now.detail.get("decision"):
                self._journal.review_decisions.refuse(job.id, failure.cause)
            if now.state not in OPEN:
                return  # it was over: what failed came after its end
            if now.state is JobState.PUBLISHING:
                self._undo(now)
            self._fail(job, failure)
        except Exception as second:
            if is_expected(second):
                raise
            report(self._log, second, over="giving a job up", job=job.id, path=job.path)
            self._write_off(job, failure)

    def _undo(self, job: Job) -> None:
        """Take back what has its name, as far as the plan can be read."""
        try:
            standing = self._publisher.abandon(Plan.from_json(job.detail["plan"]))
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a plan", job=job.id, path=job.path)
            standing = ()
        self._journal.undo_publishing(job, standing=standing)

    def _write_off(self, job: Job, failure: Failure) -> None:
        """The journal alone knows the reason; the record is written at the next start."""
        try:
            self._journal.queue.finish(
                job.id, JobState.FAILED, detail={"failure": asdict(failure)}, cleanup_pending=True
            )
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a job that the next start takes up", job=job.id, path=job.path)
