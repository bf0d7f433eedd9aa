"""One process at a time serves a state directory: a lock, and a file with the address, in a directory of their own."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.errors import AlreadyRunningError, StorageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import OpenedNames, read_small
from cutoutd.fs.private_lock import LOCK_FILE, open_lock, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.process.stop_flag import StopFlag

ADDRESS: Final = "address"
"""In the directory: where it is served."""

_MAX_ADDRESS: Final = 1000
_LOOK_S: Final = 1.0


@contextmanager
def held(place: Path, names: OpenedNames, *, what: str, ending: StopFlag | None) -> Iterator[bool]:
    """Hold the lock of a service. Yields whether it is held.

    Args:
        place: directory of the lock; made if it is missing.
        names: names of the files in the directory, the lock among them.
        what: name of the service in messages, and prefix of log events.
        ending: wait for the lock until this is set; None: do not wait.

    Raises:
        AlreadyRunningError: another process holds the lock, and ``ending`` is None.
        NotPrivateError: other users can write to the directory.
        StorageError: a disk error.
    """
    with open_lock(place, names) as lock:
        is_held = try_lock(lock)
        if not is_held:
            if ending is None:
                raise AlreadyRunningError(f"the {what} is served already", path=place)
            logs.get().info(f"{what}.waits", why=f"another process serves the {what}")
            # A signal would not end a call that waits.
            while not (is_held := try_lock(lock)) and not ending.wait(_LOOK_S):
                pass
        if is_held:
            with suppress(FileNotFoundError):
                (place / ADDRESS).unlink()  # of whoever served it before
        yield is_held


def announce(place: Path, address: str) -> None:
    """Write the address that is served.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        atomic_write(place / ADDRESS, [address.encode()], synced=False)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=place) from error


def served_at(place: Path) -> str | None:
    """Return the address that is served now; None if none is.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        lock = os.open(place / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
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


def former_port(place: Path) -> int | None:
    """Return the port of whoever served last and has left its address; None if that is not known."""
    with suppress(OSError, ValueError):
        return int(read_small(place / ADDRESS, _MAX_ADDRESS).decode().rpartition(":")[2])
    return None


def end_on_signals(ending: StopFlag) -> None:
    """Install handlers of the termination signals that set an event."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _, __: ending.set())
