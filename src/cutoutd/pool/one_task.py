"""One picture through a pool, for whoever cuts just one: doctor's trial, and a replay."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import Task
from cutoutd.pool.task_files import open_files
from cutoutd.process import channel
from cutoutd.publish.staging import Staging, job_directory

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.protocols import Pool, PoolEvent
    from cutoutd.recipe import Recipe

_TURN_S: Final = 0.5


_JOB: Final = 1
_RUN: Final = "single"


def task_for(source: Path, directory: Path, recipe: Recipe) -> tuple[Task, Staging]:
    """A task about one file, as it is now, and where its results are staged.

    Args:
        source: the file.
        directory: that results are staged below; it is there, and nobody else's.
        recipe: what its cutout looks like.

    Raises:
        OSError: it is not there, or the directory cannot be written to.
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


def through(pool: Pool, task: Task, staging: Staging, clock: Clock, end_s: float) -> PoolEvent | None:
    """Give a task to a worker as soon as one is ready, and wait for what it says.

    Args:
        pool: has just been made.
        task: the one.
        staging: where its results go.
        clock: its monotonic side.
        end_s: when to wait no longer.

    Returns:
        What became of it; None if time is up.

    Raises:
        CutoutdError: its files cannot be opened, or as from `cutoutd.protocols.Pool.poll`.
    """
    given = False
    with clock.ticking():
        while (left_s := end_s - clock.monotonic_s()) > 0:
            if not given and pool.room(tagged=False):
                files = open_files(task, Path(task.source).parent, staging)
                pool.submit(task, files, partial(channel.close, files.descriptors))
                given = True
            for event in pool.poll(min(left_s, _TURN_S)):
                return event
    return None
