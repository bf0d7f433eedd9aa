"""The meaning of a response: a pure function of its status and headers; and a check of its body.

The rules follow the providers' documents: 400 and similar are about the picture, 402 and 403 about the account, 429 and those
from 500 on are temporary. Any answer that reports a charge may mean that the picture was cut and billed. A body is checked by
its first and last bytes: nothing is decoded here. It must not act on the result.
"""

from __future__ import annotations

import email.utils
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.provider import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.hosted.provider import HttpRequest, Provider


MAX_RETRY_AFTER_S: Final = 3600.0
_MAX_CREDITS: Final = 1e6
_MAX_TEXT_BYTES: Final = 300
_NEAR_THE_END: Final = 1024

SUCCESS: Final = range(200, 300)
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400
_FIRST_FAULT: Final = 500
_GATEWAY_TIMEOUT: Final = 504
_LATER: Final = frozenset({408, 425, 429})

_KEY: Final = "Check that the key is right and has not expired; then start cutoutd again."
_ADDRESS: Final = "Check that [hosted] provider and base_url are right."
_CLOSED: Final = {
    401: _KEY,
    402: "Buy credits, or wait for the next month's; then say `cutoutd resume --hosted`.",
    403: _KEY,
    404: _ADDRESS,
    405: _ADDRESS,
    # About the form of the request, and not the picture: every other would be refused as well.
    406: _ADDRESS,
    407: _ADDRESS,
    410: _ADDRESS,
    411: _ADDRESS,
    417: _ADDRESS,
    421: _ADDRESS,
    426: _ADDRESS,
    431: _ADDRESS,
}
_ELSEWHERE: Final = "It redirects, and redirects are not followed. Check that [hosted] base_url is right."
_REFUSED: Final = "The original is untouched. Put a corrected file in its place, or `cutoutd retry` it."


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpResponse:
    """An HTTP response.

    Attributes:
        status: status code.
        headers: headers, with names in lower case.
        content: beginning of the body of an error; a picture is in its file.
        bytes: length of the body.
        flaw: what is wrong with the body: cut short, or too long; empty if nothing is.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    bytes: int
    flaw: str = ""


class Meaning(StrEnum):
    """The meaning of an answer."""

    PICTURE = "picture"  # cut; the body is checked next
    REFUSED = "refused"  # this picture is refused
    LATER = "later"  # not now, and not charged
    CLOSED = "closed"  # nothing can be sent until a person acts
    UNCLEAR = "unclear"  # it may have been cut and billed


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpretation:
    """The interpretation of an answer.

    Attributes:
        meaning: the meaning.
        cause: message of the service, or what is wrong; empty for a picture.
        advice: what to do about it; empty for a picture.
        retry_after_s: seconds that the service asked for; None if it did not.
        is_fault: whether the service has a fault, so that the picture may be the cause if others are cut.
        is_charged: whether the answer reports charged credits.
    """

    meaning: Meaning
    cause: str = ""
    advice: str = ""
    retry_after_s: float | None = None
    is_fault: bool = False
    is_charged: bool = False

    @property
    def may_be_billed(self) -> bool:
        """Whether the picture may have been billed without a cutout: only a person may have it sent again."""
        return self.meaning is Meaning.UNCLEAR or (self.meaning is not Meaning.PICTURE and self.is_charged)


def judge(http_response: HttpResponse, provider: Provider, now_us: int) -> Interpretation:
    """Interpret an answer, without a check of the body.

    Args:
        http_response: the response.
        provider: the provider, which reads the error message.
        now_us: UTC microseconds, for a date in ``Retry-After``.
    """
    found = _judge(http_response, provider, now_us)
    charged = credits_of(http_response)
    if not charged or found.meaning is Meaning.PICTURE:
        return found
    return replace(
        found, cause=f"{found.cause}; it charged {charged:g} credits all the same", is_charged=True
    )


def _judge(http_response: HttpResponse, provider: Provider, now_us: int) -> Interpretation:
    status = http_response.status
    said = provider.error_text(http_response.content) or one_line(_page_title(http_response.content))
    cause = f"{provider.name} says {status}{f': {said}' if said else ''}"
    if status in SUCCESS:  # the body decides, whichever success it is
        return Interpretation(meaning=Meaning.PICTURE)
    if status < _FIRST_REDIRECT:  # 101: the picture was accepted, and what follows is not HTTP
        cause = f"{cause}; that is not a usable answer, but it may have cut and billed the picture"
        return Interpretation(meaning=Meaning.UNCLEAR, cause=cause)
    advice = _CLOSED.get(status, _ELSEWHERE if status < _FIRST_ERROR else "")
    if advice:
        return Interpretation(meaning=Meaning.CLOSED, cause=cause, advice=advice)
    if status == _GATEWAY_TIMEOUT:
        cause = f"{cause}; the service behind this proxy may have cut and billed the picture"
        return Interpretation(meaning=Meaning.UNCLEAR, cause=cause)
    if status in _LATER or status >= _FIRST_FAULT:
        return Interpretation(
            meaning=Meaning.LATER,
            cause=cause,
            retry_after_s=retry_after_s(http_response.headers, now_us),
            is_fault=status >= _FIRST_FAULT,
        )
    return Interpretation(meaning=Meaning.REFUSED, cause=cause, advice=_REFUSED)


def retry_after_s(
    headers: Mapping[str, str], now_us: int, *, most_s: float = MAX_RETRY_AFTER_S
) -> float | None:
    """Return the seconds in ``Retry-After`` (RFC 9110, 10.2.3), which may name a time; None if there are none."""
    written = headers.get("retry-after", "")
    try:
        seconds = float(written)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(written).timestamp() - now_us / 1e6
        except (ValueError, TypeError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), most_s)


def credits_of(http_response: HttpResponse) -> float | None:
    """Return the charged credits that the answer reports; None if there are none, or the value is invalid."""
    try:
        found = float(http_response.headers.get("x-credits-charged", ""))
    except ValueError:
        return None
    return found if 0 <= found <= _MAX_CREDITS else None


def exhausted_s(http_response: HttpResponse, megapixels: float, now_us: int) -> float:
    """Return the seconds until the service accepts so many megapixels again, by its rate headers; 0 if it does now."""
    try:
        remaining = float(http_response.headers["x-ratelimit-remaining"])
        reset_s = float(http_response.headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return 0.0
    wait_s = reset_s - now_us / 1e6
    return wait_s if remaining < megapixels and wait_s > 0 else 0.0


def _page_title(content: bytes) -> str:
    """Return the title of a web page, as a proxy or a faulty server sends, or a short text."""
    lower = content.lower()
    start, end = lower.find(b"<title>"), lower.find(b"</title>")
    if b"<html" not in lower and start < 0:
        return _short_text(content) if content[:1] not in (b"{", b"[") else ""
    title = _short_text(content[start + len(b"<title>") : end]) if 0 <= start < end else ""
    return f"a web page{f' titled {title}' if title else ''}"


def _short_text(content: bytes) -> str:
    """Return the beginning of a text body; empty for any other, which may be a picture and must not go into a message."""
    text = content[:_MAX_TEXT_BYTES].decode("utf-8", "replace")
    last = len(text) - (len(content) > _MAX_TEXT_BYTES)  # the last character may be cut in two
    is_text = all(one != "\ufffd" and (one.isprintable() or one.isspace()) for one in text[:last])
    return text[:last].strip() if is_text else ""


def flaw_of(http_request: HttpRequest, draft: Path) -> str:
    """Extract the picture from the body and check it. Returns what is wrong, or an empty text.

    Args:
        http_request: the request.
        draft: file with the body; with the picture afterwards.

    Raises:
        OSError: the disk refuses.
    """
    return _unwrap(http_request, draft) or _flaw(http_request, draft)


def _unwrap(http_request: HttpRequest, draft: Path) -> str:
    """Extract the picture from the body. Returns what is wrong, or an empty text."""
    if http_request.unwrap is None:
        return ""
    try:
        picture = http_request.unwrap(draft.read_bytes())
    except ValueError as error:
        return f"it cannot be read: {error}"
    draft.write_bytes(picture)
    return ""


def _flaw(http_request: HttpRequest, draft: Path) -> str:
    """Return what is wrong with a body, by its first and last bytes."""
    with draft.open("rb") as file:
        start = file.read(len(http_request.starts))
        size = file.seek(0, 2)
        file.seek(max(0, size - _NEAR_THE_END))
        end = file.read()
    if start != http_request.starts:
        return (
            "a web page came"
            if start.lstrip()[:1] == b"<"
            else "it is not a picture of the kind that was asked for"
        )
    return "" if http_request.ends in end else "its end is missing"
