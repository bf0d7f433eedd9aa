"""Opens the files of a task, for tests that do a worker's work in their own process."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.pool.task_files import open_files
from cutoutd.process import channel
from cutoutd.protocols import Files
from cutoutd.publish.staging import result_name
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.jobs import Task
    from cutoutd.publish.staging import Staging


@contextmanager
def results_of(task: Task) -> Iterator[Files]:
    """Open files for the results of a task, in the directory that it names; those that stay empty are removed again."""
    formats = (*(one.format for one in task.recipe.renditions), Format.PNG)
    names = [result_name(task.job, number, one.extension) for number, one in enumerate(formats)]
    paths = [Path(task.staging, name) for name in names]
    files = Files(
        source=os.open(os.devnull, os.O_RDONLY),
        results=tuple(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666) for path in paths),
    )
    try:
        yield files
    finally:
        channel.close(files.descriptors)
        for path in paths:
            if path.stat().st_size == 0:
                path.unlink()


@contextmanager
def files_of(task: Task, staging: Staging) -> Iterator[Files]:
    """Open the files of a task as the folder's thread does. If the block raises, all of them are removed again, else those that stay empty.

    Args:
        task: the task; its picture is in the root of its folder.
        staging: directory of the job, which is created.
    """
    files = open_files(task, Path(task.source).parent, staging)
    try:
        yield files
    except BaseException:
        staging.remove_whole()
        raise
    finally:
        channel.close(files.descriptors)
        for path in staging.directory.glob("*"):
            if path.stat().st_size == 0:
                path.unlink()
