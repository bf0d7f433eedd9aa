"""An archive of results leaves none of them open, wherever its client hangs up."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from cutoutd.serve.web import packing
from cutoutd.serve.web.answers import RefusalError
from cutoutd.serve.web.pictures import ServedPictures
from cutoutd.serve.web.removebg_api import RemoveBgApi
from cutoutd.webserver.web.backend_channel import Answer, BackendChannel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

NAMES = ("color.jpg", "alpha.png")
CONTENT = b"content"


class OutputsChannel:
    """A channel that opens, reads and closes results."""

    def __init__(self, most: int = 9) -> None:
        self.most = most
        self.opened: set[str] = set()
        self.count = 0

    async def ask(self, method: str, params: Mapping[str, Any], *_: object) -> Answer:
        """Answer as the backend does."""
        handle = str(params.get("handle", self.count))
        if method == "output_part":
            return self._answer(CONTENT, media_type="application/octet-stream")
        if method == "output_close":
            self.opened.discard(handle)
            return self._answer(b"{}")
        if self.count >= self.most:
            error = {"code": "busy", "text": "Too many.", "named": {}}
            return self._answer(json.dumps({"error": error}).encode(), status=503)
        self.count += 1
        self.opened.add(handle)
        said = {"handle": handle, "bytes": len(CONTENT), "name": "n", "media_type": "image/png", "sha256": ""}
        return self._answer(json.dumps(said).encode())

    def _answer(self, body: bytes, status: int = 200, media_type: str = "application/json") -> Answer:
        return Answer(status=status, body=body, media_type=media_type, immutable=False, named={})


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_a_client_that_hangs_up_leaves_no_result_open(parts: int) -> None:
    """Before, the second result stayed open for ten minutes, and two hundred of them closed the API to all."""

    async def run() -> set[str]:
        channel = OutputsChannel()
        pictures = ServedPictures(cast("BackendChannel", channel))
        outputs = [await pictures.open_output("key", "1", place) for place in range(2)]
        archive: AsyncGenerator[bytes, None] = packing.archived(NAMES, outputs, [0, 0])
        for _ in range(parts):
            await anext(archive)
        await archive.aclose()
        await asyncio.sleep(0)
        return channel.opened

    assert asyncio.run(run()) == set()


def test_a_second_result_that_is_refused_leaves_the_first_one_closed() -> None:
    """Each is opened twice: for its checksum, and for the archive."""

    async def run() -> set[str]:
        channel = OutputsChannel(most=3)
        api = RemoveBgApi(ServedPictures(cast("BackendChannel", channel)), 1)
        with pytest.raises(RefusalError):
            await api._archive("key", {"id": "1"}, {})  # noqa: SLF001 -- the rest of the request does not matter
        return channel.opened

    assert asyncio.run(run()) == set()
