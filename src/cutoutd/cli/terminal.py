"""The terminal's foreground, where another program has started us there and waits, as `make run` does.

Ctrl-C is sent to all processes of the foreground group. `make` in that group would end with "Interrupt" and an error
although we end in order.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def in_the_foreground() -> Iterator[None]:
    """Have the terminal's keys for this process and its children alone, and give them back at the end.

    Nothing is done where there is no terminal, or where it is in others' hands, as with ``make run &``.
    Ctrl-Z is not obeyed meanwhile: nobody would be left to continue us.
    """
    terminal = _terminal()
    if terminal is None:
        yield
        return
    before = os.getpgrp()
    stopping = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    # Whoever is not in the foreground and takes it is stopped by these.
    taking = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
        yield
    finally:
        with suppress(OSError):  # the terminal is gone, or the other program is
            os.tcsetpgrp(terminal, before)
            os.setpgid(0, before)
        signal.signal(signal.SIGTTOU, taking)
        signal.signal(signal.SIGTSTP, stopping)
        os.close(terminal)


def _terminal() -> int | None:
    """The terminal that controls us, if our group is in its foreground and more than ourselves."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):
        if os.tcgetpgrp(terminal) == os.getpgrp() != os.getpid():
            return terminal
    os.close(terminal)
    return None
