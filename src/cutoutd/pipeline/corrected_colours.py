"""The colours of a corrected cutout: away from what strokes have changed, those of the cutout before, bit for bit.

The subject's own colours are estimated from all that lies within a sixth of the picture, so a stroke would tint soft pixels that
it has not reached: all of them in a picture with transparency of its own. Colours are estimated twice therefore, the second time
near the strokes alone, and mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

import cv2
import numpy as np

from cutoutd.engine.matting import foreground
from cutoutd.engine.matting.foreground import SubjectColours, soft
from cutoutd.engine.matting.guided_filter import thrice
from cutoutd.engine.matting.tiles import enlarged, part_of, sources, tiles
from cutoutd.engine.picture import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.matting.tiles import ImagePyramid

NEAR: Final = 1 / 30
"""So far from what strokes have changed, in longer sides, the result follows them; twice as far it is as it was."""

_WORK_PX: Final = 480
_BLOCKS: Final = {8: np.uint64, 4: np.uint32, 2: np.uint16}
"""Pixels of a row that are looked at as one number: whether any of them has changed takes no longer than one of them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Estimate(Generic[Sample]):
    """What the subject's colours are estimated from.

    Attributes:
        alpha: uint8 (H, W), of the whole picture.
        where: the part of the picture that counts.
        pyramid: pyramid of that part.
    """

    alpha: NDArray[np.uint8]
    where: tuple[slice, slice]
    pyramid: ImagePyramid[Sample]


def nearness(is_same: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how near each pixel is to one that has changed, float32 in 0..1: 1 within `NEAR`, 0 from twice as far on."""
    apart = np.asarray(
        cv2.distanceTransform(is_same.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32
    )
    near: NDArray[np.float32] = np.clip(2 - apart / np.float32(NEAR * max(is_same.shape)), 0, 1)
    return near


def near_changes(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how near each place of a picture is to where its alpha has changed, float32 in 0..1, at 480 pixels a side or more."""
    height, width = before.shape
    block = next((one for one in _BLOCKS if max(height, width) >= one * _WORK_PX), 1)
    differs = cv2.compare(before, after, cv2.CMP_NE)
    if block > 1:
        differs = cv2.copyMakeBorder(
            differs, 0, -height % block, 0, -width % block, cv2.BORDER_CONSTANT, value=(0,)
        )
        rows = np.asarray(differs).view(_BLOCKS[block])
        differs = np.bitwise_or.reduce(rows.reshape(-1, block, rows.shape[1]), axis=1)
    is_same = np.asarray(differs) == 0
    return np.zeros(is_same.shape, np.float32) if is_same.all() else nearness(is_same)


def decontaminate(
    colours: NDArray[Sample],
    before: Estimate[Sample],
    after: Estimate[Sample],
    share: NDArray[np.float32],
) -> None:
    """Give soft pixels the subject's own colours, in place: near what has changed as it is, elsewhere as it was before.

    Args:
        colours: uint8 or uint16 (H, W, 3), the picture.
        before: without strokes.
        after: with them, of the whole picture.
        share: of `near_changes`.
    """
    shape, small = (colours.shape[0], colours.shape[1]), (share.shape[0], share.shape[1])
    near = [
        part
        for tile in tiles(shape)
        if share[sources(tile, shape, small)].any()
        and (part := part_of(tile, soft(before.alpha[tile]) | soft(after.alpha[tile]))) is not None
    ]
    parts = [colours[part].copy() for part in near]
    if near:
        found = SubjectColours(after.pyramid, after.alpha)
        for part, changed in zip(near, parts, strict=True):
            found.give(changed, after.alpha[part], part)
    foreground.decontaminate(colours[before.where], before.alpha[before.where], pyramid=before.pyramid)
    for part, changed in zip(near, parts, strict=True):
        _mix(colours[part], changed, enlarged(share, part, shape, small=small))


def _mix(colours: NDArray[Sample], changed: NDArray[Sample], weight: NDArray[np.float32]) -> None:
    """Move colours towards others by a weight, in place; where it is 0 or 1 they are exactly the ones or the others."""
    if weight.min() >= 1:
        colours[...] = changed
        return
    moved = changed.astype(np.float32)
    moved -= colours
    moved *= thrice(weight)
    moved += colours
    moved += np.float32(0.5)
    mixed = moved.astype(colours.dtype)
    # A float does not hold every step between two values of 16 bits.
    cv2.copyTo(changed, (weight >= 1).view(np.uint8), mixed)
    cv2.copyTo(mixed, (weight > 0).view(np.uint8), colours)
