"""One process at a time serves a state directory: a lock in a directory of its own, and a file that says where."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.errors import AlreadyRunningError, StorageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import OpenedNames, open_private, read_small

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

LOCK: Final = "lock"
ADDRESS: Final = "address"
"""In the directory: where it is served."""

_MAX_ADDRESS: Final = 1000
_LOOK_S: Final = 1.0


@contextmanager
def held(place: Path, names: OpenedNames, *, what: str, ending: threading.Event | None) -> Iterator[bool]:
    """Be the one who serves; whether we are.

    Args:
        place: the directory; made if it is missing.
        names: what is opened in it, the lock among them.
        what: is served, as messages name it; it begins the names of events in the log.
        ending: whoever serves it now is waited for, until this is set; None: nobody is waited for.

    Raises:
        AlreadyRunningError: another one does, and is not waited for.
        NotPrivateError: the directory is not safe from others.
        StorageError: the disk refuses.
    """
    try:
        home, _ = open_private(place, names)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(LOCK, flags, 0o600, dir_fd=home)
        finally:
            os.close(home)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=place) from error
    try:
        is_held = _locked(lock)
        if not is_held:
            if ending is None:
                raise AlreadyRunningError(f"the {what} is served already", path=place)
            logs.get().info(f"{what}.waits", why=f"another process serves the {what}")
            # A signal would not end a call that waits.
            while not (is_held := _locked(lock)) and not ending.wait(_LOOK_S):
                pass
        if is_held:
            with suppress(FileNotFoundError):
                (place / ADDRESS).unlink()  # of whoever served it before
        yield is_held
    finally:
        os.close(lock)


def announce(place: Path, address: str) -> None:
    """Say where it is served.

    Raises:
        OSError: the disk refuses.
    """
    atomic_write(place / ADDRESS, [address.encode()], synced=False)


def served_at(place: Path) -> str | None:
    """Where it is served now; None if it is not.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        lock = os.open(place / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(FileNotFoundError):
            return read_small(place / ADDRESS, _MAX_ADDRESS).decode()
    finally:
        os.close(lock)
    return None


def end_on_signals(ending: threading.Event) -> None:
    """Have the signals that ask a process to end set an event."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _, __: ending.set())


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
