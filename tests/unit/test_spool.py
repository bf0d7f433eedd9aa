"""Messages between supervisor and uploader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange import messages, spool
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.spool import Body, Request, SpoolPaths, UploadOutcome, UploadReply
from tests.spooled import replies

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def paths(tmp_path: Path) -> SpoolPaths:
    """The directories of a spool."""
    paths = SpoolPaths.under(tmp_path)
    paths.make()
    return paths


def _request(id_: str) -> Request:
    """Return a request with this id."""
    return Request(
        id=id_,
        folder="shop",
        job=7,
        why="the folder's route is hosted",
        file=f"{id_}.jpg",
        bytes=3,
        sha256="0" * 64,
        width=4,
        height=5,
        source_sha256="1" * 64,
    )


def test_a_request_is_read_back_unchanged(paths: SpoolPaths) -> None:
    """All fields are read back."""
    request = _request(messages.new_id())
    spool.write_message(paths.outbox, request)
    assert list(spool.requests(paths)) == [request]


def test_a_reply_is_read_back_unchanged(paths: SpoolPaths) -> None:
    """Enums, numbers and missing values are read back."""
    id_ = messages.new_id()
    reply = UploadReply(
        id=id_, outcome=UploadOutcome.OK, body=Body.ALPHA, file=f"{id_}.body", credits=0.25, bytes=9
    )
    spool.write_message(paths.inbox, reply)
    assert replies(paths) == [reply]


def test_a_removed_message_is_gone_with_its_picture(paths: SpoolPaths) -> None:
    """A second removal does no harm."""
    request = _request(messages.new_id())
    (paths.outbox / request.file).write_bytes(b"abc")
    spool.write_message(paths.outbox, request)
    spool.remove_message(paths.outbox, request.id)
    spool.remove_message(paths.outbox, request.id)
    assert list(paths.outbox.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"schema": "cutoutd.parcel/1"}', b"[" * 70_000],
    ids=["empty", "list", "torn", "bare", "deep"],
)
def test_invalid_messages_are_skipped(paths: SpoolPaths, content: bytes) -> None:
    """Valid messages beside it are still read."""
    good = _request(messages.new_id())
    spool.write_message(paths.outbox, good)
    (paths.outbox / f"{messages.new_id()}.json").write_bytes(content)
    assert list(spool.requests(paths)) == [good]


@pytest.mark.parametrize("name", ["../../journal.sqlite", "/etc/passwd", "IMG_0001.jpg"])
def test_a_message_names_no_file_but_its_own_kind(paths: SpoolPaths, name: str) -> None:
    """Neither side can be led out of the directory."""
    id_ = messages.new_id()
    spool.write_message(
        paths.inbox, UploadReply(id=id_, outcome=UploadOutcome.OK, body=Body.ALPHA, file=name)
    )
    with pytest.raises(InvalidMessageError, match="not a name or a time"):
        spool.read_reply(paths.inbox / f"{id_}.json")


def test_a_message_under_another_name_is_none(paths: SpoolPaths) -> None:
    """A copied file cannot answer another request."""
    id_, other = messages.new_id(), messages.new_id()
    spool.write_message(paths.inbox, UploadReply(id=id_, outcome=UploadOutcome.WITHDRAWN))
    (paths.inbox / f"{id_}.json").rename(paths.inbox / f"{other}.json")
    assert [(one.id, one.outcome) for one in replies(paths)] == [(other, UploadOutcome.UNKNOWN)]


def test_only_the_owner_can_read_the_spool(paths: SpoolPaths) -> None:
    """No other user can read the spool."""
    assert paths.outbox.stat().st_mode & 0o077 == 0
