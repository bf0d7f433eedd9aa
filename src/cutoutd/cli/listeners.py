"""Who tells a person what happens: lines and a bar on a terminal, the log elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cutoutd import logs
from cutoutd.cli.console import Live, Quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.daemon.listener import Listener


@contextmanager
def listener_for(waiting: str, *, level: str, log_format: str = "auto") -> Iterator[Listener]:
    """Set up the log and what draws, for as long as the work goes on.

    Args:
        waiting: what the bar says while there is nothing to do.
        level: of the log; on a terminal, ``info`` and warnings would repeat each line of ours.
        log_format: of the log.
    """
    at_terminal = sys.stdout.isatty()
    logs.configure(level="error" if at_terminal and level == "info" else level, log_format=log_format)
    listener = Live(waiting) if at_terminal else Quiet()
    try:
        yield listener
    finally:
        listener.close()
