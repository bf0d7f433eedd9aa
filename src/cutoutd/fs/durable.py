"""Seeing names onto the disk: directories that are made, and directories that are synced.

A file's own fsync does not keep its name, nor a directory's entry in its parent: each directory is synced for
itself. This module must not know what lies in them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cutoutd.errnos import NO_DIRECTORY_SYNC

if TYPE_CHECKING:
    from pathlib import Path


def sync_directory(path: Path) -> None:
    """See the names in a directory onto the disk.

    Raises:
        OSError: the disk or share failed at it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno not in NO_DIRECTORY_SYNC:
            error.filename = os.fspath(path)
            raise
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, parents: bool, mode: int = 0o777) -> None:
    """Make a directory if it is missing, and see its name onto the disk: what lies in it is lost with its name.

    Args:
        path: absolute.
        parents: make what is missing above it as well.
        mode: of the directory itself, less the umask.

    Raises:
        FileNotFoundError: its parent is missing, and is not to be made.
        OSError: any other reason of the system.
    """
    made = []
    place = path
    while not place.is_dir():
        made.append(place)
        place = place.parent
    path.mkdir(mode=mode, parents=parents, exist_ok=True)
    for directory in made:
        sync_directory(directory.parent)


def sync(descriptor: int) -> None:
    """See a file or directory onto the disk, through the drive's own cache where the system can.

    Raises:
        OSError: the disk or share failed at it; what is on the disk is unknown then.
    """
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - only macOS needs it: there fsync stops short of the drive's own cache

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in NO_DIRECTORY_SYNC:
                raise
        else:
            return
    os.fsync(descriptor)
