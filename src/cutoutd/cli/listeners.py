"""Shows events to a person: lines and a bar on a terminal, the log elsewhere."""

from __future__ import annotations

import queue
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.cli.console import Live

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.events import Event, EventSink

QUEUED: Final = 10_000
"""So many results may wait for a terminal that is stopped."""

CLOSE_S: Final = 1.0


@contextmanager
def telling(waiting: str, *, level: str, log_format: str = "auto") -> Iterator[EventSink]:
    """Set up the log and what draws, for as long as the work goes on.

    Args:
        waiting: what the bar says while there is nothing to do.
        level: of the log; on a terminal, ``info`` and warnings would repeat each line of ours.
        log_format: of the log.
    """
    at_terminal = sys.stdout.isatty()
    logs.configure(level="error" if at_terminal and level == "info" else level, log_format=log_format)
    relay = Relay(Live(waiting)) if at_terminal else None
    try:
        yield _ignore if relay is None else relay
    finally:
        if relay is not None:
            relay.close()
        logs.flush()  # a summary that follows is not to stand between its lines


def _ignore(event: Event) -> None:
    """Nobody looks; the log tells everything."""


class Relay:
    """Passes everything on to what draws, in a thread of its own: a terminal that is stopped or gone costs no work.

    What does not fit in the queue is not drawn; the log has it. After the terminal has refused once, nothing is.

    Args:
        live: draws.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._queue: queue.Queue[Event | None] = queue.Queue(QUEUED)
        self._gone = False
        threading.Thread(target=self._draw_all, name="terminal", daemon=True).start()

    def __call__(self, event: Event | None) -> None:
        """Have an event drawn; None: nothing more is."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            return

    def close(self) -> None:
        """Take the bar away, if the terminal lets us within a moment."""
        self(None)
        end_s = time.monotonic() + CLOSE_S
        while self._queue.unfinished_tasks and time.monotonic() < end_s:
            time.sleep(0.005)

    def _draw_all(self) -> None:
        while True:
            event = self._queue.get()
            try:
                if self._gone:
                    pass
                elif event is None:
                    self._live.close()
                else:
                    self._live(event)
            except Exception:  # noqa: BLE001 -- whatever a terminal cannot draw costs the drawing alone; the log has it
                self._gone = True
            self._queue.task_done()
