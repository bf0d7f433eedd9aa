"""The options of one request for a picture, which override the folder's settings and are stored with the job.

None stands for the folder's settings. This module has the values, their text, and their effect on a recipe; it must not look at
files.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cutoutd import sha256
from cutoutd.recipe import Channels, Format, Margin, Recipe, RegionOfInterest, Rendition
from cutoutd.sha256 import is_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_TEXT: Final = 4096
"""The most characters of stored options; all valid ones are shorter."""

MAX_PX: Final = 100_000
MAX_MARGIN_SHARE: Final = 5.0
MAX_MARGIN_PX: Final = 10_000
MAX_PIXELS: Final = 1_000_000_000

PREVIEW_PIXELS: Final = 250_000
"""Pixels of a preview: a quarter of a megapixel."""

TRANSPARENT: Final = "transparent"
ORIGINAL: Final = "original"

_BACKGROUND: Final = rf"^(transparent|#[0-9a-f]{{6}}|{sha256.PATTERN})$"
_WHITE: Final = (255, 255, 255)

_TAKES: Final = {
    "format": ", ".join(Format),
    "quality": "a whole number from 1 to 100",
    "channels": " or ".join(Channels),
    "has_separate_matte": "true or false",
    "max_pixels": f"a whole number from 1 to {MAX_PIXELS}",
    "crop": "true or false",
    "margin": "an object with px and share, four numbers each",
    "scale": f'a number from 0.01 to 1, or "{ORIGINAL}"',
    "position": f'two numbers from 0 to 1, or "{ORIGINAL}"',
    "background": f'"{TRANSPARENT}", a colour such as "#ffffff", or the SHA-256 of an uploaded picture',
    "roi": "an object with px and share, four numbers each",
    "shadow": "a whole number from 0 to 100",
    "semitransparency": "true or false",
    "model": "the name of a model",
    "locates_subject": "true or false",
}
"""What each option takes, in words."""

Share = Annotated[float, Field(ge=0, le=1)]


class JobOptionsError(ValueError):
    """The text is not valid options; the message says why."""


class JobOptions(BaseModel):
    """The options of one job.

    A job with options about the form of its result has one result, the folder's first with these options; other jobs have all
    results of the folder.

    Attributes:
        format: the file format.
        quality: 1 to 100, for lossy formats.
        channels: the subject, or its matte alone.
        has_separate_matte: whether there are two results: the subject's colours without transparency as JPEG, and its matte as PNG.
        max_pixels: upper bound of width times height of the result; a larger one is reduced.
        crop: whether the result is cropped to the subject.
        margin: room around the cropped subject, in pixels or as shares of the subject.
        scale: share of the picture that the subject takes; ``original``: its original size.
        position: share of the free room that is left of and above the subject; ``original``: its original position.
        background: ``transparent``, a colour as ``#rrggbb``, or the SHA-256 (hex) of a kept picture, see `cutoutd.backgrounds`.
        roi: region of interest; what is outside is background.
        shadow: darkness of the subject's shadow, in per cent.
        semitransparency: False: nothing inside the subject is see-through.
        model: name of the model to use, if workers have it.
        locates_subject: whether the sidecar records the subject's position in each result.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Format | None = None
    quality: int | None = Field(default=None, ge=1, le=100)
    channels: Channels | None = None
    has_separate_matte: bool = False
    max_pixels: int | None = Field(default=None, ge=1, le=MAX_PIXELS)
    crop: bool | None = None
    margin: Margin | None = None
    scale: Annotated[float, Field(ge=0.01, le=1)] | Literal["original"] | None = None
    position: tuple[Share, Share] | Literal["original"] | None = None
    background: str | None = Field(default=None, pattern=_BACKGROUND)
    roi: RegionOfInterest | None = None
    shadow: int | None = Field(default=None, ge=0, le=100)
    semitransparency: bool | None = None
    model: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    locates_subject: bool = False

    @field_validator("margin")
    @classmethod
    def _margin_is_possible(cls, margin: Margin | None) -> Margin | None:
        if margin is not None and not (
            all(0 <= one <= MAX_MARGIN_PX for one in margin.px)
            and all(0 <= one <= MAX_MARGIN_SHARE for one in margin.share)
        ):
            raise ValueError(
                f"a margin has 0 to {MAX_MARGIN_PX} pixels, and 0 to {MAX_MARGIN_SHARE:.0%} of the subject"
            )
        return margin

    @field_validator("roi")
    @classmethod
    def _region_is_possible(cls, roi: RegionOfInterest | None) -> RegionOfInterest | None:
        if roi is not None and not (
            all(0 <= one <= MAX_PX for one in roi.px) and all(0 <= one <= 1 for one in roi.share)
        ):
            raise ValueError(f"a region has edges of 0 to {MAX_PX} pixels, and 0 to 100% of the picture")
        return roi

    @classmethod
    def parse(cls, text: str) -> JobOptions:
        """Parse options; an empty text stands for none.

        Raises:
            JobOptionsError: the text is not valid options.
        """
        if len(text) > MAX_TEXT:
            raise JobOptionsError("the options are too long")
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError as error:
            raise JobOptionsError(_in_words(error)) from error

    def text(self) -> str:
        """Return the options as stored text: JSON of what is set, or an empty text for none."""
        return "" if self == JobOptions() else self.model_dump_json(exclude_defaults=True)

    @property
    def background_picture(self) -> str | None:
        """SHA-256 (hex) of the background picture; None: there is none."""
        return self.background if is_sha256(self.background) else None

    @property
    def is_of_form(self) -> bool:
        """Whether any option concerns the form of the result."""
        return self.model_copy(update=_NOT_OF_FORM) != JobOptions()

    def recipe(self, of_folder: Recipe, backgrounds: Path) -> Recipe:
        """Return a folder's recipe with these options applied.

        Args:
            of_folder: the folder's recipe.
            backgrounds: directory of the kept background pictures.
        """
        return replace(
            of_folder,
            renditions=self.renditions(of_folder.renditions, backgrounds),
            roi=self.roi,
            is_solid=self.semitransparency is False,
            locates_subject=self.locates_subject,
        )

    def renditions(self, of_folder: Sequence[Rendition], backgrounds: Path) -> tuple[Rendition, ...]:
        """Return a folder's renditions with these options applied; see `recipe`."""
        if not self.is_of_form:
            return tuple(of_folder)
        base = of_folder[0]
        one = self._with_background(self._place(base), backgrounds)
        one = replace(
            one,
            format=base.format if self.format is None else self.format,
            channels=base.channels if self.channels is None else self.channels,
            shadow=base.shadow if self.shadow is None else self.shadow,
            max_pixels=self.max_pixels,
            canvas=_reduce(base.canvas, self.max_pixels),
        )
        if one.format is not base.format:
            one = replace(one, quality=None, max_kb=None)
        if self.quality is not None:
            one = replace(one, quality=self.quality)
        return self._parted(one) if self.has_separate_matte else (_possible(one),)

    def _parted(self, one: Rendition) -> tuple[Rendition, ...]:
        """Return two renditions: the colours, and their matte."""
        colours = replace(one, format=Format.JPEG, is_opaque=True, **_PLAIN)
        matte = replace(one, format=Format.PNG, suffix=f"{one.suffix}{MATTE_SUFFIX}", **_PLAIN)
        return _possible(colours), replace(matte, channels=Channels.ALPHA)

    def _place(self, base: Rendition) -> Rendition:
        crop, scale, position = base.crop, base.scale, base.position
        if self.crop is not None or self.margin is not None:
            is_cropped = self.crop if self.crop is not None else base.crop is not None
            crop = (self.margin or base.crop or Margin()) if is_cropped else None
            scale = None if crop is not None else scale
        if self.scale is not None:
            scale = None if isinstance(self.scale, str) else self.scale
            crop = crop if scale is None else None  # a scale is the subject's share of the whole frame
            position = _MIDDLE if scale is not None and position is None else position
        if self.position is not None:
            position = None if isinstance(self.position, str) else self.position
        placed = replace(base, crop=crop, scale=scale, position=position)
        return replace(placed, max_enlargement=None) if placed != base else placed

    def _with_background(self, base: Rendition, backgrounds: Path) -> Rendition:
        if self.background is None:
            return base
        if (kept := self.background_picture) is not None:
            return replace(base, colour=None, picture=str(backgrounds / kept), is_picture_asked=True)
        if self.background == TRANSPARENT:
            return replace(base, colour=None, picture=None)
        number = int(self.background[1:], 16)
        return replace(base, colour=(number >> 16, number >> 8 & 255, number & 255), picture=None)


