"""Writing TIFF: deflated strips with horizontal differencing, straight alpha, profile and metadata.

An EXIF block is a TIFF structure itself, with offsets from its own beginning. So the file begins with the block as it
is, and the first directory is written anew behind it: no offset in it has to be understood, maker notes' included.
Pillow takes the whole frame at once and writes the block anew. This module must not know where its samples come from.

TIFF 6.0 asks for a resolution in every file; where none is known, it is a ratio of 1 without a unit (section 8), which
says that pixels are square, and no more.

TIFF 6.0 (Adobe, 1992): directories and types (2), ExtraSamples, differencing (14); supplement 1 of Adobe Photoshop
TIFF (2002): deflate.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np
from isal import isal_zlib

from cutoutd.engine.containers.exif import ExifBlock, IfdEntry
from cutoutd.engine.containers.tiff_structure import RATIONAL, MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from cutoutd.engine.containers.png import BinarySink, Extras, Layout

_LEVEL: Final = 2  # of ISA-L, as in `cutoutd.engine.containers.png`
_MAX_BYTES: Final = 0xFFFF0000
"""Offsets have 32 bits; what comes to more would need another format (BigTIFF)."""

_BYTE, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
_CODES: Final = {_SHORT: "H", _LONG: "I"}

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS = 273, 277, 278, 279
_X_RESOLUTION, _Y_RESOLUTION, _PLANAR, _UNIT, _PREDICTOR, _EXTRA = 282, 283, 284, 296, 317, 338
_XMP, _ICC = 700, 34675

_NO_UNIT: Final = 1
_DEFLATE: Final = 8
_DIFFERENCES: Final = 2
_STRAIGHT_ALPHA: Final = 2
_GREY, _RGB = 1, 2
_RGBA_CHANNELS: Final = 4

# What says how a picture is stored, and not what it shows: these are written anew, or are true of another file only.
_STRUCTURE: Final = frozenset(
    {0, 254, 255, *range(256, 267), 273, 277, 278, 279, 280, 281, 284, *range(288, 293), 301, 317}
    | {*range(320, 348), *range(512, 533), 347, 400, _XMP, _ICC, 0x8649}
)


class TiffTooLargeError(ValueError):
    """The file would be larger than 32-bit offsets can address."""


def write(
    sink: BinarySink, strips: Iterable[NDArray[np.uint8] | NDArray[np.uint16]], layout: Layout, extras: Extras
) -> None:
    """Write a whole TIFF; the compressed strips are held in memory until all of them are there.

    Args:
        sink: gets the bytes in order.
        strips: from top to bottom, each (rows, width, channels), or (rows, width) for one channel, uint8 or uint16 as
            the layout says; of as many rows each but for the last.
        layout: of all strips together; 1, 3 or 4 channels.
        extras: profile and metadata.

    Raises:
        ValueError: layout or strips are invalid.
        TiffTooLargeError: the file would be too large for the format.
        OSError: from the sink.
    """
    head, order, kept = _head(extras.exif)
    rows, packed = _pack(strips, layout, order)
    fields = [*_structure(layout, order, rows, packed), *_extras(extras)]
    if extras.resolution is not None or not any(tag == _X_RESOLUTION for tag, _ in kept):
        fields += _resolution(extras, order)
    sink.write(_directory(head, order, fields, kept, packed))
    for piece in packed:
        sink.write(piece)


def _pack(
    strips: Iterable[NDArray[np.uint8] | NDArray[np.uint16]], layout: Layout, order: str
) -> tuple[int, list[bytes]]:
    """Return the number of rows of a strip, and all strips compressed."""
    if layout.channels not in (1, 3, _RGBA_CHANNELS) or layout.bits not in (8, 16):
        raise ValueError(f"no TIFF is written in the layout {layout}")
    kind = np.dtype(f"{order}u{layout.bits // 8}")
    rows, seen, packed = 0, 0, []
    for strip in strips:
        if len(strip) == 0:
            continue
        fits = strip.itemsize == kind.itemsize and strip[:1].size == layout.width * layout.channels
        if (rows and seen % rows) or not fits:
            raise ValueError(f"a strip of {strip.dtype} {strip.shape} does not fit the layout {layout}")
        rows = rows or len(strip)
        seen += len(strip)
        packed.append(isal_zlib.compress(_differences(strip, layout).astype(kind, copy=False), _LEVEL))
    if seen != layout.height:
        raise ValueError(f"the strips have {seen} rows, not {layout.height}")
    return rows, packed


def _differences(
    strip: NDArray[np.uint8] | NDArray[np.uint16], layout: Layout
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Apply horizontal differencing: each sample minus that of the pixel to the left."""
    pixels = strip.reshape(len(strip), layout.width, layout.channels)
    left = pixels.copy()
    np.subtract(pixels[:, 1:], pixels[:, :-1], out=left[:, 1:])
    return left


