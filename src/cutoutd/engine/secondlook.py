"""A second look at a small subject: the model sees 320 pixels of the whole picture, or of just its subject.

It must not run the model: it says where to look, and makes one matte of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INSIDE: Final = 0.5

_WORTH_SHARE: Final = 0.15
"""Share of the frame that the subject's box fills; above, a second inference gains nothing."""

_PADDING: Final = 0.35
"""Of the box's side, on either side: U2-Net wants to see some background."""

_BLOB_SHARE: Final = 0.05
_MIN_SIDE: Final = 96
"""Pixels of the picture: below, there is no more to be seen than the first time."""

_MAX_SIDE: Final = 1280
_AGREEMENT: Final = 0.5
"""Intersection over union of both mattes; below, the second one found something else."""

_FEATHER: Final = 0.1
"""Of the region's side, over which the second matte gives way to the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """Part of a picture, in its pixels: from ``top`` to before ``bottom``, from ``left`` to before ``right``."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """This part of a picture, without a copy."""
        return pixels[self.top : self.bottom, self.left : self.right]


def region(raw: NDArray[np.float32], height: int, width: int) -> Region | None:
    """Where a second look is worth an inference; None where it is not.

    Args:
        raw: float32 (h, w) in 0..1, the first look's matte.
        height: of the picture, pixels.
        width: of the picture, pixels.
    """
    inside = (raw > _INSIDE).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if areas.size == 0 or np.count_nonzero(areas >= _BLOB_SHARE * areas.max()) > 1:
        return None  # of several things, a box around one would lose the others
    left, top, across, down = (int(value) for value in stats[1 + int(areas.argmax()), :4])
    if across * down > _WORTH_SHARE * raw.size:
        return None
    rows, columns = height / raw.shape[0], width / raw.shape[1]
    found = Region(
        top=max(0, int((top - _PADDING * down) * rows)),
        bottom=min(height, int((top + (1 + _PADDING) * down) * rows) + 1),
        left=max(0, int((left - _PADDING * across) * columns)),
        right=min(width, int((left + (1 + _PADDING) * across) * columns) + 1),
    )
    too_small = min(found.bottom - found.top, found.right - found.left) < _MIN_SIDE
    return None if too_small else found


def combined(
    first: NDArray[np.float32], second: NDArray[np.float32], where: Region, height: int, width: int
) -> NDArray[np.float32]:
    """Both looks as one matte, fine enough to hold what the second one saw.

    Args:
        first: float32 (h, w) in 0..1, of the whole picture.
        second: float32 (h, w) in 0..1, of the region.
        where: the region.
        height: of the picture, pixels.
        width: of the picture, pixels.

    Returns:
        float32, at most as large as the picture; ``first`` itself where the two contradict each other.
    """
    size = second.shape[0]
    rows = min(height, _MAX_SIDE, round(size * height / (where.bottom - where.top)))
    columns = min(width, _MAX_SIDE, round(size * width / (where.right - where.left)))
    whole = np.asarray(cv2.resize(first, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32)
    np.clip(whole, 0.0, 1.0, out=whole)
    top, bottom = (round(y * rows / height) for y in (where.top, where.bottom))
    left, right = (round(x * columns / width) for x in (where.left, where.right))
    part = whole[top:bottom, left:right]
    fine = np.asarray(
        cv2.resize(second, (right - left, bottom - top), interpolation=cv2.INTER_AREA), np.float32
    )
    if _overlap(part > _INSIDE, fine > _INSIDE) < _AGREEMENT:
        return first
    down = _feather(bottom - top, free_start=top > 0, free_end=bottom < rows)
    across = _feather(right - left, free_start=left > 0, free_end=right < columns)
    weight = down[:, np.newaxis] * across
    part += weight * (fine - part)
    return whole


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / max(1, union)


def _feather(length: int, *, free_start: bool, free_end: bool) -> NDArray[np.float32]:
    """Weights that rise from 0 at an edge inside the picture, and are 1 at one that is the picture's own."""
    steps = np.arange(length, dtype=np.float32) + 0.5
    ramp = max(1.0, _FEATHER * length)
    weights = np.ones(length, np.float32)
    if free_start:
        weights = np.minimum(weights, steps / ramp)
    if free_end:
        weights = np.minimum(weights, steps[::-1] / ramp)
    return weights.astype(np.float32)
