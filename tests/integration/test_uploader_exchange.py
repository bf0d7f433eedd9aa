"""One deadline for a whole exchange, and limits on what arrives: a service that sends a byte now and then is late too."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.exchange.spool import UploadOutcome
from cutoutd.hosted.connection import ExchangeLimits
from tests.hosted_server import HostedServer
from tests.integration.uploader_parts import answer, close, context, request
from tests.integration.uploading import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.exchange.spool import Request, UploadReply
    from cutoutd.hosted.context import UploadContext
    from tests.integration.uploader_parts import Service

TIMEOUT_S = 0.4
"""The time-out in the settings; a whole exchange may take five times as long."""

LATE_S = 15.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


class Wire:
    """A service that is only a socket, open as long as the object.

    Args:
        behave: handles each connection; it may block, and its errors end the connection.
    """

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self.behave = behave
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.accepted = 0

    def serve(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        """Handle one connection; errors end it."""
        with connection, suppress(OSError):
            self.behave(connection)


@contextmanager
def wire(behave: Callable[[socket.socket], None]) -> Iterator[Wire]:
    """Run the service while the body runs."""
    created = Wire(behave)
    threading.Thread(target=created.serve, daemon=True).start()
    try:
        yield created
    finally:
        created.listener.close()


def take(connection: socket.socket) -> None:
    """Read a whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        body += piece


def drip(connection: socket.socket, start: bytes, drop: bytes) -> None:
    """Read the request, begin an answer, and send for ever, each time well within a time-out."""
    take(connection)
    connection.sendall(start)
    while True:
        time.sleep(TIMEOUT_S / 8)
        connection.sendall(drop)


def trickled_headers(connection: socket.socket) -> None:
    """Send a header without an end."""
    drip(connection, b"HTTP/1.1 200 OK\r\nX-Wait: ", b"a")


def interim_answers(connection: socket.socket) -> None:
    """Send 1xx for ever."""
    drip(connection, b"", b"HTTP/1.1 102 Processing\r\n\r\n")


def slow_body(connection: socket.socket) -> None:
    """Send a picture byte by byte."""
    drip(connection, HEAD + b"Content-Length: 100000\r\n\r\n\x89PNG\r\n\x1a\n", b"x")


