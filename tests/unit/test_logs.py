"""Logging: complete lines that any program can read, and no failure of the log stops the work."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from cutoutd import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHOUT_RICH = """
import sys
from cutoutd import logs
logs.configure(level="info", log_format="console")
logs.get().info("begun")
print("structlog" in sys.modules, any(name.split(".")[0] == "rich" for name in sys.modules))
import rich.console
"""

NOT_UTF8 = os.fsdecode(b"caf\xe9 \xff.jpg")


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return that this is a terminal."""
        return True


class Broken(io.StringIO):
    """A stream whose first write fails with an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._errors = [error]

    def write(self, text: str) -> int:
        """Fail at the first call, write afterwards."""
        if self._errors:
            raise self._errors.pop()
        return super().write(text)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restore the logging configuration after the test."""
    yield
    structlog.reset_defaults()


def flush() -> None:
    """Wait until all logged lines are written or lost."""
    structlog.get_config()["logger_factory"]().flush()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the written lines, parsed."""
    flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_a_json_object_with_what_was_bound() -> None:
    """With event, level and time in UTC."""
    stream = io.StringIO()
    logs.configure(level="info", log_format="json", stream=stream)
    logs.get(folder="to-cut").info("job.published", job=7, outputs=["/out/a.png"])
    (line,) = lines(stream)
    assert line["event"] == "job.published"
    assert (line["folder"], line["job"], line["outputs"]) == ("to-cut", 7, ["/out/a.png"])
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("name", [NOT_UTF8, "two\nlines\r\x1b[2J.jpg", "\U0001f600 \u202e.jpg"])
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_name_of_any_bytes_is_one_line_of_utf8(name: str, log_format: str) -> None:
    """Alone, in a list, and in the message."""
    stream = io.StringIO()
    logs.configure(level="info", log_format=log_format, stream=stream)
    logs.get(folder=name).info("job.published", path=name, outputs=[name])
    flush()
    assert len(stream.getvalue().encode("utf-8").splitlines()) == 1


def test_undecodable_bytes_in_a_name_are_escaped() -> None:
    """Undecodable bytes are escaped."""
    stream = io.StringIO()
    logs.configure(level="info", log_format="json", stream=stream)
    logs.get().info("x", path=NOT_UTF8)
    assert lines(stream)[0]["path"] == r"caf\xe9 \xff.jpg"


def test_half_a_character_does_not_stop_the_work() -> None:
    """File names never contain one, but a worker's message may."""
    stream = io.StringIO()
    logs.configure(level="info", log_format="json", stream=stream)
    logs.get().info("x", why="\ud800")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize("level", logs.LEVELS)
def test_events_below_the_level_are_left_out(level: str) -> None:
    """Each level shows itself and the levels above it."""
    stream = io.StringIO()
    logs.configure(level=level, log_format="json", stream=stream)
    log = logs.get()
    for one in logs.LEVELS:
        getattr(log, one)("x")
    assert [line["level"] for line in lines(stream)] == list(logs.LEVELS[logs.LEVELS.index(level) :])


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("console", io.StringIO, False),
    ],
)
def test_terminals_get_a_console_and_programs_json(
    log_format: str, stream: type[io.StringIO], *, is_json: bool
) -> None:
    """`auto` checks whether the stream is a terminal."""
    into = stream()
    logs.configure(level="info", log_format=log_format, stream=into)
    logs.get().info("daemon.started")
    flush()
    assert "daemon.started" in into.getvalue()
    assert into.getvalue().startswith("{") is is_json


def test_an_exception_is_logged_on_the_same_line() -> None:
    """With its traceback."""
    stream = io.StringIO()
    logs.configure(level="info", log_format="json", stream=stream)
    try:
        os.stat("/no/such/file")  # noqa: PTH116 -- to be refused by the system
    except OSError:
        logs.get().exception("it.failed")
    (line,) = lines(stream)
    assert "FileNotFoundError" in line["exception"]


@pytest.mark.parametrize(
    "error",
    [OSError(28, "full"), BrokenPipeError(), BlockingIOError(), ValueError("I/O operation on closed file")],
)
def test_a_stream_that_fails_does_not_stop_the_work(error: Exception) -> None:
    """The lost line is reported; the next line is written."""
    stream = Broken(error)
    logs.configure(level="info", log_format="json", stream=stream)
    logs.get().error("job.failed", job=1)
    logs.get().error("job.failed", job=2)
    lost, next_line = lines(stream)
    assert (lost["event"], lost["lines"]) == ("log.dropped", 1)
    assert next_line["job"] == 2


def test_a_full_disk_does_not_stop_the_work() -> None:
    """With the system's own error, repeatedly; nothing accumulates in memory."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- closing it may fail as well
    logs.configure(level="info", log_format="json", stream=full)
    for _ in range(200):
        logs.get().info("x", text="y" * 100)
    started_s = time.monotonic()
    flush()
    assert time.monotonic() - started_s < logs.FLUSH_S
    with contextlib.suppress(OSError):
        full.close()


def test_a_closed_stream_does_not_stop_the_work() -> None:
    """As after a terminal was closed."""
    stream = io.StringIO()
    logs.configure(level="info", log_format="json", stream=stream)
    stream.close()
    logs.get().info("x")
    flush()


def test_a_pipe_that_nobody_reads_does_not_stop_the_work() -> None:
    """Excess lines are dropped; their number is logged once the pipe is read."""
    out, into = os.pipe()
    stream, reader = open(into, "w", encoding="utf-8"), open(out, encoding="utf-8")  # noqa: SIM115, PTH123 -- descriptors
    logs.configure(level="info", log_format="json", stream=stream)
    for number in range(logs.QUEUED_LINES + 2000):
        logs.get().info("x", number=number, text="y" * 200)
    assert any(json.loads(line).get("lines", 0) > 0 for line in reader)
    reader.close()  # lets go of a write that is under way
    flush()
    with contextlib.suppress(OSError):
        stream.close()


def test_nothing_is_configured_by_importing_it() -> None:
    """A program that imports one of our modules keeps its own logging."""
    structlog.reset_defaults()
    assert not structlog.is_configured()
    logs.get()
    assert not structlog.is_configured()


@pytest.mark.parametrize(
    "name",
    ["bell\a.jpg", "\x1b[2J\x1b]0;title\a.jpg", "\x9b31m.jpg", "a\x7f\u2028b\u202e.jpg", "tab\t\r.jpg"],
)
def test_no_name_acts_on_a_console_whether_it_is_a_terminal_or_a_file(name: str) -> None:
    """A file is shown on a terminal later: by `less -r`, `cat` or a browser."""
    stream = io.StringIO()
    logs.configure(level="info", log_format="console", stream=stream)
    logs.get(folder=name).info("job.published", path=name, outputs=[name], why=f"x {name}")
    flush()
    text = stream.getvalue().removesuffix("\n")
    assert text.isprintable()
    assert "job.published" in text


def test_a_trace_in_a_console_keeps_its_lines_and_nothing_else() -> None:
    """The exception's message may quote a file name."""
    stream = io.StringIO()
    logs.configure(level="info", log_format="console", stream=stream)
    try:
        raise ValueError("\x1b[31m.jpg")  # noqa: TRY301 -- a name that somebody dropped
    except ValueError:
        logs.get().exception("it.failed")
    flush()
    assert len(stream.getvalue().splitlines()) > 3
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))


def test_a_log_does_not_load_rich_and_leaves_it_to_others() -> None:
    """Loading Rich costs a tenth of a second at each start, for coloured tracebacks that are not used."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_RICH], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "True False\n"
    assert "begun" in ended.stderr
