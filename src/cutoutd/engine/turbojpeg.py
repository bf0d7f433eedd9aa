"""The colours of a JPEG straight into an array: Pillow's own way there holds and copies the picture two times more.

Both use the same library, libjpeg-turbo, and give the same values; through simplejpeg it takes two thirds of the time.
What libjpeg says about damage, and Pillow does not pass on, is heard here. It must not look at metadata.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import simplejpeg
from PIL import Image

from cutoutd.engine.samples import Samples
from cutoutd.errors import PictureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MORE_THAN_WHOLE: Final = "its picture data goes on after its last pixel: a part of it may be damaged"

# Words of libjpeg's jerror.h. After each of the first it makes a part of the picture up. Bytes too many are the one trace of
# most changed bits; but some cameras leave a few in good pictures. Its other words are about the headers.
_MADE_UP: Final = re.compile(
    r"bad (?:Huffman|arithmetic) code|premature end of data segment|marker \S+ instead of RST"
)
_TOO_MANY: Final = re.compile(r"\d+ extraneous bytes before marker")


def samples(data: bytes, size: tuple[int, int]) -> Samples | None:
    """The picture, whole; None where Pillow's reader is to decide what it is.

    Args:
        data: the whole file, a JPEG of three components whose header was read.
        size: width and height by that.

    Raises:
        PictureError: a part of its picture data is damaged.
    """
    width, height = size
    notes: tuple[str, ...] = ()
    try:
        if simplejpeg.decode_jpeg_header(data)[:2] != (height, width):
            return None  # the limit of pixels was kept by a size that is not libjpeg's
        rgb = _decoded(data)
    except ValueError as error:
        if _MADE_UP.search(str(error)):
            raise PictureError(f"its picture data is damaged ({error})") from error
        if not _TOO_MANY.search(str(error)):
            return None
        rgb, notes = _decoded(data, strict=False), (MORE_THAN_WHOLE,)
    return Samples(
        mode="RGB",
        width=width,
        height=height,
        transparent=False,
        strip=lambda top, bottom: Image.fromarray(rgb[top:bottom]),
        warnings=notes,
        rgb=rgb,
    )


def _decoded(data: bytes, *, strict: bool = True) -> NDArray[np.uint8]:
    """Decode; without ``strict``, what libjpeg only warns of is no error."""
    rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", strict=strict)
    return rgb
