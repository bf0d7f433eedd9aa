"""Logging: structlog, dotted event names, one line per outcome; console on a terminal, JSON elsewhere.

Nothing here is called at import. It never logs the environment, and a sink that fails never stops the work.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LEVELS = ("debug", "info", "warning", "error")

QUEUED_LINES = 10_000
"""A log that is stuck for as long as so many lines take loses the next ones, and not the work."""

FLUSH_S = 1.0


class _Sink:
    """Writes whole lines to a stream, from a thread of its own: a log that is full or stuck never holds up work.

    What does not fit in the queue is dropped, and the next line that gets through says how many were.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.Queue[str] = queue.Queue(QUEUED_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def msg(self, message: str) -> None:
        try:
            self._lines.put_nowait(message)
        except queue.Full:
            self._dropped += 1

    debug = info = warning = error = critical = fatal = failure = exception = log = msg

    def flush(self) -> None:
        """Give what is queued a moment to be written."""
        end_s = time.monotonic() + FLUSH_S
        while self._lines.unfinished_tasks and time.monotonic() < end_s:
            time.sleep(0.005)

    def _write_all(self) -> None:
        while True:
            line = self._lines.get()
            dropped, self._dropped = self._dropped, 0
            with contextlib.suppress(OSError, ValueError):
                if dropped:
                    self._stream.write(f'{{"event": "log.dropped", "lines": {dropped}}}\n')
                self._stream.write(line + "\n")
                self._stream.flush()
            self._lines.task_done()


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """File names need not be UTF-8 (PEP 383 surrogates); a log line always is."""
    return {key: _text(value) if isinstance(value, str) else value for key, value in event.items()}


def _text(value: str) -> str:
    try:
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that no file name has
        return value.encode("utf-8", "backslashreplace").decode()


def configure(*, level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Set logging up, once, for this process.

    Args:
        level: one of `LEVELS`.
        log_format: ``console``, ``json``, or ``auto``: console on a terminal, JSON elsewhere.
        stream: where to; standard error by default.
    """
    stream = stream or sys.stderr
    sink = _Sink(stream)
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    # It writes to standard error by itself what `cutoutd.intake.watch` reports in our own words.
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=True,
    )


def get(**bound: Any) -> FilteringBoundLogger:  # noqa: ANN401 -- a log takes values of any type
    """A logger with some values bound, such as ``folder`` or ``job``."""
    logger: FilteringBoundLogger = structlog.get_logger().bind(**bound)
    return logger