def of_text(text: str) -> JobOptions:
    """Return the options in a row or a sidecar; none if the text is invalid."""
    try:
        return JobOptions.parse(text)
    except JobOptionsError:
        return JobOptions()


MATTE_SUFFIX: Final = "-matte"
"""Suffix of the matte beside colours of the same name."""

_MIDDLE: Final = (0.5, 0.5)
_NOT_OF_FORM: Final = {
    "roi": None,
    "semitransparency": None,
    "model": None,
    "locates_subject": False,
}
_PLAIN: Final[dict[str, Any]] = {
    "channels": Channels.RGBA,
    "colour": None,
    "picture": None,
    "is_picture_asked": False,
    "shadow": 0,
    "bits": 8,
    "max_kb": None,
}


def _reduce(canvas: tuple[int, int] | None, max_pixels: int | None) -> tuple[int, int] | None:
    """Return a canvas reduced to a number of pixels, with the same proportions."""
    if canvas is None or max_pixels is None or canvas[0] * canvas[1] <= max_pixels:
        return canvas
    factor = math.sqrt(max_pixels / (canvas[0] * canvas[1]))
    return max(1, math.floor(canvas[0] * factor)), max(1, math.floor(canvas[1] * factor))


def _possible(rendition: Rendition) -> Rendition:
    """Make a rendition consistent: a JPEG has no transparency, a matte no background, and only PNG and TIFF have 16 bits."""
    if rendition.channels is Channels.ALPHA:
        rendition = replace(rendition, colour=None, picture=None, is_picture_asked=False, shadow=0)
    elif rendition.format is Format.JPEG and rendition.is_transparent:
        rendition = replace(rendition, colour=_WHITE)
    if rendition.is_deep and rendition.format not in (Format.PNG, Format.TIFF):
        rendition = replace(rendition, bits=8)
    return rendition


def _in_words(error: ValidationError) -> str:
    """Return pydantic's first error about options as a sentence."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return "options are a JSON object"
    option = str(first["loc"][0])
    if option not in _TAKES:
        return f"{option}: there is no such option; there are {', '.join(_TAKES)}"
    if first["type"] == "value_error":
        return f"{option}: {first['ctx']['error']}"
    return f"{option}: this value is not possible; it takes {_TAKES[option]}"
