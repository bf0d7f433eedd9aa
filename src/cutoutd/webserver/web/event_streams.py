"""Server-sent events: events of the backend go to every listening client, and a slow client does not delay the others.

Format: the HTML standard, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_MOST_STREAMS: Final = 32
_MOST_WAITING: Final = 64
"""Events for a browser that takes none; then it is let go, and asks anew when it comes back."""

_SIGN_OF_LIFE_S: Final = 20.0
_SIGN_OF_LIFE: Final = b": still here\n\n"


class EventStreams:
    """The event streams of all listening clients.

    Args:
        greeting: first event of each stream.
        on_watched: called when the first stream opens, and when the last has closed.
    """

    def __init__(self, greeting: bytes, on_watched: Callable[[bool], None]) -> None:
        self._greeting = greeting
        self._on_watched = on_watched
        self._streams: set[asyncio.Queue[bytes | None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether the number of streams is at its limit."""
        return len(self._streams) >= _MOST_STREAMS

    @property
    def is_any(self) -> bool:
        """Whether any client listens."""
        return bool(self._streams)

    def send(self, event: str, data: bytes) -> None:
        """Send an event to all clients.

        Args:
            event: its name, in ASCII.
            data: JSON on one line.
        """
        self.put(encoded(event, data))

    def put(self, message: bytes) -> None:
        """Send an event, encoded by `encoded`, to all clients."""
        for stream in list(self._streams):
            try:
                stream.put_nowait(message)
            except asyncio.QueueFull:
                self._let_go(stream)

    def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            self._let_go(stream)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the events for one client, from now on; none if the limit was reached since `is_full` was asked."""
        if self.is_full:
            return
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING)
        self._streams.add(queue)
        if len(self._streams) == 1:
            self._on_watched(True)
        try:
            yield self._greeting
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), _SIGN_OF_LIFE_S)
                except TimeoutError:
                    message = _SIGN_OF_LIFE
                if message is None:
                    return
                yield message
        finally:
            self._streams.discard(queue)
            if not self._streams:
                self._on_watched(False)

    def _let_go(self, stream: asyncio.Queue[bytes | None]) -> None:
        self._streams.discard(stream)
        while not stream.empty():
            stream.get_nowait()
        stream.put_nowait(None)


def encoded(event: str, data: bytes, id_: str = "") -> bytes:
    """Encode an event.

    Args:
        event: its name, in ASCII.
        data: JSON on one line.
        id_: event id for ``Last-Event-ID``, in ASCII; empty: none.
    """
    named = b"id: %s\n" % id_.encode("ascii") if id_ else b""
    return b"%sevent: %s\ndata: %s\n\n" % (named, event.encode("ascii", "ignore"), data)
