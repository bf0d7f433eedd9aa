"""Reading of requests: the key, headers, and the body part by part, with limits of speed and size."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from cutoutd.serve.web.answers import RefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

IDLE_S: Final = 30.0
"""A body of which nothing comes for so long does not come."""

GRACE_S: Final = 60.0
SLOWEST: Final = 4096
"""Bytes a second on average, after the first minute: 64 MiB may take four hours and a half."""

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_IDEMPOTENCY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_WAIT: Final = re.compile(r"wait=([0-9]{1,6})", re.IGNORECASE)


def key_of(request: Request) -> str:
    """Return the SHA-256 of a request's key, from ``X-Api-Key`` or ``Authorization: Bearer``; empty: there is none."""
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key") or (bearer.strip() if kind.lower() == "bearer" else "")
    return hashlib.sha256(key.encode()).hexdigest() if _KEY.fullmatch(key) else ""


def idempotency_of(request: Request) -> str:
    """Return the idempotency key; empty: there is none.

    Raises:
        RefusalError: 400; the key is invalid.
    """
    key = request.headers.get("idempotency-key", "").strip()
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if key and not _IDEMPOTENCY.fullmatch(key):
        raise RefusalError(400, "idempotency_key", "Idempotency-Key takes 1 to 255 visible ASCII characters.")
    return key


def wait_of(request: Request, most_s: int) -> int:
    """Return the seconds that a request asks to wait (RFC 7240), limited to a maximum."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found[1]), most_s) if found else 0


def declared_size(request: Request) -> int | None:
    """Return the declared length of the body in bytes; None: it is not declared."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) <= 15 else None  # noqa: PLR2004 -- a petabyte


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Yield a request's body, in parts as received.

    Raises:
        RefusalError: 408; it comes too slowly. 400; it ended early.
    """
    loop = asyncio.get_running_loop()
    started_s, received = loop.time(), 0
    parts = request.stream().__aiter__()
    while True:
        try:
            part = await asyncio.wait_for(anext(parts), IDLE_S)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _slow() from None
        except ClientDisconnect:
            raise RefusalError(400, "ended", "The request ended early.") from None
        received += len(part)
        if loop.time() - started_s - GRACE_S > received / SLOWEST:
            raise _slow()
        if part:
            yield part


def _slow() -> RefusalError:
    return RefusalError(408, "slow", "The request did not arrive completely in time.")
