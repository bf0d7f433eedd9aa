"""Gives jobs to workers, round-robin over the folders, so that no folder waits for thousands of pictures of another.

Main thread only. It must not wait, nor touch a folder; a task's files are opened by its folder's own thread.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cutoutd.clock import Clock
from cutoutd.daemon.outcomes import Held
from cutoutd.failure import failure_of
from cutoutd.faults.isolation import Guard, is_expected, report, unforeseen
from cutoutd.faults.retry import ALONE_AFTER
from cutoutd.logs import get
from cutoutd.task_route import WorkerKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cutoutd.daemon.folder_set import FolderSet
    from cutoutd.daemon.offload_coordinator import Coordinator
    from cutoutd.daemon.outcomes import Outcomes
    from cutoutd.folder.hot_folder import HotFolder
    from cutoutd.jobs import Job
    from cutoutd.journal.queue import Queue
    from cutoutd.pool.file_opening import TaskPool


class Turns:
    """Chooses the next job; it reads the journal and starts nothing.

    Args:
        queue: the jobs in the journal.
        newest_first: by name of the folder, whether its newest file comes first.
        clock: clock for pauses after errors; the machine's by default.
    """

    def __init__(self, queue: Queue, newest_first: Mapping[str, bool], clock: Clock | None = None) -> None:
        self._queue = queue
        self._guard = Guard(get(), clock or Clock())
        self._newest_first = newest_first
        self._turn = list(newest_first)

    def arrange(self, newest_first: Mapping[str, bool]) -> None:
        """Set the folders; those that were there before keep their turn."""
        self._newest_first = newest_first
        stay = [name for name in self._turn if name in newest_first]
        self._turn = stay + [name for name in newest_first if name not in stay]

    def next_job(
        self,
        ready: Collection[str],
        *,
        pool_is_empty: bool,
        nothing_in_hand: bool = True,
        answered_only: Collection[str] = (),
        refused: Collection[str] = (),
        elsewhere: Collection[str] = (),
    ) -> Job | None:
        """Return the job to start now; None: there is none.

        Args:
            ready: names of the folders whose jobs may be started.
            pool_is_empty: whether no worker of this machine is busy. A job that needs all its memory is started only then, and no
                other job is started here before it, since it would otherwise wait for ever.
            nothing_in_hand: whether no job is in work at all, here or elsewhere. A job that is suspected of ending the daemon is
                started only then, and none before it.
            answered_only: names of folders of which only jobs with a hosted service's answer may be started.
            elsewhere: names of folders whose jobs other machines carry out, which need no memory of this one.
            refused: names of folders whose output has refused a result. They try one picture at a time, and pictures that were
                not tried yet come first: else two that keep failing would block all others.
        """
        is_waiting = False  # a job needs all memory of this machine
        for name in list(self._turn):
            if name not in ready or (is_waiting and name not in elsewhere):
                continue
            look = partial(
                self._queue.next_in,
                name,
                newest_first=self._newest_first[name],
                answered_only=name in answered_only,
                untried_first=name in refused,
            )
            job = self._guard.run(f"the queue of {name}", look, None)
            if job is None:
                continue
            if is_suspect(job) and not (pool_is_empty and nothing_in_hand):
                return None
            if job.alone and not (pool_is_empty or name in elsewhere):
                is_waiting = True
                continue
            self._turn.remove(name)
            self._turn.append(name)
            return job
        return None


class Dispatcher:
    """Starts jobs while workers are free, and knows which jobs are in work.

    Args:
        queue: the jobs in the journal.
        pool: the workers.
        folders: the hot folders, which may change.
        coordinator: adds the hosted route's part to a task.
        outcomes: receives a job that could not be started.
        clock: clock for monotonic times.

    Attributes:
        in_hand: the jobs that workers have, by id.
        is_work_wanted: whether more jobs could be started than there were, when that was last tried.
    """

    def __init__(
        self,
        queue: Queue,
        pool: TaskPool,
        folders: FolderSet,
        *,
        coordinator: Coordinator,
        outcomes: Outcomes,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._pool = pool
        self._folders = folders
        self._coordinator = coordinator
        self._outcomes = outcomes
        self._log = get()
        self._guard = Guard(self._log, clock)
        self._turns = Turns(queue, {}, clock)
        self._unsure_claim: int | None = None
        self.in_hand: dict[int, Held] = {}
        self.is_work_wanted = False

    def is_exhausted(self, *, is_paused: bool) -> bool:
        """Whether no job is in work, and none could be started even if all workers were free."""
        return (
            not self.in_hand and self._next_job(self._ready(is_paused=is_paused), pool_is_empty=True) is None
        )

    def dispatch(self, *, is_paused: bool) -> bool:
        """Start the jobs that can be started; returns whether there were any.

        Args:
            is_paused: whether a person has paused new work.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        begun = self.is_work_wanted = False
        if self._unsure_claim is not None:
            self._queue.put_back(self._unsure_claim)
            self._unsure_claim = None
        alone = [held for held in self.in_hand.values() if _is_alone(held)]
        if any(is_suspect(held.job) for held in alone):
            return begun
        active = self._folders.active
        self._turns.arrange({name: hot.folder.order == "newest" for name, hot in active.items()})
        while True:
            ready = {name for name in self._ready(is_paused=is_paused) if self._takes(active[name])}
            if alone:
                ready &= self._elsewhere()
            job = self._next_job(ready, pool_is_empty=self._pool.busy == 0)
            if job is None:
                self.is_work_wanted = bool(ready)
                break
            self._begin(job, active[job.folder])
            begun = True
            if _is_alone(self.in_hand.get(job.id)):
                break
        return begun

    def forget(self, job: Job) -> None:
        """Forget a job that no worker has any more."""
        self._guard.run("its files in the outbox", partial(self._coordinator.worker_done, job), None)
        self.in_hand.pop(job.id, None)

    def _elsewhere(self) -> set[str]:
        """Return the folders whose jobs other machines carry out now."""
        active = self._folders.active
        return {name for name in active if self._coordinator.kind_of(active[name]) is WorkerKind.CLUSTER}

    def _takes(self, folder: HotFolder) -> bool:
        kind = self._coordinator.kind_of(folder)
        return kind is not None and self._pool.takes(kind=kind)

    def _ready(self, *, is_paused: bool) -> set[str]:
        if is_paused:
            return set()
        return {
            name
            for name, folder in self._folders.active.items()
            if folder.may_work(self._pool.size) and not self._coordinator.is_given_up(folder)
        }

    def _next_job(self, ready: Collection[str], *, pool_is_empty: bool) -> Job | None:
        active = self._folders.active
        return self._turns.next_job(
            ready,
            pool_is_empty=pool_is_empty,
            nothing_in_hand=not self.in_hand,
            elsewhere=self._elsewhere(),
            answered_only=self._coordinator.blocked_folders(active),
            refused={name for name, hot in active.items() if hot.delivery.breaker.why},
        )

    def _begin(self, job: Job, folder: HotFolder) -> None:
        """Give a job to a worker; the job fails if that raises an unforeseen error."""
        try:
            # Before the claim: it reads the journal, which may refuse it.
            job, task = self._coordinator.prepare(job, folder, folder.task(job))
            self._claim(job)
            self.in_hand[job.id] = Held(job=job, folder=folder, task=task)
            self._pool.submit(task, folder.opener)
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a job", job=job.id, folder=job.folder, path=job.path)
            self._outcomes.give_up(job, folder, failure_of(unforeseen(error)))
            self.in_hand.pop(job.id, None)
            self.forget(job)

    def _claim(self, job: Job) -> None:
        """Claim a job in the journal; if that is refused, it is unknown whether the claim was written."""
        self._unsure_claim = job.id
        self._queue.claim(job)
        self._unsure_claim = None


def is_suspect(job: Job) -> bool:
    """Whether a job was in work so often when the daemon ended that it is cut with nothing beside it."""
    return job.alone and job.interrupted >= ALONE_AFTER


def _is_alone(held: Held | None) -> bool:
    """Whether nothing else may be started on this machine beside a job."""
    if held is None or not held.job.alone:
        return False
    return is_suspect(held.job) or held.task.kind is not WorkerKind.CLUSTER
