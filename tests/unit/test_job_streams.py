"""Event streams of the API: clients disconnect at any moment, and leave no resources behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from cutoutd.serve.web import job_streams
from cutoutd.serve.web.answers import RefusalError
from cutoutd.serve.web.job_streams import MOST, JobStreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

    import pytest

SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}
"""An ASGI scope as uvicorn makes it: the answering task is cancelled once the client has disconnected."""


async def good() -> None:
    """Accept the key."""


async def answered(stream: AsyncIterator[bytes], *, gone_before: bool = False) -> list[bytes]:
    """Return the events that a client gets that disconnects after the first event, or before any."""
    heard: list[bytes] = []
    begun = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not gone_before:
            await begun.wait()
            for _ in range(5):  # until the stream waits again
                await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if gone_before:
            await asyncio.Event().wait()  # for a connection that takes nothing more
        if message["type"] == "http.response.body":
            heard.append(message["body"])
            begun.set()

    await StreamingResponse(stream)(SCOPE, receive, send)
    return heard


def test_a_client_that_disconnects_is_no_error_and_frees_its_place() -> None:
    """One after the other, more clients than may listen at once."""

    async def listen() -> None:
        streams = JobStreams("1.0")
        for number in range(MOST + 1):
            assert len(await answered(streams.of(f"key {number % 2}", good))) == 1

    asyncio.run(asyncio.wait_for(listen(), 60))


def test_a_client_that_left_before_its_answer_began_takes_no_place() -> None:
    """Its stream never started, so that no end of the stream frees its place."""

    async def listen() -> None:
        streams = JobStreams("1.0")
        for _ in range(MOST + 1):
            assert await answered(streams.of("key", good), gone_before=True) == []

    asyncio.run(asyncio.wait_for(listen(), 60))


def test_all_streams_of_a_key_end_once_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of another key continue."""
    monkeypatch.setattr(job_streams, "CHECK_S", 0.0)

    async def revoked() -> None:
        raise RefusalError(403, "key", "It was revoked.")

    async def listen() -> None:
        streams = JobStreams("1.0")
        other = streams.of("other", good)
        await anext(other)
        for _ in range(2):
            assert len([event async for event in streams.of("key", revoked)]) == 1
        streams.publish("other", {"id": "1"})
        assert b'{"id":"1"}' in await anext(other)
        await other.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(listen(), 60))
