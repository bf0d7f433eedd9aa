"""The time at which a file or directory was created, where the file system knows it."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

# linux/stat.h and fcntl.h
_STATX_BTIME: Final = 0x800
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_EMPTY_PATH: Final = 0x1000
_SIZE: Final = 256  # of struct statx; its mask is at 0, and the time of birth at 80


def born_us(directory: int, name: str = "") -> int | None:
    """Return when a file was created, UTC microseconds; None where the file system does not tell.

    Args:
        directory: descriptor of a directory.
        name: name of a file in it, which is not followed if it is a link; empty: the directory itself.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(name, dir_fd=directory, follow_symlinks=False) if name else os.fstat(directory)
    seconds: float | None = getattr(status, "st_birthtime", None)  # on a Mac
    return int(seconds * 1_000_000) if seconds is not None else _by_statx(directory, name)


def _by_statx(directory: int, name: str) -> int | None:
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is None:
        return None
    answer = ctypes.create_string_buffer(_SIZE)
    flags = _AT_SYMLINK_NOFOLLOW | (0 if name else _AT_EMPTY_PATH)
    if statx(directory, os.fsencode(name), flags, ctypes.c_uint(_STATX_BTIME), answer) != 0:
        return None
    (told,) = struct.unpack_from("=I", answer, 0)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, 80)
    return int(seconds) * 1_000_000 + int(nanoseconds) // 1000 if told & _STATX_BTIME else None
