"""Who tells a person what happens: lines and a bar on a terminal, the log elsewhere."""

from __future__ import annotations

import queue
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.cli.console import Live, Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cutoutd.events import JobEnded, Listener, Progress

QUEUED: Final = 10_000
"""So many results may wait for a terminal that is stopped."""

CLOSE_S: Final = 1.0


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
    listener = Relay(Live(waiting)) if at_terminal else Quiet()
    try:
        yield listener
    finally:
        listener.close()
        logs.flush()  # a summary that follows is not to stand between its lines


class Hearing:
    """Passes everything on, and keeps what became of each picture.

    Args:
        listener: hears it as well.

    Attributes:
        results: in the order of their ends.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.results: list[JobEnded] = []

    @property
    def wants_progress(self) -> bool:
        """Whether somebody looks."""
        return self._listener.wants_progress

    def progress(self, progress: Progress) -> None:
        """What there is to do now."""
        self._listener.progress(progress)

    def started(self, folders: int, workers: int) -> None:
        """The daemon is ready."""
        self._listener.started(folders, workers)

    def accepted(self, count: int) -> None:
        """More to do."""
        self._listener.accepted(count)

    def result(self, result: JobEnded) -> None:
        """A job has ended."""
        self.results.append(result)
        self._listener.result(result)

    def attention(self, folder: str, message: str) -> None:
        """A folder's status changed."""
        self._listener.attention(folder, message)


class Relay:
    """Passes everything on to what draws, in a thread of its own: a terminal that is stopped or gone costs no work.

    What does not fit in the queue is not drawn; the log has it. After the terminal has refused once, nothing is.

    Args:
        live: draws.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue(QUEUED)
        self._gone = False
        threading.Thread(target=self._draw_all, name="terminal", daemon=True).start()

    @property
    def wants_progress(self) -> bool:
        """There is a terminal."""
        return not self._gone

    def progress(self, progress: Progress) -> None:
        """What there is to do now."""
        self._pass_on(partial(self._live.progress, progress))

    def started(self, folders: int, workers: int) -> None:
        """The daemon is ready."""
        self._pass_on(partial(self._live.started, folders, workers))

    def accepted(self, count: int) -> None:
        """More to do."""
        self._pass_on(partial(self._live.accepted, count))

    def result(self, result: JobEnded) -> None:
        """A job has ended."""
        self._pass_on(partial(self._live.result, result))

    def attention(self, folder: str, message: str) -> None:
        """A folder's status changed."""
        self._pass_on(partial(self._live.attention, folder, message))

    def close(self) -> None:
        """Take the bar away, if the terminal lets us within a moment."""
        self._pass_on(self._live.close)
        end_s = time.monotonic() + CLOSE_S
        while self._queue.unfinished_tasks and time.monotonic() < end_s:
            time.sleep(0.005)

    def _pass_on(self, draw: Callable[[], None]) -> None:
        try:
            self._queue.put_nowait(draw)
        except queue.Full:
            return

    def _draw_all(self) -> None:
        while True:
            draw = self._queue.get()
            try:
                if not self._gone:
                    draw()
            except Exception:  # noqa: BLE001 -- whatever a terminal cannot draw costs the drawing alone; the log has it
                self._gone = True
            self._queue.task_done()
