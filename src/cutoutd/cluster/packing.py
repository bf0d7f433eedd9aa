"""Packs several pieces of bytes into one, for a request to a machine and for its answer.

The result must be a plain ``bytes``: Dask searches lists and tuples for keys of other tasks, and replaces values that equal one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_HEAD: Final = 4096
_MAX_PARTS: Final = 64


class TornError(ValueError):
    """The data is not what `pack` returned."""


def pack(parts: Sequence[bytes]) -> bytes:
    """Return all parts as one, preceded by their sizes."""
    head = json.dumps([len(part) for part in parts]).encode("ascii") + b"\n"
    return b"".join((head, *parts))


def unpack(data: object) -> list[bytes]:
    """Return the parts.

    Args:
        data: whatever the other side has sent.

    Raises:
        TornError: it is not what `pack` returned.
    """
    if type(data) is not bytes:
        raise TornError(f"it is a {type(data).__name__} and no bytes")
    at = data.find(b"\n", 0, _MAX_HEAD)
    try:
        sizes = json.loads(data[:at]) if at >= 0 else None
    except (ValueError, RecursionError) as error:
        raise TornError("it has no head") from error
    if (
        not isinstance(sizes, list)
        or not 1 <= len(sizes) <= _MAX_PARTS
        or not all(type(size) is int and size >= 0 for size in sizes)
        or at + 1 + sum(sizes) != len(data)
    ):
        raise TornError("its parts are not as long as its head says")
    parts, begin = [], at + 1
    for size in sizes:
        parts.append(data[begin : begin + size])
        begin += size
    return parts
