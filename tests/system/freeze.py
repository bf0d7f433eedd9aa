"""Stops the main thread of a process and no other, as a loop that hangs would: ``python freeze.py PID``, as root.

It goes on until the process is gone.
"""

from __future__ import annotations

import ctypes
import os
import sys

_SEIZE = 0x4206
_INTERRUPT = 0x4207
_WALL = 0x40000000


def main(pid: int) -> None:
    """Stop the process's main thread until the process has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (_SEIZE, _INTERRUPT):
        if libc.ptrace(request, pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(pid, _WALL)
    sys.stdout.write("held\n")
    sys.stdout.flush()
    while True:
        _, status = os.waitpid(pid, _WALL)
        if not os.WIFSTOPPED(status):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
