"""Render one rendition's pixels, strip by strip: placed on its canvas, in its colours, over its background.

The order is: scale and place, convert, shadow, background; whatever the picture, its full-size matte and colours came
first. It must not encode, and reads no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cutoutd.engine.colour import icc_transform
from cutoutd.engine.render import backdrop, compose, placement, scaling
from cutoutd.errors import LimitError
from cutoutd.jobs import Reason
from cutoutd.recipe import Channels, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture, Sample
    from cutoutd.engine.render.backdrop import Backdrop, Shadow
    from cutoutd.engine.render.placement import Box, Placement
    from cutoutd.recipe import Rendition

_PERCENT: Final = 100
_MUCH: Final = 1.005
"""Enlargement that is worth a word: less comes of rounding alone."""

_DECIMALS: Final = 3
"""Of a pixel, in reports: as fine as anybody sees."""

_ADVICE: Final = (
    "The original is untouched. Give this rendition a canvas, a smaller margin or another format, "
    "or raise [pool] max_pixels."
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subject:
    """Input that all renditions of a picture share.

    Attributes:
        picture: the picture; its soft pixels may have the subject's own colour.
        alpha: uint8 (H, W), the matte at full size.
        found: the subject's box; the whole frame where nothing is visible, or the box is not needed.
        shadow: shadow of the subject; None where the subject has no foot, or no rendition has a shadow.
    """

    picture: Picture
    alpha: NDArray[np.uint8]
    found: Box
    shadow: Shadow | None

    @property
    def frame(self) -> Box:
        """The frame of the picture."""
        return placement.whole(self.alpha.shape[0], self.alpha.shape[1])


def subject(
    picture: Picture, alpha: NDArray[np.uint8], renditions: Collection[Rendition], *, is_located: bool = False
) -> Subject:
    """Gather the input of renditions; only what they need is computed.

    Args:
        picture: the picture.
        alpha: uint8 (H, W), its matte.
        renditions: all that are to be made of it.
        is_located: the subject's box is reported.
    """
    frame = placement.whole(alpha.shape[0], alpha.shape[1])
    shadowed = any(one.shadow for one in renditions)
    is_anywhere = all(one.crop is None and one.scale is None and not one.moves_alone for one in renditions)
    if not shadowed and is_anywhere and not is_located:
        return Subject(picture=picture, alpha=alpha, found=frame, shadow=None)
    box = placement.subject(alpha)
    if box is None:
        return Subject(picture=picture, alpha=alpha, found=frame, shadow=None)
    fallen = backdrop.cast_shadow(alpha, box) if shadowed else None
    return Subject(picture=picture, alpha=alpha, found=box, shadow=fallen)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CanvasLayout:
    """The layout of one rendition of a subject.

    Attributes:
        rendition: what is wanted.
        subject: subject that is laid out.
        place: placement on the canvas.
        icc: profile of the result; None: sRGB.
        warnings: messages for the user about what was changed.
        doubts: messages for the user about changes that make the result doubtful.
    """

    rendition: Rendition
    subject: Subject
    place: Placement
    icc: bytes | None
    warnings: tuple[str, ...]
    convert: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
    doubts: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of a pixel: 1 grey, 3 RGB, 4 RGBA."""
        if self.rendition.channels is Channels.ALPHA:
            return 1
        return 4 if self.rendition.is_transparent else 3

    def strips(self, behind: Backdrop | None) -> Iterator[NDArray[np.uint8] | NDArray[np.uint16]]:
        """Yield the pixels, from top to bottom.

        Args:
            behind: background, a scene being of the canvas's size; None: there is none.

        Yields:
            uint8, or uint16 of a deep rendition, (rows, width, channels); (rows, width) for one channel.
        """
        picture = self.subject.picture
        if not self.rendition.is_deep:
            return self._strips(picture.rgb, behind)
        if picture.deep is None:
            wide = np.dtype(np.uint16)
            return (compose.widened(strip, wide) for strip in self._strips(picture.rgb, behind))
        return self._strips(picture.deep, behind)

    def _strips(self, rgb: NDArray[Sample], behind: Backdrop | None) -> Iterator[NDArray[Sample]]:
        top = 0
        for strip in self._place(rgb):
            bottom = top + len(strip)
            if self.rendition.channels is Channels.ALPHA:
                yield strip[..., 3]
            else:
                yield self._dressed(strip, behind, top, bottom)
            top = bottom

    def _place(self, rgb: NDArray[Sample]) -> Iterator[NDArray[Sample]]:
        alpha = self.subject.alpha
        if self.rendition.is_opaque:
            alpha = np.full_like(alpha, 255)
        if self.is_whole:
            return compose.strips(rgb, alpha)
        box = placement.subject(alpha, faintest=0) or self.subject.frame
        return scaling.strips(rgb, alpha, self.place, visible=box)

    @property
    def shown_at(self) -> tuple[int, int, int, int]:
        """Return the subject's box on the canvas: left, top, width and height, pixels; all 0 where the subject is not on it."""
        box = self.place.onto_canvas(self.subject.found)
        left, top = max(0, math.floor(box.left)), max(0, math.floor(box.top))
        width = min(self.place.width, math.ceil(box.right)) - left
        height = min(self.place.height, math.ceil(box.bottom)) - top
        return (left, top, width, height) if width > 0 and height > 0 else (0, 0, 0, 0)

    @property
    def frame_at(self) -> tuple[float, float, float, float] | None:
        """Return where the picture's frame lies on the canvas: left, top, width and height, pixels; None where the two are the same."""
        place, box = self.place, self.place.onto_canvas(self.subject.frame)
        sides = (box.left, box.top, box.width, box.height)
        canvas = (0, 0, place.width, place.height)
        if all(abs(one - other) < 1 for one, other in zip(sides, canvas, strict=True)):
            return None  # no farther apart than the canvas was rounded
        left, top, width, height = (round(one, _DECIMALS) for one in sides)
        return left, top, width, height

    @property
    def is_whole(self) -> bool:
        """Whether the canvas is the picture's own frame, pixel for pixel."""
        height, width = self.subject.alpha.shape
        return self.place == placement.Placement(width=width, height=height, factor=1, left=0, top=0)

    def _dressed(
        self, strip: NDArray[Sample], behind: Backdrop | None, top: int, bottom: int
    ) -> NDArray[Sample]:
        if self.convert is not None and strip[..., 3].any():  # never deep
            strip[..., :3] = self.convert(np.asarray(strip[..., :3], np.uint8))
            strip[strip[..., 3] == 0] = 0
        fallen = None
        if self.rendition.shadow and self.subject.shadow is not None:
            fallen = self.subject.shadow.strip(self.place, top, bottom)
            fallen *= self.rendition.shadow / _PERCENT
        if self.rendition.is_opaque:
            return strip[..., :3]
        if behind is not None:
            ground = compose.widened(behind.strip(top, bottom, self.place.width), strip.dtype)
            return backdrop.over(ground, strip, fallen)
        return strip if fallen is None else backdrop.shaded(strip, fallen)


