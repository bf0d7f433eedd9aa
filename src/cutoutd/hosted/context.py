"""What all uploads of a run share: settings, ledger, route and client; their replies, log lines and cancellation.

A cancellation is read from the disk before every piece, and never cached, so that it takes effect at once. This module must
not know the course of an upload.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.exchange.spool import Body, Request, UploadOutcome, UploadReply
from cutoutd.hosted.provider import upload_of
from cutoutd.hosted.response_cache import content_key

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.exchange.spool import SpoolPaths
    from cutoutd.hosted.client import ServiceClient
    from cutoutd.hosted.crash_marks import CrashMarks
    from cutoutd.hosted.key import Key
    from cutoutd.hosted.ledger import Ledger
    from cutoutd.hosted.provider import Provider
    from cutoutd.hosted.queue import Budget
    from cutoutd.hosted.response_cache import ResponseCache
    from cutoutd.hosted.route import ServiceRoute
    from cutoutd.process.stop_flag import StopFlag
    from cutoutd.settings.schema import Settings


UNTOUCHED: Final = "The original is untouched. `cutoutd retry` tries it again."
UNKNOWN: Final = (
    "It may have been billed, so it is not sent again by itself. See your account with the provider, then "
    "`cutoutd retry` it, which may cost a second time."
)
NOT_TAGGED: Final = "Nothing was sent. See the folder's route, and [hosted], in the configuration."
_CHECK_S: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadContext:
    """What all uploads share.

    Attributes:
        settings: the configuration, with the tagged folders.
        configuration: `uploads_sha256` of the settings.
        paths: outbox and inbox.
        ledger, budget, route, client, provider, response_cache: as documented there.
        clock: wall and monotonic time.
        key: key of the service; None without one.
        stopping: set when nothing more is to be sent.
        crash_marks: marks of the requests that are being processed.
    """

    settings: Settings
    configuration: str
    paths: SpoolPaths
    ledger: Ledger
    budget: Budget
    route: ServiceRoute
    client: ServiceClient
    provider: Provider
    response_cache: ResponseCache
    clock: Clock
    key: Key | None
    stopping: StopFlag
    crash_marks: CrashMarks

    @property
    def host(self) -> str:
        """Host that pictures are sent to."""
        return self.settings.hosted.address.authority

    def scrubbed(self, said: str) -> str:
        """Remove our key from a text of the service."""
        return self.key.scrubbed(said) if self.key is not None else said

    def is_deferred(self, request: Request) -> bool:
        """Whether a request waits because its supervisor has another configuration.

        Which of the two is newer does not matter: one of the processes will soon read the other's.
        """
        return request.settings != self.configuration and bool(why_not_sent(request, self.settings))

    def cancellation(self, request: Request) -> Cancellation:
        """Return the cancellation check of a request."""
        file = self.paths.outbox / f"{request.id}.json"
        return Cancellation(paused=self.paths.paused, file=file, stopping=self.stopping)

    def price(self, request: Request) -> float:
        """Return the credits that a request is expected to cost."""
        return self.provider.price(upload_of(request))

    def cache_key(self, request: Request, options: str) -> str:
        """Return the key under which the response to a request is kept."""
        return content_key(
            sha256=request.sha256, provider=self.provider.name, host=self.host, options=options
        )

    def reply(
        self,
        request: Request,
        outcome: UploadOutcome,
        *,
        cause: str = "",
        advice: str = "",
        body: Body | None = None,
        at: str = "",
        sent: int = 0,
        charged: float | None = None,
        repeated: bool = False,
    ) -> UploadReply:
        """Return the reply to a request; with a body, it names the request's body file in the inbox."""
        return UploadReply(
            id=request.id,
            outcome=outcome,
            body=body,
            file=f"{request.id}.body" if body is not None else "",
            provider=self.provider.name,
            host=self.host,
            bytes=sent,
            sha256=request.sha256,
            at=at,
            credits=charged,
            repeated=repeated,
            cause=cause,
            advice=advice,
        )

    @staticmethod
    def log(event: str, request: Request, **said: object) -> None:
        """Log one line about a request, without values that are empty."""
        known = {name: value for name, value in said.items() if value not in (None, "")}
        logs.get(folder=request.folder, job=request.job, request=request.id).info(event, **known)


def why_not_sent(request: Request, settings: Settings) -> str:
    """Return why a request is not sent, whatever the supervisor says; empty if it may be.

    Args:
        request: request from the outbox.
        settings: the uploader's own reading of the configuration.
    """
    if request.folder not in {folder.name for folder in settings.tagged}:
        return f'the folder "{request.folder}" is not tagged for the hosted service'
    most = settings.hosted.max_upload_px
    if most and max(request.width, request.height) > most:
        return f"it is {request.width} x {request.height}, and no more than {most} pixels a side may leave"
    if not request.file.startswith(f"{request.id}."):
        return "its file is not its own"
    return ""


class CancelReason(StrEnum):
    """Why an upload was stopped."""

    WITHDRAWN = "the request was withdrawn"  # its file in the outbox is gone
    PAUSED = "uploads are paused"  # by a person; it is sent once they say so
    ENDING = "the uploader is ending"  # it is sent at the next start


class CancelledError(Exception):
    """The next piece must not be sent."""

    def __init__(self, reason: CancelReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancellation:
    """Checks whether what is being sent is to stop.

    Attributes:
        paused: the file that pauses everything that is sent.
        file: the file of the request or the message, which exists as long as it is to be sent.
        stopping: set when the uploader is to stop.
    """

    paused: Path
    file: Path
    stopping: StopFlag

    def check(self) -> None:
        """Check that the upload may go on.

        Raises:
            CancelledError: it may not.
        """
        if self.stopping.is_set():
            raise CancelledError(CancelReason.ENDING)
        if os.path.lexists(self.paused):
            raise CancelledError(CancelReason.PAUSED)
        if not os.path.lexists(self.file):
            raise CancelledError(CancelReason.WITHDRAWN)

    def sleep(self, seconds: float) -> None:
        """Wait, with frequent checks.

        Raises:
            CancelledError: the upload is to stop.
        """
        while seconds > 0:
            self.check()
            self.stopping.wait(min(_CHECK_S, seconds))
            seconds -= _CHECK_S
        self.check()
