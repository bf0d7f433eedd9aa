"""A BigTIFF as a plain TIFF: the directories are written anew behind the file, and whatever they point to stays in place.

Pillow reads BigTIFF in one byte order only, and its EXIF, sub-pages and thumbnails in none. Offsets of 64 bits are of no use in a
file of less than 4 GB. This module must not decode anything.

The BigTIFF design (Aware Systems, 2004; adopted by libtiff 4): header, directories, and the types 16 to 18.
"""

from __future__ import annotations

import struct
from typing import Final

from cutoutd.engine.containers.tiff_structure import LONG, TYPE_BYTES, MalformedError

_ORDERS: Final = {b"II\x2b\x00\x08\x00\x00\x00": "<", b"MM\x00\x2b\x00\x08\x00\x00": ">"}
_HEAD_BYTES: Final = 8
_PLAIN_HEADS: Final = {"<": b"II\x2a\x00", ">": b"MM\x00\x2a"}
_ENTRY_BYTES: Final = 20
_BIG_INLINE_BYTES: Final = 8
_INLINE_BYTES: Final = 4
_WIDE_KINDS: Final = {16: LONG, 17: 9, 18: 13}
"""Numbers of 64 bits, and the same with 32."""

_DIRECTORIES: Final = frozenset({330, 34665, 34853, 40965})
"""Tags that point to further directories: sub-pages, EXIF, GPS, interoperability."""

_MAX_DIRECTORIES: Final = 256
"""Of pages beyond these nothing is needed: the first one is the picture, or one that is no small version of another."""

_MAX_DEPTH: Final = 8
_MAX_ENTRIES: Final = 4096
_MAX_BYTES: Final = (1 << 32) - 1
_SPARE_BYTES: Final = 1 << 20


def as_plain(data: bytes) -> bytes:
    """Return a BigTIFF as a plain TIFF; unchanged where it is none, is malformed, or has numbers that need 64 bits.

    Args:
        data: the whole file.
    """
    if data[:_HEAD_BYTES] not in _ORDERS:
        return data
    try:
        return _Rewriting(data).result()
    except (MalformedError, struct.error):
        return data


class _Rewriting:
    """The plain form of one file; every method raises `MalformedError` for what has none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = _ORDERS[data[:_HEAD_BYTES]]
        self._added = bytearray()
        self._placed: dict[int, int] = {}  # where each directory of the file is now; 0: it is being written
        self._depth = 0

    def result(self) -> bytes:
        root = self._chain(self._number("Q", _HEAD_BYTES))
        head = _PLAIN_HEADS[self._order] + struct.pack(f"{self._order}I", root)
        return b"".join((head, self._data[_HEAD_BYTES:], bytes(len(self._data) % 2), self._added))

    def _number(self, code: str, at: int) -> int:
        value: int = struct.unpack_from(f"{self._order}{code}", self._data, at)[0]
        return value

    def _chain(self, at: int) -> int:
        """Write a directory and those that follow it; return where the first one is now, 0 if it is one too many."""
        first, link = 0, 0
        while at and at not in self._placed and len(self._placed) < _MAX_DIRECTORIES:
            place, link_at, at = self._directory(at)
            if link:
                struct.pack_into(f"{self._order}I", self._added, link, place)
            first, link = first or place, link_at
        return first

    def _directory(self, at: int) -> tuple[int, int, int]:
        """Write one directory; return where it is, the place of its link among the added bytes, and the next one's offset."""
        count = self._number("Q", at)
        if count > _MAX_ENTRIES:
            raise MalformedError("a directory is too large")
        self._placed[at] = 0
        entries = [self._entry(at + 8 + _ENTRY_BYTES * number) for number in range(count)]
        following = self._number("Q", at + 8 + _ENTRY_BYTES * count)
        body = struct.pack(f"{self._order}H", count) + b"".join(entries)
        place = self._placed[at] = self._add(body + bytes(4))
        return place, len(self._added) - 4, following

    def _entry(self, at: int) -> bytes:
        tag, kind, count = struct.unpack_from(f"{self._order}HHQ", self._data, at)
        size = count * (8 if kind in _WIDE_KINDS else TYPE_BYTES.get(kind, 0))
        begin = at + 12 if size <= _BIG_INLINE_BYTES else self._number("Q", at + 12)
        if begin + size > len(self._data):
            raise MalformedError("a value lies outside the file")
        plain, is_long = _WIDE_KINDS.get(kind, kind), kind in _WIDE_KINDS
        if tag in _DIRECTORIES and (is_long or kind in (LONG, 13)):
            value = self._moved(begin, count, "Q" if is_long else "I")
            count = len(value) // 4
        elif is_long:
            value = self._narrowed(begin, count, "q" if kind == 17 else "Q")  # noqa: PLR2004 -- of signed numbers
        elif size <= _BIG_INLINE_BYTES:
            value = self._data[begin : begin + size]
        else:
            return struct.pack(f"{self._order}HHII", tag, plain, count, begin)  # it stays where it is
        if len(value) <= _INLINE_BYTES:
            where = value.ljust(_INLINE_BYTES, b"\x00")
        else:
            where = struct.pack(f"{self._order}I", self._add(value))
        return struct.pack(f"{self._order}HHI", tag, plain, count) + where

    def _narrowed(self, begin: int, count: int, code: str) -> bytes:
        if len(self._added) + 4 * count > len(self._data) + _SPARE_BYTES:
            raise MalformedError("its lists are larger than the file")
        numbers = struct.unpack_from(f"{self._order}{count}{code}", self._data, begin)
        return struct.pack(f"{self._order}{count}{'i' if code == 'q' else 'I'}", *numbers)

    def _moved(self, begin: int, count: int, code: str) -> bytes:
        """Write the directories of an entry, and return their new offsets, but for those within themselves and too many."""
        if self._depth == _MAX_DEPTH:
            raise MalformedError("its directories are nested too deeply")
        self._depth += 1
        old = struct.unpack_from(f"{self._order}{min(count, _MAX_DIRECTORIES)}{code}", self._data, begin)
        moved = (self._placed[at] if at in self._placed else self._chain(at) for at in old)
        new = [at for at in moved if at]
        self._depth -= 1
        return struct.pack(f"{self._order}{len(new)}I", *new)

    def _add(self, value: bytes) -> int:
        """Append bytes behind the file, at an even offset, and return the offset."""
        base = len(self._data) + len(self._data) % 2
        if base + len(self._added) + len(value) > _MAX_BYTES:
            raise MalformedError("it needs offsets of 64 bits")
        at = base + len(self._added)
        self._added += value + bytes(len(value) % 2)
        return at
