"""One range of bytes, as RFC 9110 has it: which part of a result a request asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cutoutd.serve.web.answers import RefusalError

if TYPE_CHECKING:
    from starlette.requests import Request

_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,15})-([0-9]{0,15})\s*", re.IGNORECASE)


def span_of(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return first byte and the one after the last; None for all bytes, also where several ranges are requested.

    Args:
        request: may have ``Range`` and ``If-Range``.
        size: length of the result in bytes.
        etag: entity tag of the result, with its quotes.

    Raises:
        RefusalError: 416; there is nothing in the range.
    """
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or not (found[1] or found[2]) or request.headers.get("if-range", etag) != etag:
        return None
    if found[1]:
        begin, end = int(found[1]), min(size, int(found[2] or size) + 1)
        if found[2] and int(found[2]) < int(found[1]):
            return None  # no range at all
    else:
        begin, end = max(0, size - int(found[2])), size
    if begin >= end:
        raise RefusalError(416, "range", f"There are {size} bytes.", {"bytes": size})
    return begin, end
