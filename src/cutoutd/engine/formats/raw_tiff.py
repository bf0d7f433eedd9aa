"""Which files that begin like a TIFF are cameras' raw files: told by the tags of their first page.

That page is mostly a preview of stamp size, which must not be taken for the picture. This module must not decode.

TIFF 6.0, section 2; DNG 1.7, chapter 4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from cutoutd.engine.formats.tiff_page import picture_first

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUBFILE_TYPE: Final = 0x00FE
_REDUCED: Final = 1  # a bit of the sub-file type: this page is a small version of another one
_COMPRESSION: Final = 0x0103
_OF_CAMERAS: Final = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
"""Sony's, Epson's, Samsung's, Nikon's, Kodak's, Pentax's."""
_PHOTOMETRIC: Final = 0x0106
_MOSAIC: Final = frozenset({32803, 34892})  # behind a colour filter array; linear raw
_MAKE: Final = 0x010F
_DNG_VERSION: Final = 0xC612

_SHORT: Final = 3
_MAKE_BYTES: Final = 16
_BY_MAKER: Final = (
    (b"NIKON", "NEF"),
    (b"SONY", "ARW"),
    (b"PENTAX", "PEF"),
    (b"SAMSUNG", "SRW"),
    (b"HASSELBLAD", "3FR"),
)


def raw_format(data: bytes) -> str | None:
    """The name of the raw format, such as ``NEF``, or just ``RAW``; None for any other TIFF.

    Args:
        data: the whole file, which begins like a TIFF.
    """
    order = "<" if data.startswith(b"II") else ">"
    try:
        tags = dict(_tags(data, order))
    except struct.error:
        return None  # damaged, or a TIFF of more than 4 GB; Pillow will tell
    if _DNG_VERSION in tags:
        return "DNG"
    if not (
        tags.get(_SUBFILE_TYPE, 0) & _REDUCED
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


def _tags(data: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Tag and value, or where the value stands, of each entry of the first page."""
    version, at = struct.unpack_from(f"{order}HI", data, 2)
    if version != 42:  # noqa: PLR2004 -- the one of TIFF; a big one has 43
        return
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for number in range(count):
        tag, kind = struct.unpack_from(f"{order}HH", data, at + 2 + 12 * number)
        (value,) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", data, at + 10 + 12 * number)
        yield tag, value
