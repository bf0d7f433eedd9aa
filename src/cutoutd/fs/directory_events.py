"""Waits for changes of the files in one directory, by inotify(7): whoever waits takes no processor time.

Only the directory's own files count, and only what changes them: not reading, and not each single write. It must not look at files.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# sys/inotify.h
_CLOSE_WRITE: Final = 0x8
_MOVED_TO: Final = 0x80
_DELETE: Final = 0x200
_IGNORED: Final = 0x8000
_ONLY_DIRECTORY: Final = 0x0100_0000

_HEAD: Final = struct.Struct("iIII")
"""Of an event: watch, mask, cookie, and the length of the name that follows."""

_AT_ONCE: Final = 1 << 16


class DirectoryEvents:
    """The changes of one directory since this was made. One thread at a time.

    Args:
        path: of the directory.

    Attributes:
        is_over: whether the directory itself was removed, so that nothing more is heard of it.

    Raises:
        OSError: this system has no inotify, all instances are in use, or there is no such directory.
    """

    def __init__(self, path: Path) -> None:
        self.is_over = False
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "inotify_init1"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._descriptor = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            mask = ctypes.c_uint32(_CLOSE_WRITE | _MOVED_TO | _DELETE | _ONLY_DIRECTORY)
            _checked(libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask))
        except OSError:
            self.close()
            raise

    def wait(self, timeout_s: float) -> bool:
        """Wait for a change. Returns whether there was one; several are told of together.

        Args:
            timeout_s: longest wait, seconds.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(1000 * timeout_s):
            return False
        while self._take():
            pass
        return True

    def close(self) -> None:
        """Hear no more."""
        os.close(self._descriptor)

    def _take(self) -> bool:
        """Take some of the events that wait. Returns whether there were any."""
        try:
            events = os.read(self._descriptor, _AT_ONCE)
        except BlockingIOError:
            return False
        at = 0
        while at < len(events):
            _, mask, _, name_bytes = _HEAD.unpack_from(events, at)
            self.is_over = self.is_over or bool(mask & _IGNORED)
            at += _HEAD.size + name_bytes
        return True


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
