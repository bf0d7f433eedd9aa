"""Server-sent events about jobs: one stream per listening program, with the events of its key."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cutoutd.serve.web.answers import RefusalError
from cutoutd.webserver.web.event_streams import EventStreams, encoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

MOST: Final = 128
"""Streams of all keys together; one key has no more than a page's browsers."""

KEPT: Final = 2000
"""Events of all keys together that a program can hear later, after its connection broke off."""

CHECK_S: Final = 10.0
"""A stream of a key that was revoked ends after this long if there is nothing to be told; with its next event otherwise."""


class _RecentEvent(NamedTuple):
    number: int
    key: str
    message: bytes


class JobStreams:
    """The event streams of all listening programs.

    Args:
        version: version of cutoutd, sent at the start of each stream.
    """

    def __init__(self, version: str) -> None:
        self._greeting = encoded("hello", json.dumps({"version": version}).encode())
        self._run = token_hex(4)
        self._numbers = count(1)
        self._recent: deque[_RecentEvent] = deque(maxlen=KEPT)
        self._of_key: dict[str, EventStreams] = {}
        self._count = 0

    def publish(self, key: str, job: object) -> None:
        """Send the change of a job to the streams of its key."""
        number = next(self._numbers)
        message = encoded("job", json.dumps(job, separators=(",", ":")).encode(), f"{self._run}-{number}")
        self._recent.append(_RecentEvent(number, key, message))
        if (streams := self._of_key.get(key)) is not None:
            streams.put(message)

    def end(self, key: str) -> None:
        """End the streams of a revoked key; queued events are not sent."""
        if (streams := self._of_key.get(key)) is not None:
            streams.close()

    def of(self, key: str, check: Callable[[], Awaitable[Any]], last: str = "") -> AsyncIterator[bytes]:
        """Yield the events for one program, from now on or after its last event.

        Args:
            key: id of the key.
            check: raises once the key is revoked.
            last: id of the last event that the program received; empty: none.

        Raises:
            RefusalError: 503; too many streams are open.
        """
        streams = self._of_key.get(key)
        if (streams is not None and streams.is_full) or self._count >= MOST:
            raise RefusalError(503, "busy", "Too many programs listen already.", {"retry_after_s": 30})
        return self._stream(key, check, last)

    def close(self) -> None:
        """End all streams."""
        for streams in self._of_key.values():
            streams.close()

    def _missed(self, key: str, last: str) -> list[bytes]:
        """What a program has not heard; if that is not known any more, the event ``missed`` says that it has to ask for its jobs."""
        run, _, said = last.partition("-")
        number = int(said) if said.isascii() and said.isdigit() else -1
        oldest = self._recent[0].number if self._recent else 1
        if run != self._run or number < oldest - 1:
            return [encoded("missed", b"{}")]
        return [one.message for one in self._recent if one.key == key and one.number > number]

    async def _stream(self, key: str, check: Callable[[], Awaitable[Any]], last: str) -> AsyncIterator[bytes]:
        # Counted from here on: of a program that has left before its answer began, this never runs, nor does its end.
        streams = self._of_key.setdefault(key, EventStreams(self._greeting, lambda _: None))
        self._count += 1
        watching = asyncio.create_task(_ending(check))
        watching.add_done_callback(lambda ended: None if ended.cancelled() else streams.close())
        stream = streams.stream()
        try:
            greeting = await anext(stream)
            # At once, so that what is told from here on comes by the stream, and nothing twice.
            missed = self._missed(key, last) if last else []
            yield greeting
            for event in missed:
                yield event
            # Nothing else may wait for the stream: where a program hangs up, it is closed here while it is waited for.
            async for event in stream:
                yield event
        finally:
            watching.cancel()
            self._count -= 1
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
            if not streams.is_any and self._of_key.get(key) is streams:
                del self._of_key[key]


async def _ending(check: Callable[[], Awaitable[Any]]) -> None:
    while True:
        await asyncio.sleep(CHECK_S)
        try:
            await check()
        except RefusalError:
            return
