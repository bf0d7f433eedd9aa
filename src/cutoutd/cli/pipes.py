"""Standard output when whoever read it has read enough, as in `cutoutd jobs | head`: no fault, and nothing to say.

It must not hide any other error of a stream's.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def close_quietly() -> None:
    """Give standard output away: what Python still holds for it would fail once more at its exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


@contextmanager
def told_if_anyone_listens() -> Iterator[None]:
    """Print, all the way to the pipe; if nobody reads it, what is left is not said."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        close_quietly()
