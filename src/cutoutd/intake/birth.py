"""When a file was made, where the file system tells: overwriting keeps that time, and a new file has its own.

It must not open a file.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from cutoutd.fs.descent import parent_of

# linux/stat.h and fcntl.h
_STATX_BTIME: Final = 0x800
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_SIZE: Final = 256  # of struct statx; its mask is at 0, and the time of birth at 80


def born_us(root: str, path: str) -> int | None:
    """UTC microseconds; None where it is not told.

    Args:
        root: the folder's input.
        path: of the file, relative to the root.
    """
    try:
        with parent_of(root, path) as (directory, name):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            seconds: float | None = getattr(status, "st_birthtime", None)  # on a Mac
            return int(seconds * 1_000_000) if seconds is not None else _by_statx(directory, name)
    except OSError:
        return None


def _by_statx(directory: int, name: str) -> int | None:
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is None:
        return None
    answer = ctypes.create_string_buffer(_SIZE)
    wanted = ctypes.c_uint(_STATX_BTIME)
    if statx(directory, os.fsencode(name), _AT_SYMLINK_NOFOLLOW, wanted, answer) != 0:
        return None
    (told,) = struct.unpack_from("=I", answer, 0)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, 80)
    return int(seconds) * 1_000_000 + int(nanoseconds) // 1000 if told & _STATX_BTIME else None
