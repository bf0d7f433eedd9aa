"""A variant of a worker's filter that reports refused calls to another process, to find calls that the list lacks.

See seccomp_unotify(2). Allowed calls pass as usual; each other call is reported to a process, which records and refuses it as
the real filter would. Not for real work: each report waits for its answer.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct
from typing import TYPE_CHECKING, Final

from cutoutd.sandbox import seccomp
from cutoutd.sandbox.calls import BY_POINTER, NUMBERS, YOUNG, this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.sandbox.calls import Machine

NOTIFY: Final = 0x7FC00000  # SECCOMP_RET_USER_NOTIF

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_REPORT = struct.Struct(
    "@QIIiIQ6Q"
)  # struct seccomp_notif: id, pid, flags; number, architecture, instruction, arguments
_ANSWER = struct.Struct("@QqiI")  # struct seccomp_notif_resp: id, value, error, flags


def install_reporting_filter(channel: int) -> int | None:
    """Put this process, and what it starts from now on, behind the reporting filter.

    Args:
        channel: descriptor of the one socket that may be sent to, so that the listener can be handed over.

    Returns:
        The listener, at which another process has to `answer`; None where this system has no such filter.

    Raises:
        CutoutdError: the kernel has such filters, and refused this one.
    """
    return seccomp.install_listener(seccomp.recording_policy(os.getpid(), channel), NOTIFY)


def answer(listener: int, until: int) -> Iterator[str]:
    """Refuse the reported calls until the process has ended.

    Args:
        listener: descriptor from `install_reporting_filter`, in another process.
        until: descriptor that is readable, or at its end, once that process has ended.

    Yields:
        The name of each call that is not on the list; ``ioctl 0x5412`` where the command decides.
    """
    machine = this_machine()
    assert machine is not None  # noqa: S101 -- or there would be no listener
    names = {number: name for name in NUMBERS if (number := machine.number(name)) is not None}
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(until, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if ready.get(listener, 0) & select.POLLIN:
            report = _receive(listener)
            if report is not None:
                yield _refuse(listener, report, names, machine)
        elif ready:
            return


def _receive(listener: int) -> tuple[int, ...] | None:
    buffer = bytearray(_REPORT.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):  # the calling process has ended
            return None
        raise
    return _REPORT.unpack(buffer)


def _refuse(listener: int, report: tuple[int, ...], names: dict[int, str], machine: Machine) -> str:
    """Refuse a call as the real filter would, and return its name."""
    id_, _, _, number, architecture, _, *arguments = report
    name = names.get(number, f"call {number}") if architecture == machine.audit else "another architecture's"
    hidden = name in BY_POINTER or (name not in NUMBERS and number >= YOUNG)
    code = errno.ENOSYS if hidden else errno.EPERM
    try:
        fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(id_, 0, -code, 0)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    if name in ("ioctl", "fcntl"):
        return f"{name} {ctypes.c_uint32(arguments[1]).value:#x}"
    if name == "prctl":
        return f"{name} {ctypes.c_uint32(arguments[0]).value:#x}"
    return name
