"""Logging: structlog, dotted event names, one line per outcome; console on a terminal, JSON elsewhere.

Nothing here is called at import. It never logs the environment, and a sink that fails never stops the work.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LEVELS = ("debug", "info", "warning", "error")


class _Sink:
    """Writes whole lines to a stream without ever raising or blocking the work for good.

    A log on a full disk or a closed pipe must not end the daemon (`faults.md` 57 in the tests).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(message + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = fatal = failure = exception = log = msg


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """File names need not be UTF-8 (PEP 383 surrogates); a log line always is."""
    return {
        key: os.fsencode(value).decode("utf-8", "backslashreplace") if isinstance(value, str) else value
        for key, value in event.items()
    }


def configure(*, level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Set logging up, once, for this process.

    Args:
        level: one of `LEVELS`.
        log_format: ``console``, ``json``, or ``auto``: console on a terminal, JSON elsewhere.
        stream: where to; standard error by default.
    """
    stream = stream or sys.stderr
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
        logger_factory=lambda *_: _Sink(stream),
        cache_logger_on_first_use=True,
    )


def get(**bound: Any) -> FilteringBoundLogger:  # noqa: ANN401 -- a log takes values of any type
    """A logger with some values bound, such as ``folder`` or ``job``."""
    logger: FilteringBoundLogger = structlog.get_logger().bind(**bound)
    return logger
