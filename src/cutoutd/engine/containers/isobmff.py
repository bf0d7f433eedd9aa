"""Parse the boxes of a HEIC or AVIF file: positions of the coded pictures, rotation, colour space.

The decoders do not expose these. This module must not decode; boxes that it cannot parse are left to
the decoders.

ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (HEIF).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from cutoutd.engine.colour.code_points import CodePoints
from cutoutd.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator

Span: TypeAlias = tuple[int, int]
"""Where something begins in the file, and where it ends."""

MAX_BOXES: Final = 20_000
"""Of one container; a picture of 400 megapixels in tiles has some 1,600 items."""

_FULL: Final = 4  # version and flags, at the start of some boxes
_TO_THE_END: Final = 0
_KEPT: Final = frozenset({b"iprp", b"idat"})
_LARGE: Final = 1  # a size of 64 bits follows the type

_PROFILED: Final = (2, 3)  # methods of a colour box that give a profile: restricted, or any

# A run of zeros that the coding cannot make: in HEVC a byte is put between any that would be three
# (ITU-T H.265, 7.4.2). AV1 promises nothing, but its arithmetic coder makes no long runs.
_HOLES: Final = {b"hvc1": bytes(64), b"av01": bytes(1024)}


@dataclass(slots=True)
class Still:
    """A file's picture items.

    Attributes:
        primary: item number of the primary picture.
        garbled: the name or type of an item is not text.
        kinds: each item's type by its number, such as ``hvc1`` or ``grid``.
        spans: position of the data of each item.
        properties: properties of the primary picture, in the order in which they apply.
        boxes: content of the boxes with all properties (``iprp``) and with derived pictures (``idat``), where there are any.
    """

    primary: int = 0
    garbled: bool = False
    kinds: dict[int, bytes] = field(default_factory=dict)
    spans: dict[int, list[Span]] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    boxes: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def nclx(self) -> CodePoints | None:
        """The code points of the primary picture (``nclx``); None where there are none."""
        for kind, content in self.properties:
            if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 4 + 2 + 2:
                primaries, transfer = struct.unpack_from(">HH", content, 4)
                return CodePoints(primaries=primaries, transfer=transfer)
        return None

    @property
    def turns(self) -> tuple[tuple[bytes, int], ...]:
        """Turns (``irot``: quarters against the clock) and mirrorings (``imir``: 0 swaps top and bottom)."""
        mask = {b"irot": 3, b"imir": 1}
        return tuple(
            (kind, content[0] & mask[kind]) for kind, content in self.properties if kind in mask and content
        )


def still(data: bytes) -> Still:
    """Read the picture items of a file; malformed boxes are left out.

    Args:
        data: the whole file.
    """
    found = Still()
    with suppress(struct.error, IndexError, StopIteration):
        begin, end = next(span for kind, span in _boxes(data, 0, len(data)) if kind == b"meta")
        for kind, (at, stop) in _boxes(data, begin + _FULL, end):
            if kind in _KEPT:
                found.boxes[kind] = data[at:stop]
            if (read := _READERS.get(kind)) is not None:
                read(found, data, at, stop)
    return found


def refuse_holes(data: bytes) -> None:
    """Refuse a file whose picture data is incomplete.

    A program that reserves the whole file before it writes leaves zeros, which a decoder may take for a picture.

    Args:
        data: the whole file.

    Raises:
        PictureError: the file is incomplete or damaged.
    """
    found = still(data)
    left = 2 * len(data)
    complete: set[tuple[bytes, tuple[tuple[int, int], ...]]] = set()
    for item, spans in found.spans.items():
        hole = _HOLES.get(found.kinds.get(item, b""))
        # Tiles with the same content are stored once: encoders do so with the alpha of a grid.
        if hole is None or (hole, tuple(spans)) in complete:
            continue
        complete.add((hole, tuple(spans)))
        for begin, end in spans:
            if end > len(data):
                raise PictureError("its picture data ends too early")
            left -= end - begin
            if left < 0:
                raise PictureError("it is damaged: the parts of its picture data lie over each other")
            if data.find(hole, begin, end) >= 0:
                raise PictureError(
                    "a part of its picture data is zeros: it was not written whole, or is damaged"
                )


def jp2_profile(data: bytes) -> bytes | None:
    """The ICC profile of a JPEG 2000 file, where it has one (ITU-T T.800, I.5.3.3).

    Args:
        data: the whole file.
    """
    with suppress(struct.error, IndexError):
        for kind, (begin, end) in _boxes(data, 0, len(data)):
            inner = _boxes(data, begin, end) if kind == b"jp2h" else ()
            for name, (at, stop) in inner:
                if name == b"colr" and data[at] in _PROFILED:
                    return data[at + 3 : stop]
    return None


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, Span]]:
    """Yield the boxes between two offsets, with the position of their content."""
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        content = at + 8
        if size == _LARGE:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        elif size == _TO_THE_END:
            size = end - at
        stop = at + size
        if stop < content:
            return
        yield kind, (content, min(stop, end))
        at = stop


def _primary(found: Still, data: bytes, at: int, _: int) -> None:
    found.primary = struct.unpack_from(">I" if data[at] else ">H", data, at + _FULL)[0]


def _infos(found: Still, data: bytes, at: int, stop: int) -> None:
    at += _FULL + (4 if data[at] else 2)
    for _, (begin, end) in _boxes(data, at, stop):
        version = data[begin]
        if version >= 2:  # noqa: PLR2004 -- those of before are not used for pictures
            item, _, kind = struct.unpack_from(">HH4s" if version == 2 else ">IH4s", data, begin + _FULL)  # noqa: PLR2004
            found.kinds[item] = kind
            found.garbled |= not _is_text(data[begin + _FULL : end].partition(kind)[2]) or not _is_text(kind)


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _locations(found: Still, data: bytes, at: int, stop: int) -> None:
    version = data[at]
    sizes = struct.unpack_from(">H", data, at + _FULL)[0]
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    at += _FULL + 2
    wide = version == 2  # noqa: PLR2004
    count = struct.unpack_from(">I" if wide else ">H", data, at)[0]
    at += 4 if wide else 2
    room = MAX_BOXES
    for _ in range(min(count, MAX_BOXES)):
        item = struct.unpack_from(">I" if wide else ">H", data, at)[0]
        at += 4 if wide else 2
        in_file = True
        if version:
            in_file = struct.unpack_from(">H", data, at)[0] & 15 == 0
            at += 2
        at += 2  # which file: this one
        base, at = _number(data, at, base_size)
        extents = struct.unpack_from(">H", data, at)[0]
        at += 2
        spans = found.spans.setdefault(item, [])
        for _ in range(extents):
            room -= 1  # an extent may take no bytes at all
            if at >= stop or room < 0:
                raise struct.error
            at += index_size if version else 0
            offset, at = _number(data, at, offset_size)
            length, at = _number(data, at, length_size)
            if in_file:
                begin = base + offset
                spans.append((begin, begin + length if length else len(data)))


def _number(data: bytes, at: int, size: int) -> tuple[int, int]:
    return int.from_bytes(data[at : at + size], "big"), at + size


def _properties(found: Still, data: bytes, at: int, stop: int) -> None:
    """Read the properties of the primary picture; its number comes first, as the specification recommends and all writers do."""
    parts = dict(_boxes(data, at, stop))
    shared = [(kind, data[begin:end]) for kind, (begin, end) in _boxes(data, *parts.get(b"ipco", (0, 0)))]
    at, stop = parts.get(b"ipma", (0, 0))
    wide_item, wide_index = data[at] > 0, data[at + 3] & 1
    at += _FULL + 4
    while at < stop:
        item = struct.unpack_from(">I" if wide_item else ">H", data, at)[0]
        at += 4 if wide_item else 2
        count, at = data[at], at + 1
        width = 2 if wide_index else 1
        if item == found.primary:
            which = [int.from_bytes(data[at + n * width :][:width], "big") for n in range(count)]
            which = [index & (0x7FFF if wide_index else 0x7F) for index in which]
            found.properties = [shared[index - 1] for index in which if 0 < index <= len(shared)]
            return
        at += count * width


_READERS: Final = {b"pitm": _primary, b"iinf": _infos, b"iloc": _locations, b"iprp": _properties}
