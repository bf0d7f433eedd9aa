"""Decode a JPEG's colours directly into an array: Pillow's reader holds the picture twice and copies it twice.

Both use the same library, libjpeg-turbo, and give the same values; through simplejpeg it takes two thirds of the time.
This module also checks libjpeg's warnings about damage, which Pillow drops. It must not read metadata.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
import simplejpeg
from PIL import Image

from cutoutd.engine.samples import Samples
from cutoutd.errors import PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEFT_OVER: Final = "its picture data has bytes that belong to no pixel: a part of it may be damaged"

# Words of libjpeg's jerror.h, of which it says the first one only. After each of these it makes a part of the picture up.
# Bytes too many are the one trace of most changed bits; but some cameras leave a few in good pictures. Its other words are
# about headers, the end, or the order of scans.
_MADE_UP: Final = re.compile(
    r"bad (?:Huffman|arithmetic) code|premature end of data segment|marker \S+ instead of RST"
)
_TOO_MANY: Final = re.compile(r"\d+ extraneous bytes before marker")
_MOST_BYTES: Final = (1 << 31) - 1  # simplejpeg counts in 32 bits


def samples(data: bytes, size: tuple[int, int]) -> Samples | None:
    """Decode the whole picture; None where Pillow's reader has to decode it.

    Args:
        data: the whole file, a JPEG of three components whose header was read.
        size: width and height in the header.

    Raises:
        PictureError: a part of the picture data is damaged.
    """
    width, height = size
    if height * width * 3 > _MOST_BYTES:
        return None
    # Of the size that was let through: a file that libjpeg finds to be larger is an error, and takes no more memory than this.
    rgb = np.empty((height, width, 3), np.uint8)
    said = _decode(data, rgb)
    notes: tuple[str, ...] = ()
    if _MADE_UP.search(said):
        raise PictureError(f"its picture data is damaged ({said})")
    if _TOO_MANY.search(said):
        # Between two segments of the header they are nobody's loss, and an error to simplejpeg all the same.
        said, notes = _decode(data, rgb, strict=False), (LEFT_OVER,)
    if said:
        return None
    return Samples(
        mode="RGB",
        width=width,
        height=height,
        transparent=False,
        strip=lambda top, bottom: Image.fromarray(rgb[top:bottom]),
        warnings=notes,
        rgb=rgb,
    )


def refuse_made_up(data: bytes, mode: str) -> None:
    """Refuse a JPEG whose last scan is not whole, in modes that `samples` does not decode.

    Args:
        data: the whole file.
        mode: Pillow's name, ``L`` or ``CMYK``.

    Raises:
        PictureError: the decoder filled in a part of the picture.
    """
    try:
        simplejpeg.decode_jpeg(data, {"L": "GRAY"}.get(mode, mode), strict=True)
    except ValueError as error:
        raise PictureError(f"its picture data ends too early ({error})") from error


def _decode(data: bytes, into: NDArray[np.uint8], *, strict: bool = True) -> str:
    """Decode; return libjpeg's message about damage; without ``strict`` errors only.

    Raises:
        MemoryError: there is not enough for the decoder.
    """
    try:
        found = simplejpeg.decode_jpeg(data, "RGB", buffer=into, strict=strict)
    except ValueError as error:
        if "memory" in str(error):
            raise MemoryError(str(error)) from error
        return str(error) or "an error"
    return "" if found.shape == into.shape else "another size"
