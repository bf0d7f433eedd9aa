"""Rasterise strokes: the mask of a stroke on a small copy, and alpha painted exactly at full size.

This module decides nothing about the pixels beside a stroke.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.strokes import StrokeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cutoutd.strokes import Stroke

_FRACTION_BITS: Final = 4
"""Of OpenCV's coordinates: sixteenths of a pixel."""

_COARSER: Final = 4

_USUAL_BRUSH: Final = (1 / 80, 1 / 60)
"""Radius, as a share of the longer and of the shorter side, of which the smaller one is that of about the brush that an editor begins with."""

_FINEST_PX: Final = 0.1

_SMALLNESS: Final = 10.0
"""Square of the pixels that a stroke of a usual brush covers if a pixel away from it counts as one radius away."""

_FARTHEST: Final = 100_000
"""Pixels, either sign, beyond which OpenCV's drawing is not asked: its coordinates are 32 bits with the fraction."""

_THICKEST: Final = 32_767
"""Pixels of a line that OpenCV draws: its MAX_THICKNESS."""


KEPT: Final = 1
REMOVED: Final = 2
"""What strokes say of a pixel; 0: nothing."""


def mask(stroke: Stroke, shape: tuple[int, int], picture: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a copy under a stroke, bool (h, w); at least one where the stroke lies on the copy.

    Args:
        stroke: in pixels of the picture.
        shape: height and width of the copy.
        picture: height and width of the picture.
    """
    canvas = np.zeros(shape, np.uint8)
    _draw(canvas, stroke, picture, 1, cv2.LINE_8)
    return np.asarray(canvas > 0)


def remoteness(stroke: Stroke, shape: tuple[int, int], picture: tuple[int, int]) -> NDArray[np.float32]:
    """Return how far away each place is for a stroke: one of a brush finer than usual, or a small one, is meant for nearby pixels.

    Args:
        stroke: in pixels of the picture.
        shape: height and width of the copy.
        picture: height and width of the picture.

    Returns:
        float32 (h, w): the distance to the stroke, in radii if the brush is very fine, and hardly any if it is a usual one that
        covers much.
    """
    # In a quarter of the size it takes no time.
    grid = (-(-shape[0] // _COARSER), -(-shape[1] // _COARSER))
    across, down = _scale(shape, picture)
    canvas = np.ones(grid, np.uint8)
    _draw(canvas, stroke, picture, 0, cv2.LINE_8)
    if canvas.all():
        return np.full(shape, _FARTHEST, np.float32)
    points = np.array(stroke.points) * (across, down)
    length = float(np.hypot(*np.diff(points, axis=0).T).sum())
    radius = max(_FINEST_PX, stroke.radius * (across * down) ** 0.5)
    covered = 2 * radius * length + np.pi * radius**2
    usual = min(_USUAL_BRUSH[0] * max(shape), _USUAL_BRUSH[1] * min(shape))
    fineness = max(0.0, radius**-2 - usual**-2)
    apart = np.asarray(cv2.distanceTransform(canvas, cv2.DIST_L2, 3), np.float32)
    apart *= np.float32(_COARSER * (fineness + _SMALLNESS / covered**2) ** 0.5)
    return np.asarray(cv2.resize(apart, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def paint(
    alpha: NDArray[np.uint8], strokes: Sequence[Stroke], picture: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Paint exact strokes on alpha: the brush's value under it, a soft pixel at its rim, nothing else.

    Call this on the refined matte, before the subject's colours are estimated, so that they match the painted alpha.

    Args:
        alpha: uint8 (H, W).
        strokes: of all kinds; those that paint, in their order.
        picture: height and width that the strokes' pixels are of; None: as ``alpha``.

    Returns:
        uint8 (H, W): ``alpha`` itself where no stroke paints, else a copy.
    """
    painting = [one for one in strokes if one.kind is StrokeKind.PAINT]
    if not painting:
        return alpha
    painted = alpha.copy()
    for stroke in painting:
        size = picture or (alpha.shape[0], alpha.shape[1])
        where = _reach(stroke, (alpha.shape[0], alpha.shape[1]), size)
        if where is None:
            continue
        part = painted[where]
        cover = np.zeros(part.shape, np.uint8)
        _draw(
            cover, stroke, size, 255, cv2.LINE_AA, whole=alpha.shape, origin=(where[0].start, where[1].start)
        )
        value = round(255 * (1.0 if stroke.alpha is None else stroke.alpha))
        mixed = part.astype(np.float32) + (cover * np.float32(1 / 255)) * (np.float32(value) - part)
        part[...] = np.rint(mixed).astype(np.uint8)
    return painted


def _scale(shape: Sequence[int], picture: tuple[int, int]) -> tuple[float, float]:
    """Return the scale from picture to copy, across and down."""
    return shape[1] / picture[1], shape[0] / picture[0]


def _reach(stroke: Stroke, shape: tuple[int, int], picture: tuple[int, int]) -> tuple[slice, slice] | None:
    """Return the rows and columns of a copy that a stroke can touch; None where the stroke lies outside."""
    across, down = _scale(shape, picture)
    points = np.array(stroke.points) * (across, down)
    margin = stroke.radius * max(across, down) + 2
    low, high = np.floor(points.min(axis=0) - margin), np.ceil(points.max(axis=0) + margin)
    left, top = (int(value) for value in np.maximum(low, 0))
    right, bottom = (int(value) for value in np.minimum(high, (shape[1], shape[0])))
    return None if left >= right or top >= bottom else (slice(top, bottom), slice(left, right))


def _draw(
    canvas: NDArray[np.uint8],
    stroke: Stroke,
    picture: tuple[int, int],
    value: int,
    line: int,
    *,
    whole: Sequence[int] | None = None,
    origin: tuple[int, int] = (0, 0),
) -> None:
    """Draw a stroke onto a copy, uint8 (h, w), or onto a part of one that has ``whole`` pixels and begins at ``origin``."""
    scale = _scale(whole or canvas.shape, picture)
    # OpenCV counts from the middles of pixels.
    points = np.clip(np.array(stroke.points) * scale - (origin[1], origin[0]) - 0.5, -_FARTHEST, _FARTHEST)
    radius = min(stroke.radius * (scale[0] * scale[1]) ** 0.5, _THICKEST / 2)
    fixed = np.rint(_thin(points, radius) * (1 << _FRACTION_BITS)).astype(np.int32)
    if len(fixed) == 1:
        size = round(radius * (1 << _FRACTION_BITS))
        cv2.circle(canvas, fixed[0].tolist(), size, value, cv2.FILLED, line, _FRACTION_BITS)
    else:
        cv2.polylines(canvas, [fixed], False, value, max(1, round(2 * radius)), line, _FRACTION_BITS)


def _thin(points: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Drop points closer than an eighth of the radius: the shape stays, and the cost no longer depends on their number."""
    apart = max(0.25, radius / 8)
    kept = [points[0]]
    kept.extend(point for point in points[1:] if np.hypot(*(point - kept[-1])) >= apart)
    return np.array(kept)
