"""Opens the files of a task for its worker, which can open none by itself: the picture, its result files, and the others.

Any call here may hang on a share. The picture is opened step by step from the input of its folder, so that no link and no
mount leads to another folder's. It must not read or write the files.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import SourceGoneError, StorageError, background_refused, from_os_error
from cutoutd.exchange import coarse_mattes
from cutoutd.fs.tree import parent_of
from cutoutd.process import channel
from cutoutd.protocols import Files
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.originals import open_put_away
from cutoutd.publish.staging import result_name
from cutoutd.recipe import Format
from cutoutd.task_route import WorkerKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.exchange.cutout_previews import PreviewStore
    from cutoutd.fs.tree import Boundary
    from cutoutd.jobs import Task
    from cutoutd.publish.staging import Staging

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def open_files(
    task: Task,
    root: Path,
    staging: Staging,
    boundary: Boundary | None = None,
    *,
    originals: Path | None = None,
    previews: PreviewStore | None = None,
    mattes: Path | None = None,
) -> Files:
    """Open the files of a task, which the caller closes.

    Args:
        task: the task.
        root: input of the folder.
        staging: directory of this attempt at the job; it is created for the results.
        boundary: what inside the input belongs to others; None: nothing.
        originals: the folder that originals are moved to; None: they are not moved.
        previews: keeps small versions of the results; None: they are not needed.
        mattes: state directory in which the page keeps coarse mattes; None: it keeps none.

    Raises:
        SourceGoneError: the picture is not there any more, or is not a regular file.
        StorageError: the disk or share of the picture, or of the reply of a hosted service, has a fault.
        OutputError: the result files cannot be created, or a background picture is missing.
    """
    with ExitStack() as opened:

        def kept(descriptor: int) -> int:
            opened.callback(partial(channel.close, (descriptor,)))
            return descriptor

        source = kept(_source(task, root, boundary, originals))
        backgrounds: tuple[int, ...] = ()
        results: tuple[int, ...] = ()
        single: dict[str, int] = {}
        if task.received is not None:
            single["reply"] = kept(_reply(Path(task.received.file)))
        if task.export is not None:
            single["copy"] = kept(_copy(Path(task.export.file)))
        else:
            asked = {one.picture for one in task.recipe.renditions if one.is_picture_asked}
            backgrounds = tuple(
                kept(_background(Path(one), is_asked=one in asked)) for one in task.recipe.backgrounds
            )
            with storage_faults(staging.directory):
                opened.callback(staging.remove_whole)
                results = tuple(map(kept, _results(task, staging)))
            if previews is not None and (draft := previews.open_draft(staging.directory.name)) is not None:
                single["preview"] = kept(draft)
            if (found := _matte(task, mattes)) is not None:
                single["matte"] = kept(found)
        opened.pop_all()
    return Files(source=source, results=results, backgrounds=backgrounds, **single)


def _source(task: Task, root: Path, boundary: Boundary | None, originals: Path | None) -> int:
    """Open the picture in the input, or where it was moved to after it was cut."""
    try:
        return _in_input(task, root, boundary)
    except SourceGoneError:
        if originals is None or task.put_away_sha256 is None:
            raise
        path = Path(task.source).relative_to(root).as_posix()
        descriptor = open_put_away(originals, path, task.put_away_sha256)
        if descriptor is None:
            raise
        return descriptor


def _in_input(task: Task, root: Path, boundary: Boundary | None) -> int:
    path = Path(task.source)
    try:
        with parent_of(os.fspath(root), path.relative_to(root).as_posix(), boundary) as (directory, name):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):  # opening a device can have effects of its own
                raise SourceGoneError("something else has its place", path=path)
            descriptor = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=directory)
    except OSError as error:
        raise from_os_error(error, path) from error
    if not _is_regular(descriptor):
        raise SourceGoneError("something else has its place", path=path)
    return descriptor


def _results(task: Task, staging: Staging) -> Iterator[int]:
    """Create a file for each rendition and one for an overlay, in a new directory. Yields their descriptors."""
    staging.open_fresh()
    formats = (*(one.format for one in task.recipe.renditions), Format.PNG)
    for number, kind in enumerate(formats):
        with staging.entry(result_name(task.job, number, kind.extension)) as entry:
            yield entry.open(_MAKE)


def _background(path: Path, *, is_asked: bool) -> int:
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        raise background_refused(path, f"cannot be read ({error.strerror})", is_asked=is_asked) from error
    if not _is_regular(descriptor):
        raise background_refused(path, "is not a file", is_asked=is_asked)
    return descriptor


def _reply(path: Path) -> int:
    try:
        descriptor = os.open(path, _READ | os.O_NOFOLLOW)
    except OSError as error:
        raise StorageError(f"the reply cannot be read: {error.strerror}", path=path) from error
    if not _is_regular(descriptor):
        raise StorageError("the reply is not a file", path=path)
    return descriptor


def _matte(task: Task, mattes: Path | None) -> int | None:
    """Open the kept matte of a correction; nothing that the page leaves comes to a worker of a tagged folder."""
    if mattes is None or task.correction is None or task.kind is not WorkerKind.LOCAL:
        return None
    return coarse_mattes.open_for(mattes, task.correction.sha256)


def _copy(path: Path) -> int:
    with storage_faults(path):
        path.unlink(missing_ok=True)
        return os.open(path, _MAKE, 0o600)


def _is_regular(descriptor: int) -> bool:
    """Whether an open file is a regular one; any other is closed."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return True
    os.close(descriptor)
    return False