def lay_out(rendition: Rendition, of: Subject, *, max_pixels: int) -> CanvasLayout:
    """Lay out one rendition.

    Args:
        rendition: what is wanted.
        of: the subject.
        max_pixels: of a result.

    Raises:
        LimitError: the result would be larger than ``max_pixels``, or than its format can hold.
    """
    shown = of.found
    if rendition.shadow and of.shadow is not None:
        shown = backdrop.reach(of.shadow, of.found)
    place = placement.place(rendition, of.frame, of.found, shown=shown)
    _check(rendition, place, max_pixels)
    icc, convert, warnings = _colours(rendition, of.picture.icc)
    warnings += _depth(rendition, of.picture)
    limits = tuple(_limits(rendition, of, place, shown))
    warnings += (f"{named(rendition)}: {said}" for said, _ in limits)
    if rendition.shadow and of.shadow is None:
        warnings.append(
            f"{named(rendition)}: it has no shadow, as the subject stands on nothing that can be seen"
        )
    return CanvasLayout(
        rendition=rendition,
        subject=of,
        place=place,
        icc=icc,
        warnings=tuple(warnings),
        convert=convert,
        doubts=tuple(doubt for _, doubt in limits if doubt),
    )


def _limits(rendition: Rendition, of: Subject, place: Placement, shown: Box) -> Iterator[tuple[str, str]]:
    """Return warnings about limits that reduced the result, and the doubts that follow."""
    most = rendition.max_enlargement
    wanted = placement.wanted_factor(rendition, of.frame, of.found, shown=shown)
    if most is not None and wanted > most * _MUCH:
        said = f"the subject was enlarged {place.factor:.2f} times instead of {wanted:.1f}"
        why = "max_enlargement allows no more, so it takes less of the canvas than it was to"
        yield f"{said}: {why}", Reason.FEW_FOR_CANVAS
    elif place.factor > _MUCH:
        yield f"the subject was enlarged {place.factor:.2f} times", ""
    longer = max(place.width, place.height)
    if rendition.min_px is not None and longer < rendition.min_px:
        yield (
            f"its longer side has {longer} pixels, fewer than min_px = {rendition.min_px}",
            Reason.FEW_PIXELS,
        )


