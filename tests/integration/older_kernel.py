"""Runs a command as on an older kernel: some system calls do not exist for it (ENOSYS).

Usage: ``python older_kernel.py LAYERS COMMAND...``; LAYERS: ``landlock``, ``seccomp``, or both with a comma.
A filter does this. It is active before the command starts and cannot be removed.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from cutoutd.sandbox import calls
from cutoutd.sandbox.bpf import Instruction, Operation, assemble
from cutoutd.sandbox.policy import ALLOW, UNKNOWN

_SET_SECCOMP, _MODE_FILTER, _SET_NO_NEW_PRIVS = 22, 2, 38


def hide(numbers: list[int]) -> None:
    """Hide these calls from now on. The filter is installed by prctl(2), so seccomp(2) itself can be hidden."""
    program = assemble(
        [
            Instruction(operation=Operation.LOAD, operand=0),
            *(Instruction(operation=Operation.IF_EQUAL, operand=number, then="none") for number in numbers),
            Instruction(operation=Operation.RETURN, operand=ALLOW),
            "none",
            Instruction(operation=Operation.RETURN, operand=UNKNOWN),
        ]
    )
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _MODE_FILTER, header):
        raise OSError(ctypes.get_errno(), "no such filter here")


def main() -> None:
    """Replace this process with the command."""
    machine = calls.this_machine()
    assert machine is not None
    numbers = {"landlock": [444, 445, 446], "seccomp": [machine.seccomp]}
    hide([number for layer in sys.argv[1].split(",") for number in numbers[layer]])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 -- the command is the test's


if __name__ == "__main__":
    main()
