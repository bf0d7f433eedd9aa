"""A FIFO in the state directory by which another process wakes the daemon, so that it reads a new command at once.

The daemon looks at the journal twice a second anyway: a process that cannot wake it loses half a second and nothing else.
The FIFO must not carry the command.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE_NAME: Final = "wake"
_AT_ONCE: Final = 4096


def wake(state_dir: Path) -> None:
    """Have the daemon look at the journal now; does nothing if none is running."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(state_dir / FILE_NAME, flags)
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"\0")
        finally:
            os.close(descriptor)


def listen(state_dir: Path, woken: Callable[[], object]) -> None:
    """Start a thread that reads from the FIFO for as long as the process lives.

    Args:
        state_dir: this process's own state directory.
        woken: called from that thread when another process writes.
    """
    try:
        descriptor = _opened(state_dir / FILE_NAME)
    except OSError as error:  # such as on a file system without FIFOs
        get().info("daemon.not_woken", why=str(error))
        return
    threading.Thread(target=_listen, args=(descriptor, woken), name="wake", daemon=True).start()


def _opened(path: Path) -> int:
    if not (path.is_fifo() and not path.is_symlink()):
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    # Opened for reading and writing, so that it never reports end of file.
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return descriptor


def _listen(descriptor: int, woken: Callable[[], object]) -> None:
    while os.read(descriptor, _AT_ONCE):
        woken()
