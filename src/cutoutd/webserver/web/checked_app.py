"""Middleware of every request and response: checks of peer and Host header, and response headers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from cutoutd.webserver.web.backend_channel import BackendGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from cutoutd.webserver.web.hosts import AllowedHosts


class CheckedApp:
    """Checks peer and Host header before anything else, and adds headers to every response, also to errors.

    Args:
        app: inner application.
        hosts: allowed peers and host names.
        headers: headers of every response that does not set them.
        refusal: makes a response of a status, a code and a text.
    """

    def __init__(
        self,
        app: Starlette,
        hosts: AllowedHosts,
        headers: Mapping[str, str],
        refusal: Callable[[int, str, str], ASGIApp],
    ) -> None:
        # Within: Starlette's outermost layer answers 500 to whatever reaches it, and raises it again.
        app.add_middleware(BackendGoneAnswer, refusal=refusal)
        self._app = app
        self._hosts = hosts
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def bound(message: Any) -> None:  # noqa: ANN401 -- as of ASGI
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._missing(message["headers"])]}
            await send(message)

        if scope["type"] != "http":
            return
        if not self._hosts.knows_peer((scope.get("client") or ("",))[0]):
            await self._refusal(403, "peer", "Only the proxy may connect.")(scope, receive, bound)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._hosts.knows_host(hosts[0]):
            await self._refusal(421, "host", "Nothing is served under that name.")(scope, receive, bound)
            return
        await self._app(scope, receive, bound)

    def _missing(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        there = {name.lower() for name, _ in headers}
        return [(name, value) for name, value in self._headers if name not in there]


class BackendGoneAnswer:
    """Responds with 503 where the backend has ended or did not answer in time.

    Args:
        app: inner application.
        refusal: makes a response of a status, a code and a text.
    """

    def __init__(self, app: ASGIApp, refusal: Callable[[int, str, str], ASGIApp]) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_begun = False

        async def noting(message: Any) -> None:  # noqa: ANN401 -- as of ASGI
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except (BackendGoneError, asyncio.CancelledError):  # the latter at the end of this process
            logging.getLogger(__name__).warning(
                "A request was not answered: cutoutd took too long, or has ended."
            )
            if (
                is_begun
            ):  # what has been sent cannot be taken back: the server ends the connection in the middle
                return
            gone = "cutoutd does not answer just now. Try again in a moment."
            await self._refusal(503, "backend", gone)(scope, receive, send)
