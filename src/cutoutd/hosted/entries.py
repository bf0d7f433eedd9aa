"""What the ledger says of an upload: before it begins, once it is over, and summed up for a day.

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
    FAILED = "failed"  # the provider will not cut this picture
    UNKNOWN = "unknown"  # it was sent, and no whole answer came
    WITHDRAWN = "withdrawn"  # stopped at our wish, before its last byte
    REFUSED = "refused"  # not now; charged nothing, and is tried again


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptStart:
    """What is known of an upload before it begins.

    Attributes:
        request: the message.
        provider, host, options: whom it is asked of, and what.
        expected: credits.
        began_us: UTC microseconds.
    """

    request: Request
    provider: str
    host: str
    options: str
    expected: float
    began_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptEnd:
    """What is known of it afterwards; None where it is not known."""

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
    """An upload that is over, as far as it matters to a later one.

    Attributes:
        row: its number.
        request: the message's id.
        end, credits, sent, cause: as it was closed.
        began_us: UTC microseconds.
        body, reply_sha256: of its reply; None without one.
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
    """What a folder's uploads of a day come to."""

    uploads: int = 0
    bytes: int = 0
    credits: float = 0.0
