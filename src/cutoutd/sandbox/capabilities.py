"""Root's privileges, given up; see capabilities(7).

To a worker those remain by which root reads and writes the files of other users, because the service may be run as
root over their folders; to the uploader none. It must not be the only guard: for any other user it changes nothing.
"""

from __future__ import annotations

import ctypes
import struct

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.kernel import demand, is_linux, threads

_VERSION_3 = 0x20080522
ON_FILES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def give_up(kept: int = ON_FILES) -> bool:
    """Drop capabilities; without exec they cannot come back.

    Args:
        kept: bits of those that stay, where they are held; 0: none does.

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
    if (sets[1] & ~kept or sets[4]) and threads() > 1:
        raise CutoutdError("the sandbox could not be set up: other threads would keep their capabilities")
    left = struct.pack("=6I", sets[0] & kept, sets[1] & kept, 0, 0, 0, 0)
    demand("capset", "capset", header, ctypes.create_string_buffer(left, 24))
    return True
