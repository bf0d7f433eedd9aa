"""Whether the picture data of a PNG or WebP is all there, where their decoders do not tell.

Pillow does not look at the checksums of a PNG's picture data, and libwebp makes a flat area of zeros, as an interrupted
copy leaves them. This module must not decode.

PNG specification, third edition, 5.3; RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from isal import isal_zlib

from cutoutd.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PNG_SIGNATURE_BYTES: Final = 8
_RIFF_HEAD_BYTES: Final = 12

_PIXELS_A_ZERO: Final = 128
"""Even areas may rightly be coded as zeros, but then as fewer than one byte for so many pixels: some 350 were seen."""
_FEW: Final = 4096


def refuse_damaged_png(data: bytes) -> None:
    """Refuse a PNG whose picture data is not what was written.

    Args:
        data: the whole file.

    Raises:
        PictureError: a checksum does not fit.
    """
    for kind, begin, end in png_chunks(data):  # where it is cut short, the decoder tells whether that matters
        if kind == b"IDAT" and not is_sound(data, begin, end):
            raise PictureError(
                "its picture data is damaged, or was not written whole: a checksum does not fit"
            )


def before_picture(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG that stand before its picture data, by type, the first of each; without damaged ones.

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
    """A PNG without those chunks whose checksum does not fit and that no pixel needs, and their types.

    Transparency (tRNS) is no such chunk, though the letters of its type say so.

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


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG: type, and where the content of each begins and ends; up to one that is cut short."""
    at = _PNG_SIGNATURE_BYTES
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        begin, end = at + 8, at + 8 + size
        if end + 4 > len(data):
            return
        yield data[at + 4 : at + 8], begin, end
        at = end + 4


def is_sound(data: bytes, begin: int, end: int) -> bool:
    """Whether the checksum of the chunk whose content lies there fits."""
    (wanted,) = struct.unpack_from(">I", data, end)
    return bool(isal_zlib.crc32(memoryview(data)[begin - 4 : end]) == wanted)


def refuse_unfinished_webp(data: bytes, pixels: int) -> None:
    """Refuse a WebP a large part of whose picture data is zeros.

    Args:
        data: the whole file.
        pixels: how many the picture has.

    Raises:
        PictureError: it was not written whole.
    """
    hole = bytes(max(_FEW, pixels // _PIXELS_A_ZERO))
    for begin, end in _picture_chunks(data):
        if data.find(hole, begin, end) >= 0:
            raise PictureError("a part of its picture data is zeros: it was not written whole, or is damaged")


def _picture_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the coded pictures of a WebP lie."""
    at = _RIFF_HEAD_BYTES
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind in (b"VP8 ", b"VP8L", b"ANMF"):
            yield at + 8, at + 8 + size
        at += 8 + size + size % 2
