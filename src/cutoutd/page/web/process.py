"""The process that answers browsers: started by the backend with a listening socket and a channel, both open.

It must not open a file, nor make a socket, once it answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import traceback
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio

from cutoutd.page import frames
from cutoutd.page.web import server, static_files
from cutoutd.page.web.app import Pages
from cutoutd.page.web.backend_channel import BackendChannel
from cutoutd.page.web.event_streams import EventStreams, encoded
from cutoutd.page.web.guard import AccessRules, Session
from cutoutd.page.web.peers import PeerOwners
from cutoutd.sandbox.confinement import confine_web
from cutoutd.sandbox.limits import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Log(logging.Handler):
    """Hands what libraries log to the backend, which bounds it: this process has no log of its own."""

    def __init__(self, channel: BackendChannel) -> None:
        super().__init__(logging.ERROR)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.say(self.format(record))


def main() -> None:
    """Serve until the backend ends."""
    parent, listener, channel = int(sys.argv[1]), *map(_socket, sys.argv[2:4])
    die_with_parent(parent)
    told = frames.receive(channel.recv)
    if told is None:
        return
    if told[0]["version"] != version("cutoutd"):
        # Another version was installed meanwhile: what this one says, the backend that started it may not understand.
        sys.exit(frames.UPGRADED)
    try:
        asyncio.run(_serve(listener, channel, told[0]))
    except Exception:  # noqa: BLE001 -- the last edge: the backend logs it
        channel.setblocking(True)
        channel.sendall(frames.pack({"said": traceback.format_exc()[-8000:]}))
        sys.exit(1)


def _socket(descriptor: str) -> socket.socket:
    return socket.socket(fileno=int(descriptor))


async def _serve(listener: socket.socket, channel: socket.socket, told: Mapping[str, Any]) -> None:
    reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 20)
    greeting = encoded("hello", json.dumps({"version": told["version"]}).encode())
    streams = EventStreams(greeting, lambda watched: backend.watched(watched=watched))
    backend = BackendChannel(reader, writer, streams.send)
    logging.getLogger().addHandler(_Log(backend))
    guard = AccessRules(
        hosts=frozenset(told["hosts"]),
        proxy=told["proxy"],
        is_encrypted=bool(told["proxy"] or told["tls_cert"]),
        cookie=told["cookie"],
        sessions={cookie: Session(token, uid) for cookie, token, uid in told["sessions"]},
    )
    files = static_files.read_all()
    pages = Pages(
        channel=backend,
        guard=guard,
        streams=streams,
        files=files,
        reads=frozenset(told["reads"]),
        max_body=told["max_body"],
        max_bodies=told["max_bodies"],
    )
    async with anyio.create_task_group():
        pass  # what streams need is imported at its first use, which would be too late

    def confined() -> None:
        backend.confined(confine_web(required=bool(told["required"])))

    owners = PeerOwners()
    config = server.config(
        pages.app(), owners.uid_of, ssl_certfile=told["tls_cert"], ssl_keyfile=told["tls_key"]
    )
    serving = server.Server(config, confined)
    listening = asyncio.create_task(_until_gone(backend, streams, serving))
    await serving.serve(sockets=[listener])
    listening.cancel()


async def _until_gone(backend: BackendChannel, streams: EventStreams, serving: server.Server) -> None:
    await backend.listen()
    streams.close()
    serving.end()


if __name__ == "__main__":
    main()
