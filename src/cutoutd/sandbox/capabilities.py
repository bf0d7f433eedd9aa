"""Root's privileges, given up by a worker; see capabilities(7).

Only those remain by which root reads and writes the files of other users, because the service may be run as
root over their folders. It must not be the only guard: for any other user it changes nothing.
"""

from __future__ import annotations

import ctypes
import struct

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.kernel import demand, is_linux, threads

_VERSION_3 = 0x20080522
_KEPT = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def give_up() -> bool:
    """Drop all capabilities but those on files; without exec they cannot come back.

    Returns:
        False off Linux.

    Raises:
        CutoutdError: there are other threads, which would keep theirs; or the kernel refused.
    """
    if not is_linux():
        return False
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)
    held = ctypes.create_string_buffer(24)
    demand("capget", "capget", header, held)
    # Effective, permitted and inheritable sets: first their lower 32 bits, then the upper.
    sets = struct.unpack("=6I", held.raw)
    if (sets[1] & ~_KEPT or sets[4]) and threads() > 1:
        raise CutoutdError("the sandbox could not be set up: other threads would keep their capabilities")
    kept = struct.pack("=6I", sets[0] & _KEPT, sets[1] & _KEPT, 0, 0, 0, 0)
    demand("capset", "capset", header, ctypes.create_string_buffer(kept, 24))
    return True
