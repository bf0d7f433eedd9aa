"""Where the page is served, for the commands that open it: a file in the state directory, and a lock while it is.

It must not know who serves.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.errors import AlreadyRunningError, StorageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import OpenedNames, open_private, read_small
from cutoutd.page.pairing import directory

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

_LOCK: Final = "lock"
_ADDRESS: Final = "address"
_NAMES: Final = OpenedNames(files=(_LOCK, _ADDRESS, f"{_ADDRESS}.new", "sessions.json", "sessions.new"))
_LOOK_S: Final = 1.0
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
    try:
        home, _ = open_private(place, _NAMES)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(_LOCK, flags, 0o600, dir_fd=home)
        finally:
            os.close(home)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=place) from error
    try:
        is_held = _locked(lock)
        if not is_held:
            if ending is None:
                raise AlreadyRunningError("the page is served already", path=place)
            logs.get().info("page.waits", why="another process serves the page")
            # A signal would not end a call that waits.
            while not (is_held := _locked(lock)) and not ending.wait(_LOOK_S):
                pass
        if is_held:
            with suppress(FileNotFoundError):
                (place / _ADDRESS).unlink()
        yield is_held
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
        lock = os.open(place / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
