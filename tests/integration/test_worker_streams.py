"""The standard streams of a worker: no terminal, no log file, and a pipe that it may flood."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from cutoutd.clock import Clock
from cutoutd.pool.local import LocalPool
from cutoutd.pool.slot import spawn
from cutoutd.pool.start_policy import WorkersFailError
from cutoutd.pool.worker_stderr import BOUNDS
from cutoutd.protocols import Finished, Lost
from tests.integration.parts import give
from tests.integration.test_pool import OBEDIENT, events_of, setup, task, until

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from typing import Any

    Lines = list[MutableMapping[str, Any]]

pytestmark = pytest.mark.new_interpreters

FLOOD_S = 1.0

LOOK = """
import json, os, sys
streams = {}
for name in os.listdir("/proc/self/fd"):
    try:
        streams[name] = os.readlink(f"/proc/self/fd/{name}").partition(":")[0]
    except FileNotFoundError:
        pass  # that of the listing
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
    terminal = "opened"
except OSError as error:
    terminal = error.strerror
report = {"streams": streams, "session": os.getsid(0) == os.getpid(), "terminal": terminal, "parent": os.getsid(os.getppid())}
os.write(1, json.dumps(report).encode())
"""


@pytest.fixture
def logged() -> Iterator[Lines]:
    """The log entries."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def pool(logged: Lines) -> Iterator[LocalPool]:  # noqa: ARG001 -- must be there before loggers are
    """A pool of two slots."""
    created = LocalPool(size=2, setup=setup, job_timeout_s=20.0, clock=Clock(), command=OBEDIENT)
    until(created, lambda: created.idle == 2)
    yield created
    created.close()


def worker_output(logged: Lines) -> list[str]:
    """Return the logged output of workers."""
    return [str(line["said"]) for line in logged if line["event"] == "worker.stderr"]


def test_a_worker_has_a_channel_two_pipes_and_nothing_else() -> None:
    """No terminal, neither as a descriptor nor by its name; open files of the supervisor are not passed on."""
    master, slave = os.openpty()
    child = os.fork()
    if child == 0:  # a supervisor whose terminal this is
        code = 1
        with suppress(OSError):
            os.login_tty(slave)
            os.set_inheritable(os.open("/dev/null", os.O_RDONLY), True)
            process = spawn((sys.executable, "-P", "-c", LOOK)).process
            assert process.stdout is not None
            os.write(2, process.stdout.read() + b"\n")
            code = process.wait()
        os._exit(code)
    os.close(slave)
    try:
        document = json.loads(_line(master))
    finally:
        os.waitpid(child, 0)
        os.close(master)
    assert document["streams"] == {"0": "socket", "1": "pipe", "2": "pipe"}
    assert document["session"]
    assert document["parent"] == child
    assert document["terminal"] == os.strerror(errno.ENXIO)


def _line(descriptor: int) -> bytes:
    """Return the bytes up to the next line end."""
    read = b""
    while b"\n" not in read:
        read += os.read(descriptor, 4096)
    return read


def test_the_output_of_a_worker_is_logged_as_its_own(pool: LocalPool, logged: Lines) -> None:
    """With its process id, as a value, and without control characters."""
    give(pool, task(1, 'complain:{"event": "job.published"}\x1b[2J'))
    events_of(pool, 1)
    until(pool, lambda: bool(worker_output(logged)))
    (line,) = [line for line in logged if line["event"] == "worker.stderr"]
    assert line["said"] == '{"event": "job.published"}\\x1b[2J'
    assert line["pid"] in pool.pids


def test_a_worker_that_never_stops_printing_delays_no_other(pool: LocalPool, logged: Lines) -> None:
    """Others go on, the loop's turns stay short and few, and the log gets a limited excerpt."""
    give(pool, task(1, "complain-endlessly"))
    begun = time.monotonic()
    turns, longest = 0, 0.0
    while time.monotonic() - begun < FLOOD_S:
        turn = time.process_time()
        pool.poll(0.5)
        turns, longest = turns + 1, max(longest, time.process_time() - turn)
    assert turns < 40 * FLOOD_S
    assert longest < 0.25
    give(pool, task(2, "ok"))
    (event,) = events_of(pool, 1)
    assert isinstance(event, Finished)
    assert event.job == 2
    assert 0 < sum(len(text) for text in worker_output(logged)) < BOUNDS.burst_bytes
    os.kill(pool.pids[0], signal.SIGKILL)
    os.kill(pool.pids[1], signal.SIGKILL)
    (lost,) = events_of(pool, 1)
    assert isinstance(lost, Lost)
    left_out = sum(line.get("left_out_bytes", 0) for line in logged)
    assert left_out > 100_000


def test_the_last_output_of_a_worker_is_logged(pool: LocalPool, logged: Lines) -> None:
    """The last lines arrive with the worker's end, or after it."""
    give(pool, task(1, "complain:it is over"))
    events_of(pool, 1)
    pool.close()
    assert worker_output(logged) == ["it is over"]


def test_the_reason_why_no_worker_starts_is_reported_from_its_output() -> None:
    """Before, the reasons were printed on the terminal only."""
    created = LocalPool(
        size=1, setup=lambda: setup("die-at-start"), job_timeout_s=20.0, clock=Clock(), command=OBEDIENT
    )
    try:
        with pytest.raises(WorkersFailError, match="code 7; the last line of its log: a library is missing"):
            until(created, lambda: False)
    finally:
        created.close()


def test_a_worker_without_a_standard_error_works() -> None:
    """A worker may close its standard error."""
    created = LocalPool(
        size=1, setup=lambda: setup("closed-stderr"), job_timeout_s=20.0, clock=Clock(), command=OBEDIENT
    )
    try:
        until(created, lambda: created.idle == 1)
        give(created, task(1, "ok"))
        assert isinstance(events_of(created, 1)[0], Finished)
        begun, turns = time.monotonic(), 0
        while time.monotonic() - begun < FLOOD_S / 4:
            created.poll(0.05)
            turns += 1
        assert turns < 20  # its end is no news again and again
    finally:
        created.close()
