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
"""Events that may wait for a terminal that is stopped."""

CLOSE_S: Final = 1.0


@contextmanager
def event_display(waiting: str, *, level: str, log_format: str = "auto") -> Iterator[EventSink]:
    """Set up the log and the display of events for the duration of the work.

    Args:
        waiting: text of the bar while there is nothing to do.
        level: level of the log; on a terminal, ``info`` would repeat each displayed line.
        log_format: format of the log.
    """
    at_terminal = sys.stdout.isatty()
    logs.configure(level="error" if at_terminal and level == "info" else level, log_format=log_format)
    relay = Relay(Live(waiting)) if at_terminal else None
    try:
        yield _ignore if relay is None else relay
    finally:
        if relay is not None:
            relay.close()
        logs.flush()  # a summary that follows must not be mixed with its lines


def _ignore(event: Event) -> None:
    """Display nothing; the log has all events."""


class Relay:
    """Passes events to the display in a separate thread, so that a terminal that is stopped or gone delays no work.

    Events that do not fit in the queue are not displayed; the log has them. After an error of the terminal nothing is.

    Args:
        live: the display.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._queue: queue.Queue[Event | None] = queue.Queue(QUEUED)
        self._gone = False
        threading.Thread(target=self._draw_all, name="terminal", daemon=True).start()

    def __call__(self, event: Event | None) -> None:
        """Queue an event for display; None closes the display."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            return

    def close(self) -> None:
        """Remove the bar, unless the terminal blocks for longer than `CLOSE_S`."""
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
            except Exception:  # noqa: BLE001 -- whatever the terminal cannot display is in the log
                self._gone = True
            self._queue.task_done()
