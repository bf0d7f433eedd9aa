"""uvicorn, adapted: the process is confined once it listens, and idle or slow connections are closed.

It must not know any route.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from starlette.types import ASGIApp
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

MOST_CONNECTIONS: Final = 160
"""A browser has six at a time. Beyond these, the idle one that is oldest is closed."""

HEAD_S: Final = 10
"""A request's head that has not come whole by then does not come."""

_BACKLOG: Final = 128
"""So many are accepted at once, before the oldest is closed: all of them together have to be fewer than open files."""

_OTHER_FILES: Final = 40
"""What else is open: the listener, the channel, standard streams, the event loop, and room for libraries."""

PEER: Final = "peer"
"""Under this name a request's state has the id of the user who made the connection; None: not known."""

READ_BYTES: Final = 32_768
"""At a time, of one connection. asyncio's quarter of a mebibyte is what many uploads have in memory, three times over."""

_IDLE_S: Final = 75
_MAX_HEAD: Final = 32_768
_END_S: Final = 1


class Protocol(H11Protocol):
    """One connection, with timeouts for idling and for a request's head."""

    since_s = 0.0
    """When it was made, by the loop's clock."""

    uid_of: Callable[[socket.socket], int | None]
    """Tells the user who made a connection."""

    most = MOST_CONNECTIONS
    """So many at a time."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection, closing another one if there are too many, and start the timeout of its first request."""
        self.since_s = self.loop.time()
        connection = transport.get_extra_info("socket")
        self.app_state = {**self.app_state, PEER: self.uid_of(connection)}
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BYTES
        super().connection_made(transport)
        if len(self.connections) > self.most:
            idle = (one for one in self.connections if isinstance(one, Protocol) and one.is_idle)
            oldest = min(idle, key=lambda one: one.since_s, default=self)
            oldest.transport.abort()
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and len(cycle.body) >= READ_BYTES:
            self.flow.pause_reading()  # until these are taken; uvicorn lets three times as many come
        if not self.is_idle:
            self._stop_waiting()
        elif self._head is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the counts."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        return cycle is None or cycle.response_complete

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if self.is_idle:
            self.transport.abort()


class Server(uvicorn.Server):
    """A server that is confined once it listens.

    Args:
        config: configuration of uvicorn.
        confine: confines this process.
    """

    def __init__(self, config: uvicorn.Config, confine: Callable[[], object]) -> None:
        super().__init__(config)
        self._confine = confine
        self._ended = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then confine the process."""
        await super().startup(sockets=sockets)
        self._confine()

    async def main_loop(self) -> None:
        """Wait for the end: uvicorn's own loop wakes ten times a second, which costs a fifth of a percent of a core."""
        await self.on_tick(0)
        await self._ended.wait()

    def end(self) -> None:
        """Stop serving; to be called in the loop's thread."""
        self.should_exit = True
        self._ended.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ignore a signal: the backend gets it too when sent to the whole service, and ends this process in order."""


def _as_many_as_files(most: int) -> tuple[int, int]:
    """Return how many connections there may be, and how many are accepted at once, with the limit on open files raised for them.

    With fewer files than connections, idle ones would keep all others out: nothing is accepted, so none is closed.
    """
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _BACKLOG + _OTHER_FILES
    if limit == resource.RLIM_INFINITY or limit >= wanted:
        return most, _BACKLOG
    with suppress(OSError, ValueError):
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        limit = raised
    room = max(2, limit - _OTHER_FILES)
    backlog = min(_BACKLOG, max(1, room // 4))
    return max(1, min(most, room - backlog)), backlog


def config(
    app: ASGIApp,
    uid_of: Callable[[socket.socket], int | None] = lambda _: None,
    *,
    most: int = MOST_CONNECTIONS,
    **tls: Any,  # noqa: ANN401 -- as of uvicorn
) -> uvicorn.Config:
    """Return uvicorn's configuration: one process, and no access log, since request lines reveal what users view."""
    most, backlog = _as_many_as_files(most)
    protocol = type("PeerProtocol", (Protocol,), {"uid_of": staticmethod(uid_of), "most": most})
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=backlog,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_END_S,
        h11_max_incomplete_event_size=_MAX_HEAD,
        **tls,
    )
