"""The web process's end of the channel to the backend: requests out, answers and events in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from cutoutd.webserver import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MOST_IN_HAND: Final = 200
"""Requests that wait for an answer; the next ones wait for these."""

_MAX_SAID: Final = 8000
"""Characters of what is logged at a time."""

ANSWER_S: Final = 60.0
"""A backend that has not answered after this long is held up by a share; the browser is told so."""


class BackendGoneError(Exception):
    """The backend has ended, or did not answer in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The response of the backend.

    Attributes:
        status: HTTP status.
        body: body to send.
        media_type: media type of the body.
        immutable: a browser may cache the body for ever.
        named: short values that become headers.
    """

    status: int
    body: bytes
    media_type: str
    immutable: bool
    named: Mapping[str, object]


class BackendChannel:
    """Requests to the backend.

    Args:
        reader: stream from the backend.
        writer: stream to the backend.
        on_event: called with an event's name and its data, as JSON.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_event: Callable[[str, bytes], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._in_hand = asyncio.Semaphore(_MOST_IN_HAND)

    async def listen(self) -> None:
        """Read the frames of the backend until it ends."""
        try:
            while True:
                head, body = await frames.receive_async(self._reader)
                self._take(head, body)
        except (asyncio.IncompleteReadError, OSError, frames.FrameError):
            pass
        finally:
            for one in self._waiting.values():
                if not one.done():
                    one.set_exception(BackendGoneError())

    async def ask(
        self, method: str, params: Mapping[str, Any], body: bytes | bytearray | memoryview = b""
    ) -> Answer:
        """Call a method of the backend.

        Raises:
            BackendGoneError: the backend has ended, or did not answer in time.
        """
        async with self._in_hand:
            number = next(self._numbers)
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
            try:
                self._writer.write(frames.pack({"id": number, "method": method, "params": params}, body))
                await self._writer.drain()
                return await asyncio.wait_for(answer, ANSWER_S)
            except (OSError, TimeoutError) as error:
                raise BackendGoneError from error
            finally:
                del self._waiting[number]

    def watched(self, *, watched: bool) -> None:
        """Tell the backend whether any client listens for events."""
        self._writer.write(frames.pack({"watched": watched}))

    def say(self, text: str) -> None:
        """Send a log message to the backend."""
        self._writer.write(frames.pack({"said": text[:_MAX_SAID]}))

    def confined(self, layers: Sequence[str]) -> None:
        """Tell the backend which layers of the sandbox are in force; clients are served from now on."""
        self._writer.write(frames.pack({"layers": list(layers)}))

    def _take(self, head: dict[str, Any], body: bytes) -> None:
        match head:
            case {"event": str(event)}:
                self._on_event(event, body)
            case {"id": int(number), "status": int(status)}:
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(
                        Answer(
                            status=status,
                            body=body,
                            media_type=str(head.get("media_type", "application/json")),
                            immutable=head.get("immutable") is True,
                            named=head.get("data") or {},
                        )
                    )
