"""Which page of a TIFF is the picture, where the first one is only a small version of it.

The file is not copied apart for that: a header that points to another page makes it the first one. This module must not
decode.

TIFF 6.0, section 8 (NewSubfileType, and SubfileType before it); TIFF Technical Note 1 (trees of pages).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUBFILE, _OLD_SUBFILE, _SUB_PAGES = 254, 255, 330
_REDUCED: Final = 1  # a bit
_OLD_REDUCED: Final = 2
_ENTRY_BYTES: Final = 12
_MAX_PAGES: Final = 64


def picture_first(data: bytes) -> bytes:
    """The file with its first page that is no reduced version in the first place; as it is, where that is so.

    Args:
        data: the whole file; what is malformed, or a BigTIFF, is left as it is.
    """
    order = {b"II\x2a\x00": "<", b"MM\x00\x2a": ">"}.get(data[:4])
    if order is None:
        return data
    try:
        found = list(_pages(data, order))
        if not found or not _is_reduced(data, order, found[0]):
            return data
        whole = next((page for page in found[1:] if not _is_reduced(data, order, page)), None)
    except struct.error:
        return data
    return data if whole is None else data[:4] + struct.pack(f"{order}I", whole) + data[8:]


def _pages(data: bytes, order: str) -> Iterator[int]:
    """Where each page's directory begins: all of the chain, and those that they point to besides."""
    seen: set[int] = set()
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    while at and at not in seen and len(seen) < _MAX_PAGES:
        seen.add(at)
        yield at
        inner = _entry(data, order, at, _SUB_PAGES)
        if inner is not None:
            count, value_at = inner
            places = value_at if count == 1 else struct.unpack_from(f"{order}I", data, value_at)[0]
            for number in range(min(count, _MAX_PAGES)):
                (sub,) = struct.unpack_from(f"{order}I", data, places + 4 * number)
                if sub not in seen:
                    seen.add(sub)
                    yield sub
        (entries,) = struct.unpack_from(f"{order}H", data, at)
        (at,) = struct.unpack_from(f"{order}I", data, at + 2 + entries * _ENTRY_BYTES)


def _is_reduced(data: bytes, order: str, page: int) -> bool:
    new, old = _entry(data, order, page, _SUBFILE), _entry(data, order, page, _OLD_SUBFILE)
    if new is not None:
        return bool(struct.unpack_from(f"{order}I", data, new[1])[0] & _REDUCED)
    return old is not None and struct.unpack_from(f"{order}H", data, old[1])[0] == _OLD_REDUCED


def _entry(data: bytes, order: str, page: int, tag: int) -> tuple[int, int] | None:
    """How many values an entry of a page has, and where its value stands."""
    (entries,) = struct.unpack_from(f"{order}H", data, page)
    for at in range(page + 2, page + 2 + entries * _ENTRY_BYTES, _ENTRY_BYTES):
        found, _, count = struct.unpack_from(f"{order}HHI", data, at)
        if found == tag:
            return count, at + 8
    return None
