"""Parcels between supervisor and uploader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd import spool
from cutoutd.spool import Body, Outcome, ParcelError, Places, Reply, Request

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Directories that are there."""
    places = Places.under(tmp_path)
    places.make()
    return places


def _request(id_: str) -> Request:
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


def test_a_request_comes_out_as_it_went_in(places: Places) -> None:
    """Nothing is lost on the way."""
    request = _request(spool.new_id())
    spool.put(places.outbox, request)
    assert list(spool.requests(places)) == [request]


def test_a_reply_comes_out_as_it_went_in(places: Places) -> None:
    """Enums, numbers and what is not known alike."""
    id_ = spool.new_id()
    reply = Reply(id=id_, outcome=Outcome.OK, body=Body.ALPHA, file=f"{id_}.body", credits=0.25, bytes=9)
    spool.put(places.inbox, reply)
    assert list(spool.replies(places)) == [reply]


def test_what_is_taken_away_is_gone_with_its_picture(places: Places) -> None:
    """And can be taken away twice."""
    request = _request(spool.new_id())
    (places.outbox / request.file).write_bytes(b"abc")
    spool.put(places.outbox, request)
    spool.take_away(places.outbox, request.id)
    spool.take_away(places.outbox, request.id)
    assert list(places.outbox.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"schema": "cutoutd.parcel/1"}', b"[" * 70_000],
    ids=["empty", "list", "torn", "bare", "deep"],
)
def test_what_is_no_parcel_is_passed_over(places: Places, content: bytes) -> None:
    """Good ones beside it are still seen."""
    good = _request(spool.new_id())
    spool.put(places.outbox, good)
    (places.outbox / f"{spool.new_id()}.json").write_bytes(content)
    assert list(spool.requests(places)) == [good]


@pytest.mark.parametrize("name", ["../../journal.sqlite", "/etc/passwd", "IMG_0001.jpg"])
def test_a_parcel_names_no_file_but_its_own_kind(places: Places, name: str) -> None:
    """Neither side can be led out of the directory."""
    id_ = spool.new_id()
    spool.put(places.inbox, Reply(id=id_, outcome=Outcome.OK, body=Body.ALPHA, file=name))
    with pytest.raises(ParcelError, match="not ours"):
        spool.read_reply(places.inbox / f"{id_}.json")


def test_a_parcel_under_another_name_is_none(places: Places) -> None:
    """A copied file cannot answer somebody else's request."""
    id_, other = spool.new_id(), spool.new_id()
    spool.put(places.inbox, Reply(id=id_, outcome=Outcome.WITHDRAWN))
    (places.inbox / f"{id_}.json").rename(places.inbox / f"{other}.json")
    assert [(one.id, one.outcome) for one in spool.replies(places)] == [(other, Outcome.UNKNOWN)]


def test_only_the_owner_looks_inside(places: Places) -> None:
    """What waits there is private."""
    assert places.outbox.stat().st_mode & 0o077 == 0
