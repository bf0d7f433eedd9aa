"""The retry schedule of a message, and the meaning of a response: pure functions.

The pauses are those that the Standard Webhooks specification recommends, cut off after three days.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.response import SUCCESS, retry_after_s

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
_LONGEST_US: Final = int(max(_LONGEST_ASKED_S, PAUSES_S[-1] * (1 + JITTER)) * 1e6)
"""No pause is longer."""

_GONE: Final = 410
_REDIRECTS: Final = frozenset(range(300, 400))
_OF_THE_RECEIVER: Final = frozenset({401, 403, 404, 408, 429, *range(500, 600)})
"""Answers that are not about the one message."""


class WebhookOutcome(StrEnum):
    """The outcome of one request, as in the ledger."""

    OK = "ok"  # accepted
    FAILED = "failed"  # not accepted; retried
    GONE = "gone"  # the receiver wants no more messages
    UNKNOWN = "unknown"  # no response: the message may have been received
    WITHDRAWN = "withdrawn"  # cancelled by this side


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookAttemptResult:
    """The result of one attempt.

    Attributes:
        outcome: outcome for the ledger.
        cause: message with the cause; empty if the message was accepted.
        wait_s: delay that the receiver requested, seconds; 0 if none.
        status: HTTP status; None without a response.
        meets_all: any other message to this receiver would have failed too.
        is_unreachable: nothing of the request was sent.
    """

    outcome: WebhookOutcome
    cause: str = ""
    wait_s: float = 0.0
    status: int | None = None
    meets_all: bool = False
    is_unreachable: bool = False


def judge(status: int, headers: Mapping[str, str], now_us: int) -> WebhookAttemptResult:
    """Return the result of a response; only its status and Retry-After count.

    Args:
        status: HTTP status.
        headers: header values by lower-case name.
        now_us: UTC microseconds.
    """
    if status in SUCCESS:
        return WebhookAttemptResult(outcome=WebhookOutcome.OK, status=status)
    if status == _GONE:
        cause = "the receiver answers 410: it wants no more messages"
        return WebhookAttemptResult(outcome=WebhookOutcome.GONE, cause=cause, status=status)
    words = " (redirects are not followed)" if status in _REDIRECTS else ""
    return WebhookAttemptResult(
        outcome=WebhookOutcome.FAILED,
        cause=f"the receiver answers {status}{words}",
        wait_s=retry_after_s(headers, now_us, most_s=_LONGEST_ASKED_S) or 0.0,
        status=status,
        meets_all=status in _OF_THE_RECEIVER or status in _REDIRECTS,
    )


def pause_after(id_: str, attempts: int) -> float:
    """Return the seconds until the next attempt; the caller checks the age of the message.

    Args:
        id_: id of the message; the jitter is derived from it, so that it is the same at each start.
        attempts: number of failed attempts so far, from 1.
    """
    digest = hashlib.sha256(f"{id_} {attempts}".encode("ascii")).digest()
    share = int.from_bytes(digest[:4], "big") / 0xFFFFFFFF
    return PAUSES_S[min(attempts, len(PAUSES_S)) - 1] * (1 - JITTER + 2 * JITTER * share)


def is_ahead(not_before_us: int, now_us: int) -> bool:
    """Whether the time of the next attempt is still to come.

    A time that is further away than any pause was set before the clock was set back: the message must not wait for it.

    Args:
        not_before_us: time of the next attempt, UTC microseconds.
        now_us: UTC microseconds.
    """
    return now_us < not_before_us <= now_us + _LONGEST_US
