"""The colours of a JPEG straight into an array: Pillow's own way there holds the picture twice, and copies it twice.

Both use the same library, libjpeg-turbo, and give the same values; through simplejpeg it takes two thirds of the time.
What libjpeg says about damage, and Pillow does not pass on, is heard here. It must not look at metadata.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import simplejpeg
from PIL import Image

from cutoutd.engine.samples import Samples
from cutoutd.errors import PictureError

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
    # Of the size that was let through: a file that libjpeg finds to be larger is an error, and takes no more memory than this.
    rgb = np.empty((height, width, 3), np.uint8)
    notes: tuple[str, ...] = ()
    try:
        found = simplejpeg.decode_jpeg(data, "RGB", buffer=rgb)
    except ValueError as error:
        if _MADE_UP.search(str(error)):
            raise PictureError(f"its picture data is damaged ({error})") from error
        if not _TOO_MANY.search(str(error)):
            return None
        found = simplejpeg.decode_jpeg(data, "RGB", buffer=rgb, strict=False)
        notes = (MORE_THAN_WHOLE,)
    if found.shape != rgb.shape:
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
