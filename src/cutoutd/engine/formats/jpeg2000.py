"""JPEG 2000 with more than 8 bits a sample and colour: Pillow's reduction makes black of what is nearly white.

It rounds up past the largest value. OpenCV's reader, of the same library, gives the samples as they are. But its copy of the
library may be an older one, with holes that are closed in Pillow's: what that refuses it never gets. This module must not be
given anything but JPEG 2000, or OpenCV would look for other formats.

ITU-T T.800, A.5.1 (the SIZ marker).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image

from cutoutd.engine.formats.opening import open_picture
from cutoutd.engine.samples import ROUNDED, Samples
from cutoutd.errors import LimitError, PictureError
from cutoutd.file_signatures import JPEG_2000

if TYPE_CHECKING:
    from numpy.typing import NDArray

_START: Final = b"\xff\x4f\xff\x51"
_COUNT_AT: Final = 40
_DEEP: Final = frozenset({"RGB", "RGBA"})
_GREY_ALPHA: Final = "LA"  # OpenCV does not read it
_MOST: Final = 16


def depth(data: bytes) -> int:
    """Bits of the deepest sample; 8 where the header does not tell."""
    at = data.find(_START)
    try:
        (count,) = struct.unpack_from(">H", data, at + _COUNT_AT)
        return max((data[at + _COUNT_AT + 2 + 3 * n] & 0x7F) + 1 for n in range(count)) if at >= 0 else 8
    except (struct.error, IndexError, ValueError):
        return 8


def deep_samples(data: bytes, mode: str, size: tuple[int, int]) -> Samples | None:
    """The picture, to be read in strips of 8 bits; None if Pillow's reader is right for it.

    Args:
        data: the whole file, whose header was read.
        mode: what Pillow makes of it.
        size: width and height.

    Raises:
        PictureError: it is damaged.
        LimitError: neither reader is right for it.
        Exception: Pillow's or OpenCV's own.
    """
    bits = depth(data)
    if mode == _GREY_ALPHA and bits > 8:  # noqa: PLR2004 -- a byte
        raise LimitError(f"its samples have {bits} bits, which with grey and transparency is not supported")
    if mode not in _DEEP or not 8 < bits <= _MOST:  # noqa: PLR2004 -- a byte
        return None
    with open_picture(JPEG_2000, data).image as image:
        image.load()
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    width, height = size
    if stored is None or stored.shape != (height, width, len(mode)):
        raise PictureError("its picture data is damaged, or of a kind that is not supported")
    share = np.minimum(np.arange(1 << _MOST) / ((1 << bits) - 1), 1)
    order = [2, 1, 0, 3][: len(mode)]  # OpenCV has blue first

    def strip(top: int, bottom: int) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(nearest[stored[top:bottom]][..., order]))

    def wide(top: int, bottom: int) -> NDArray[np.uint16]:
        return np.asarray(widest[stored[top:bottom]][..., order], np.uint16)

    nearest, widest = np.rint(share * 255).astype(np.uint8), np.rint(share * 65535).astype(np.uint16)
    return Samples(
        mode=mode,
        width=width,
        height=height,
        transparent=mode == "RGBA",
        strip=strip,
        rounded=ROUNDED,
        wide=wide,
    )
