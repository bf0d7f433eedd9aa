"""The directory for temporary files of `cutoutd worker`, which is removed when its process has ended, however that ends.

The process may write inside it and nowhere else, so it cannot remove it. A process that is started before the confinement waits for
its end and does that, with what Dask leaves there; it may write inside it as well, and remove empty directories beside it. This module
must not import others that start a thread.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from cutoutd.errors import StorageError
from cutoutd.fs.private_directory import OpenedNames, open_private
from cutoutd.sandbox import landlock

_STREAMS: Final = (0, 1, 2)
_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that a service manager or a terminal sends to all processes: this one ends after the one that it waits for."""

_HELD: Final[list[int]] = []
"""Descriptors that stay open until this process has ended."""


def make(name: str) -> Path:
    """Make this process's directory for temporary files, and have it removed after the end of this process.

    Args:
        name: its name, which is the same at each start; a process that still has it and one that begins to use it share it.

    Raises:
        NotPrivateError: others can change its content.
        StorageError: the disk refuses.
    """
    own = Path(tempfile.gettempdir()) / name
    try:
        directory = _locked(own)
        _remove_after_end(own, directory)
    except OSError as error:
        raise StorageError(f"the system says: {error.strerror}", path=own) from error
    return own


def _locked(own: Path) -> int:
    """Open the directory with a shared lock, so that nobody removes it; returns its descriptor."""
    while True:
        directory, _ = open_private(own, OpenedNames())
        fcntl.flock(directory, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(directory), own.lstat()):
                return directory
        os.close(directory)  # it was removed a moment ago


def _remove_after_end(own: Path, directory: int) -> None:
    end, held = os.pipe()
    if os.fork() != 0:
        os.close(end)
        _HELD.extend((held, directory))
        return
    try:
        os.close(held)
        os.setsid()
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in _STREAMS:
            os.dup2(nothing, stream)
        landlock.restrict((), (own,), remove=(own.parent,))
        os.read(end, 1)  # nobody writes: it returns when the last holder has ended
        # Of the lock that both have: refused if another process uses the directory by now.
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(own, ignore_errors=True)
    except BaseException:  # noqa: BLE001, S110 -- what is left is small, and there is nobody to be told
        pass
    finally:
        os._exit(0)
