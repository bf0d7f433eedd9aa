"""Logging: structlog, dotted event names, one line per outcome; console format on a terminal, JSON elsewhere.

Nothing here is called at import. It never logs the environment, and a sink that fails never stops the work. structlog is
imported at its first use: that takes a twentieth of a second, with asyncio, and commands such as `cutoutd status` log nothing.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import queue
import select
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LEVELS = ("debug", "info", "warning", "error")

QUEUED_LINES = 10_000
"""The most queued lines. If a log is blocked for longer, further lines are lost, but the work goes on."""

FLUSH_S = 1.0

_TRACES = frozenset({"exception", "stack"})


class _Sink:
    """Writes whole lines to a stream, from a thread of its own: a log that is full or blocked never delays the work.

    Lines that do not fit in the queue, or are refused, are lost; the next written line gives their number. A descriptor is written
    to directly: what a Python stream buffers after a failure would be written in part later, and its lock, held by a blocked
    thread, would abort the process at its exit.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        self._lines: queue.Queue[str] = queue.Queue(QUEUED_LINES)
        self._not_taken = 0
        self._refused = 0
        self._is_torn = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def msg(self, message: str) -> None:
        try:
            self._lines.put_nowait(message)
        except queue.Full:
            self._not_taken += 1

    debug = info = warning = error = critical = fatal = failure = exception = log = msg

    def flush(self) -> None:
        """Wait a moment for queued lines to be written."""
        with self._lines.all_tasks_done:  # as Queue.join does, which has no timeout
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, FLUSH_S)

    def _write_all(self) -> None:
        while True:
            line = self._lines.get()
            lost = self._not_taken + self._refused
            try:
                if lost:
                    self._write(f'{{"event": "log.dropped", "lines": {lost}}}\n')
                    self._not_taken, self._refused = self._not_taken - (lost - self._refused), 0
                self._write(line + "\n")
            except (OSError, ValueError):
                self._refused += 1
            self._lines.task_done()

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        rest = memoryview((b"\n" if self._is_torn else b"") + text.encode("utf-8", "backslashreplace"))
        whole = len(rest)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another program made the pipe non-blocking; this thread may wait
                select.select([], [self._descriptor], [], FLUSH_S)
            except OSError:
                self._is_torn = self._is_torn or len(rest) < whole
                raise
        self._is_torn = False


def _descriptor_of(stream: TextIO) -> int | None:
    """Return the descriptor of a stream; None for a stream in memory."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Make texts valid UTF-8: file names need not be (PEP 383 surrogates), but a log line always is."""
    return {key: _text(value) if isinstance(value, str) else value for key, value in event.items()}


def _escape(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape control characters for a console, so that no name can move the cursor, set colours, ring the bell or end a line.

    JSON escapes these by itself. A trace has lines of its own.
    """
    return {
        key: _without_controls(value, keep="\n" if key in _TRACES else "")
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _without_controls(text: str, *, keep: str) -> str:
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def _text(value: str) -> str:
    try:
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate that is not from a file name
        return value.encode("utf-8", "backslashreplace").decode()


def _structlog() -> Any:  # noqa: ANN401 -- a module, which types know nothing of
    """Import structlog without rich: it would load that for coloured traces, which we do not write, for 0.1 s of each start."""
    has_rich = "structlog" in sys.modules or sys.modules.setdefault("rich", None) is not None  # type: ignore[arg-type]
    try:
        return importlib.import_module("structlog")
    finally:
        if not has_rich:
            del sys.modules["rich"]


def configure(*, level: str, log_format: str, is_read: bool = False, stream: TextIO | None = None) -> None:
    """Set up logging for this process; to be called once.

    Args:
        level: one of `LEVELS`.
        log_format: ``console``, ``json``, or ``auto``: console on a terminal, JSON elsewhere.
        is_read: whether a person reads the log, although it goes into a pipe; ``auto`` then means console.
        stream: the stream to log to; None: standard error.
    """
    structlog = _structlog()
    stream = stream or sys.stderr
    sink = _Sink(stream)
    console = log_format == "console" or (log_format == "auto" and (is_read or stream.isatty()))
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    # It writes to standard error what `cutoutd.intake.watch` reports in our own words.
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)
    # And this for a directory that it reaches in two ways, which is watched only once all the same.
    warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            *([_escape] if console else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=True,
    )


def flush() -> None:
    """Wait a moment for log lines to be written, before other output on the same terminal."""
    sink = _structlog().get_config()["logger_factory"]()
    if isinstance(sink, _Sink):
        sink.flush()


def get(**bound: Any) -> FilteringBoundLogger:  # noqa: ANN401 -- a log takes values of any type
    """Return a logger with some values bound, such as ``folder`` or ``job``."""
    logger: FilteringBoundLogger = _structlog().get_logger().bind(**bound)
    return logger
