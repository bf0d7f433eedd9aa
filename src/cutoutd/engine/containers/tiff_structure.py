"""TIFF's directories, read only: what EXIF, TIFF files and most raw files are made of.

Offsets are followed within the structure; the meaning of an entry is left to the caller.

A parser of our own, since those of the libraries give values and not places: what is edited in place, digested or read from
a file that no library accepts needs to know where each entry stands.

TIFF 6.0, section 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ASCII: Final = 2
SHORT: Final = 3
LONG: Final = 4
RATIONAL: Final = 5
ENTRY_BYTES: Final = 12
INLINE_BYTES: Final = 4  # a value up to this size stands in the entry itself
UNSIGNED: Final = {1: "B", SHORT: "H", LONG: "I"}
UTF8: Final = 129  # since Exif 3.0
TYPE_BYTES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    UTF8: 1,
}


class MalformedError(ValueError):
    """The data is not TIFF, or its directories point outside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectoryEntry:
    """One entry of a directory: its offset, and the offset of its value."""

    at: int
    tag: int
    kind: int
    value_at: int
    value_bytes: int


class TiffStructure:
    """A TIFF structure of which nothing is copied.

    Args:
        data: from its first byte on.

    Attributes:
        order: byte order, as `struct` writes it.
        root: offset of the first directory.

    Raises:
        MalformedError: the header is not TIFF's, or a directory points outside the data. Every method may raise it.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        order = {b"II\x2a\x00": "<", b"MM\x00\x2a": ">"}.get(bytes(data[:4]))
        if order is None:
            raise MalformedError("it does not begin like EXIF")
        self.order = order
        self.root = self.number("I", 4)

    def count(self, ifd: int) -> int:
        """Return the number of entries of the directory at ``ifd``."""
        return self.number("H", ifd)

    def entries(self, ifd: int) -> Iterator[DirectoryEntry]:
        """Return the entries of the directory at ``ifd``, in file order."""
        for at in range(ifd + 2, ifd + 2 + self.number("H", ifd) * ENTRY_BYTES, ENTRY_BYTES):
            tag, kind = self.number("H", at), self.number("H", at + 2)
            value_bytes = self.number("I", at + 4) * TYPE_BYTES.get(kind, 0)
            value_at = at + 8 if value_bytes <= INLINE_BYTES else self.number("I", at + 8)
            yield DirectoryEntry(at=at, tag=tag, kind=kind, value_at=value_at, value_bytes=value_bytes)

    def find(self, ifd: int, tag: int) -> DirectoryEntry | None:
        """Return the first entry of this tag in the directory at ``ifd``; None where there is none."""
        return next((entry for entry in self.entries(ifd) if entry.tag == tag), None)

    def _first(self, entry: DirectoryEntry) -> int:
        """Return the first number of an entry that may hold several."""
        return self.number("H" if entry.kind == SHORT else "I", entry.value_at)

    def number(self, code: str, at: int) -> int:
        """Return the number at an offset, of the type with this `struct` code."""
        try:
            value: int = struct.unpack_from(f"{self.order}{code}", self._data, at)[0]
        except struct.error as error:
            raise MalformedError("its directories point outside it") from error
        return value

    def ratio(self, tag: int) -> float | None:
        """Return the first fraction of an entry of the first directory; None where there is none."""
        entry = self.find(self.root, tag)
        found = None if entry is None else self._rationals(entry, 1)
        return None if found is None else found[0]

    def short(self, tag: int) -> int | None:
        """Return the number of an entry of the first directory; None where there is none."""
        return self._short(self.find(self.root, tag))

    def value(self, tag: int) -> bytes | None:
        """Return the bytes of an entry of the first directory; None where there is none, or they lie outside the data."""
        entry = self.find(self.root, tag)
        if entry is None or entry.value_at + entry.value_bytes > len(self._data):
            return None
        return bytes(self._data[entry.value_at : entry.value_at + entry.value_bytes])

    def _short(self, entry: DirectoryEntry | None) -> int | None:
        if entry is None or entry.kind not in UNSIGNED or not 0 < entry.value_bytes <= INLINE_BYTES:
            return None
        return self.number(UNSIGNED[entry.kind], entry.value_at)

    def _rationals(self, entry: DirectoryEntry | None, count: int) -> tuple[float, ...] | None:
        if entry is None or entry.kind != RATIONAL or entry.value_bytes != 8 * count:
            return None
        pairs = [
            (self.number("I", entry.value_at + 8 * n), self.number("I", entry.value_at + 8 * n + 4))
            for n in range(count)
        ]
        return tuple(above / below for above, below in pairs) if all(below for _, below in pairs) else None
