"""Drops the capabilities of root; see capabilities(7).

None remains, except the one to read files where root needs it for its own modules, as in a home that only its owner may
read. Pictures come as open files. It must not be the only protection: for any other user it changes nothing.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.kernel import demand, is_linux, threads

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION_3 = 0x20080522
_READ_ANY = 1 << 2  # CAP_DAC_READ_SEARCH


def drop(needed: Iterable[str | os.PathLike[str]] = ()) -> bool:
    """Drop capabilities. Without exec they cannot come back.

    Args:
        needed: paths that are read later. If one of them can be read by virtue of a capability only, CAP_DAC_READ_SEARCH
            is kept.

    Returns:
        False if this is not Linux.

    Raises:
        CutoutdError: there are other threads, which would keep their capabilities; or the kernel refused.
    """
    if not is_linux():
        return False
    held = ctypes.create_string_buffer(24)
    demand("capget", "capget", _header(), held)
    # Effective, permitted and inheritable sets: first their lower 32 bits, then the upper.
    sets = struct.unpack("=6I", held.raw)
    if (sets[1] or sets[4]) and threads() > 1:
        raise CutoutdError("the sandbox could not be set up: other threads would keep their capabilities")
    readable = [path for path in needed if _can_read(path)]
    reading = sets[1] & _READ_ANY
    _have(effective=0, permitted=reading)
    if reading and not all(map(_can_read, readable)):
        _have(effective=reading, permitted=reading)
    else:
        _have(effective=0, permitted=0)
    return True


def _header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)


def _have(*, effective: int, permitted: int) -> None:
    left = struct.pack("=6I", effective, permitted, 0, 0, 0, 0)
    demand("capset", "capset", _header(), ctypes.create_string_buffer(left, 24))


def _can_read(path: str | os.PathLike[str]) -> bool:
    """Whether a file can be read, or a directory listed and searched."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        if os.path.isdir(path):  # noqa: PTH112 -- what is given may be text
            os.stat(os.path.join(path, "."))  # noqa: PTH116, PTH118 -- a path of its own would lose the dot
    except OSError:
        return False
    return True
