"""Makes the system calls that Python has no function for, through ctypes.

It must not decide what is refused or allowed; the modules beside it do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import cache
from pathlib import Path

from cutoutd.errors import CutoutdError

_SET_NO_NEW_PRIVS = 38


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def is_linux() -> bool:
    """Whether the layers of this package can exist here."""
    return sys.platform == "linux"


def call(function: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Call a function of the C library that sets errno. Integers are passed as 64 bits.

    Args:
        function: ``syscall``, ``prctl``, ``capget`` or ``capset``.
        arguments: numbers, buffers (passed by address) or None (a null pointer).

    Returns:
        The result of the function, or minus errno where it failed.
    """
    # ctypes passes a bare int as 32 bits and leaves the upper half of the register undefined.
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    c_function = _libc()[function]
    c_function.restype = ctypes.c_long if function == "syscall" else ctypes.c_int
    ctypes.set_errno(0)
    result = int(c_function(*words))
    return -ctypes.get_errno() if result == -1 else result


def demand(what: str, function: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Like `call`, for a call that must succeed.

    Raises:
        CutoutdError: the kernel refused; the message has ``what`` and the reason of the kernel.
    """
    result = call(function, *arguments)
    if result < 0:
        raise CutoutdError(f"the sandbox could not be set up: {what}: {os.strerror(-result)}")
    return result


def set_no_new_privileges() -> None:
    """Set PR_SET_NO_NEW_PRIVS: without it, Landlock and seccomp are for root only.

    Raises:
        CutoutdError: the kernel refused.
    """
    demand("PR_SET_NO_NEW_PRIVS", "prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def threads() -> int:
    """Return how many threads this process has; on other systems than Linux, those that Python knows."""
    if not is_linux():
        return threading.active_count()
    return sum(1 for _ in Path("/proc/self/task").iterdir())
