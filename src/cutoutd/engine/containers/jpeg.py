"""Check that a JPEG's picture data is complete: libjpeg decodes missing data as grey or noise, often without a warning.

A program that reserves the whole file before it writes (a download, a copy to a share), in order or not, leaves
such a file behind while it works, and for good when it is interrupted; so does a disk that loses a block. What
is found: data that ends in zeros, a run of zeros that no picture can hold, markers where none may be, and restart
markers that are missing. A changed bit is not found: only decoding can tell, and not always (`cutoutd.engine.formats.turbojpeg`).
This module must not decode.

ITU-T T.81, annex B: the scan's own bytes 0xFF are followed by 0x00, so that every other pair is a marker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from cutoutd.errors import PictureError

_MARKER: Final = 0xFF
_SOF_BASELINE: Final = frozenset({0xC0, 0xC1})
_SOF: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ARITHMETIC: Final = frozenset(range(0xC9, 0xD0))
_DHT: Final = 0xC4
_RESTARTS: Final = range(0xD0, 0xD8)
_EOI: Final = 0xD9
_SOS: Final = 0xDA
_DRI: Final = 0xDD
# Tables and comments may stand between two scans; DNL ends the first one.
_ENDS: Final = frozenset({_EOI, _SOS, _DHT, 0xCC, 0xDB, 0xDC, _DRI, *range(0xE0, 0xF0), 0xFE})

_IN_SCAN: Final = re.compile(rb"\xff[\x01-\xfe]")
_END_OF_IMAGE: Final = b"\xff\xd9"
_ZEROS: Final = bytes(64)
"""No scan of a picture ends in so many."""

_AC: Final = 1
_END_OF_BLOCK: Final = 0
_TABLE_HEAD_BYTES: Final = 17  # class and number, then how many codes there are of each of 16 lengths


@dataclass(slots=True)
class _Tables:
    """State gathered from the segments of the header.

    Attributes:
        baseline: one scan holds whole blocks, by Huffman's codes.
        restarts: the scan is divided by restart markers.
        first_symbols: of each Huffman table for AC coefficients, what the code of zeros alone means.
        used: which of these tables the scan uses.
        components: of the picture.
        is_arithmetic: the coding is arithmetic, whose data does not mark its end.
        finished: components and coefficients that came to their last bit.
    """

    baseline: bool = False
    restarts: bool = False
    first_symbols: dict[int, int] = field(default_factory=dict)
    used: frozenset[int] = frozenset()
    components: frozenset[int] = frozenset()
    is_arithmetic: bool = False
    finished: set[tuple[int, int]] = field(default_factory=set)

    @property
    def is_complete(self) -> bool:
        """Whether the scans so far hold each coefficient of each component to its last bit."""
        return bool(self.components) and all(
            (component, number) in self.finished for component in self.components for number in range(64)
        )

    @property
    def zeros_are_flat(self) -> bool:
        """Whether a run of zeros may be a flat area: the code of zeros is end of block in every table."""
        return not self.baseline or all(
            self.first_symbols.get(table, _END_OF_BLOCK) == _END_OF_BLOCK for table in self.used
        )


def refuse_unfinished(data: bytes) -> None:
    """Refuse a JPEG whose picture data is incomplete.

    Args:
        data: the whole file.

    Raises:
        PictureError: the file is incomplete or damaged.
    """
    tables = _Tables()
    at = _next_scan(data, 2, tables)
    if at is not None and not any(data[-len(_ZEROS) :]) and data.find(_END_OF_IMAGE, at) < 0:
        raise PictureError("it ends in zeros instead of picture data: it was not written to its end")
    while at is not None:
        end = _end_of_scan(data, at, tables)
        if not tables.zeros_are_flat and data.find(_ZEROS, at, end) >= 0:
            raise PictureError("a part of its picture data is zeros: it was not written whole, or is damaged")
        at = _next_scan(data, end, tables)


def _next_scan(data: bytes, at: int, tables: _Tables) -> int | None:
    """Return the offset of the next scan's data; None after the last scan."""
    while at + 4 <= len(data) and data[at] == _MARKER:
        kind = data[at + 1]
        if kind == _EOI:
            return None
        if kind == _MARKER:  # a marker may be preceded by any number of fill bytes
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        # A view, since tables are taken from its front one by one.
        _learn(kind, memoryview(data)[at + 4 : end], tables)
        if kind == _SOS:
            return end
        at = end
    return None


def _learn(kind: int, content: memoryview, tables: _Tables) -> None:
    if kind in _SOF_BASELINE:
        tables.baseline = True
    if kind in _SOF and len(content) >= 6:  # noqa: PLR2004 -- depth, height, width, and how many components
        tables.components = frozenset(content[6 : 6 + 3 * content[5] : 3])
        tables.is_arithmetic = kind in _ARITHMETIC
    elif kind == _DRI:
        tables.restarts = any(content)
    elif kind == _SOS and content:  # how many components, then two bytes for each: which one, its two tables
        tables.used = frozenset(both & 0x0F for both in content[2 : 1 + 2 * content[0] : 2])
        _note_scan(content, tables)
    elif kind == _DHT:
        while len(content) > _TABLE_HEAD_BYTES:
            if content[0] >> 4 == _AC:
                tables.first_symbols[content[0] & 0x0F] = content[_TABLE_HEAD_BYTES]
            content = content[_TABLE_HEAD_BYTES + sum(content[1:_TABLE_HEAD_BYTES]) :]


def _note_scan(content: memoryview, tables: _Tables) -> None:
    """Record which coefficients a scan completes (B.2.3): from Ss to Se, where Al is 0."""
    rest = content[1 + 2 * content[0] :]
    if len(rest) >= 3 and rest[2] & 0x0F == 0:  # noqa: PLR2004 -- Ss, Se, Ah and Al
        components = content[1 : 1 + 2 * content[0] : 2]
        tables.finished.update((one, number) for one in components for number in range(rest[0], rest[1] + 1))


def with_end_marker(data: bytes) -> bytes:
    """Add the end marker to a JPEG that lacks only this; return any other JPEG unchanged.

    All scans must be there, and be Huffman-coded: then the decoder tells whether the last one is whole.

    Args:
        data: the whole file.

    Raises:
        PictureError: the file is damaged.
    """
    if data.endswith(_END_OF_IMAGE) or not any(data[-len(_ZEROS) :]):
        return data
    tables = _Tables()
    at, end = _next_scan(data, 2, tables), 0
    while at is not None:
        end = _end_of_scan(data, at, tables)
        at = _next_scan(data, end, tables)
    if end < len(data) or tables.is_arithmetic or not tables.is_complete:
        return data
    return data + (_END_OF_IMAGE[1:] if data.endswith(b"\xff") else _END_OF_IMAGE)


def _end_of_scan(data: bytes, at: int, tables: _Tables) -> int:
    """Return the offset where a scan's data ends: the next marker other than a restart.

    Raises:
        PictureError: a marker is in an invalid place.
    """
    due = 0
    for found in _IN_SCAN.finditer(data, at):
        kind = data[found.start() + 1]
        if kind in _RESTARTS and tables.restarts and kind == _RESTARTS[due % len(_RESTARTS)]:
            due += 1
        elif kind in _ENDS:
            return found.start()
        else:
            raise PictureError("its picture data is damaged: a part of it is missing, or is something else")
    return len(data)
