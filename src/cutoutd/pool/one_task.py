"""Runs a single task through a pool, for `cutoutd doctor` and for replays."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import Task
from cutoutd.pool.task_files import open_files
from cutoutd.process import channel
from cutoutd.publish.staging import Staging, job_directory
from cutoutd.task_route import WorkerKind

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.protocols import Pool, PoolEvent
    from cutoutd.recipe import Recipe

_TURN_S: Final = 0.5


_JOB: Final = 1
_RUN: Final = "single"


def task_for(source: Path, directory: Path, recipe: Recipe) -> tuple[Task, Staging]:
    """Return a task for one file as it is now, and the staging directory of its results.

    Args:
        source: the file.
        directory: an existing directory, used by the caller alone, below which results are staged.
        recipe: how the cutout is to look.

    Raises:
        OSError: the file does not exist, or the directory cannot be written to.
    """
    status = source.stat()
    staging = Staging(directory, _RUN)
    staging.open()
    staging = staging.of_job(job_directory(_JOB))
    task = Task(
        job=_JOB,
        source=os.fspath(source),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        staging=os.fspath(staging.directory),
        published_sha256=None,
        recipe=recipe,
        alone=True,
    )
    return task, staging


def run_task(pool: Pool, task: Task, staging: Staging, clock: Clock, end_s: float) -> PoolEvent | None:
    """Give a task to a worker as soon as one is ready, and wait for the result.

    Args:
        pool: a new pool.
        task: the task.
        staging: staging directory of the results.
        clock: source of monotonic time.
        end_s: end of the wait, in monotonic seconds.

    Returns:
        The event that ended the task; None when the time is up.

    Raises:
        CutoutdError: the files cannot be opened, or as from `cutoutd.protocols.Pool.poll`.
    """
    given = False
    with clock.ticking():
        while (left_s := end_s - clock.monotonic_s()) > 0:
            if not given and pool.room(kind=WorkerKind.LOCAL):
                files = open_files(task, Path(task.source).parent, staging)
                pool.submit(task, files, partial(channel.close, files.descriptors))
                given = True
            for event in pool.poll(min(left_s, _TURN_S)):
                return event
    return None
