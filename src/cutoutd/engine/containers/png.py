"""PNG as bytes: a fast writer, and a reader of chunks.

Written with two filters, each in one subtraction for many rows, and deflate by ISA-L: the better of UP and SUB for each
row, at level 2, is 20 times faster than Pillow's level 6 for 7 % more bytes (13 photos' cutouts, 13 % at the worst); UP
alone had 21 % at the worst, and PAETH gains 1 % for five times the work.

Read are chunks alone, since Pillow does not look at the checksums of picture data. No decoding is done here, and the writer
does not know where its samples come from.

PNG specification, third edition (W3C, 2025); its sections are the numbers below.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from isal import isal_zlib

from cutoutd.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from cutoutd.engine.containers.resolution import Resolution

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE_BY_CHANNELS: Final = {1: 0, 2: 4, 3: 2, 4: 6}
_SUB: Final = 1
_UP: Final = 2
_SAMPLE_STEP: Final = 13  # no multiple of a pixel's bytes, so that every channel is looked at
_LEVEL: Final = 2  # of ISA-L's 0 to 3: level 3 takes longer and gains next to nothing
_MAX_CHUNK_BYTES: Final = 1 << 20  # a reader may hold a whole chunk in memory
_MAX_SIDE: Final = (1 << 31) - 1
_FRAME: Final = b"fdAT"
_ANIMATION: Final = frozenset({b"acTL", b"fcTL", _FRAME})


class BinarySink(Protocol):
    """Destination of the bytes: a binary file, or a wrapper that counts them."""

    def write(self, data: bytes, /) -> object:
        """Write all of ``data``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Size and sample format of all strips together.

    Attributes:
        width, height: pixels, at least 1.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        bits: 8 for uint8 strips, 16 for uint16.
    """

    width: int
    height: int
    channels: int
    bits: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """Profile and metadata of a file.

    Attributes:
        icc: profile of the samples' colours; a grey one for 1 and 2 channels.
        exif: TIFF structure without the six-byte ``Exif`` prefix.
        xmp: UTF-8 packet.
        resolution: pixels per inch; None where unknown.
        iptc: IPTC-IIM, for formats that have a place for it.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resolution: Resolution | None = None
    iptc: bytes | None = None


def write(
    sink: BinarySink, strips: Iterable[NDArray[np.uint8] | NDArray[np.uint16]], layout: Layout, extras: Extras
) -> None:
    """Write a whole PNG.

    Args:
        sink: gets the bytes in order.
        strips: from top to bottom, each (rows, width, channels), or (rows, width) for one channel; uint8 or
            uint16 as the layout says.
        layout: of all strips together.
        extras: profile and metadata.

    Raises:
        ValueError: layout or strips are invalid; the output is then an incomplete PNG.
        OSError: from the sink.
    """
    sink.write(_SIGNATURE + _chunk(b"IHDR", _header(layout)))
    for name, data in _ancillary(extras):
        sink.write(_chunk(name, data))
    for piece in _deflate(strips, layout):
        for at in range(0, len(piece), _MAX_CHUNK_BYTES):
            sink.write(_chunk(b"IDAT", piece[at : at + _MAX_CHUNK_BYTES]))
    sink.write(_chunk(b"IEND", b""))


def _header(layout: Layout) -> bytes:
    sides_fit = 0 < layout.width <= _MAX_SIDE and 0 < layout.height <= _MAX_SIDE
    if not sides_fit or layout.channels not in _COLOUR_TYPE_BY_CHANNELS or layout.bits not in (8, 16):
        message = f"no PNG has the layout {layout}"
        raise ValueError(message)
    colour_type = _COLOUR_TYPE_BY_CHANNELS[layout.channels]
    return struct.pack(">IIBBBBB", layout.width, layout.height, layout.bits, colour_type, 0, 0, 0)


def _ancillary(extras: Extras) -> Iterator[tuple[bytes, bytes]]:
    if extras.icc:
        yield b"iCCP", b"ICC Profile\x00\x00" + isal_zlib.compress(extras.icc, _LEVEL)
    if extras.resolution:
        yield b"pHYs", struct.pack(">IIB", *extras.resolution.per_metre, 1)  # 11.3.4.3: 1 is the metre
    if extras.exif:
        yield b"eXIf", extras.exif
    if extras.xmp:
        # Uncompressed, without language and translated keyword: 11.3.3.4 and the XMP specification, part 3.
        yield b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + extras.xmp


