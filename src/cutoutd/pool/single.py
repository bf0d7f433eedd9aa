"""One picture through a pool, for whoever cuts just one: doctor's trial, and a replay."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import Task

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.jobs import Recipe
    from cutoutd.ports import Pool, PoolEvent

_TURN_S: Final = 0.5


def task_for(source: Path, staging: Path, recipe: Recipe) -> Task:
    """A task about one file, as it is now.

    Raises:
        OSError: it is not there.
    """
    status = source.stat()
    return Task(
        job=1,
        source=os.fspath(source),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        staging=os.fspath(staging),
        published_sha256=None,
        recipe=recipe,
        alone=True,
    )


def through(pool: Pool, task: Task, clock: Clock, end_s: float) -> PoolEvent | None:
    """Give a task to a worker as soon as one is ready, and wait for what it says.

    Args:
        pool: has just been made.
        task: the one.
        clock: its monotonic side.
        end_s: when to wait no longer.

    Returns:
        What became of it; None if time is up.

    Raises:
        CutoutdError: as from `cutoutd.ports.Pool.poll`.
    """
    given = False
    with clock.ticking():
        while (left_s := end_s - clock.monotonic_s()) > 0:
            if not given and pool.takes(tagged=False):
                pool.submit(task)
                given = True
            for event in pool.poll(min(left_s, _TURN_S)):
                return event
    return None
