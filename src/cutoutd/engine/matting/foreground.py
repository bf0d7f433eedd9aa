"""Remove the old background's colour from the soft pixels of a cutout.

It changes colours only, never alpha; it touches no pixel outside the soft band, and makes no float copy of the whole
frame.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic

import cv2
import numpy as np

from cutoutd.engine.matting.guided_filter import box, rounded, thrice, with_fourth, without_fourth
from cutoutd.engine.matting.tiles import ImagePyramid, enlarged, part_of, reduced, tiles
from cutoutd.engine.picture import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.matting.guided_filter import Plane

# Colours of subject and background vary slowly: their averages are taken on a reduced copy, of this many pixels.
_WORK_PIXELS = 120_000
# Window radii as shares of the shorter side. The wide ones reach across a broad soft area to sure colour, the narrow
# ones then follow local detail.
_SHARES = (1 / 6, 1 / 15, 1 / 40, 1 / 100, 1 / 220)
_OPAQUE = 255
# Of each alpha: the subject's share of the pixel, and how much of what is unexplained the subject takes.
_SHARE_BY_ALPHA = np.arange(256, dtype=np.float32) / np.float32(255)
_GAIN_BY_ALPHA = _SHARE_BY_ALPHA / (_SHARE_BY_ALPHA**2 + (1 - _SHARE_BY_ALPHA) ** 2)


def estimate(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Estimate the subject's own colours.

    Args:
        rgb: uint8 (H, W, 3), the picture.
        alpha: uint8 (H, W), share of the subject in each pixel.

    Returns:
        uint8 (H, W, 3): the subject's colour where alpha is 1 to 254, elsewhere the picture's own, bit for bit.

    Raises:
        ValueError: the two are not of one size, or not uint8.
    """
    foreground = rgb.copy()
    decontaminate(foreground, alpha)
    return foreground


def decontaminate(
    rgb: NDArray[Sample], alpha: NDArray[np.uint8], *, pyramid: ImagePyramid[Sample] | None = None
) -> None:
    """Do as `estimate`, in place: only tiles with soft pixels are read or written, so an opaque picture costs nothing.

    The method is blur fusion (Forte, Approximate Fast Foreground Colour Estimation, 2021) repeated at shrinking radii:
    subject and background are averaged apart, weighted by alpha squared and its complement, then both take their
    share of what the compositing equation leaves unexplained. The last share is taken at full resolution.

    Args:
        rgb: uint8 or uint16 (H, W, 3), changed.
        alpha: uint8 (H, W).
        pyramid: pyramid of this picture, as it is now.

    Raises:
        ValueError: the two are not of one size, or of another type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape[:2] != alpha.shape:  # noqa: PLR2004 - three colours
        raise ValueError(
            f"a picture (H, W, 3) and its alpha (H, W) are needed, not {rgb.shape} and {alpha.shape}"
        )
    if rgb.dtype not in (np.uint8, np.uint16) or alpha.dtype != np.uint8:
        raise ValueError(
            f"a picture of uint8 or uint16 and an alpha of uint8 are needed, not {rgb.dtype} and {alpha.dtype}"
        )
    shape = (alpha.shape[0], alpha.shape[1])
    parts = [part for tile in tiles(shape) if (part := part_of(tile, soft(alpha[tile]))) is not None]
    if not parts:
        return
    colours = SubjectColours(pyramid or ImagePyramid(rgb), alpha)
    for part in parts:
        colours.give(rgb[part], alpha[part], part)


class SubjectColours(Generic[Sample]):
    """Where colours of subject and background vary, found once for a whole picture; its tiles are decontaminated by them.

    Args:
        pyramid: pyramid of the picture, (H, W, 3).
        alpha: uint8 (H, W).
    """

    def __init__(self, pyramid: ImagePyramid[Sample], alpha: NDArray[np.uint8]) -> None:
        self._shape = (alpha.shape[0], alpha.shape[1])
        self._planes = _fuse(pyramid, alpha)

    def give(self, rgb: NDArray[Sample], alpha: NDArray[np.uint8], part: tuple[slice, slice]) -> None:
        """Decontaminate the soft pixels of a part of the picture, in place.

        Args:
            rgb: uint8 or uint16 (h, w, 3), the colours of the part.
            alpha: uint8 (h, w), its alpha.
            part: rows and columns of the picture.
        """
        small = (self._planes[0].shape[0], self._planes[0].shape[1])
        subject, ground = (
            without_fourth(enlarged(plane, part, self._shape, small=small)) for plane in self._planes
        )
        cv2.copyTo(_explain(rgb, alpha, subject, ground), soft(alpha), rgb)


def soft(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 255 where an alpha is neither 0 nor 255, else 0."""
    return np.asarray(cv2.inRange(alpha, 1, _OPAQUE - 1), np.uint8)


def _fuse(rgb: ImagePyramid[Sample], alpha: NDArray[np.uint8]) -> tuple[Plane, Plane]:
    """Return the colours of subject and background at working size, float32 (h, w, 4) in 0..255 each.

    The fourth channel means nothing: OpenCV interpolates four in less time than three.
    """
    height, width = alpha.shape
    factor = max(1, round(math.sqrt(height * width / _WORK_PIXELS)))
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = rgb.reduced(size)
    picture = small.astype(np.float32)
    picture *= np.float32(_OPAQUE / np.iinfo(small.dtype).max)
    weight = reduced(alpha, size).astype(np.float32) * np.float32(1 / 255)
    by_subject, by_ground = weight * weight, (1 - weight) ** 2
    share = thrice(weight)
    rest = 1 - share
    scale = 1 / (share * share + rest * rest)
    subject = ground = picture
    for part in _SHARES:
        radius = max(1, round(min(size) * part))
        subject, ground = _average(subject, by_subject, radius), _average(ground, by_ground, radius)
        unexplained = picture - share * subject
        unexplained -= rest * ground
        unexplained *= scale
        subject += share * unexplained
        ground += rest * unexplained
        np.clip(subject, 0, _OPAQUE, out=subject)
        np.clip(ground, 0, _OPAQUE, out=ground)
    return with_fourth(subject), with_fourth(ground)


def _average(colour: Plane, weight: Plane, radius: int) -> Plane:
    total: Plane = box(colour * thrice(weight), radius)
    total /= thrice(box(weight, radius) + np.float32(1e-5))
    return total


def _explain(
    rgb: NDArray[Sample], alpha: NDArray[np.uint8], subject: Plane, ground: Plane
) -> NDArray[Sample]:
    """Do the subject's half of a last round of `_fuse`, at full resolution, in as few passes over the tile as possible."""
    share, gain = (
        thrice(np.asarray(cv2.LUT(alpha, table), np.float32)) for table in (_SHARE_BY_ALPHA, _GAIN_BY_ALPHA)
    )
    colour = subject - ground
    colour *= share
    colour += ground
    levels = np.float32(np.iinfo(rgb.dtype).max / _OPAQUE)
    np.subtract(rgb if levels == 1 else rgb / levels, colour, out=colour)
    colour *= gain
    colour += subject
    if levels == 1:
        return rounded(colour).astype(rgb.dtype, copy=False)
    np.clip(colour, 0, _OPAQUE, out=colour)
    colour *= levels
    colour += np.float32(0.5)
    return colour.astype(rgb.dtype)
