"""The background of a cutout: a colour or a picture, in the colours of the result, and the subject's shadow on it.

The shadow is painted, for looks, from the outline alone: each column of the subject casts as much as its lowest point is near
the lowest of all, at that point. So a shoe has one shadow along its sole, and four legs have four; the light is not modelled.
This module reads no file: a background picture is passed in decoded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import cv2
import numpy as np

from cutoutd.engine.render import compose
from cutoutd.engine.render.placement import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Sample
    from cutoutd.engine.render.placement import Placement

_WHITE: Final = 255


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Colour:
    """A background of one colour.

    Attributes:
        rgb: colour in the colour space of the result.
    """

    rgb: tuple[int, int, int]

    def strip(self, top: int, bottom: int, width: int) -> NDArray[np.uint8]:
        """Return rows of the background: uint8 (bottom - top, width, 3), writable."""
        row = np.tile(np.array(self.rgb, np.uint8), width)
        return np.broadcast_to(row, (bottom - top, 3 * width)).copy().reshape(-1, width, 3)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """A background picture of the canvas's size.

    Attributes:
        rgb: uint8 (H, W, 3), in the colours of the result.
    """

    rgb: NDArray[np.uint8]

    def strip(self, top: int, bottom: int, width: int) -> NDArray[np.uint8]:  # noqa: ARG002 -- a Colour's
        """Return rows of the background: uint8 (bottom - top, W, 3), writable."""
        return self.rgb[top:bottom].copy()


Backdrop = Colour | Scene


def filling(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, width: int, height: int
) -> NDArray[np.uint8]:
    """Scale a picture to fill a canvas: as little as possible is cropped, equally on both sides.

    Args:
        rgb: uint8 (h, w, 3).
        alpha: uint8 (h, w), transparency of the picture, filled with white; None: the picture is opaque.
        width: of the canvas, pixels.
        height: of the canvas, pixels.

    Returns:
        uint8 (height, width, 3).
    """
    factor = max(width / rgb.shape[1], height / rgb.shape[0])
    across = min(rgb.shape[1], max(1, round(width / factor)))
    down = min(rgb.shape[0], max(1, round(height / factor)))
    left, top = (rgb.shape[1] - across) // 2, (rgb.shape[0] - down) // 2
    part = slice(top, top + down), slice(left, left + across)
    seen = rgb[part] if alpha is None else _over_white(rgb[part], alpha[part])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cast("NDArray[np.uint8]", cv2.resize(seen, (width, height), interpolation=how))


def over(
    backdrop: NDArray[Sample], cutout: NDArray[Sample], shadow: NDArray[np.float32] | None
) -> NDArray[Sample]:
    """Composite a cutout over a backdrop.

    Args:
        backdrop: uint8 or uint16 (h, w, 3); written to.
        cutout: the same type, (h, w, 4), straight alpha, C-contiguous as the backdrop.
        shadow: float32 (h, w), share by which the backdrop is darkened, 0..1.

    Returns:
        The backdrop, with the cutout's own pixels, bit for bit, where the cutout is opaque.
    """
    pixels, behind = cutout.reshape(-1, 4), backdrop.reshape(-1, 3)
    alpha = cast("NDArray[Sample]", cv2.extractChannel(cutout, 3))
    opaque = compose.white(alpha.dtype)
    soft = np.flatnonzero((alpha - alpha.dtype.type(1)) < opaque - 1)  # 0 wraps round to the largest value
    seen, ground = pixels[soft].astype(np.float32), behind[soft].astype(np.float32)
    if shadow is not None:
        light = 1 - shadow.ravel()
        fallen = np.flatnonzero(shadow)
        behind[fallen] = np.rint(behind[fallen] * light[fallen, np.newaxis])
        ground *= light[soft, np.newaxis]  # of what is soft, from the unrounded
    cv2.copyTo(cv2.cvtColor(cutout, cv2.COLOR_RGBA2RGB), (alpha == opaque).view(np.uint8), backdrop)
    behind[soft] = np.rint(ground + (seen[:, :3] - ground) * (seen[:, 3:] / opaque))
    return backdrop


def shaded(cutout: NDArray[Sample], shadow: NDArray[np.float32]) -> NDArray[Sample]:
    """Add the shadow to a cutout without a background.

    Args:
        cutout: uint8 or uint16 (h, w, 4), straight alpha, C-contiguous; written to.
        shadow: float32 (h, w), 0..1.

    Returns:
        The cutout, black where there is only shadow.
    """
    opaque = compose.white(cutout.dtype)
    changed = np.flatnonzero((shadow > 0) & (cutout[..., 3] < opaque))
    every = cutout.reshape(-1, 4)
    pixels = every[changed].astype(np.float32)
    own = pixels[:, 3] / opaque
    together = own + shadow.ravel()[changed] * (1 - own)
    # Premultiplied colours add up, and black adds nothing; what is left is divided by the new alpha.
    pixels[:, :3] *= (own / np.maximum(together, 1e-6))[:, np.newaxis]
    pixels[:, 3] = together * opaque
    rounded = np.rint(pixels)
    rounded[rounded[:, 3] == 0] = 0
    every[changed] = rounded
    return cutout


def _over_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    seen = np.full_like(rgb, _WHITE)
    return over(seen, np.dstack((rgb, alpha)), None)


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
    """A shadow, painted at reduced size.

    Attributes:
        mask: float32 (h, w) in 0..1, where 1 is the darkest there is.
        box: part of the picture that the mask covers.
    """

    mask: NDArray[np.float32]
    box: Box

    def strip(self, placement: Placement, top: int, bottom: int) -> NDArray[np.float32]:
        """Return the shadow on these rows of a canvas.

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


def cast_shadow(alpha: NDArray[np.uint8], found: Box) -> Shadow | None:
    """Paint the shadow of a subject; None for a subject without a foot, as where the picture's edge cuts it off.

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
    mask = _paint(feet + room, weight, (small.shape[0] + 2 * room, small.shape[1] + 2 * room), room, longer)
    across, down = part.shape[1] / size[0], part.shape[0] / size[1]
    box = Box(
        left=found.left - room * across,
        top=found.top - room * down,
        right=found.right + room * across,
        bottom=found.bottom + room * down,
    )
    return Shadow(mask=mask, box=box)


def reach(shadow: Shadow, found: Box) -> Box:
    """Return the box of a subject with the visible part of its shadow, except the shadow above the feet."""
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
    """Return for each column its lowest solid pixel, and the strength of the contact there, 0..1."""
    solid = small >= _SOLID
    height = small.shape[0]
    lowest: NDArray[np.int64] = height - 1 - solid[::-1].argmax(axis=0)
    is_there = solid.any(axis=0)
    ground = int(lowest[is_there].max(initial=0))
    away = (ground - lowest) / max(1.0, _TOUCHES * height)
    near = np.clip(1 - away, 0, 1)
    weight = np.where(is_there, near * near * (3 - 2 * near), 0.0).astype(np.float32)
    return lowest, weight


def _paint(
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