def _deflate(
    strips: Iterable[NDArray[np.uint8] | NDArray[np.uint16]], layout: Layout
) -> Iterator[memoryview]:
    """Yield the compressed rows, in pieces as the compressor returns them."""
    row_bytes = layout.width * layout.channels * layout.bits // 8
    compressor = isal_zlib.compressobj(_LEVEL)
    above = np.zeros(row_bytes, np.uint8)
    rows_seen = 0
    for strip in strips:
        rows = _rows(strip, layout, row_bytes)
        if len(rows) == 0:
            continue
        if data := compressor.compress(_filter(rows, above, row_bytes // layout.width)):
            yield memoryview(data)
        above = rows[-1]
        rows_seen += len(rows)
    if rows_seen != layout.height:
        message = f"the strips have {rows_seen} rows, not {layout.height}"
        raise ValueError(message)
    yield memoryview(compressor.flush())


def _rows(strip: NDArray[np.uint8] | NDArray[np.uint16], layout: Layout, row_bytes: int) -> NDArray[np.uint8]:
    """Return the strip as big-endian bytes, uint8 (rows, row_bytes)."""
    expected = np.dtype(np.uint8 if layout.bits == 8 else np.uint16)  # noqa: PLR2004 -- one of two by _header
    if strip.dtype != expected or strip[:1].size not in (0, layout.width * layout.channels):
        message = f"a strip of {strip.dtype} {strip.shape} does not fit the layout {layout}"
        raise ValueError(message)
    samples = strip if layout.bits == 8 else strip.astype(">u2")  # noqa: PLR2004 -- see above
    return np.ascontiguousarray(samples).view(np.uint8).reshape(-1, row_bytes)


def _filter(rows: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int) -> NDArray[np.uint8]:
    """Apply filter UP or SUB to each row, with the filter type in front (9.2)."""
    filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    up = filtered[:, 1:]
    np.subtract(rows[0], above, out=up[0])
    np.subtract(rows[1:], rows[:-1], out=up[1:])
    sub = np.empty_like(rows)
    sub[:, :pixel_bytes] = rows[:, :pixel_bytes]
    np.subtract(rows[:, pixel_bytes:], rows[:, :-pixel_bytes], out=sub[:, pixel_bytes:])
    better = _cost(sub) < _cost(up)
    filtered[better, 0] = _SUB
    up[better] = sub[better]
    return filtered


def _cost(residuals: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Estimate how well each row compresses: the sum of absolute residuals (12.7), over a sample of them."""
    sample = residuals[:, ::_SAMPLE_STEP].view(np.int8)
    cost: NDArray[np.uint32] = np.abs(sample).view(np.uint8).sum(axis=1, dtype=np.uint32)  # -128 becomes 128
    return cost


def _chunk(name: bytes, data: bytes | memoryview) -> bytes:
    """Return a chunk: length, type, data and CRC (5.3)."""
    crc = isal_zlib.crc32(data, isal_zlib.crc32(name))
    return b"".join((struct.pack(">I", len(data)), name, data, struct.pack(">I", crc)))


def refuse_damaged_png(data: bytes) -> None:
    """Refuse a PNG whose picture data is corrupt.

    Args:
        data: the whole file.

    Raises:
        PictureError: a checksum does not match.
    """
    for kind, begin, end in png_chunks(data):  # where it is cut short, the decoder tells whether that matters
        if kind == b"IDAT" and not is_sound(data, begin, end):
            raise PictureError(
                "its picture data is damaged, or was not written whole: a checksum does not fit"
            )


def before_picture(data: bytes) -> dict[bytes, bytes]:
    """Return the undamaged chunks before a PNG's picture data, the first of each type, by type.

    Args:
        data: the whole file.
    """
    found: dict[bytes, bytes] = {}
    for kind, begin, end in png_chunks(data):
        if kind == b"IDAT":
            break
        if is_sound(data, begin, end):
            found.setdefault(kind, data[begin:end])
    return found


def without_damaged(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove ancillary chunks with a wrong checksum from a PNG; return the PNG and the types removed.

    Transparency (tRNS) is kept, although its type marks it as ancillary.

    Args:
        data: the whole file.
    """
    parts, names, last = [], [], 0
    for kind, begin, end in png_chunks(data):
        is_needless = kind[:1].islower() and kind != b"tRNS"
        if is_needless and not is_sound(data, begin, end):
            parts.append(data[last : begin - 8])
            names.append(kind.decode("ascii", "replace"))
            last = end + 4
    return (b"".join((*parts, data[last:])), tuple(names)) if names else (data, ())


def without_animation(data: bytes) -> tuple[bytes, bool]:
    """Return a PNG without the chunks that make it an animation, and whether it has further frames; the same PNG where it is none.

    What remains is the default image, which every reader of PNG shows that knows no animations (4.9): errors in the sequence of the
    frames do not concern it.

    Args:
        data: the whole file.
    """
    parts, last, has_frames = [], 0, False
    for kind, begin, end in png_chunks(data):
        if kind in _ANIMATION:
            parts.append(data[last : begin - 8])
            last = end + 4
            has_frames = has_frames or kind == _FRAME
    return (b"".join((*parts, data[last:])), has_frames) if last else (data, False)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the chunks of a PNG up to a truncated one: type, and begin and end offset of the content."""
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        begin, end = at + 8, at + 8 + size
        if end + 4 > len(data):
            return
        yield data[at + 4 : at + 8], begin, end
        at = end + 4


def is_sound(data: bytes, begin: int, end: int) -> bool:
    """Whether the checksum matches for the chunk whose content is at these offsets."""
    (wanted,) = struct.unpack_from(">I", data, end)
    return bool(isal_zlib.crc32(memoryview(data)[begin - 4 : end]) == wanted)