def _head(exif: bytes | None) -> tuple[bytearray, str, list[tuple[int, bytes]]]:
    """Return the head of the file, its byte order, and the kept entries of the first directory."""
    if exif:
        try:
            block = ExifBlock(exif)
            kept = [(tag, entry) for tag, entry in block.sound_entries() if tag not in _STRUCTURE]
            return bytearray(bytes(block)), block.order, kept
        except MalformedError:
            pass  # it has been looked at before; what is no EXIF now is not kept
    return bytearray(b"II\x2a\x00\x00\x00\x00\x00"), "<", []


def _structure(layout: Layout, order: str, rows: int, packed: list[bytes]) -> Iterator[IfdEntry]:
    def numbers(tag: int, kind: int, *values: int) -> IfdEntry:
        value = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        return IfdEntry(tag=tag, kind=kind, count=len(values), value=value)

    yield numbers(_WIDTH, _LONG, layout.width)
    yield numbers(_HEIGHT, _LONG, layout.height)
    yield numbers(_BITS, _SHORT, *([layout.bits] * layout.channels))
    yield numbers(_COMPRESSION, _SHORT, _DEFLATE)
    yield numbers(_PHOTOMETRIC, _SHORT, _GREY if layout.channels == 1 else _RGB)
    yield numbers(_SAMPLES, _SHORT, layout.channels)
    yield numbers(_ROWS, _LONG, rows)
    yield numbers(_COUNTS, _LONG, *(len(piece) for piece in packed))
    yield numbers(_OFFSETS, _LONG, *([0] * len(packed)))  # known once all else has its place
    yield numbers(_PLANAR, _SHORT, 1)
    yield numbers(_PREDICTOR, _SHORT, _DIFFERENCES)
    if layout.channels == _RGBA_CHANNELS:
        yield numbers(_EXTRA, _SHORT, _STRAIGHT_ALPHA)


def _extras(extras: Extras) -> Iterator[IfdEntry]:
    if extras.xmp:
        yield IfdEntry(tag=_XMP, kind=_BYTE, count=len(extras.xmp), value=extras.xmp)
    if extras.icc:
        yield IfdEntry(tag=_ICC, kind=_UNDEFINED, count=len(extras.icc), value=extras.icc)


def _resolution(extras: Extras, order: str) -> tuple[IfdEntry, ...]:
    if extras.resolution is not None:
        return extras.resolution.fields(order)
    one = struct.pack(f"{order}II", 1, 1)
    return (
        IfdEntry(tag=_X_RESOLUTION, kind=RATIONAL, count=1, value=one),
        IfdEntry(tag=_Y_RESOLUTION, kind=RATIONAL, count=1, value=one),
        IfdEntry(tag=_UNIT, kind=_SHORT, count=1, value=struct.pack(f"{order}H", _NO_UNIT)),
    )


def _directory(
    head: bytearray, order: str, fields: list[IfdEntry], kept: list[tuple[int, bytes]], packed: list[bytes]
) -> bytes:
    """Return all bytes before the pixels: the head, out-of-line values, and the directory."""
    at = _even(head)
    entries: dict[int, bytes] = dict(kept)
    offsets_at = 0
    for field in fields:
        if len(field.value) <= 4:  # noqa: PLR2004 -- of an entry
            value = field.value.ljust(4, b"\x00")
        else:
            value = struct.pack(f"{order}I", at)
            head += field.value
            at = _even(head)
        entries[field.tag] = struct.pack(f"{order}HHI", field.tag, field.kind, field.count) + value
        if field.tag == _OFFSETS:
            offsets_at = struct.unpack(f"{order}I", value)[0] if field.count > 1 else 0
    struct.pack_into(f"{order}I", head, 4, at)
    pixels_at = at + 2 + 12 * len(entries) + 4
    if pixels_at + sum(map(len, packed)) > _MAX_BYTES:
        raise TiffTooLargeError("the file would have more than 4 GB")
    places = []
    for piece in packed:
        places.append(pixels_at)
        pixels_at += len(piece)
    if offsets_at:
        struct.pack_into(f"{order}{len(places)}I", head, offsets_at, *places)
    else:
        entries[_OFFSETS] = struct.pack(f"{order}HHII", _OFFSETS, _LONG, 1, places[0])
    head += struct.pack(f"{order}H", len(entries))
    for _, entry in sorted(entries.items()):  # readers rely on their order
        head += entry
    head += bytes(4)  # there is no second picture
    return bytes(head)


def _even(head: bytearray) -> int:
    """Pad to an even length, as TIFF offsets must be even, and return the length."""
    if len(head) % 2:
        head += b"\x00"
    return len(head)
