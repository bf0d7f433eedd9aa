"""A worker's filter that asks instead of refusing, so that somebody can tell which calls are not on its list.

See seccomp_unotify(2). What the list lets through passes as ever; for the rest the kernel asks another process, which writes
it down and has it refused in the same way. Not for real work: each question waits for its answer.
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

ASK: Final = 0x7FC00000  # SECCOMP_RET_USER_NOTIF

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_QUESTION = struct.Struct(
    "@QIIiIQ6Q"
)  # struct seccomp_notif: id, pid, flags; number, architecture, instruction, arguments
_ANSWER = struct.Struct("@QqiI")  # struct seccomp_notif_resp: id, value, error, flags


def ask_instead(channel: int) -> int | None:
    """Put this process, and what it starts from now on, behind the list.

    Args:
        channel: descriptor of the one socket that may be sent to, so that the result can be handed over.

    Returns:
        The descriptor at which another process has to `answer`; None where this system has no such filter.

    Raises:
        CutoutdError: the kernel has such filters, and refused this one.
    """
    return seccomp.install_asking(seccomp.recording_policy(os.getpid(), channel), ASK)


def answer(listener: int, until: int) -> Iterator[str]:
    """Refuse what is asked, until the process has ended.

    Args:
        listener: of `ask_instead`, in another process.
        until: a descriptor that is readable, or at its end, when that process has ended.

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
            question = _asked(listener)
            if question is not None:
                yield _refused(listener, question, names, machine)
        elif ready:
            return


def _asked(listener: int) -> tuple[int, ...] | None:
    buffer = bytearray(_QUESTION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):  # whoever asked has ended
            return None
        raise
    return _QUESTION.unpack(buffer)


def _refused(listener: int, question: tuple[int, ...], names: dict[int, str], machine: Machine) -> str:
    """Answer as the real filter would; what was asked."""
    id_, _, _, number, architecture, _, *arguments = question
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
