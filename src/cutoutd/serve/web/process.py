"""The process that answers programs: started by the backend with a listening socket and a channel, both open.

It must not open a file, nor make a socket, once it answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from cutoutd.sandbox.confinement import confine_web
from cutoutd.serve.web import rembg_api, removebg_api
from cutoutd.serve.web.answers import HEADERS, RefusalError, refusal
from cutoutd.serve.web.job_streams import JobStreams
from cutoutd.serve.web.own_api import OwnApi
from cutoutd.serve.web.pictures import ServedPictures
from cutoutd.serve.web.rembg_api import RembgApi
from cutoutd.serve.web.removebg_api import RemoveBgApi
from cutoutd.serve.web.routes import own_format
from cutoutd.serve.web.tus import ResumableUploads
from cutoutd.webserver.web import process, server
from cutoutd.webserver.web.backend_channel import BackendChannel
from cutoutd.webserver.web.checked_app import CheckedApp
from cutoutd.webserver.web.hosts import AllowedHosts

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

_REFUSAL_FORMATS = {"/v1.0/": removebg_api.format_refusal, "/api/": rembg_api.format_refusal}

MOST_CONNECTIONS = 600
"""As many as can be uploads, fetches and streams; together with those that are just accepted, fewer than open files."""


def main() -> None:
    """Serve until the backend ends."""
    process.run(_serve)


async def _serve(listener: socket.socket, channel: socket.socket, options: Mapping[str, Any]) -> None:
    reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 20)
    streams = JobStreams(options["version"])

    def on_event(name: str, data: bytes) -> None:
        if name == "job":
            said = json.loads(data)
            pictures.notify(said["job"], is_revoked=said["revoked"])
            if said["revoked"]:
                streams.end(said["key"])
            else:
                streams.publish(said["key"], said["job"])

    backend = BackendChannel(reader, writer, on_event)
    pictures = ServedPictures(backend)
    logging.getLogger().addHandler(process.BackendLog(backend))
    hosts = AllowedHosts(hosts=frozenset(options["hosts"]), proxy=options["proxy"])
    async with anyio.create_task_group():
        pass  # what streams need is imported at its first use, which would be too late

    def confined() -> None:
        backend.confined(confine_web(required=bool(options["required"])))

    config = server.config(
        CheckedApp(_app(pictures, streams, options["max_wait_s"]), hosts, HEADERS, refusal),
        most=MOST_CONNECTIONS,
        ssl_certfile=options["tls_cert"],
        ssl_keyfile=options["tls_key"],
    )
    serving = server.Server(config, confined)
    listening = asyncio.create_task(_until_gone(backend, pictures, streams, serving))
    await serving.serve(sockets=[listener])
    listening.cancel()


def _app(pictures: ServedPictures, streams: JobStreams, max_wait_s: int) -> Starlette:
    routes = [
        *OwnApi(pictures, streams, max_wait_s).routes(),
        *ResumableUploads(pictures).routes(),
        *RemoveBgApi(pictures, max_wait_s).routes(),
        *RembgApi(pictures, max_wait_s).routes(),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _failed})


async def _failed(request: Request, error: Exception) -> Response:
    """What no route answers, such as a path that is none."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- as it is registered
    texts = {
        404: "There is nothing here. /v1/openapi.json says what there is.",
        405: "This needs another method.",
    }
    code = {404: "no_path", 405: "method"}.get(error.status_code, "request")
    refused = RefusalError(error.status_code, code, texts.get(error.status_code, error.detail))
    refusal_format = next(
        (one for path, one in _REFUSAL_FORMATS.items() if request.url.path.startswith(path)), own_format
    )
    answer = refusal_format(refused)
    answer.headers.update(error.headers or {})
    return answer


async def _until_gone(
    backend: BackendChannel, pictures: ServedPictures, streams: JobStreams, serving: server.Server
) -> None:
    await backend.listen()
    pictures.close()
    streams.close()
    serving.end()


if __name__ == "__main__":
    main()
