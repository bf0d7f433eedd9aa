"""Scale a cutout onto its canvas, strip by strip: cropped, enlarged or reduced, with margins.

Colours are scaled in proportion to their alpha, so that what was cut away cannot shine through at an edge. Areas are
averaged by the largest whole factor, which is fast; Lanczos does the rest, which is less than 2. This module must not
decide positions (`cutoutd.engine.render.placement` does), nor composite a background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import cv2
import numpy as np
from PIL import Image

from cutoutd.engine.render import compose
from cutoutd.engine.render.placement import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cutoutd.engine.picture import Sample
    from cutoutd.engine.render.placement import Placement

_BAND_PIXELS: Final = 1 << 21
"""Of the picture held at a time while it is scaled; a strip of a much reduced one needs many of its rows."""

_OPAQUE: Final = 255
_FAINT: Final = 0.25
"""Alpha, of 255, below which there is no colour to be told."""

_LANCZOS_REACH: Final = 3.0
"""Pixels to either side that Lanczos looks at, of the coarser of both grids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """The part of a canvas that a picture covers, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int


def strips(
    rgb: NDArray[Sample], alpha: NDArray[np.uint8], placement: Placement, *, visible: Box
) -> Iterator[NDArray[Sample]]:
    """Yield the strips of the canvas, from top to bottom.

    Args:
        rgb: uint8 or uint16 (H, W, 3).
        alpha: uint8 (H, W), straight.
        placement: of the picture on the canvas.
        visible: box in the picture outside which alpha is 0.

    Yields:
        The same type, (rows, width, 4), straight alpha, zeros where it is 0.
    """
    span = _span(placement, visible, alpha.shape)
    rows = max(1, compose.STRIP_BYTES // (4 * rgb.itemsize * placement.width))
    if not placement.keeps_pixels:
        reach = (
            1 + 2 * _LANCZOS_REACH / rows
        ) / placement.factor  # of the picture's rows for each of a strip's
        rows = max(1, min(rows, int(_BAND_PIXELS / (alpha.shape[1] * reach))))
    for top in range(0, placement.height, rows):
        bottom = min(placement.height, top + rows)
        strip = np.zeros((bottom - top, placement.width, 4), rgb.dtype)
        first, last = max(top, span.top), min(bottom, span.bottom)
        if first < last and span.left < span.right:
            part = _Span(left=span.left, top=first, right=span.right, bottom=last)
            drawn = _copy if placement.keeps_pixels else _scale
            strip[first - top : last - top, span.left : span.right] = drawn(rgb, alpha, placement, part)
        yield strip


def _span(placement: Placement, visible: Box, shape: tuple[int, ...]) -> _Span:
    """Return the visible part of the canvas; a pixel that the picture covers only in part is not drawn."""
    frame = placement.onto_canvas(Box(left=0, top=0, right=shape[1], bottom=shape[0]))
    seen = placement.onto_canvas(visible)
    soft = 0 if placement.keeps_pixels else _LANCZOS_REACH * max(1.0, placement.factor)
    return _Span(
        left=max(0, _up(frame.left), math.floor(seen.left - soft)),
        top=max(0, _up(frame.top), math.floor(seen.top - soft)),
        right=min(placement.width, _down(frame.right), math.ceil(seen.right + soft)),
        bottom=min(placement.height, _down(frame.bottom), math.ceil(seen.bottom + soft)),
    )


def _up(side: float) -> int:
    return math.ceil(side - 1e-6)


def _down(side: float) -> int:
    return math.floor(side + 1e-6)


def _copy(
    rgb: NDArray[Sample], alpha: NDArray[np.uint8], placement: Placement, part: _Span
) -> NDArray[Sample]:
    rows = slice(part.top - int(placement.top), part.bottom - int(placement.top))
    columns = slice(part.left - int(placement.left), part.right - int(placement.left))
    return compose.rgba(rgb[rows, columns], alpha[rows, columns])


def _scale(
    rgb: NDArray[Sample], alpha: NDArray[np.uint8], placement: Placement, part: _Span
) -> NDArray[Sample]:
    height, width = alpha.shape
    wanted = placement.into_picture(Box(left=part.left, top=part.top, right=part.right, bottom=part.bottom))
    by = max(1, int(1 / placement.factor))
    reach = _LANCZOS_REACH * max(1.0, 1 / placement.factor) + by
    rows = _whole_cells(wanted.top - reach, wanted.bottom + reach, by, height)
    columns = _whole_cells(wanted.left - reach, wanted.right + reach, by, width)
    box = Box(
        left=max(0.0, wanted.left - columns.start) / by,
        top=max(0.0, wanted.top - rows.start) / by,
        right=(wanted.right - columns.start) / by,
        bottom=(wanted.bottom - rows.start) / by,
    )
    size = part.right - part.left, part.bottom - part.top
    planes = _average(rgb[rows, columns], alpha[rows, columns], by)
    red, green, blue, opacity = (_resample(plane, box, size) for plane in planes)
    kind = rgb.dtype
    alone = _round(np.clip(opacity, 0, _OPAQUE) * np.float32(compose.white(kind) // _OPAQUE), kind)
    # Lanczos overshoots beside an edge, in colour as in alpha: the true alpha takes it out again, a clipped one not.
    divisor = np.maximum(opacity, _FAINT)
    scaled = cv2.merge(
        [
            _round(red / divisor, kind),
            _round(green / divisor, kind),
            _round(blue / divisor, kind),
            alone,
        ]
    )
    return cast("NDArray[Sample]", cv2.copyTo(scaled, (alone > 0).view(np.uint8)))


def _average(rgb: NDArray[Sample], alpha: NDArray[np.uint8], by: int) -> list[NDArray[np.float32]]:
    """Return premultiplied red, green and blue, and alpha, averaged over ``by`` x ``by`` pixels.

    All float32: colours in 0..255 times the largest value of their type, alpha in 0..255.
    """
    # What is left over at the right and at the bottom is filled up with its own last pixels.
    down, across = -rgb.shape[0] % by, -rgb.shape[1] % by
    if down or across:
        rgb = cast("NDArray[Sample]", cv2.copyMakeBorder(rgb, 0, down, 0, across, cv2.BORDER_REPLICATE))
        alpha = np.asarray(cv2.copyMakeBorder(alpha, 0, down, 0, across, cv2.BORDER_REPLICATE), np.uint8)
    planes = [*cv2.split(cv2.multiply(rgb, cv2.merge([alpha, alpha, alpha]), dtype=cv2.CV_32F)), alpha]
    size = rgb.shape[1] // by, rgb.shape[0] // by
    return [_reduce(np.asarray(plane, np.float32), size) for plane in planes]


def _round(plane: NDArray[np.floating[Any]], kind: np.dtype[Sample]) -> NDArray[Sample]:
    levels: NDArray[Sample] = np.rint(np.clip(plane, 0, compose.white(kind))).astype(kind)
    return levels


def _reduce(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if plane.shape == size[::-1]:
        return plane
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _resample(plane: NDArray[np.float32], box: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample a box of a plane to another size (width, height)."""
    image = Image.fromarray(plane)
    # One direction after the other: Pillow would choose the order by the strip's size, and rounding shows it.
    narrow = image.resize(
        (size[0], image.height),
        Image.Resampling.LANCZOS,
        box=(box.left, 0, min(box.right, image.width), image.height),
    )
    return np.asarray(
        narrow.resize(
            size, Image.Resampling.LANCZOS, box=(0, box.top, size[0], min(box.bottom, image.height))
        )
    )


def _whole_cells(first: float, last: float, by: int, side: int) -> slice:
    """Pixels from one place to another, on a grid that is the same for every strip: else their seams would show."""
    start = max(0, int(first)) // by * by
    return slice(start, min(side, -(-math.ceil(last) // by) * by))
