"""The directory in which results lie, whole and synced, until they get their names.

It is inside the output folder, so that a rename never leaves the file system, and has one sub-folder for each
run of the daemon, so that what a dead run left is known by its place. This module must not know which runs
are dead or which files a plan still needs: both are told to it.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from cutoutd.publish.writing import DEFAULT_PERMISSIONS, Permissions, Written, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

STAGING_NAME = ".cutoutd-staging"
_PRIVATE = 0o700  # until a result has its name it is nobody else's business


def result_name(job: int, number: int, extension: str) -> str:
    """What a worker calls the ``number``-th result of a job while it is staged."""
    return f"{job}-{number}.{extension}"


class Staging:
    """One run's staging directory in one folder.

    Args:
        root: the output or sidecar folder; it must exist when ``open`` is called.
        run: the id of this run of the daemon.
    """

    def __init__(self, root: Path, run: str) -> None:
        self.directory = root / STAGING_NAME / run

    def open(self) -> None:
        """Make the directory; the root itself is never made, as it may be a share that is not there now.

        Raises:
            OSError: the root is not there or cannot be written to.
        """
        for directory in (self.directory.parent, self.directory):
            directory.mkdir(mode=_PRIVATE, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where a staged file of this name lies."""
        return self.directory / name

    def write(self, name: str, content: bytes, permissions: Permissions = DEFAULT_PERMISSIONS) -> Written:
        """Stage a file of ours; see ``write_whole``.

        Raises:
            OSError: the disk refused it; nothing is left.
        """
        return write_whole(self.path(name), content, permissions)

    def discard(self, job: int) -> None:
        """Remove whatever one job has staged.

        Raises:
            OSError: the disk or share does not answer as it should.
        """
        for pattern in (f"{job}-*", f"{job}.*"):
            for path in self.directory.glob(pattern):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the directory if nothing is left in it, and its parent if no other run has one."""
        for directory in (self.directory, self.directory.parent):
            with suppress(OSError):
                directory.rmdir()


def sweep(root: Path, *, is_dead: Callable[[str], bool], needed: Collection[str]) -> tuple[Path, ...]:
    """Remove what dead runs left in a folder's staging directory.

    A run that the caller does not know for dead is left alone: another machine may work on the same share.

    Args:
        root: the output or sidecar folder.
        is_dead: whether a run of this id has ended; asked once for each.
        needed: absolute paths of staged files that a plan still names.

    Returns:
        What was removed.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    staging = root / STAGING_NAME
    if not staging.is_dir():
        return ()
    removed: list[Path] = []
    for run in sorted(staging.iterdir()):
        if run.is_symlink() or not run.is_dir() or not is_dead(run.name):
            continue
        for path in sorted(run.iterdir()):
            if str(path) in needed:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            removed.append(path)
        with suppress(OSError):  # a file that is still needed keeps it
            run.rmdir()
    with suppress(OSError):
        staging.rmdir()
    return tuple(removed)
