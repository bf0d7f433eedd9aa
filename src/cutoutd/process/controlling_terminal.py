"""Whether this process was started at a terminal, whose closing sends it SIGHUP. Loaded before anything else."""

from __future__ import annotations

import os
from typing import Final

_ANSWERS: Final[list[bool]] = []  # the first one, kept; functools is not loaded yet


def started_at_terminal() -> bool:
    """Whether this process had a controlling terminal when this was first asked; to be asked at its very start.

    Only then does SIGHUP mean "end": the kernel sends it to no other process. Once the terminal is closed, none can be found any
    more. Variables such as NOTIFY_SOCKET or INVOCATION_ID are less reliable, since a terminal that is itself a service passes them
    on to its shells; and standard input may be a file in either case.
    """
    if not _ANSWERS:
        _ANSWERS.append(_has_terminal())
    return _ANSWERS[0]


def _has_terminal() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    os.close(terminal)
    return True
