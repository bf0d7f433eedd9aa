"""Where the page is served, for the commands that open it: a file in the state directory, and a lock while it is.

It must not know who serves.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import OpenedNames, read_small
from cutoutd.page.pairing import directory
from cutoutd.webserver.backend import single_process

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

_ADDRESS: Final = "address"
_NAMES: Final = OpenedNames(
    files=(single_process.LOCK, _ADDRESS, f"{_ADDRESS}.new", "sessions.json", "sessions.new")
)
_MAX_ADDRESS: Final = 1000


@contextmanager
def held(state_dir: Path, *, ending: threading.Event | None) -> Iterator[bool]:
    """Be the one who serves the page of a state directory; whether we are.

    Args:
        state_dir: made if it is missing.
        ending: whoever serves it now is waited for, until this is set; None: nobody is waited for.

    Raises:
        AlreadyRunningError: another one does, and is not waited for.
        NotPrivateError: the directory is not safe from others.
        StorageError: the disk refuses.
    """
    place = directory(state_dir)
    with single_process.held(place, _NAMES, what="page", ending=ending) as is_held:
        if is_held:
            with suppress(FileNotFoundError):
                (place / _ADDRESS).unlink()
        yield is_held


def announce(state_dir: Path, address: str) -> None:
    """Say where the page is.

    Raises:
        OSError: the disk refuses.
    """
    atomic_write(directory(state_dir) / _ADDRESS, [address.encode()], synced=False)


def running(state_dir: Path) -> str | None:
    """Where the page of a state directory is served now; None if it is not.

    Raises:
        OSError: it cannot be looked at.
    """
    place = directory(state_dir)
    try:
        lock = os.open(place / single_process.LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(FileNotFoundError):
            return read_small(place / _ADDRESS, _MAX_ADDRESS).decode()
    finally:
        os.close(lock)
    return None
