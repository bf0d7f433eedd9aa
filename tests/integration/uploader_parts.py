"""The uploader's parts assembled in the test's own process, for tests that replace one of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from cutoutd.clock import Clock
from cutoutd.exchange import messages, spool
from cutoutd.exchange.spool import Request, SpoolPaths, UploadReply
from cutoutd.hosted.client import ServiceClient
from cutoutd.hosted.context import UploadContext
from cutoutd.hosted.crash_marks import CrashMarks
from cutoutd.hosted.ledger import Ledger
from cutoutd.hosted.providers import provider_of
from cutoutd.hosted.queue import Budget
from cutoutd.hosted.response_cache import ResponseCache
from cutoutd.hosted.route import ServiceRoute
from cutoutd.hosted.upload_job import UploadJob
from cutoutd.hosted.webhook_sender import WebhookSender
from cutoutd.process.stop_flag import StopFlag
from cutoutd.settings.digest import uploads_sha256
from cutoutd.settings.loader import assemble
from tests.integration.uploading import HEIGHT, WIDTH, picture

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.hosted.provider import Provider
    from cutoutd.settings.schema import Settings


class Service(Protocol):
    """Anything that listens at an address."""

    @property
    def url(self) -> str:
        """The service's base address."""
        ...


def settings_for(url: str, **hosted: object) -> Settings:
    """Return settings with one tagged folder."""
    folder = {"name": "a", "input": "/in", "output": "/out", "route": "hosted"}
    keys = {"enabled": True, "base_url": url, "max_credits_per_day": 9, **hosted}
    document = {"hosted": keys, "folder": [folder]}
    return assemble(document, {}, origin="", base=None)


def context(
    directory: Path,
    server: Service,
    *,
    replies: type[ResponseCache] = ResponseCache,
    ledger: type[Ledger] = Ledger,
    contract: Provider | None = None,
    clock: Clock | None = None,
    **hosted: object,
) -> UploadContext:
    """Return what all uploads share, in this process and not confined, with parts of the test."""
    paths = SpoolPaths.under(directory)
    paths.make()
    settings = settings_for(server.url, **hosted)
    clock = clock or Clock()
    opened = ledger(paths.root / "ledger.sqlite", create=True)
    host = settings.hosted.address.authority
    return UploadContext(
        settings=settings,
        configuration=uploads_sha256(settings),
        paths=paths,
        ledger=opened,
        budget=Budget(settings, opened.prices(settings.hosted.provider.value, host, clock.now_us())),
        route=ServiceRoute(clock, megapixels_per_minute=0, at_once=1),
        client=ServiceClient(settings.hosted, clock),
        provider=contract or provider_of(settings.hosted, None),
        response_cache=replies(paths, 30),
        clock=clock,
        key=None,
        stopping=StopFlag(),
        crash_marks=CrashMarks(paths.root),
    )


def sender_of(context_: UploadContext) -> WebhookSender:
    """Return a sender of webhooks without recipients."""
    return WebhookSender(
        (),
        settings=context_.settings.webhooks,
        paths=context_.paths,
        ledger=context_.ledger,
        clock=context_.clock,
        stopping=context_.stopping,
    )


def close(context_: UploadContext) -> None:
    """Close what is open."""
    context_.client.close()
    context_.ledger.__exit__(None, None, None)


def request(paths: SpoolPaths, content: bytes = b"", *, width: int = WIDTH, height: int = HEIGHT) -> Request:
    """Put a picture into the outbox: the same one each time, unless one is given."""
    content, id_ = content or picture(1), messages.new_id()
    (paths.outbox / f"{id_}.jpg").write_bytes(content)
    created = Request(
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
    spool.write_message(paths.outbox, created)
    return created


def answer(context_: UploadContext, request_: Request) -> UploadReply:
    """Carry out a request. Returns its reply."""
    assert UploadJob(context=context_, request=request_).run()
    return spool.read_reply(context_.paths.inbox / f"{request_.id}.json")