def _depth(rendition: Rendition, picture: Picture) -> Iterator[str]:
    if not rendition.is_deep and picture.rounded:
        yield picture.rounded
    if rendition.is_deep and rendition.channels is Channels.RGBA and picture.deep is None:
        yield f"{named(rendition)}: it has 16 bits a channel, but the picture itself has only 8"


def _colours(
    rendition: Rendition, icc: bytes | None
) -> tuple[bytes | None, Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None, list[str]]:
    """Return the result's profile, the transform to it, and warnings."""
    if rendition.channels is Channels.ALPHA:
        return None, None, []  # a matte has no colours
    if rendition.profile is Profile.KEEP or icc is None:
        return icc, None, []
    try:
        convert = icc_transform.between(icc, None)
    except icc_transform.UnusableProfileError:
        return (
            icc,
            None,
            [f"{named(rendition)}: its colours were not converted to sRGB: its profile is damaged"],
        )
    if convert is None:
        return icc, None, []  # it is sRGB by another name
    said = f"{named(rendition)}: its colours were converted to sRGB, so its pixels are not the picture's own"
    return icc_transform.srgb(), convert, [said]


def _check(rendition: Rendition, place: Placement, max_pixels: int) -> None:
    if place.width * place.height > max_pixels:
        raise LimitError(
            f"its {named(rendition)} would have {place.width * place.height / 1e6:.0f} megapixels "
            f"({place.width} x {place.height}), more than the limit of {max_pixels / 1e6:.0f}",
            advice=_ADVICE,
        )
    most = rendition.format.max_pixels
    if most is not None and place.width * place.height > most:
        raise LimitError(
            f"its {named(rendition)} would have {place.width * place.height / 1e6:.0f} megapixels, "
            f"and the format's encoder takes {most / 1e6:.0f}",
            advice=_ADVICE,
        )
    if max(place.width, place.height) > rendition.format.max_side:
        raise LimitError(
            f"its {named(rendition)} would have {place.width} x {place.height} pixels, and the format holds "
            f"{rendition.format.max_side} a side",
            advice=_ADVICE,
        )


def named(rendition: Rendition) -> str:
    """Return the name of a rendition for messages."""
    name = rendition.format.value.upper() if rendition.format.value != "webp" else "WebP"
    place = f" in {rendition.directory}/" if rendition.directory else ""
    return f'{name} "{rendition.suffix}"{place}' if rendition.suffix else f"{name}{place}"


def behind(layout: CanvasLayout, picture: Picture | None) -> Backdrop | None:
    """Return the background of a rendition.

    Args:
        layout: layout of the rendition.
        picture: the background picture, where it has one.

    Returns:
        The background; None where the rendition has none.
    """
    if picture is not None:
        rgb = backdrop.filling(picture.rgb, picture.alpha, layout.place.width, layout.place.height)
        try:
            convert = icc_transform.between(picture.icc, layout.icc)
        except icc_transform.UnusableProfileError:
            convert = None
        return backdrop.Scene(rgb=rgb if convert is None else convert(rgb))
    if layout.rendition.colour is None:
        return None
    return backdrop.Colour(rgb=icc_transform.colour(layout.rendition.colour, layout.icc))
