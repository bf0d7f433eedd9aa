"""Inspect the pages of a TIFF before decoding: which page is the picture, and whether the file is a camera's raw file.

The first page may be a small version of another one, and that of a raw file mostly is a preview of stamp size; neither must
be taken for the picture. The file is not copied apart for that: a header that points to another page makes it the first
one. This module must not decode.

TIFF 6.0, sections 2 and 8 (NewSubfileType, and SubfileType before it); TIFF Technical Note 1 (trees of pages); DNG 1.7,
chapter 4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from cutoutd.engine.containers.tiff_structure import ENTRY_BYTES, SHORT, MalformedError, TiffStructure

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUBFILE, _OLD_SUBFILE, _SUB_PAGES = 254, 255, 330
_REDUCED: Final = 1  # a bit of the sub-file type: this page is a small version of another one
_OLD_REDUCED: Final = 2
_MAX_PAGES: Final = 64

_COMPRESSION: Final = 0x0103
_OF_CAMERAS: Final = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
"""Sony's, Epson's, Samsung's, Nikon's, Kodak's, Pentax's."""
_PHOTOMETRIC: Final = 0x0106
_MOSAIC: Final = frozenset({32803, 34892})  # behind a colour filter array; linear raw
_MAKE: Final = 0x010F
_DNG_VERSION: Final = 0xC612

_MAKE_BYTES: Final = 16
_BY_MAKER: Final = (
    (b"NIKON", "NEF"),
    (b"SONY", "ARW"),
    (b"PENTAX", "PEF"),
    (b"SAMSUNG", "SRW"),
    (b"HASSELBLAD", "3FR"),
)


def picture_first(data: bytes) -> bytes:
    """Return the file with its first full-size page moved to the front; unchanged where it is there already.

    Args:
        data: the whole file; what is malformed, or a BigTIFF, is left as it is.
    """
    try:
        tiff = TiffStructure(data)
        found = list(_pages(tiff))
        if not found or not _is_reduced(tiff, found[0]):
            return data
        whole = next((page for page in found[1:] if not _is_reduced(tiff, page)), None)
    except MalformedError:
        return data
    return data if whole is None else data[:4] + struct.pack(f"{tiff.order}I", whole) + data[8:]


def _pages(tiff: TiffStructure) -> Iterator[int]:
    """Return the offsets of all pages' directories: those of the chain, and their sub-directories."""
    seen: set[int] = set()
    at = tiff.root
    while at and at not in seen and len(seen) < _MAX_PAGES:
        seen.add(at)
        yield at
        inner = tiff.find(at, _SUB_PAGES)
        if inner is not None:
            count, value_at = tiff.number("I", inner.at + 4), inner.at + 8
            places = value_at if count == 1 else tiff.number("I", value_at)
            for number in range(min(count, _MAX_PAGES)):
                sub = tiff.number("I", places + 4 * number)
                if sub not in seen:
                    seen.add(sub)
                    yield sub
        at = tiff.number("I", at + 2 + tiff.count(at) * ENTRY_BYTES)


def _is_reduced(tiff: TiffStructure, page: int) -> bool:
    new, old = tiff.find(page, _SUBFILE), tiff.find(page, _OLD_SUBFILE)
    if new is not None:
        return bool(tiff.number("I", new.at + 8) & _REDUCED)
    return old is not None and tiff.number("H", old.at + 8) == _OLD_REDUCED


def raw_format(data: bytes) -> str | None:
    """Return the name of the raw format, such as ``NEF``, or just ``RAW``; None for any other TIFF.

    Args:
        data: the whole file, which begins like a TIFF.
    """
    try:
        tiff = TiffStructure(data)
        tags = {
            entry.tag: tiff.number("H" if entry.kind == SHORT else "I", entry.at + 8)
            for entry in tiff.entries(tiff.root)
        }
    except MalformedError:
        return None  # damaged, or a TIFF of more than 4 GB; Pillow will tell
    if _DNG_VERSION in tags:
        return "DNG"
    if not (
        tags.get(_SUBFILE, 0) & _REDUCED
        or tags.get(_COMPRESSION) in _OF_CAMERAS
        or tags.get(_PHOTOMETRIC) in _MOSAIC
    ):
        return None
    at = tags.get(_MAKE, 0)
    maker = data[at : at + _MAKE_BYTES].upper()
    name = next((name for known, name in _BY_MAKER if maker.startswith(known)), "RAW")
    is_sensors = tags.get(_COMPRESSION) in _OF_CAMERAS or tags.get(_PHOTOMETRIC) in _MOSAIC
    if name == "RAW" and not is_sensors and (turned := picture_first(data)) is not data:
        return raw_format(turned)  # a small version in front says nothing: the picture itself does
    return name
