"""``[[folder.rendition]]``: one form in which a folder's cutouts are published.

A key is checked here as far as it can be told alone; which of them go together is in
`cutoutd.settings.combinations`.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from cutoutd.recipe import Channels, Format, Profile, Rendition
from cutoutd.settings import measures, places, presets, spelling
from cutoutd.settings.table import Table

MAX_SUFFIX: Final = 64
"""Characters, which leaves most of a file's name to the picture's own."""


MAX_DIRECTORY: Final = 200
"""Characters, which every file system takes."""


_ANY_DPI: Final = 300
"""Whether a canvas is well written does not hang on it."""


def _canvas(written: object) -> object:
    found = measures.canvas(written, _ANY_DPI)
    if found is None or not isinstance(written, str):
        return ""
    return written if written[-1:].isalpha() else f"{found[0]}x{found[1]}"


def _scale(written: object) -> object:
    measures.scale(written)
    return written


def _margin(written: object) -> object:
    measures.margin(written)
    return written


def _position(written: object) -> object:
    measures.position(written, placed=True)
    return written


def _background(written: object, info: ValidationInfo) -> object:
    if isinstance(written, Path):
        written = str(written)
    if not isinstance(written, str) or not written.strip() or "\0" in written:
        raise ValueError(
            f'{written!r} is not possible; it takes "{measures.TRANSPARENT}", a colour such as "white" or "#f5f5f5", '
            "or the path of a picture"
        )
    if written == measures.TRANSPARENT or measures.colour(written) is not None:
        return written
    if written.startswith("#"):
        raise ValueError(
            f'"{written}" is not possible; a colour has 3 or 6 hexadecimal digits, as in "#f5f5f5"'
        )
    return str(places.absolute(written, info.context))


class RenditionSettings(Table):
    """``[[folder.rendition]]``: one form in which a folder's cutouts are published."""

    preset: str = Field(
        default="",
        max_length=MAX_DIRECTORY,
        description="Name of a shop: what is not set here is as it asks.",
    )
    format: Format = Field(default=Format.PNG, strict=False, description="The kind of file.")
    suffix: spelling.Suffix = Field(
        default="",
        max_length=MAX_SUFFIX,
        description="Stands between the original's name and the extension.",
    )
    directory: spelling.Directory = Field(
        default="", max_length=MAX_DIRECTORY, description="Folder inside the output that it goes to."
    )
    quality: spelling.WholeOrAuto = Field(
        default=None,
        ge=1,
        le=100,
        description="What may be lost for a smaller file; None: nothing or, where some is always lost, little.",
    )
    bits: Literal[8, 16] = Field(default=8, description="Of each channel.")
    channels: Channels = Field(
        default=Channels.RGBA, strict=False, description="The subject, or its matte alone."
    )
    background: Annotated[str, BeforeValidator(_background)] = Field(
        default=measures.TRANSPARENT, description="What is behind the subject: nothing, a colour, a picture."
    )
    crop: bool = Field(default=False, description="Cut to the subject.")
    margin: Annotated[str, BeforeValidator(_margin)] = Field(
        default="0%", description="Room that crop leaves around the subject."
    )
    canvas: Annotated[str, BeforeValidator(_canvas)] = Field(
        default="", description="Width and height in pixels or on paper; empty: as large as what is shown."
    )
    scale: Annotated[str, BeforeValidator(_scale)] = Field(
        default=measures.AUTO, description="Share of the canvas that the subject takes."
    )
    position: Annotated[str, BeforeValidator(_position)] = Field(
        default=measures.AUTO, description="Where on the canvas."
    )
    shadow: int = Field(
        default=0,
        ge=0,  # none
        le=100,  # black where it touches the ground
        description="How dark a shadow the subject casts on the ground, per cent.",
    )
    profile: Profile = Field(
        default=Profile.KEEP, strict=False, description="What becomes of the colour profile."
    )
    dpi: spelling.WholeOrAuto = Field(
        default=None, ge=1, le=10_000, description="Pixels to an inch; None: what the picture says."
    )

    max_kb: spelling.WholeOrAuto = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Kilobytes (1000 bytes) of the file at most; None: however large.",
    )
    min_quality: int = Field(
        default=60, ge=1, le=100, description="To which quality is lowered at most to keep max_kb."
    )
    min_px: spelling.WholeOrAuto = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Pixels of the longer side below which a result is doubtful; None: any.",
    )
    max_px: spelling.WholeOrAuto = Field(
        default=None,
        ge=16,
        le=100_000,
        description="Pixels of the longer side at most; what is larger is reduced. None: any.",
    )
    max_enlargement: float = Field(
        default=3.0,
        ge=0,  # however much
        le=1000,
        description="Times that canvas and scale enlarge at most; what needs more is doubtful. 0: however much.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_the_shop_asks(cls, written: object) -> object:
        return presets.filled(written) if isinstance(written, dict) else written

    @field_validator("preset")
    @classmethod
    def _is_known(cls, written: str) -> str:
        if written and presets.find(written) is None:
            near = get_close_matches(written, presets.names(), 1)
            hint = f'; did you mean "{near[0]}"?' if near else "; `cutoutd presets` lists them"
            raise ValueError(f'"{written}" is no preset{hint}')
        return written

    @property
    def background_picture(self) -> Path | None:
        """The picture behind the subject, if there is one."""
        is_none = self.background == measures.TRANSPARENT or measures.colour(self.background) is not None
        return None if is_none else Path(self.background)

    def rendition(self) -> Rendition:
        """What it means."""
        picture, scale, canvas = (
            self.background_picture,
            measures.scale(self.scale),
            measures.canvas(self.canvas, self.dpi),
        )
        enlarges = canvas is not None or scale is not None  # nothing else does
        return Rendition(
            format=self.format,
            suffix=self.suffix,
            directory=self.directory,
            quality=self.quality,
            bits=self.bits,
            channels=self.channels,
            colour=measures.colour(self.background),
            picture=None if picture is None else str(picture),
            crop=measures.margin(self.margin) if self.crop else None,
            canvas=canvas,
            scale=scale,
            position=measures.position(self.position, placed=not (scale is None and canvas is None)),
            shadow=self.shadow,
            profile=self.profile,
            dpi=self.dpi,
            max_kb=self.max_kb,
            min_quality=self.min_quality,
            min_px=self.min_px,
            max_px=self.max_px,
            max_enlargement=self.max_enlargement if self.max_enlargement and enlarges else None,
        )
