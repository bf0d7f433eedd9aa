"""The system call filters: lists of allowed calls for worker, uploader and the page's process; no network for the supervisor.

A filter is installed on every thread of the process at once (SECCOMP_FILTER_FLAG_TSYNC), because a thread that a library
started on import would escape a filter of one thread; it survives exec. It must not be relied on for files: Landlock decides
which may be read and written, and the worker's filter only covers what Landlock does not, at all (chmod, chown, times,
attributes) or before its third ABI (truncation).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import replace

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.calls import (
    BY_POINTER,
    CLOCKS,
    DIRECTORY,
    FILES,
    HINTS,
    INTRUSION,
    ITSELF,
    MACHINE,
    MEMORY,
    NAMES,
    OF_A_PROCESS,
    OPENED,
    PROCESSES,
    RINGS,
    SHARED,
    SIGNALS,
    SOCKETS,
    THREADS,
    TIME,
    WAITING,
    this_machine,
)
from cutoutd.sandbox.kernel import call, demand, set_no_new_privileges
from cutoutd.sandbox.policy import Check, Policy, translate

_SET_MODE_FILTER = 1
_FLAG_TSYNC = 1
_FLAG_NEW_LISTENER = 8

_AF_UNIX = 1
_NETWORK = (
    2,
    10,
    16,
)  # AF_INET, AF_INET6, and AF_NETLINK: the C library asks which addresses this machine has
_PROTOCOLS = (0, 6, 17)  # the family's own choice (of netlink: routes), TCP, UDP
_SERVING = ("listen", "accept", "accept4", "socketpair")
_SECOND_NAMES = ("link", "linkat")

# On a connected socket: receive data, and query its options and addresses.
_ANSWERING = ("accept", "accept4", "recvfrom", "getsockopt", "getsockname", "getpeername")
_TCP, _TCP_NODELAY = 6, 1
_MSG_FASTOPEN = 0x20000000

# A new thread of this process, in the same namespaces.
_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020000

_OPEN_FLAGS = os.O_ACCMODE | os.O_TRUNC
_TRUNCATING_READS = (os.O_RDONLY | os.O_TRUNC, os.O_ACCMODE | os.O_TRUNC)
_MAKING = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: with either, the last argument is a mode
_SPECIAL_MODES = 0o7000  # set-user-ID, set-group-ID, sticky

# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_GET_SEALS. Not allowed: leases, which block other
# processes; locks; sizes of pipes; receivers of signals.
_FCNTL = (0, 1, 2, 3, 1030, 1032, 1034)
_F_SETFL = 4
# O_ASYNC, O_DIRECT (of both architectures) and O_NOATIME, on an open file that may be shared with another process.
_NOT_PLAIN = 0o20000 | 0o40000 | 0o200000 | 0o1000000
_PRIO_PROCESS = 0
_CLOCK_OF_ANOTHER = 0x80000000

_LOCKS = (5, 6, 7, 36, 37, 38)  # F_GETLK, F_SETLK, F_SETLKW, and those of open files: SQLite uses them

# Whether a file is a terminal (TCGETS, TCGETS2) and its size (TIOCGWINSZ), bytes to read (FIONREAD), close-on-exec (FIOCLEX,
# FIONCLEX) and blocking (FIONBIO). Not allowed: typing into a terminal or taking it, aiming signals, and changing attributes,
# flags or the generation of a file, for which permission to read it would be enough.
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5451, 0x5450, 0x5421)
# Drivers of graphics processors, by the letter of their commands: NVIDIA (none, and F), AMD (K), DRM (d).
_IOCTL_GRAPHICS = (0x0000, 0x4600, 0x4B00, 0x6400)
_IOCTL_KIND = 0x0000FF00

# Queries, names of threads and memory, and dropping privileges: PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME,
# PR_GET_SECCOMP, PR_CAPBSET_READ, PR_GET_TIMERSLACK, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_GET_TID_ADDRESS,
# PR_GET_THP_DISABLE, PR_SVE_GET_VL, PR_GET_TAGGED_ADDR_CTRL, PR_SME_GET_VL, PR_SET_VMA, PR_GET_AUXV. What `limits` sets stays.
_PRCTL = (2, 3, 15, 16, 21, 23, 30, 38, 39, 40, 42, 51, 56, 64, 0x53564D41, 0x41555856)


def supported() -> bool:
    """Whether this kernel and architecture support our filters."""
    machine = this_machine()
    if machine is None:
        return False
    # seccomp(2): a null program gets EFAULT exactly where the operation and its flag are known.
    return call("syscall", machine.seccomp, _SET_MODE_FILTER, _FLAG_TSYNC, None) == -errno.EFAULT


def refuse_all_sockets(
    tasks: int | None = None, *, graphics: bool = False, writes_files: bool = False
) -> bool:
    """Confine this worker to its list: no sockets, programs, new or other processes, and no attributes of files.

    Refused calls fail with EPERM, or with ENOSYS where libraries know an older way. Threads can still be started; signals
    reach this process only; open files, pipes and memory work as before.

    Args:
        tasks: descriptor of the one socket that may be received from; None: there is none.
        graphics: whether drivers of graphics processors may be used.
        writes_files: whether files may be made and renamed, where Landlock lets them.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(worker_policy(os.getpid(), tasks, graphics=graphics, writes_files=writes_files))


