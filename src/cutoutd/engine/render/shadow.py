"""A soft shadow on the ground, where a subject stands on it: painted, for looks, from its outline alone.

Each column of the subject casts as much as its lowest point is near the lowest of all, at that point: so a shoe has
one shadow along its sole, and four legs have four. Nothing knows the light; it must not touch colours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.render.placement import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.render.placement import Placement

_SIDE: Final = 480
"""Pixels of the longer side it is painted at: it is soft, and has no detail to lose."""

_SOLID: Final = 128
_TOUCHES: Final = 0.25
"""Share of the subject's height above its lowest point up to which something stands on the ground, less and less."""

_CUT_OFF: Final = 0.2
"""Share of the contact that may lie at the picture's edge."""

_REACH: Final = 0.16
"""Room for it on all sides, as a share of the subject's longer side."""

# Two layers, as a real one has a dark core where hardly any light gets in, and a wide faint border. Each: thickness
# of the stroke, how far below the foot its middle lies, blur across, blur down (shares of the subject's longer
# side), weight.
_LAYERS: Final = ((0.014, 0.004, 0.012, 0.007, 0.70), (0.040, 0.014, 0.045, 0.020, 0.60))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shadow:
    """A shadow, painted small.

    Attributes:
        mask: float32 (h, w) in 0..1, where 1 is the darkest there is.
        box: of the picture, that it covers.
    """

    mask: NDArray[np.float32]
    box: Box

    def strip(self, placement: Placement, top: int, bottom: int) -> NDArray[np.float32]:
        """The part of it that falls on these rows of a canvas.

        Returns:
            float32 (bottom - top, width) in 0..1.
        """
        height, width = self.mask.shape
        there = placement.onto_canvas(self.box)
        # From a pixel's centre on the canvas to one of the mask.
        step_x, step_y = width / there.width, height / there.height
        x = (0.5 - there.left) * step_x - 0.5
        y = (top + 0.5 - there.top) * step_y - 0.5
        place = np.array([[step_x, 0, x], [0, step_y, y]])
        size = (placement.width, bottom - top)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(self.mask, place, size, flags=flags, borderMode=cv2.BORDER_CONSTANT), np.float32
        )


def cast(alpha: NDArray[np.uint8], found: Box) -> Shadow | None:
    """Paint the shadow of a subject; None if it stands on nothing, as where the picture's own edge cuts it off.

    Args:
        alpha: uint8 (H, W), the matte.
        found: the subject's box.
    """
    part = alpha[int(found.top) : int(found.bottom), int(found.left) : int(found.right)]
    scale = min(1.0, _SIDE / max(part.shape))
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    feet, weight = _feet(small)
    cut_off = feet >= small.shape[0] - 2 if found.bottom >= alpha.shape[0] else np.zeros_like(feet, bool)
    total = float(weight.sum())
    if total == 0 or float(weight[cut_off].sum()) > _CUT_OFF * total:
        return None  # what the picture's edge cuts off goes on below it, and stands elsewhere
    longer = max(small.shape)
    room = max(2, math.ceil(_REACH * longer))
    mask = _painted(feet + room, weight, (small.shape[0] + 2 * room, small.shape[1] + 2 * room), room, longer)
    across, down = part.shape[1] / size[0], part.shape[0] / size[1]
    box = Box(
        left=found.left - room * across,
        top=found.top - room * down,
        right=found.right + room * across,
        bottom=found.bottom + room * down,
    )
    return Shadow(mask=mask, box=box)


def reach(shadow: Shadow, found: Box) -> Box:
    """The box of a subject together with what can be seen of its shadow; the part above its feet is not counted."""
    seen = shadow.mask > 0.02  # noqa: PLR2004 -- five of 255, before the strength that is asked for
    if not seen.any():
        return found
    rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
    across = shadow.box.width / shadow.mask.shape[1]
    down = shadow.box.height / shadow.mask.shape[0]
    return Box(
        left=min(found.left, shadow.box.left + float(columns[0]) * across),
        top=found.top,
        right=max(found.right, shadow.box.left + float(columns[-1] + 1) * across),
        bottom=max(found.bottom, shadow.box.top + float(rows[-1] + 1) * down),
    )


def _feet(small: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each column, its lowest solid pixel, and how much of a contact that is, 0..1."""
    solid = small >= _SOLID
    height = small.shape[0]
    lowest: NDArray[np.int64] = height - 1 - solid[::-1].argmax(axis=0)
    is_there = solid.any(axis=0)
    ground = int(lowest[is_there].max(initial=0))
    away = (ground - lowest) / max(1.0, _TOUCHES * height)
    near = np.clip(1 - away, 0, 1)
    weight = np.where(is_there, near * near * (3 - 2 * near), 0.0).astype(np.float32)
    return lowest, weight


def _painted(
    feet: NDArray[np.int64],
    weight: NDArray[np.float32],
    shape: tuple[int, int],
    room: int,
    longer: int,
) -> NDArray[np.float32]:
    total = np.zeros(shape, np.float32)
    for thickness, drop, blur_x, blur_y, share in _LAYERS:
        layer = np.zeros(shape, np.float32)
        half, lower = max(1, round(thickness * longer / 2)), max(1, round(drop * longer))
        for column, (foot, much) in enumerate(zip(feet + lower, weight, strict=True)):
            layer[foot - half : foot + half, column + room] = much
        blurred = cv2.GaussianBlur(
            layer, (0, 0), sigmaX=max(0.6, blur_x * longer), sigmaY=max(0.6, blur_y * longer)
        )
        # One that is thinner than its blur loses its darkness: the share is meant for what is left.
        peak = float(blurred.max())
        total += share * blurred / max(peak, 1e-6) * float(layer.max())
    return np.clip(total, 0, 1).astype(np.float32)
