"""The uploader's parts put together in the test's own process, for tests that want one of them otherwise."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from cutoutd import spool
from cutoutd.clock import Clock
from cutoutd.hosted.budget import Budget
from cutoutd.hosted.cancellation import Ending
from cutoutd.hosted.client import Courier
from cutoutd.hosted.context import Office
from cutoutd.hosted.in_progress import InHand
from cutoutd.hosted.ledger import Ledger
from cutoutd.hosted.providers import provider_of
from cutoutd.hosted.response_cache import Replies
from cutoutd.hosted.route import Route
from cutoutd.hosted.upload_job import Course
from cutoutd.settings.assembly import assemble
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.environment import Overrides
from cutoutd.spool import Places, Reply, Request
from tests.integration.uploading import HEIGHT, WIDTH, picture

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.hosted.provider import Provider


class Service(Protocol):
    """Whatever listens somewhere."""

    @property
    def url(self) -> str:
        """Its base address."""
        ...


def office(
    directory: Path,
    server: Service,
    *,
    replies: type[Replies] = Replies,
    ledger: type[Ledger] = Ledger,
    contract: Provider | None = None,
    clock: Clock | None = None,
    **hosted: object,
) -> Office:
    """All that uploads share, in this process and not confined, with parts of the test's own."""
    places = Places.under(directory)
    places.make()
    folder = {"name": "a", "input": "/in", "output": "/out", "route": "hosted"}
    keys = {"enabled": True, "base_url": server.url, "max_credits_per_day": 9, **hosted}
    document = {"hosted": keys, "folder": [folder]}
    settings = assemble(document, Overrides(values={}, problems={}), origin="", base=None)
    clock = clock or Clock()
    opened = ledger(places.root / "ledger.sqlite", create=True)
    host = settings.hosted.address.authority
    return Office(
        settings=settings,
        configuration=uploads_sha256(settings),
        places=places,
        ledger=opened,
        budget=Budget(settings, opened.prices(settings.hosted.provider.value, host, clock.now_us())),
        route=Route(clock, megapixels_per_minute=0, at_once=1),
        courier=Courier(settings.hosted, clock),
        provider=contract or provider_of(settings.hosted, None),
        replies=replies(places, 30),
        clock=clock,
        key=None,
        ending=Ending(),
        in_hand=InHand(places.root),
    )


def close(office_: Office) -> None:
    """Close what is open."""
    office_.courier.close()
    office_.ledger.__exit__(None, None, None)


def request(places: Places, content: bytes = b"", *, width: int = WIDTH, height: int = HEIGHT) -> Request:
    """A picture in the outbox: the same one each time, unless one is given."""
    content, id_ = content or picture(1), spool.new_id()
    (places.outbox / f"{id_}.jpg").write_bytes(content)
    made = Request(
        id=id_,
        folder="a",
        job=1,
        why="",
        file=f"{id_}.jpg",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        width=width,
        height=height,
        source_sha256="0" * 64,
    )
    spool.put(places.outbox, made)
    return made


def answer(office_: Office, request_: Request) -> Reply:
    """Take a request through its course; returns its reply."""
    assert Course(office=office_, request=request_).run()
    return spool.read_reply(office_.places.inbox / f"{request_.id}.json")
