"""The process that answers browsers: started by the backend with a listening socket and a channel, both open.

It must not open a file, nor make a socket, once it answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import anyio

from cutoutd.page.web import static_files
from cutoutd.page.web.app import Pages
from cutoutd.page.web.guard import AccessRules, Session
from cutoutd.page.web.peers import PeerOwners
from cutoutd.sandbox.confinement import confine_web
from cutoutd.webserver.web import process, server
from cutoutd.webserver.web.backend_channel import BackendChannel
from cutoutd.webserver.web.event_streams import EventStreams, encoded

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping


def main() -> None:
    """Serve until the backend ends."""
    process.run(_serve)


async def _serve(listener: socket.socket, channel: socket.socket, options: Mapping[str, Any]) -> None:
    reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 20)
    greeting = encoded("hello", json.dumps({"version": options["version"]}).encode())
    streams = EventStreams(greeting, lambda watched: backend.watched(watched=watched))
    backend = BackendChannel(reader, writer, streams.send)
    logging.getLogger().addHandler(process.BackendLog(backend))
    guard = AccessRules(
        hosts=frozenset(options["hosts"]),
        proxy=options["proxy"],
        is_encrypted=bool(options["proxy"] or options["tls_cert"]),
        cookie=options["cookie"],
        sessions={cookie: Session(token, uid) for cookie, token, uid in options["sessions"]},
    )
    files = static_files.read_all()
    pages = Pages(
        channel=backend,
        guard=guard,
        streams=streams,
        files=files,
        reads=frozenset(options["reads"]),
        max_body=options["max_body"],
        max_bodies=options["max_bodies"],
    )
    async with anyio.create_task_group():
        pass  # what streams need is imported at its first use, which would be too late

    def confined() -> None:
        backend.confined(confine_web(required=bool(options["required"])))

    owners = PeerOwners()
    config = server.config(
        pages.app(), owners.uid_of, ssl_certfile=options["tls_cert"], ssl_keyfile=options["tls_key"]
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
