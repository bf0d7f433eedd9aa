"""Limits for idle and slow connections, tested with a server in this process and short times."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from cutoutd.page.web import app
from cutoutd.webserver.web import server
from cutoutd.webserver.web.event_streams import EventStreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ENDED = (ConnectionError, asyncio.IncompleteReadError)
HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def _answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001 -- as of ASGI
    """Answer each request with two bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def _with_server(act: Callable[[int], Awaitable[None]], *, most: int = server.MOST_CONNECTIONS) -> None:
    """Start a server, call a function with its port, and end the server."""

    async def run() -> None:
        confined = asyncio.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = server.Server(server.config(_answer, most=most), confined.set)
            task = asyncio.create_task(serving.serve(sockets=[listener]))
            await confined.wait()
            await act(listener.getsockname()[1])
            serving.end()
            await task

    asyncio.run(asyncio.wait_for(run(), 30))


async def _drip(writer: asyncio.StreamWriter) -> None:
    """Write a request byte by byte without ever finishing it."""
    for byte in HELLO[:-1] * 10:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


def test_an_incomplete_request_head_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """However steadily its parts arrive; a connection that was served may wait for its next request."""
    monkeypatch.setattr(server, "HEAD_S", 0.3)

    async def slow(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        silent, first = await asyncio.open_connection("127.0.0.1", port)
        slow_reader, second = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionError):
            await _drip(second)
        for ended in (silent, slow_reader):
            with pytest.raises(ENDED):
                await ended.readexactly(1)
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        for one in (first, second, writer):
            one.close()

    _with_server(slow)


def test_the_oldest_idle_connection_is_closed() -> None:
    """The new connection is served."""

    async def many(port: int) -> None:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        with pytest.raises(ENDED):
            await idle[0][0].readexactly(1)
        idle[2][1].write(HELLO)
        assert (await idle[2][0].readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        for _, one in (*idle, (reader, writer)):
            one.close()

    _with_server(many, most=3)


@pytest.mark.parametrize("hard", [128, 4096], ids=["few files", "a low limit that may be raised"])
def test_idle_connections_keep_nobody_out_where_few_files_may_be_open(hard: int) -> None:
    """Such as 256 on a Mac: with more connections than files none was accepted, so none was closed for the next one."""
    program = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (128, {hard}))\n"
        "import asyncio, socket\n"
        "from cutoutd.webserver.web import server\n"
        "from tests.unit.test_page_server import _answer\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "serving = server.Server(server.config(_answer, most=300), lambda: print(listener.getsockname()[1], flush=True))\n"
        "asyncio.run(serving.serve(sockets=[listener]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            idle = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(200)]
            with socket.create_connection(("127.0.0.1", port), 10) as one:
                one.settimeout(server.HEAD_S / 2)  # by then the server closes idle ones by itself
                one.sendall(HELLO)
                assert one.recv(100).startswith(b"HTTP/1.1 200")
            for silent in idle:
                silent.close()
        finally:
            process.kill()


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With status 408 after the time limit."""
    monkeypatch.setattr(app, "BODY_S", 0.05)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    async def read() -> None:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
        refused = await app.read_body(Request(scope, never), 100)
        assert not isinstance(refused, bytes)
        assert refused.status_code == 408

    asyncio.run(asyncio.wait_for(read(), 30))


def test_a_browser_that_reads_no_events_is_dropped_and_delays_no_other() -> None:
    """Its stream ends; the browser reconnects."""
    reported: list[bool] = []

    async def listen() -> None:
        streams = EventStreams(b"hello", reported.append)
        slow, quick = streams.stream(), streams.stream()
        assert await anext(slow) == await anext(quick) == b"hello"
        for number in range(100):
            streams.send("jobs", b"%d" % number)
            assert await anext(quick) == b"event: jobs\ndata: %d\n\n" % number
        with pytest.raises(StopAsyncIteration):
            await anext(slow)
        await quick.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(listen(), 30))
    assert reported == [True, False]


def test_the_limit_of_streams_holds_however_many_begin_at_once() -> None:
    """A stream begins after its request was admitted: those that are too many then end at once."""

    async def listen() -> int:
        streams = EventStreams(b"hello", lambda _: None)
        admitted: list[AsyncIterator[bytes]] = []
        while not streams.is_full and len(admitted) < 100:
            admitted.append(streams.stream())
        greetings = [await anext(one, b"") for one in admitted]
        assert streams.is_full
        for one in admitted:
            await one.aclose()  # type: ignore[attr-defined]
        assert not streams.is_any
        return greetings.count(b"hello")

    assert asyncio.run(asyncio.wait_for(listen(), 30)) == 32
