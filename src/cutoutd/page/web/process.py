"""The process that answers browsers: started by the backend with a listening socket and a channel, both open.

It must not open a file, nor make a socket, once it answers.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from cutoutd.page import frames
from cutoutd.page.web import static_files
from cutoutd.page.web.app import Pages
from cutoutd.page.web.backend_channel import BackendChannel
from cutoutd.page.web.event_streams import EventStreams, encoded
from cutoutd.page.web.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_CONNECTIONS: Final = 256
_MAX_HEADERS: Final = 32_768
_IDLE_S: Final = 75
_END_S: Final = 2


def main() -> None:
    """Serve until the backend ends."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    channel = socket.socket(fileno=int(sys.argv[2]))
    told = frames.receive(channel.recv)
    if told is not None:
        asyncio.run(_serve(listener, channel, told[0]))


async def _serve(listener: socket.socket, channel: socket.socket, told: Mapping[str, Any]) -> None:
    reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 20)
    greeting = encoded("hello", json.dumps({"version": told["version"]}).encode())
    streams = EventStreams(greeting, lambda watched: backend.watched(watched=watched))
    backend = BackendChannel(reader, writer, streams.send)
    guard = Guard(hosts=frozenset(told["hosts"]), cookie=told["cookie"], sessions=dict(told["sessions"]))
    pages = Pages(
        channel=backend,
        guard=guard,
        streams=streams,
        files=static_files.read_all(),
        reads=frozenset(told["reads"]),
    )
    server = uvicorn.Server(_config(pages, told))
    listening = asyncio.create_task(_until_gone(backend, streams, server))
    await server.serve(sockets=[listener])
    listening.cancel()


async def _until_gone(backend: BackendChannel, streams: EventStreams, server: uvicorn.Server) -> None:
    await backend.listen()
    streams.close()
    server.should_exit = True


def _config(pages: Pages, told: Mapping[str, Any]) -> uvicorn.Config:
    return uvicorn.Config(
        pages.app(),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,  # a request's line says what somebody looks at
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_END_S,
        h11_max_incomplete_event_size=_MAX_HEADERS,
        ssl_certfile=told.get("tls_cert"),
        ssl_keyfile=told.get("tls_key"),
    )


if __name__ == "__main__":
    main()