def refuse_network_sockets() -> bool:
    """Confine the supervisor and all that it starts: only AF_UNIX sockets can be created.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(supervisor_policy())


def refuse_all_but_network() -> bool:
    """Confine the uploader: only sockets for connections over IP can be created, and what a worker is refused stays refused.

    AF_UNIX is refused: session managers listen there, which start programs on request.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(uploader_policy(os.getpid()))


def refuse_all_but_answers() -> bool:
    """Confine the process that answers browsers: it accepts connections, makes none, and opens no file.

    To be called when the socket listens and everything is imported.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(web_policy(os.getpid()))


def refuse_calling_out() -> bool:
    """Confine the process behind the page, which holds the listening socket: as the supervisor, without outgoing connections.

    Returns:
        False where kernel or architecture have no such filter: then nothing is refused.

    Raises:
        CutoutdError: the kernel has filters, and refused this one.
    """
    return _install(page_policy())


def worker_policy(
    pid: int, tasks: int | None = None, *, graphics: bool = False, writes_files: bool = False
) -> Policy:
    """Return the policy of a worker.

    Args:
        pid: process id of the worker; it has no children.
        tasks: descriptor of the socket that tasks and their files come through.
        graphics: whether drivers of graphics processors may be used.
        writes_files: whether files may be made and renamed, where Landlock lets them.
    """
    receiving = {} if tasks is None else {"recvmsg": _one(_only(0, tasks))}
    refused = (*SOCKETS, *RINGS, *INTRUSION, *PROCESSES, *FILES, *HINTS, *SHARED, *MACHINE)
    return Policy(
        allowed=(*_ALONE, *(DIRECTORY if writes_files else ())),
        refused=(*(name for name in refused if name not in receiving), *(() if writes_files else DIRECTORY)),
        hidden=tuple(BY_POINTER),
        checked={
            **_confined_policy(pid, graphics=graphics),
            "open": _opening(1) if writes_files else _reading(1),
            "openat": _opening(2) if writes_files else _reading(2),
            **receiving,
        },
    )


_ALONE = (*MEMORY, *THREADS, *SIGNALS, *TIME, *ITSELF, *OPENED, *NAMES, *WAITING)
"""Calls that reach nothing but the process itself and the files that it has open."""


def uploader_policy(pid: int) -> Policy:
    """Return the policy of the uploader.

    Args:
        pid: process id of the uploader.
    """
    calling = tuple(name for name in SOCKETS if name not in _SERVING and name != "socket")
    refused = (*_SERVING, *RINGS, *INTRUSION, *PROCESSES, *FILES, *HINTS, *SHARED, *MACHINE)
    # A reply that is kept has two names.
    return Policy(
        allowed=(*_ALONE, *DIRECTORY, *calling, *_SECOND_NAMES),
        refused=tuple(name for name in refused if name not in _SECOND_NAMES),
        hidden=tuple(BY_POINTER),
        checked=_confined_policy(pid, locks=_LOCKS)
        | {
            "open": _opening(1),
            "openat": _opening(2),
            "socket": ((_only(0, *_NETWORK), _only(2, *_PROTOCOLS)),),
        },
    )


def _confined_policy(
    pid: int, *, locks: tuple[int, ...] = (), graphics: bool = False
) -> dict[str, tuple[tuple[Check, ...], ...]]:
    """Return the checks that the policies share."""
    itself = _one(_only(0, pid))
    drivers = (_only(1, *_IOCTL_GRAPHICS, mask=_IOCTL_KIND),)
    return {
        "clone": _one(_only(0, _CLONE_THREAD, mask=_CLONE_THREAD | _CLONE_NAMESPACES)),
        "kill": itself,
        "tgkill": itself,
        "rt_sigqueueinfo": itself,
        "rt_tgsigqueueinfo": itself,
        # A call from one process to another could pass information, bit by bit.
        **{name: _one(_only(0, 0, pid)) for name in OF_A_PROCESS},
        "getpriority": _one(_only(0, _PRIO_PROCESS), _only(1, 0, pid)),
        # Negative clock numbers are those of processes, threads or devices.
        **{name: _one(_only(0, 0, mask=_CLOCK_OF_ANOTHER)) for name in CLOCKS},
        # Limits may be read (no new value), not changed: root could raise its own.
        "prlimit64": ((_only(0, 0, pid), _only(2, 0), _only(2, 0, upper=True)),),
        "fcntl": (
            (_only(1, *_FCNTL, *locks),),
            (_only(1, _F_SETFL), _only(2, 0, mask=_NOT_PLAIN)),
        ),
        "ioctl": ((_only(1, *_IOCTL),), *((drivers,) if graphics else ())),
        "prctl": _one(_only(0, *_PRCTL)),
    }


def _reading(flags: int) -> tuple[tuple[Check, ...], ...]:
    """Open an existing file for reading. Files to write come open; Landlock decides which may be read."""
    return _one(_only(flags, os.O_RDONLY, mask=os.O_ACCMODE | os.O_TRUNC | _MAKING))


def _opening(flags: int) -> tuple[tuple[Check, ...], ...]:
    """Open an existing file, or create one without a special mode. Landlock decides which.

    Before its third ABI, Landlock allows a file to be truncated by opening it for reading.
    """
    no_truncating_read = Check(argument=flags, values=_TRUNCATING_READS, mask=_OPEN_FLAGS, only=False)
    return (
        (no_truncating_read, _only(flags, 0, mask=_MAKING)),
        (no_truncating_read, _only(flags + 1, 0, mask=_SPECIAL_MODES)),
    )


def supervisor_policy() -> Policy:
    """Return the policy of the supervisor and of all that it starts: a list of refusals, since a hook may be any program."""
    return Policy(
        allowed=(),
        refused=(*RINGS, *INTRUSION),
        hidden=(),
        checked={"socket": _one(_only(0, _AF_UNIX)), "socketpair": _one(_only(0, _AF_UNIX))},
        passes_others=True,
    )


def web_policy(pid: int) -> Policy:
    """Return the policy of the process that answers browsers.

    A listening socket that is shut down could connect: by connect(2), or by sending with an address and MSG_FASTOPEN. So
    shutdown, addresses and flags are refused. recvmsg is refused too, since it could receive an open file.

    Args:
        pid: process id of that process.
    """
    checked = {
        **_confined_policy(pid),
        "sendto": _one(_only(3, 0), _only(4, 0), _only(4, 0, upper=True)),
        # asyncio uses it from Python 3.12 on for data that had to wait. An address has an effect only with a flag.
        "sendmsg": _one(_only(2, 0)),
        "setsockopt": _one(_only(1, _TCP), _only(2, _TCP_NODELAY)),
    }
    sockets = (name for name in SOCKETS if name not in (*_ANSWERING, *checked))
    refused = (*sockets, *RINGS, *INTRUSION, *PROCESSES, *FILES, *HINTS, *SHARED, *MACHINE, *DIRECTORY)
    return Policy(
        allowed=(*(name for name in _ALONE if name not in NAMES), *_ANSWERING),
        refused=(*refused, *NAMES, "open", "openat"),
        hidden=tuple(BY_POINTER),
        checked=checked,
    )


def page_policy() -> Policy:
    """Return the policy of the process behind the page and of all that it starts: as the supervisor, without outgoing connections.

    It restarts the process that answers browsers, so listening and accepting are allowed.
    """
    policy = supervisor_policy()
    plain = _only(3, 0, mask=_MSG_FASTOPEN)
    return replace(
        policy,
        refused=(*policy.refused, "connect", "sendmmsg"),
        checked={**policy.checked, "sendto": _one(plain), "sendmsg": _one(replace(plain, argument=2))},
    )


def _only(argument: int, *values: int, mask: int = 0xFFFFFFFF, upper: bool = False) -> Check:
    return Check(argument=argument, values=values, mask=mask, upper=upper, only=True)


def _one(*checks: Check) -> tuple[tuple[Check, ...], ...]:
    """Return a single group of checks."""
    return (checks,)


def recording_policy(pid: int, channel: int) -> Policy:
    """Return the policy of a worker, with one socket that may be sent to."""
    policy = worker_policy(pid)
    return replace(
        policy,
        refused=tuple(name for name in policy.refused if name != "sendmsg"),
        checked={**policy.checked, "sendmsg": _one(_only(0, channel))},
    )


def install_listener(policy: Policy, action: int) -> int | None:
    """Install a filter on this thread and its future ones that passes refused calls on to a listener.

    Args:
        policy: the calls that pass.
        action: action on the others.

    Returns:
        The descriptor of the listener; None where kernel or architecture have no such filter.

    Raises:
        CutoutdError: the kernel has such filters, and refused this one.
    """
    machine = this_machine()
    if machine is None or not supported():
        return None
    header, code = _header(translate(policy, machine, refusal=action, hiding=action))
    set_no_new_privileges()
    listener = call("syscall", machine.seccomp, _SET_MODE_FILTER, _FLAG_NEW_LISTENER, header)
    del code
    if listener in (-errno.EINVAL, -errno.EBUSY):  # before Linux 5.5; beneath another such filter
        return None
    if listener < 0:
        raise CutoutdError(
            f"the sandbox could not be set up: a filter with a listener: {os.strerror(-listener)}"
        )
    return listener


def _header(program: bytes) -> tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_char]]:
    """Return a struct sock_fprog, and the program that it points to, which must outlive the call."""
    code = ctypes.create_string_buffer(program, len(program))
    return ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code))), code


def _install(policy: Policy) -> bool:
    machine = this_machine()
    if machine is None or not supported():
        return False
    header, code = _header(translate(policy, machine))
    set_no_new_privileges()
    unbound_thread = demand(
        "the seccomp filter", "syscall", machine.seccomp, _SET_MODE_FILTER, _FLAG_TSYNC, header
    )
    del code
    if unbound_thread:
        raise CutoutdError(
            f"the sandbox could not be set up: thread {unbound_thread} escapes the seccomp filter"
        )
    return True
