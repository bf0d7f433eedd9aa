"""The copy of a picture that may leave this machine: no larger than needed, in sRGB, without metadata.

This module must not send or write anything. The same picture always gives the same bytes, so that an upload can be
recognised by its digest.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image, ImageCms

from cutoutd.engine.render import compose
from cutoutd.errors import LimitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture

_QUALITIES: Final = (95, 90, 85)
_SHRINK: Final = 0.8
_SHORTEST_SIDE: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """The bytes of a JPEG, and its size in pixels."""

    data: bytes
    width: int
    height: int


def copy_of(picture: Picture, *, max_side: int, max_pixels: int, max_bytes: int) -> Copy:
    """Make the copy.

    Args:
        picture: decoded and upright.
        max_side: pixels of the copy's longer side; a larger picture is reduced by area averages.
        max_pixels: of the copy.
        max_bytes: of the copy; above it, first quality and then size are reduced.

    Raises:
        LimitError: it does not fit into ``max_bytes`` at any size worth sending.
    """
    seen = picture.rgb if picture.alpha is None else compose.over_grey(picture.rgb, picture.alpha)
    height, width = seen.shape[:2]
    scale = min(1.0, max_side / max(height, width), math.sqrt(max_pixels / (height * width)))
    while True:
        small = _in_srgb(_reduce(seen, scale), picture.icc)
        for quality in _QUALITIES:
            data = _jpeg(small, quality)
            if len(data) <= max_bytes:
                return Copy(data=data, width=small.width, height=small.height)
        scale *= _SHRINK
        if max(height, width) * scale < _SHORTEST_SIDE:
            raise LimitError(f"no copy of it fits into the {max_bytes / 1e6:.0f} MB that the service takes")


def _reduce(rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale >= 1:
        return rgb
    size = (max(1, int(rgb.shape[1] * scale)), max(1, int(rgb.shape[0] * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _in_srgb(rgb: NDArray[np.uint8], icc: bytes | None) -> Image.Image:
    """Without its profile, which may name camera or owner, the numbers must mean what every service takes them for."""
    image = Image.fromarray(rgb)
    if icc is None:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # colours a little off still show what is subject and what is not
    return image if converted is None else converted


def _jpeg(image: Image.Image, quality: int) -> bytes:
    draft = io.BytesIO()
    image.info.clear()  # the conversion leaves its profile here, and the encoder would write it
    image.save(draft, format="JPEG", quality=quality, subsampling=0, exif=b"", icc_profile=None)
    return draft.getvalue()
