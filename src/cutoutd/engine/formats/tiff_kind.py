"""Which kinds of TIFF cannot be read, in words: an intact file of such a kind must not be called damaged.

What libtiff was built without it reports like damage, and only when the pixels are decoded; here the header decides. This
module must not decode a picture.

TIFF 6.0, section 19 (SampleFormat); the compressions: libtiff's ``tiff.h`` and the registry of the Library of Congress.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Final

from PIL import Image, TiffImagePlugin

from cutoutd.engine.containers.tiff_structure import MalformedError, TiffStructure
from cutoutd.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Collection

ADVICE: Final = (
    "The original is untouched. Export it as TIFF with LZW compression and 8 or 16 bits a channel (whole numbers without a "
    "sign), or as PNG, and put that in its place."
)

_COMPRESSION: Final = 259
_DEFAULT: Final = 1
_NAMES: Final = {
    2: "CCITT",
    3: "CCITT Group 3",
    4: "CCITT Group 4",
    5: "LZW",
    6: "old-style JPEG",
    7: "JPEG",
    8: "deflate",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32773: "PackBits",
    32809: "ThunderScan",
    32895: "IT8",
    32896: "IT8",
    32897: "IT8",
    32898: "IT8",
    32908: "Pixar",
    32909: "Pixar log",
    32946: "deflate",
    32947: "Kodak DCS",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    33007: "JPEG",
    34661: "JBIG",
    34676: "SGI log",
    34677: "SGI log",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "JPEG",
    34925: "LZMA",
    34926: "Zstandard",
    34927: "WebP",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_OPTIONAL: Final = frozenset({34925, 50000, 50001})
"""Compressions that Pillow knows and that libtiff may have been built without."""

_FORMATS: Final = {
    1: "unsigned integers",
    2: "signed integers",
    3: "floating-point numbers",
    5: "complex integers",
    6: "complex numbers",
}


def compression_name(code: int) -> str:
    """Return what a compression is called, with its code, such as ``WebP (50001)``."""
    return f"{_NAMES[code]} ({code})" if code in _NAMES else f"number {code}"


def refuse_compression(data: bytes) -> None:
    """Refuse a TIFF whose first page has a compression that the decoder lacks.

    Args:
        data: the whole file.

    Raises:
        LimitError: the decoder lacks it; the message names it.
    """
    try:
        code = TiffStructure(data).short(_COMPRESSION)
    except MalformedError:
        return  # the decoder tells what is damaged
    if code is None or code == _DEFAULT:
        return
    if code not in TiffImagePlugin.COMPRESSION_INFO or (code in _OPTIONAL and not _has_codec(code)):
        raise LimitError(
            f"it is a TIFF of a kind that is not supported, because its compression is {compression_name(code)}",
            advice=ADVICE,
        )


@cache
def _has_codec(code: int) -> bool:
    """Whether libtiff has a compression: there is no way to ask, so that a few pixels are compressed."""
    try:
        Image.new("RGB", (8, 8)).save(
            io.BytesIO(), "TIFF", compression=TiffImagePlugin.COMPRESSION_INFO[code]
        )
    except (OSError, ValueError, RuntimeError):
        return False
    return True


def samples_in_words(formats: Collection[int], bits: Collection[int]) -> str:
    """Return what samples are, such as ``floating-point numbers of 32 bits``.

    Args:
        formats: TIFF's SampleFormat of the channels.
        bits: bits of the channels.
    """
    kinds = " and ".join(sorted({_FORMATS.get(one, "of no known form") for one in formats}))
    return f"{kinds} of {' and '.join(map(str, sorted(set(bits))))} bits"
