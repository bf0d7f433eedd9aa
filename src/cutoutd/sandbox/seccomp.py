"""The system-call filters: no socket at all for a worker, none to a network for the supervisor, those alone for the uploader.

Both are installed on every thread of the process at once (SECCOMP_FILTER_FLAG_TSYNC), because a thread that
a library started on import would keep what a filter of one thread takes away; both survive exec. They must
not be relied on for files: Landlock says which may be read and written, and the worker's filter only closes
what Landlock leaves open, in whole (chmod, chown, times, attributes) or before its third ABI (truncation).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.calls import (
    BY_POINTER,
    FILES,
    INTRUSION,
    MACHINE,
    PROCESSES,
    RINGS,
    SHARED,
    SOCKETS,
    this_machine,
)
from cutoutd.sandbox.kernel import call, demand, renounce_privileges
from cutoutd.sandbox.policy import Check, Policy, translate

_SET_MODE_FILTER = 1
_FLAG_TSYNC = 1

_AF_UNIX = 1
_NETWORK = (
    2,
    10,
    16,
)  # AF_INET, AF_INET6, and AF_NETLINK: the C library asks which addresses this machine has
_PROTOCOLS = (0, 6, 17)  # the family's own choice (of netlink: routes), TCP, UDP
_SERVING = ("listen", "accept", "accept4", "socketpair")
_SECOND_NAMES = ("link", "linkat")
_CLONE_THREAD = 0x00010000
_OPEN_FLAGS = os.O_ACCMODE | os.O_TRUNC
_TRUNCATING_READS = (os.O_RDONLY | os.O_TRUNC, os.O_ACCMODE | os.O_TRUNC)
_FCNTL_SIGNALS_AND_LEASES = (8, 10, 15, 1024)  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE
# TIOCSTI and TIOCLINUX type into the user's terminal; TIOCSCTTY takes it; FIOSETOWN and SIOCSPGRP aim signals;
# FS_IOC_SETFLAGS and FS_IOC_FSSETXATTR change the attributes of files that may only be read.
_IOCTL_REFUSED = (0x5412, 0x541C, 0x540E, 0x8901, 0x8902, 0x40086602, 0x401C5820)
_PRCTL_REFUSED = (1, 4)  # PR_SET_PDEATHSIG, PR_SET_DUMPABLE: what `limits` has set stays set


def supported() -> bool:
    """Whether this kernel and architecture can run our filters."""
    machine = this_machine()
    if machine is None:
        return False
    # seccomp(2): a null program gets EFAULT exactly where the operation and its flag are known.
    return call("syscall", machine.seccomp, _SET_MODE_FILTER, _FLAG_TSYNC, None) == -errno.EFAULT


def refuse_all_sockets() -> bool:
    """Confine this worker: no sockets, programs, new processes, foreign processes, mounts, or file attributes.

    Refused calls fail with EPERM, or with ENOSYS where libraries know an older way. Threads can still be
    started; signals reach this process only; open files, pipes and memory work as before.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(worker_policy(os.getpid()))


def refuse_network_sockets() -> bool:
    """Confine the supervisor and all it starts: of the sockets, only AF_UNIX can be made.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(supervisor_policy())


def refuse_all_but_network() -> bool:
    """Confine the uploader: of the sockets only those for calling out over IP; nothing else that a worker is refused.

    Not AF_UNIX: behind such sockets are session managers, which start programs for whoever asks.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(uploader_policy(os.getpid()))


def worker_policy(pid: int) -> Policy:
    """What a worker is refused.

    Args:
        pid: the worker's own; it can have no children that would need another.
    """
    return Policy(
        refused=(*SOCKETS, *RINGS, *INTRUSION, *PROCESSES, *FILES, *SHARED, *MACHINE),
        hidden=tuple(BY_POINTER),
        checked=_confined(pid),
    )


def uploader_policy(pid: int) -> Policy:
    """What the uploader is refused.

    Args:
        pid: its own.
    """
    files = (name for name in FILES if name not in _SECOND_NAMES)  # a reply that is kept has two names
    return Policy(
        refused=(*_SERVING, *RINGS, *INTRUSION, *PROCESSES, *files, *SHARED, *MACHINE),
        hidden=tuple(BY_POINTER),
        checked={
            **_confined(pid),
            "socket": (
                Check(argument=0, values=_NETWORK, only=True),
                Check(argument=2, values=_PROTOCOLS, only=True),
            ),
        },
    )


def _confined(pid: int) -> dict[str, tuple[Check, ...]]:
    """What both are allowed in part."""
    itself = (Check(argument=0, values=(pid,), only=True),)
    return {
        "clone": (Check(argument=0, values=(_CLONE_THREAD,), mask=_CLONE_THREAD, only=True),),
        "kill": itself,
        "tgkill": itself,
        "rt_sigqueueinfo": itself,
        "rt_tgsigqueueinfo": itself,
        "sched_setaffinity": (Check(argument=0, values=(0, pid), only=True),),
        # Limits may be read (no new value given), not changed: root could raise its own.
        "prlimit64": (
            Check(argument=2, values=(0,), only=True),
            Check(argument=2, values=(0,), only=True, upper=True),
        ),
        # Landlock before its third ABI lets a file be emptied by opening it for reading.
        "open": (_never(1, _TRUNCATING_READS, mask=_OPEN_FLAGS),),
        "openat": (_never(2, _TRUNCATING_READS, mask=_OPEN_FLAGS),),
        "fcntl": (_never(1, _FCNTL_SIGNALS_AND_LEASES),),
        "ioctl": (_never(1, _IOCTL_REFUSED),),
        "prctl": (_never(0, _PRCTL_REFUSED),),
    }


def supervisor_policy() -> Policy:
    """What the supervisor, and whatever it starts, is refused."""
    unix_only = (Check(argument=0, values=(_AF_UNIX,), only=True),)
    return Policy(
        refused=(*RINGS, *INTRUSION),
        hidden=(),
        checked={"socket": unix_only, "socketpair": unix_only},
    )


def _never(argument: int, values: tuple[int, ...], mask: int = 0xFFFFFFFF) -> Check:
    return Check(argument=argument, values=values, mask=mask, only=False)


def _install(policy: Policy) -> bool:
    machine = this_machine()
    if machine is None or not supported():
        return False
    program = translate(policy, machine)
    code = ctypes.create_string_buffer(program, len(program))
    length = len(program) // 8
    header = ctypes.create_string_buffer(struct.pack("@HP", length, ctypes.addressof(code)))
    renounce_privileges()
    straggler = demand(
        "the seccomp filter", "syscall", machine.seccomp, _SET_MODE_FILTER, _FLAG_TSYNC, header
    )
    if straggler:
        raise CutoutdError(f"the sandbox could not be set up: thread {straggler} escapes the seccomp filter")
    return True
