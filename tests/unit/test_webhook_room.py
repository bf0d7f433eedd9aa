"""What one folder may still hand over, without looking at all messages for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cutoutd.exchange.webhooks import MessageState, WebhookPaths, write_webhook
from cutoutd.offload.webhook_room import WebhookRoom
from tests.unit.test_webhook_parts import put

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.exchange.webhooks import WebhookMessage
    from tests.conftest import FakeClock


class CountedPaths(WebhookPaths):
    """Paths that count how often the directory is read."""

    reads = 0

    def ids(self) -> list[str]:
        """Read the directory."""
        self.reads += 1
        return super().ids()


def _put(paths: WebhookPaths, number: int, folder: str = "f") -> WebhookMessage:
    return put(paths, number, content=b"x" * 1000, folder=folder)


def test_many_messages_are_added_with_few_looks(tmp_path: Path, clock: FakeClock) -> None:
    """What a folder adds is counted; the directory is read again where nothing seems to be left, and now and then."""
    paths = CountedPaths(tmp_path)
    paths.make()
    room = WebhookRoom(paths, "f", clock)
    limits = {"most": 40, "max_bytes": 1 << 30, "sharers": 2}
    added = 0
    while room.is_left(**limits):
        room.count(_put(paths, added).bytes)
        added += 1
    assert added == 20
    assert paths.reads == 2
    paths.message(f"{0:032x}").unlink()
    assert room.is_left(**limits)  # as soon as the receiver has taken one
    reads = paths.reads
    clock.advance(60.0)
    assert room.is_left(**limits)
    assert paths.reads == reads + 1


def test_each_folder_has_its_share_of_messages_and_bytes(tmp_path: Path, clock: FakeClock) -> None:
    """What was given up belongs to nobody's share, and leaves less for all."""
    paths = WebhookPaths(tmp_path)
    paths.make()
    given_up, *_ = [_put(paths, number) for number in range(4)]
    _put(paths, 4, "g")

    def is_left(folder: str, most: int, max_bytes: int = 1 << 30) -> bool:
        return WebhookRoom(paths, folder, clock).is_left(most=most, max_bytes=max_bytes, sharers=2)

    assert not is_left("f", 8)
    assert is_left("f", 9)
    assert is_left("g", 8)
    assert not is_left("f", 100, 8000)
    assert is_left("g", 100, 8000)
    write_webhook(paths, replace(given_up, state=MessageState.DEAD))
    assert is_left("f", 8)
    assert not is_left("f", 7)
