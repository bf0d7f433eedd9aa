"""The colours of a corrected cutout: away from what strokes have changed, those of the cutout before, bit for bit.

The subject's own colours are estimated from all that lies within a sixth of the picture, so a stroke would tint soft pixels that
it has not reached: all of them in a picture with transparency of its own. Colours are estimated twice therefore, and mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting import foreground
from cutoutd.engine.matting.tiles import enlarged, sources, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture, Sample

NEAR: Final = 1 / 30
"""So far from what strokes have changed, in longer sides, the result follows them; twice as far it is as it was."""

_WORK_PX: Final = 480


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Estimate:
    """What the subject's colours are estimated from.

    Attributes:
        alpha: uint8 (H, W), of the whole picture.
        where: the part of the picture that counts.
    """

    alpha: NDArray[np.uint8]
    where: tuple[slice, slice]


def nearness(is_same: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how near each pixel is to one that has changed, float32 in 0..1: 1 within `NEAR`, 0 from twice as far on."""
    apart = np.asarray(
        cv2.distanceTransform(is_same.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32
    )
    near: NDArray[np.float32] = np.clip(2 - apart / np.float32(NEAR * max(is_same.shape)), 0, 1)
    return near


def decontaminate(picture: Picture, before: Estimate, after: Estimate) -> None:
    """Give soft pixels the subject's own colours, in place: near what has changed as it is, elsewhere as it was before."""
    share = _nearness(before.alpha, after.alpha)
    _recolour(picture.rgb, before, after, share)
    if picture.deep is not None:
        _recolour(picture.deep, before, after, share)


def _nearness(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = before.shape
    factor = min(1.0, _WORK_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    changed = (before != after).astype(np.float32)  # float, so that a single pixel leaves more than nothing
    is_same = np.asarray(cv2.resize(changed, size, interpolation=cv2.INTER_AREA)) == 0
    if is_same.all():
        return np.zeros(is_same.shape, np.float32)
    return nearness(is_same)


def _recolour(
    colours: NDArray[Sample], before: Estimate, after: Estimate, share: NDArray[np.float32]
) -> None:
    changed = colours.copy()
    foreground.decontaminate(changed[after.where], after.alpha[after.where])
    foreground.decontaminate(colours[before.where], before.alpha[before.where])
    shape = (colours.shape[0], colours.shape[1])
    small = (share.shape[0], share.shape[1])
    for tile in tiles(shape):
        if not share[sources(tile, shape, small)].any():
            continue
        near = enlarged(share, tile, shape, small=small)[..., np.newaxis]
        moved = changed[tile].astype(np.float32) - colours[tile]
        moved *= near
        moved += colours[tile]
        moved += np.float32(0.5)
        # Exactly as it is or was: a float does not hold every step between two values of 16 bits.
        mixed = np.where(near >= 1, changed[tile], moved.astype(colours.dtype))
        colours[tile] = np.where(near <= 0, colours[tile], mixed)
