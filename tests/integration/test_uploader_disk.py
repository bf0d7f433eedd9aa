"""The uploader's disk refuses at the worst moment: a picture that may have been paid for is not sent again."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange import spool
from cutoutd.exchange.spool import SpoolPaths, UploadOutcome
from cutoutd.hosted.ledger import Ledger, LedgerError
from cutoutd.hosted.response_cache import ResponseCache
from cutoutd.hosted.upload_job import UploadJob
from tests.hosted_server import HostedServer
from tests.integration.uploader_parts import close, context, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.hosted.entries import AttemptEnd


class FullReplies(ResponseCache):
    """A response cache without room."""

    def settled(self, draft: Path) -> tuple[str, int]:
        """Refuse with ENOSPC."""
        raise OSError(errno.ENOSPC, "No space left on device", str(draft))


class FullInbox(ResponseCache):
    """An inbox without room."""

    def link_to_inbox(self, key: str, id_: str) -> None:
        """Refuse with ENOSPC."""
        raise OSError(errno.ENOSPC, "No space left on device", f"{key}{id_}")


class FullAndNotKept(ResponseCache):
    """An inbox without room for replies that are not kept."""

    keeps = False

    def move_to_inbox(self, draft: Path, id_: str) -> None:
        """Refuse with ENOSPC."""
        raise OSError(errno.ENOSPC, "No space left on device", f"{draft}{id_}")


class StuckLedger(Ledger):
    """A ledger that cannot be written for a while."""

    refusals = 2

    def close(self, row: int, closing: AttemptEnd) -> None:
        """Refuse at first, and then work."""
        if self.refusals:
            self.refusals -= 1
            raise LedgerError("SQLite says: database or disk is full")
        super().close(row, closing)


@pytest.fixture
def server() -> Iterator[HostedServer]:
    """A service."""
    with HostedServer() as server:
        yield server


def test_an_answer_that_cannot_be_kept_is_unknown(tmp_path: Path, server: HostedServer) -> None:
    """The answer was paid for, and is lost: a person decides, and is told the reason."""
    shared = context(tmp_path, server, replies=FullReplies)
    first, second = request(shared.paths), request(shared.paths)
    assert UploadJob(context=shared, request=first).run()
    assert UploadJob(context=shared, request=second).run()
    replies = [spool.read_reply(shared.paths.inbox / f"{one.id}.json") for one in (first, second)]
    assert [reply.outcome for reply in replies] == [UploadOutcome.UNKNOWN, UploadOutcome.UNKNOWN]
    assert "but the disk refused: No space left on device" in replies[0].cause
    assert len(server.seen) == 1
    close(shared)


def test_a_kept_answer_waits_until_the_inbox_takes_it(tmp_path: Path, server: HostedServer) -> None:
    """The answer is paid once, and delivered once there is room."""
    shared = context(tmp_path, server, replies=FullInbox)
    only = request(shared.paths)
    with pytest.raises(OSError, match="No space left"):
        UploadJob(context=shared, request=only).run()
    close(shared)
    again = context(tmp_path, server)
    assert UploadJob(context=again, request=only).run()
    reply = spool.read_reply(again.paths.inbox / f"{only.id}.json")
    assert (reply.outcome, reply.repeated, reply.credits) == (UploadOutcome.OK, False, 0.25)
    assert len(server.seen) == 1
    close(again)


def test_an_answer_that_is_not_kept_and_finds_no_room_is_not_paid_twice(
    tmp_path: Path, server: HostedServer
) -> None:
    """With keep_replies_days = 0 it is lost; before, the picture was sent again by itself."""
    shared = context(tmp_path, server, replies=FullAndNotKept)
    only = request(shared.paths)
    for _ in range(2):
        with suppress(OSError):
            UploadJob(context=shared, request=only).run()
    reply = spool.read_reply(shared.paths.inbox / f"{only.id}.json")
    assert reply.outcome is UploadOutcome.UNKNOWN
    assert "but the disk refused: No space left on device" in reply.cause
    assert len(server.seen) == 1
    close(shared)


def test_an_end_that_cannot_be_written_down_is_waited_for(tmp_path: Path, server: HostedServer) -> None:
    """Nothing else happens to the picture meanwhile, or it would be sent a second time."""
    shared = context(tmp_path, server, ledger=StuckLedger)
    only = request(shared.paths)
    assert UploadJob(context=shared, request=only).run()
    assert spool.read_reply(shared.paths.inbox / f"{only.id}.json").outcome is UploadOutcome.OK
    assert len(server.seen) == 1
    close(shared)


def test_an_end_that_is_never_written_down_is_unknown(tmp_path: Path, server: HostedServer) -> None:
    """The uploader was asked to end meanwhile; the next run knows only that something was sent."""
    shared = context(tmp_path, server, ledger=StuckLedger)
    server.on_headers = lambda _: shared.stopping.set()
    only = request(shared.paths)
    with suppress(LedgerError):
        assert not UploadJob(context=shared, request=only).run()
    assert list(shared.paths.inbox.iterdir()) == []
    assert (shared.paths.outbox / f"{only.id}.json").exists()
    shared.ledger.close_left_open("killed")
    close(shared)


def test_an_answer_that_is_not_kept_has_its_name_for_good_before_the_ledger_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut the ledger said that it had come, it was nowhere, and it was paid for again."""
    paths = SpoolPaths(tmp_path / "hosted")
    paths.make()
    cache = ResponseCache(paths, keep_days=0)
    draft = cache.draft("1" * 32)
    draft.write_bytes(b"a picture")
    cache.settled(draft)
    synced: list[tuple[Path, list[str]]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((place, [path.name for path in place.iterdir()]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    cache.move_to_inbox(draft, "1" * 32)
    assert synced == [(paths.inbox, [f"{'1' * 32}.body"])]
