"""The records of the ledger: an upload before it begins, its end, and the sums of a day.

Values only; `cutoutd.hosted.ledger` writes and reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutoutd.exchange.spool import Body, Request


class AttemptOutcome(StrEnum):
    """How a single upload ended."""

    OK = "ok"  # with a whole reply
    FAILED = "failed"  # the provider refuses this picture
    UNKNOWN = "unknown"  # it was sent, and no complete answer came
    WITHDRAWN = "withdrawn"  # stopped at our request, before its last byte
    REFUSED = "refused"  # not now; nothing was charged, and there will be another attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptStart:
    """What is known of an upload before it begins.

    Attributes:
        request: the request.
        provider, host, options: the service, and what is asked of it.
        expected: expected credits.
        began_us: start, UTC microseconds.
    """

    request: Request
    provider: str
    host: str
    options: str
    expected: float
    began_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptEnd:
    """The end of an upload; None where a value is unknown."""

    end: AttemptOutcome
    status: int | None = None
    sent: int | None = None
    credits: float | None = None
    took_ms: int | None = None
    body: Body | None = None
    reply_sha256: str | None = None
    reply_bytes: int | None = None
    cause: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastAttempt:
    """A finished upload, as far as it matters to a later one.

    Attributes:
        row: row in the ledger.
        request: id of the request.
        end, credits, sent, cause: values of its end.
        began_us: start, UTC microseconds.
        body, reply_sha256: kind and digest of its reply; None without one.
    """

    row: int
    request: str
    end: AttemptOutcome
    credits: float | None
    sent: int
    cause: str
    began_us: int
    body: Body | None
    reply_sha256: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DayUsage:
    """Sums of a folder's uploads of a day."""

    uploads: int = 0
    bytes: int = 0
    credits: float = 0.0