def slow_chunks(connection: socket.socket) -> None:
    """Send a picture byte by byte in chunks."""
    drip(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")


def slow_trailers(connection: socket.socket) -> None:
    """Send all but the end of the trailers."""
    drip(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-More: ", b"a")


def flood_of_interim_answers(connection: socket.socket) -> None:
    """Send 1xx as fast as possible."""
    take(connection)
    while True:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)


def exchanged(tmp_path: Path, server: Service, *, timeout_s: float = 10.0) -> tuple[UploadReply, float]:
    """Send one picture; return the reply, and how long it took."""
    shared = context(tmp_path, server, timeout_s=timeout_s)
    started_s = time.monotonic()
    reply = answer(shared, request(shared.paths))
    close(shared)
    return reply, time.monotonic() - started_s


@pytest.mark.parametrize(
    "behave",
    [trickled_headers, interim_answers, slow_body, slow_chunks, slow_trailers, flood_of_interim_answers],
)
def test_an_answer_that_never_ends_is_given_up_at_one_deadline(
    tmp_path: Path, behave: Callable[[socket.socket], None]
) -> None:
    """The picture was sent, so it may have been billed; and the slot is free for another."""
    with wire(behave) as server:
        reply, took_s = exchanged(tmp_path, server, timeout_s=TIMEOUT_S)
    assert reply.outcome is UploadOutcome.UNKNOWN
    assert took_s < LATE_S


def test_a_service_that_takes_an_upload_drop_by_drop_does_not_hold_it_for_ever(tmp_path: Path) -> None:
    """Each write succeeds in time; together they take too long, and the picture was not sent completely."""
    done = threading.Event()

    def sip(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while not done.wait(0.02) and connection.recv(512):
            pass

    with wire(sip) as server:
        # The clock runs a hundred times as fast: a slow line has its time, more than a test would wait for.
        shared = context(tmp_path, server, timeout_s=100 * TIMEOUT_S, clock=_Fast())
        content = picture(1) + os.urandom(1 << 20)
        created = request(shared.paths, content)
        started_s = time.monotonic()
        runner = threading.Thread(target=answer_quietly, args=(shared, created), daemon=True)
        runner.start()
        while server.accepted < 2 and time.monotonic() < started_s + 60:
            time.sleep(0.05)  # the second connection: the first was given up
        assert server.accepted >= 2
        shared.stopping.set()
        runner.join(60)
        assert not runner.is_alive()
        done.set()
        with shared.ledger as ledger:
            ends = [row["outcome"] for row in ledger.all()]
        assert ends[0] == "refused"
    shared.client.close()


class _Fast(Clock):
    """A monotonic clock that runs a hundred times too fast."""

    def monotonic_s(self) -> float:
        """Return a hundred times the real time."""
        return time.monotonic() * 100


def answer_quietly(shared: UploadContext, made: Request) -> None:
    """Carry out a request; its end is seen in the ledger."""
    with suppress(AssertionError):
        answer(shared, made)


def packed(times: int) -> bytes:
    """Return a quarter of a gigabyte of zeros, compressed."""
    data = gzip.compress(b"\0" * (1 << 22))
    for _ in range(times - 1):
        data = gzip.compress(data)
    return data


@pytest.mark.parametrize(
    "encoding", ["gzip", "gzip, gzip, gzip", "deflate", "br", "zstd", "compress", "x-none"]
)
def test_a_compressed_answer_is_refused_without_unpacking(tmp_path: Path, encoding: str) -> None:
    """Nothing is decompressed; the picture was sent, so it may have been billed."""
    body = packed(encoding.count("gzip") or 1)

    def behave(connection: socket.socket) -> None:
        take(connection)
        connection.sendall(
            HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )

    with wire(behave) as server:
        reply, _ = exchanged(tmp_path, server)
    assert reply.outcome is UploadOutcome.UNKNOWN
    assert "is encoded" in reply.cause
    assert encoding[:4] in reply.cause


def test_a_compressed_error_still_means_what_its_status_says(tmp_path: Path) -> None:
    """The error's text is not read."""
    body = packed(3)

    def behave(connection: socket.socket) -> None:
        take(connection)
        head = f"HTTP/1.1 400 No\r\nContent-Encoding: gzip, gzip, gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    with wire(behave) as server:
        reply, _ = exchanged(tmp_path, server)
    assert (reply.outcome, reply.cause) == (UploadOutcome.FAILED, "removebg says 400")


def test_a_look_up_that_gives_no_answer_ends_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The C library has no limit for it; nothing was sent."""
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(30)
        return []

    with HostedServer() as server:
        shared = context(tmp_path, server, timeout_s=TIMEOUT_S, base_url=f"http://localhost:{server.port}")
        monkeypatch.setattr(socket, "getaddrinfo", hang)
        created = request(shared.paths)
        runner = threading.Thread(target=answer_quietly, args=(shared, created), daemon=True)
        runner.start()
        end_s = time.monotonic() + 60
        while "cannot be found" not in shared.route.snapshot().why and time.monotonic() < end_s:
            time.sleep(0.05)
        assert "localhost cannot be found" in shared.route.snapshot().why
        shared.stopping.set()
        runner.join(15)
        released.set()
        assert server.seen == []
    close(shared)


def test_time_in_which_the_process_was_stopped_does_not_count() -> None:
    """After a stop, the exchange still has its full time."""
    code = (
        "import socket, sys, time\n"
        "from cutoutd.clock import Clock\n"
        "from cutoutd.hosted.connection import ExchangeLimits\n"
        "import select\n"
        "one, other = socket.socketpair()\n"
        "exchange = ExchangeLimits(Clock(), limit_s=2.0)\n"
        "print('waits', flush=True)\n"
        "exchange.wait(one.fileno(), select.POLLIN, 0.6)\n"
        "print(exchange.ran_s() < 1.9, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)  # longer than all of its time
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(timeout=60)
    assert output == "True\n"


def test_an_exchange_counts_running_time_alone() -> None:
    """With a clock that jumps: at most a second of a jump counts."""
    leaping = _Leaping()
    exchange = ExchangeLimits(leaping, limit_s=10.0)
    for _ in range(3):
        leaping.now_s += 3600.0
        exchange.check()
    assert exchange.ran_s() == pytest.approx(3.0)


class _Leaping(Clock):
    """A clock that the test moves."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        """Return the time that the test has set."""
        return self.now_s
