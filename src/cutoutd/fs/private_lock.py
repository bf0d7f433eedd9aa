"""A lock file in a private directory, by which one process at a time works there."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd.errors import StorageError
from cutoutd.fs.private_directory import open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.private_directory import OpenedNames

LOCK_FILE: Final = "lock"
"""Its name; it must be among the names that are opened in the directory."""

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_lock(
    directory: Path,
    names: OpenedNames,
    *,
    check: Callable[[Path], None] | None = None,
    make: Callable[[], None] | None = None,
) -> Iterator[int]:
    """Open the lock file of a directory, and create both if they are missing. Yields the descriptor of the lock file.

    Args:
        directory: the directory.
        names: names that are opened in it.
        check: called before the directory is opened.
        make: creates its sub-directories.

    Raises:
        NotPrivateError: other users can change the directory.
        StorageError: the disk refuses.
    """
    try:
        if check is not None:
            check(directory)
        opened, _ = open_private(directory, names)
        try:
            if make is not None:
                make()
            descriptor = os.open(LOCK_FILE, _FLAGS, 0o600, dir_fd=opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=directory) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock a file for this process alone. Returns whether it is locked; it stays so until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
