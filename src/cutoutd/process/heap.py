"""Keeps freed memory in the process: pictures come and go, and pages that are given back are zeroed again for the next one.

Workers get the same by their environment (`cutoutd.pool.slot`); processes that anybody may start set it themselves. After mallopt(3).
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
KEPT_BYTES: Final = 64 << 20
_LARGE_BYTES: Final = 32 << 20
"""The greatest value that the C library accepts; larger blocks are given back at once."""


def keep_freed_memory() -> bool:
    """Keep up to `KEPT_BYTES` of freed memory for later use. Returns False where the C library cannot."""
    with suppress(OSError, AttributeError):  # not the GNU C library
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(_MMAP_THRESHOLD, _LARGE_BYTES))
    return False
