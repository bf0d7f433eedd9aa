"""The routes: the page's files, methods of the backend, pictures, and events.

It must not decide what a method may do; it hands on what a paired browser asks.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cutoutd.page.web.guard import HEADERS, Session
from cutoutd.webserver.web.checked_app import CheckedApp
from cutoutd.webserver.web.entity_tags import is_named
from cutoutd.webserver.web.server import PEER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp

    from cutoutd.page.web.guard import AccessRules
    from cutoutd.page.web.static_files import StaticFile
    from cutoutd.webserver.web.backend_channel import BackendChannel
    from cutoutd.webserver.web.event_streams import EventStreams

MAX_CODE: Final = 8192
"""Of a request that anybody may make."""

BODY_S: Final = 20.0
"""A body that has not come whole by then does not come."""

WHY_HEADER: Final = "x-cutoutd-why"
"""Of a script that asks why a picture is not shown: to be told so is no error."""

REQUEST_HEADER: Final = "x-cutoutd-request"
"""The name of a change, which is the same when it is sent again."""

_REFUSED: Final = 400
_NO_ACCESS: Final = frozenset({401, 403})
_YEAR_S: Final = 31_536_000


class Pages:
    """The handlers of all routes.

    Args:
        channel: to the backend.
        guard: who may ask.
        streams: browsers that listen.
        files: the page's own, by path.
        reads: names of methods that change nothing.
        max_body: bytes of a request's body, unless its method is in `max_bodies`.
        max_bodies: by names of methods.
    """

    def __init__(
        self,
        *,
        channel: BackendChannel,
        guard: AccessRules,
        streams: EventStreams,
        files: Mapping[str, StaticFile],
        reads: frozenset[str],
        max_body: int,
        max_bodies: Mapping[str, int],
    ) -> None:
        self._channel = channel
        self._guard = guard
        self._streams = streams
        self._files = files
        self._reads = reads
        self._max_body = max_body
        self._max_bodies = max_bodies

    def app(self) -> ASGIApp:
        """The application, behind the checks that every request passes."""
        routes = [
            Route("/", self.index),
            Route("/static/{path:path}", self.static),
            Route("/lang/{name}", self.language),
            Route("/pair", self.pair, methods=["POST"]),
            Route("/api/events", self.events),
            Route("/api/{method}", self.read),
            Route("/api/{method}", self.write, methods=["POST"]),
            Route("/img/{job:int}/{kind}/thumb", self.thumbnail),
            Route("/img/{job:int}/{kind}/{level:int}/{x:int}/{y:int}", self.tile),
        ]
        headers = {**HEADERS, "Cache-Control": "no-store"}
        return CheckedApp(Starlette(routes=routes), self._guard, headers, _refusal)

    async def index(self, request: Request) -> Response:
        """The page."""
        return self._file(request, "index.html")

    async def static(self, request: Request) -> Response:
        """One of its files."""
        return self._file(request, request.path_params["path"])

    async def language(self, request: Request) -> Response:
        """A catalogue of texts."""
        return self._file(request, f"lang/{request.path_params['name']}")

    async def pair(self, request: Request) -> Response:
        """Exchange a code or the password for a cookie and a token."""
        if not self._guard.is_own_origin(request.headers):
            return _refusal(403, "origin", "This request comes from another page.")
        body = await read_body(request, MAX_CODE)
        if isinstance(body, Response):
            return body
        try:
            code = json.loads(body)["code"]
        except (KeyError, RecursionError, TypeError, ValueError):
            return _refusal(
                400, "code", "A code is missing. Run `cutoutd page` again, which opens a new one."
            )
        uid = _peer(request)
        answer = await self._channel.ask("_pair", {"code": code, "uid": uid})
        if answer.status != 200:  # noqa: PLR2004 -- as of HTTP
            return Response(answer.body, answer.status, media_type=answer.media_type)
        given = json.loads(answer.body)
        self._guard.sessions[given["cookie_sha256"]] = Session(given["token_sha256"], uid)
        response = Response(json.dumps({"token": given["token"]}), media_type="application/json")
        response.set_cookie(
            self._guard.cookie,
            given["cookie"],
            httponly=True,
            samesite="strict",
            secure=self._guard.is_encrypted,
            path="/",
        )
        return response

    async def events(self, request: Request) -> Response:
        """Stream events from now on."""
        if (refused := self._may_not_read(request)) is not None:
            return refused
        if self._streams.is_full:
            return _refusal(503, "busy", "Too many pages are open already. Close some of them.")
        return StreamingResponse(self._streams.stream(), media_type="text/event-stream")

    async def read(self, request: Request) -> Response:
        """Call a read-only method."""
        method = request.path_params["method"]
        if method not in self._reads:
            return _refusal(405, "method", "This needs the method POST.")
        query = request.query_params
        listed = {name: query.getlist(name) for name in query}
        params = {name: values[0] if len(values) == 1 else values for name, values in listed.items()}
        return await self._read(request, method, params)

    async def write(self, request: Request) -> Response:
        """Call any method; only the page itself may do so."""
        method = request.path_params["method"]
        if method.startswith("_"):
            return _refusal(404, "no_method", "The page requests something that does not exist.")
        if not self._guard.is_own_origin(request.headers):
            return _refusal(403, "origin", "This request comes from another page.")
        if not self._guard.may_write(request.cookies, request.headers, _peer(request)):
            return _unpaired()
        body = await read_body(request, self._max_bodies.get(method, self._max_body))
        if isinstance(body, Response):
            return body
        name = request.headers.get(REQUEST_HEADER)
        return await self._ask(method, {} if name is None else {"request": name}, body)

    async def thumbnail(self, request: Request) -> Response:
        """A small picture."""
        return await self._picture(request, "thumb")

    async def tile(self, request: Request) -> Response:
        """A part of a large one."""
        return await self._picture(request, "tile")

    async def _picture(self, request: Request, method: str) -> Response:
        version = request.query_params.get("v", "")
        answer = await self._read(request, method, {**request.path_params, "v": version})
        if answer.status_code < _REFUSED:
            return answer
        # A picture that cannot be shown has words in its place; a browser would put an error into its console as well.
        if request.headers.get("sec-fetch-dest") == "image":
            return Response(status_code=204)
        if WHY_HEADER in request.headers and answer.status_code not in _NO_ACCESS:
            why = {"status": answer.status_code, **json.loads(bytes(answer.body))}
            return Response(json.dumps(why), media_type="application/json")
        return answer

    async def _read(self, request: Request, method: str, params: Mapping[str, Any]) -> Response:
        return self._may_not_read(request) or await self._ask(method, params)

    def _may_not_read(self, request: Request) -> Response | None:
        if not self._guard.is_own_or_typed(request.headers):
            return _refusal(403, "origin", "This request comes from another page.")
        return None if self._guard.may_read(request.cookies, _peer(request)) else _unpaired()

    async def _ask(self, method: str, params: Mapping[str, Any], body: bytes = b"") -> Response:
        answer = await self._channel.ask(method, params, body)
        headers = {f"X-{name.replace('_', '-').title()}": str(value) for name, value in answer.named.items()}
        if answer.immutable:
            headers["Cache-Control"] = f"private, max-age={_YEAR_S}, immutable"
        return Response(answer.body, answer.status, headers, answer.media_type)

    def _file(self, request: Request, path: str) -> Response:
        file = self._files.get(path)
        if file is None:
            return _refusal(404, "no_page", "There is no such page.")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if is_named(request.headers, file.tag):
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers=headers, media_type=file.media_type)


def _peer(request: Request) -> int | None:
    """Return the user of this machine that the connection belongs to; None: unknown."""
    uid: int | None = request.scope["state"].get(PEER)
    return uid


async def read_body(request: Request, most: int) -> bytes | Response:
    """Return a request's whole body, or the refusal of one that is too large, too slow, or not JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _refusal(415, "media_type", "The body of a request must be JSON.")
    if len(request.headers.get("content-length", "")) > len(str(most)):
        return _too_large()
    parts = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                parts += part
                if len(parts) > most:
                    return _too_large()
    except TimeoutError:
        return _refusal(408, "slow", "The request did not arrive completely in time.")
    except ClientDisconnect:
        return _refusal(400, "ended", "The request ended early.")
    return bytes(parts)


def _too_large() -> Response:
    return _refusal(413, "large", "The request is too large.")


def _unpaired() -> Response:
    return _refusal(401, "unpaired", "This browser is not paired. Run `cutoutd page`, which opens it.")


def _refusal(status: int, code: str, text: str) -> Response:
    error = {"error": {"code": code, "text": text, "named": {}}}
    # What was not read of a request's body must not be taken for the next request.
    headers = {"Connection": "close"} if status in {408, 413, 415, 421, 403} else {}
    return Response(json.dumps(error), status, headers, "application/json")
