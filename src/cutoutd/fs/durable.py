"""Makes names durable: creates and syncs directories.

Syncing a file does not make its name durable, nor the entry of a directory in its parent: each directory is synced by
itself. This module must not know what the directories hold.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cutoutd.errnos import NO_DIRECTORY_SYNC

if TYPE_CHECKING:
    from pathlib import Path


def sync_directory(path: Path) -> None:
    """Sync the names in a directory to the disk.

    Raises:
        OSError: the disk or share failed.
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
    """Create a directory if it is missing, and sync its name: without it, the content would be lost.

    Args:
        path: absolute path.
        parents: whether to create missing parents as well.
        mode: mode of the directory itself, less the umask.

    Raises:
        FileNotFoundError: the parent is missing, and ``parents`` is false.
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
    """Sync a file or directory to the disk, past the cache of the drive where the system can.

    Raises:
        OSError: the disk or share failed; what is on the disk is unknown then.
    """
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - only macOS needs it: there, fsync does not flush the cache of the drive

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in NO_DIRECTORY_SYNC:
                raise
        else:
            return
    os.fsync(descriptor)
