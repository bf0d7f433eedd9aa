"""Resource limits of a process, its bond to its parent, the protection of its memory, and its access to a terminal.

It must not refuse system calls or files; `cutoutd.sandbox.seccomp` and `cutoutd.sandbox.landlock` do.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.kernel import demand, is_linux

_SET_PDEATHSIG, _GET_PDEATHSIG, _SET_DUMPABLE = 1, 2, 4
_OPEN_FILES = 256  # a worker has about a dozen open; the rest is room for libraries
_MIB = 1 << 20


def bound_resources(
    *, memory_mb: int, nice: int, file_bytes: int | None = None, open_files: int = _OPEN_FILES
) -> bool:
    """Limit this process: address space, open files, size of files, no core dumps (they hold pictures), priority.

    Limits and the priority are only ever lowered. Beyond the address space, allocation fails with MemoryError and the
    process lives on. There is no limit on processes: it would count all processes of the user.

    Args:
        memory_mb: address space in MiB, code and model included; above 0.
        nice: niceness, 0..19, as in nice(1).
        file_bytes: size of each file that it writes; beyond it, writing fails with EFBIG. None: no limit.
        open_files: number of open files.

    Returns:
        False where the system does not have such limits (macOS has none on address space).

    Raises:
        CutoutdError: Linux refused a limit.
    """
    try:
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_NOFILE, open_files)
        _lower(resource.RLIMIT_AS, memory_mb * _MIB)
        if file_bytes is not None:
            _lower(resource.RLIMIT_FSIZE, file_bytes)
        os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    except (OSError, ValueError) as error:
        if is_linux():
            raise CutoutdError(f"the sandbox could not be set up: a resource limit: {error}") from error
        return False
    return True


def die_with_parent(parent_pid: int) -> bool:
    """Have the kernel kill this process when its parent ends, however it ends.

    To be called at the very start of a worker. The kernel takes the *thread* that started the worker for the parent, so
    that thread must live as long as the workers.

    Args:
        parent_pid: process id of the parent, as the parent itself reported it.

    Returns:
        False if this is not Linux.

    Raises:
        CutoutdError: the parent is gone already, or the kernel refused.
    """
    if not is_linux():
        return False
    demand("PR_SET_PDEATHSIG", "prctl", _SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the call above, which then waits for the end of another process.
    if os.getppid() != parent_pid:
        raise CutoutdError(f"the process that started this one ({parent_pid}) is gone")
    return True


def dies_with_parent() -> bool:
    """Whether `die_with_parent` is in force."""
    if not is_linux():
        return False
    number = ctypes.create_string_buffer(4)
    demand("PR_GET_PDEATHSIG", "prctl", _GET_PDEATHSIG, number, 0, 0, 0)
    return int.from_bytes(number.raw, sys.byteorder) == signal.SIGKILL


def hide_memory() -> bool:
    """Keep other processes of this user from reading or writing our memory (PR_SET_DUMPABLE, proc(5)).

    Returns:
        False if this is not Linux.

    Raises:
        CutoutdError: the kernel refused.
    """
    if not is_linux():
        return False
    demand("PR_SET_DUMPABLE", "prctl", _SET_DUMPABLE, 0, 0, 0, 0)
    return True


def lower_session_priority(nice: int) -> bool:
    """Lower the priority of the session of this process, where Linux schedules by session: sched(7), autogroup.

    There, niceness counts within a session only, so it has no effect for a process that leads a session of its own.

    Args:
        nice: niceness, 0..19, as in nice(1).

    Returns:
        False where there are no such groups, or the kernel limits the rate of changes.
    """
    try:
        Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")
    except OSError:
        return False
    return True


def keep_terminal_for_writing() -> None:
    """Reopen standard output and error for writing only, if they are a terminal, and connect standard input to /dev/null.

    A shell opens a terminal for reading and writing at once, so whatever is typed later could be read from standard error.
    Workers do not need this: they have pipes.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing:
        os.close(nothing)
    for descriptor in (1, 2):
        with suppress(OSError):  # closed, or no terminal
            terminal = os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY)
            os.dup2(terminal, descriptor)
            os.close(terminal)


def _lower(kind: int, wanted: int) -> None:
    limit = min([wanted, *(now for now in resource.getrlimit(kind) if now != resource.RLIM_INFINITY)])
    resource.setrlimit(kind, (limit, limit))
