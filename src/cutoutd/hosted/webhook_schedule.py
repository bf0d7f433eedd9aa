"""When a message is tried again, and what an answer means for it: decisions alone, which touch nothing.

The pauses are those that the Standard Webhooks specification recommends, cut off after three days.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.response import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTE, _HOUR = 60.0, 3600.0
PAUSES_S: Final = (
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    18 * _HOUR,
    22 * _HOUR,
)
"""After each failed attempt, and the last one again and again; together just under three days."""

GIVEN_UP_S: Final = 72 * _HOUR
"""A message whose pauses are longer together is given up. Pauses are counted, and no clock is asked: what waits behind another one,
or while nothing is sent, has all its attempts still before it."""

JITTER: Final = 0.2
"""Share by which a pause is longer or shorter, so that what failed together does not come back together."""

_LONGEST_ASKED_S: Final = 24 * _HOUR
_GONE: Final = 410
_REDIRECTS: Final = frozenset(range(300, 400))
_OF_THE_RECEIVER: Final = frozenset({401, 403, 404, 408, 429, *range(500, 600)})
"""Answers that are not about the one message."""


class WebhookOutcome(StrEnum):
    """How one request ended, as the ledger has it."""

    OK = "ok"  # it was taken
    FAILED = "failed"  # it was not, and is tried again
    GONE = "gone"  # the receiver wants nothing more
    UNKNOWN = "unknown"  # no answer: the receiver may have it all the same
    WITHDRAWN = "withdrawn"  # stopped at our wish


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookAttemptResult:
    """What an answer means.

    Attributes:
        outcome: for the ledger.
        cause: in words; empty if it was taken.
        wait_s: that the receiver asked for; 0 if it did not.
        status: of HTTP; None without an answer.
        meets_all: any other message would have met the same.
        is_unreachable: nothing of the request left.
    """

    outcome: WebhookOutcome
    cause: str = ""
    wait_s: float = 0.0
    status: int | None = None
    meets_all: bool = False
    is_unreachable: bool = False


def judged(status: int, headers: Mapping[str, str]) -> WebhookAttemptResult:
    """What an answer means; only its status and Retry-After count.

    Args:
        status: of HTTP.
        headers: names in small letters.
    """
    if status in SUCCESS:
        return WebhookAttemptResult(outcome=WebhookOutcome.OK, status=status)
    if status == _GONE:
        cause = "the receiver answers 410: it wants nothing more"
        return WebhookAttemptResult(outcome=WebhookOutcome.GONE, cause=cause, status=status)
    words = " (redirects are not followed)" if status in _REDIRECTS else ""
    asked = headers.get("retry-after", "")
    wait_s = min(float(asked), _LONGEST_ASKED_S) if asked.isascii() and asked.isdecimal() else 0.0
    return WebhookAttemptResult(
        outcome=WebhookOutcome.FAILED,
        cause=f"the receiver answers {status}{words}",
        wait_s=wait_s,
        status=status,
        meets_all=status in _OF_THE_RECEIVER or status in _REDIRECTS,
    )


def pause_after(id_: str, attempts: int) -> float:
    """Seconds until a message is tried again, if it is not too old by then.

    Args:
        id_: the message's; each has pauses of its own, the same at each start.
        attempts: failed so far, from 1.
    """
    digest = hashlib.sha256(f"{id_} {attempts}".encode("ascii")).digest()
    share = int.from_bytes(digest[:4], "big") / 0xFFFFFFFF
    return PAUSES_S[min(attempts, len(PAUSES_S)) - 1] * (1 - JITTER + 2 * JITTER * share)
