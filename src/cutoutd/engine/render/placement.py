"""Place and size of a cutout on its canvas: geometry alone, from the subject's box and a rendition's settings.

It must not touch pixels; `cutoutd.engine.render.scaling` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cutoutd.recipe import Margin, Rendition

_SEEN: Final = 12
"""Alpha up to which nobody sees a pixel, on white or on black: a haze of it must not make the subject's box larger."""

_EPSILON: Final = 1e-6
"""Of a pixel: as far as sides that should meet may miss each other by rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle in pixels; sides may lie between pixels, and outside the picture."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """The map from picture to canvas: a point of the picture, times ``factor``, plus the offset.

    Attributes:
        width, height: of the canvas, pixels.
        factor: canvas pixels per picture pixel.
        left, top: position of the picture's top left corner on the canvas.
    """

    width: int
    height: int
    factor: float
    left: float
    top: float

    @property
    def keeps_pixels(self) -> bool:
        """Whether each pixel of the picture is copied unchanged."""
        return self.factor == 1 and self.left % 1 == 0 and self.top % 1 == 0

    def onto_canvas(self, box: Box) -> Box:
        """Map a box of the picture onto the canvas."""
        return Box(
            left=box.left * self.factor + self.left,
            top=box.top * self.factor + self.top,
            right=box.right * self.factor + self.left,
            bottom=box.bottom * self.factor + self.top,
        )

    def into_picture(self, box: Box) -> Box:
        """Map a box of the canvas into the picture."""
        return Box(
            left=(box.left - self.left) / self.factor,
            top=(box.top - self.top) / self.factor,
            right=(box.right - self.left) / self.factor,
            bottom=(box.bottom - self.top) / self.factor,
        )


def whole(height: int, width: int) -> Box:
    """The frame."""
    return Box(left=0, top=0, right=width, bottom=height)


def subject(alpha: NDArray[np.uint8], *, faintest: int = _SEEN) -> Box | None:
    """Return the box around the visible pixels of a cutout; None if there are none.

    Args:
        alpha: uint8 (H, W).
        faintest: alpha up to which a pixel counts as invisible.
    """
    rows = alpha.max(axis=1) > faintest
    if not rows.any():
        return None
    columns = alpha.max(axis=0) > faintest
    down, across = rows.nonzero()[0], columns.nonzero()[0]
    return Box(left=int(across[0]), top=int(down[0]), right=int(across[-1]) + 1, bottom=int(down[-1]) + 1)


def place(rendition: Rendition, frame: Box, found: Box, *, shown: Box) -> Placement:
    """Compute the placement of a cutout on its canvas.

    Args:
        rendition: settings of the rendition.
        frame: of the picture.
        found: the subject's box.
        shown: box that cropping keeps: the subject's, joined with the shadow's.
    """
    if rendition.scale is not None:
        return _scale(rendition, frame, found, rendition.scale)
    if rendition.moves_alone:
        return _moved(rendition, frame, found)
    content = frame if rendition.crop is None else _with_margin(shown, found, rendition.crop)
    if rendition.canvas is None:
        return _whole(content, rendition)
    width, height = rendition.canvas
    factor = min(width / content.width, height / content.height)
    across, down = rendition.position or (0.5, 0.5)
    factor = min(factor, rendition.max_enlargement or factor)
    return Placement(
        width=width,
        height=height,
        factor=factor,
        left=_snap(across * (width - content.width * factor) - content.left * factor, factor),
        top=_snap(down * (height - content.height * factor) - content.top * factor, factor),
    )


def _whole(content: Box, rendition: Rendition) -> Placement:
    """What is shown as it is, or reduced to what its longer side, or all of it, may have."""
    longer, pixels = max(content.width, content.height), content.width * content.height
    max_px, max_pixels = rendition.max_px, rendition.max_pixels
    factor = 1.0 if max_px is None or longer <= max_px else max_px / longer
    width, height = round(content.width * factor), round(content.height * factor)
    if max_pixels is not None and width * height > max_pixels:
        factor = math.sqrt(max_pixels / pixels)
        width, height = (math.floor(side * factor + _EPSILON) for side in (content.width, content.height))
    return Placement(
        width=max(1, width),
        height=max(1, height),
        factor=factor,
        left=-content.left * factor,
        top=-content.top * factor,
    )


def wanted_factor(rendition: Rendition, frame: Box, found: Box, *, shown: Box) -> float:
    """Return the enlargement of the picture without any limit."""
    return place(replace(rendition, max_enlargement=None), frame, found, shown=shown).factor


def _scale(rendition: Rendition, frame: Box, found: Box, scale: float) -> Placement:
    """The subject takes its share of the canvas, by whichever of its sides is the longer there."""
    width, height = rendition.canvas or _reduce(frame, rendition)
    factor = min(scale * width / found.width, scale * height / found.height)
    factor = min(factor, rendition.max_enlargement or factor)
    free_x, free_y = width - found.width * factor, height - found.height * factor
    if rendition.position is not None:
        across, down = rendition.position
        left, top = across * free_x, down * free_y
    else:  # its middle stays where it was, as far as that leaves it on the canvas
        middle_x = (found.left + found.right) / 2 / frame.width * width
        middle_y = (found.top + found.bottom) / 2 / frame.height * height
        left = min(max(0.0, middle_x - found.width * factor / 2), free_x)
        top = min(max(0.0, middle_y - found.height * factor / 2), free_y)
    return Placement(
        width=width,
        height=height,
        factor=factor,
        left=_snap(left - found.left * factor, factor),
        top=_snap(top - found.top * factor, factor),
    )


def _moved(rendition: Rendition, frame: Box, found: Box) -> Placement:
    """The subject as large as it is, elsewhere in a frame as large as the picture's."""
    whole = _whole(frame, rendition)
    factor, (across, down) = whole.factor, rendition.position or (0.5, 0.5)
    left, top = across * (whole.width - found.width * factor), down * (whole.height - found.height * factor)
    return replace(
        whole,
        left=_snap(round(left - found.left * factor) if factor == 1 else left - found.left * factor, factor),
        top=_snap(round(top - found.top * factor) if factor == 1 else top - found.top * factor, factor),
    )


def _reduce(frame: Box, rendition: Rendition) -> tuple[int, int]:
    place = _whole(frame, rendition)
    return place.width, place.height


def _with_margin(shown: Box, found: Box, margin: Margin) -> Box:
    sides = (found.height, found.width, found.height, found.width)
    top, right, bottom, left = (
        round(px + share * side) for px, share, side in zip(margin.px, margin.share, sides, strict=True)
    )
    return Box(
        left=round(shown.left) - left,
        top=round(shown.top) - top,
        right=round(shown.right) + right,
        bottom=round(shown.bottom) + bottom,
    )


def _snap(offset: float, factor: float) -> float:
    """A whole pixel where only rounding keeps it from being one, or where half a pixel would only blur."""
    near = float(round(offset))
    return near if factor == 1 or abs(offset - near) < _EPSILON else offset
