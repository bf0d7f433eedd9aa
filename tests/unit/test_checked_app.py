"""Answers when the backend is slow or has ended, by the server that the page and the API share."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from cutoutd.webserver.web.backend_channel import BackendGoneError
from cutoutd.webserver.web.checked_app import CheckedApp
from cutoutd.webserver.web.hosts import AllowedHosts
from cutoutd.webserver.web.server import Server, config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response


async def _slow(_: Request) -> Response:
    """Fail as a backend does that gives no answer."""
    raise BackendGoneError


async def _broken_off(_: Request) -> Response:
    """Return an answer whose backend ends after the first part."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise BackendGoneError

    return StreamingResponse(parts(), headers={"Content-Length": "10"})


async def _answer(path: str) -> bytes:
    """Return all that the server sends for a request."""
    app = Starlette(routes=[Route("/slow", _slow), Route("/broken-off", _broken_off)])
    hosts = AllowedHosts(hosts=frozenset({"here"}), proxy="")
    checked = CheckedApp(
        app, hosts, {"X-Always": "1"}, lambda status, _, text: PlainTextResponse(text, status)
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(config(checked), lambda: None)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode("ascii"))
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    server.end()
    await serving
    return answer


@pytest.mark.parametrize(
    ("path", "status", "end"),
    [("/slow", b"503", b"Try again in a moment."), ("/broken-off", b"200", b"\r\n\r\nfirst")],
)
def test_a_backend_that_does_not_answer_is_logged_in_a_line_without_a_traceback(
    path: str, status: bytes, end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """503 while nothing was sent; after that the connection is closed mid-answer."""
    with caplog.at_level(logging.WARNING):
        answer = asyncio.run(_answer(path))
    assert answer.split()[1] == status
    assert b"x-always: 1" in answer.lower()
    assert answer.endswith(end)
    assert "A request was not answered: cutoutd took too long, or has ended." in caplog.messages
    assert not any(record.exc_info for record in caplog.records)
    assert "Exception in ASGI application" not in caplog.text
