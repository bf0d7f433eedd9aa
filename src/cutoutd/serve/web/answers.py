"""Responses of the API other than pictures: JSON, and refusals after RFC 9457 ("Problem Details for HTTP APIs")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEM: Final = "application/problem+json"

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer."""


SOON_S: Final = 5
"""After which a program is told to ask again, where nothing is known about how long it takes."""

_AWAY: Final = 503


class RefusalError(Exception):
    """A request is refused.

    Args:
        status: HTTP status.
        code: stable short code.
        text: message for a person, in English, with what to do.
        named: values beside it; ``retry_after_s``, ``bytes``, ``limit``, ``remaining`` and ``reset_s`` become headers.
    """

    def __init__(self, status: int, code: str, text: str, named: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.named = dict(named or {})

    @property
    def headers(self) -> dict[str, str]:
        """The headers of any response with this refusal."""
        found = rate_headers(self.named) if "limit" in self.named else {}
        if "retry_after_s" in self.named or self.status == _AWAY:
            found["Retry-After"] = str(self.named.get("retry_after_s", SOON_S))
        if "bytes" in self.named:
            found["Content-Range"] = f"bytes */{self.named['bytes']}"
        if self.status == 401:  # noqa: PLR2004 -- as of HTTP
            found["WWW-Authenticate"] = "Bearer"
        # What was not read of a request's body must not be taken for the next request.
        return {**found, "Connection": "close"}

    def response(self) -> Response:
        """The response in the form of this API."""
        return problem(self.status, self.code, self.text, self.headers)


def problem(status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal as a response."""
    body = {"type": "about:blank", "status": status, "code": code, "title": text}
    return Response(json.dumps(body), status, dict(headers or {}), PROBLEM)


def refusal(status: int, code: str, text: str) -> Response:
    """Return a refusal that closes the connection."""
    return RefusalError(status, code, text).response()


def as_json(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an ASCII JSON response: a file name that is not UTF-8 has lone surrogates, which clients then show."""
    return Response(json.dumps(data, allow_nan=False), status, dict(headers or {}), "application/json")


def rate_headers(rate: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers with the remaining allowance of a key's rate limit."""
    names = {
        "limit": "X-RateLimit-Limit",
        "remaining": "X-RateLimit-Remaining",
        "reset_s": "X-RateLimit-Reset",
    }
    return {header: str(rate[name]) for name, header in names.items() if name in rate}
