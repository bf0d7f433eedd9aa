"""A terminal that a process was started in, kept for writing alone.

A shell opens it for reading and writing at once, so that standard error would do to read what is typed into it later.
It must not be needed by a worker: those have pipes.
"""

from __future__ import annotations

import os
from contextlib import suppress


def only_write() -> None:
    """Have the standard output and error for writing, where they are a terminal, and nothing to read from."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing:
        os.close(nothing)
    for descriptor in (1, 2):
        with suppress(OSError):  # closed, or no terminal
            terminal = os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY)
            os.dup2(terminal, descriptor)
            os.close(terminal)
