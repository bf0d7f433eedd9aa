"""``[[folder.rendition]]``: one form in which a folder's cutouts are published, and how its sizes, places and colours are written.

A key is checked here as far as it can be told alone; which of them go together is in `cutoutd.settings.rules`. It must
not look at files: whether a background picture is there is seen elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cutoutd.recipe import Channels, Format, Margin, Profile, Rendition
from cutoutd.settings import places, presets
from cutoutd.settings.types import (
    AUTO,
    ReadBy,
    Table,
    WholeOrAuto,
    Written,
    format_value,
    lenient,
    number,
    parsed_by,
)

MAX_RENDITIONS: Final = 20
"""Of a folder: a sidecar is read back with up to 64 results, and a worker is told of all of them in one line."""

MAX_SUFFIX: Final = 64
"""Characters, which leaves most of a file's name to the picture's own."""

MAX_DIRECTORY: Final = 200
"""Characters, which every file system takes."""

MAX_MARGIN_PX: Final = 10_000
MAX_MARGIN_PERCENT: Final = 500
ORIGINAL: Final = "original"
CENTER: Final = "center"
TRANSPARENT: Final = "transparent"

_RESERVED: Final = frozenset({"review", "failed", ".cutoutd-staging"})
"""Folders that cutoutd itself makes inside an output."""

_MIDDLE: Final = (0.5, 0.5)
_CANVAS: Final = re.compile(r"([1-9][0-9]{0,5})\s*[xX\u00d7]\s*([1-9][0-9]{0,5})")
_PAPER: Final = re.compile(
    r"([0-9]{1,5}(?:\.[0-9]{1,3})?)\s*[xX\u00d7]\s*([0-9]{1,5}(?:\.[0-9]{1,3})?)\s*(mm|cm|in)", re.IGNORECASE
)
_PER_INCH: Final = {"mm": 25.4, "cm": 2.54, "in": 1.0}
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%")
_PIXELS: Final = re.compile(r"([0-9]{1,5})\s*(?:px)?")
_HEX: Final = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")

# The sixteen of HTML 4, and two spellings: more would only be guessed at.
_COLOURS: Final = {
    "white": 0xFFFFFF,
    "black": 0x000000,
    "gray": 0x808080,
    "grey": 0x808080,
    "silver": 0xC0C0C0,
    "maroon": 0x800000,
    "red": 0xFF0000,
    "purple": 0x800080,
    "fuchsia": 0xFF00FF,
    "green": 0x008000,
    "lime": 0x00FF00,
    "olive": 0x808000,
    "yellow": 0xFFFF00,
    "navy": 0x000080,
    "blue": 0x0000FF,
    "teal": 0x008080,
    "aqua": 0x00FFFF,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """Width and height of a result, in pixels, or in inches for print."""

    width: float
    height: float
    on_paper: bool

    def pixels(self, dpi: int | None) -> tuple[int, int] | None:
        """Return width and height in pixels; None for a size in inches without ``dpi``."""
        if not self.on_paper:
            return int(self.width), int(self.height)
        return None if dpi is None else (max(1, round(self.width * dpi)), max(1, round(self.height * dpi)))


def _canvas(written: object) -> Canvas | None:
    """Parse a size; None for an empty text: as large as the content.

    Raises:
        ValueError: the text is neither.
    """
    if written == "":
        return None
    if isinstance(written, str) and (found := _CANVAS.fullmatch(written)):
        return Canvas(width=int(found[1]), height=int(found[2]), on_paper=False)
    if isinstance(written, str) and (found := _PAPER.fullmatch(written)):
        per_inch = _PER_INCH[found[3].lower()]
        return Canvas(width=float(found[1]) / per_inch, height=float(found[2]) / per_inch, on_paper=True)
    raise ValueError(
        f'{format_value(written)} is not possible; it takes width and height in pixels, such as "2000x2000", '
        'or on paper, such as "100x150mm" (or cm, in)'
    )


def _scale(written: object) -> float | None:
    """Parse a share of the canvas, above 0 and up to 1; None for ``auto``."""
    if written == AUTO:
        return None
    share = _share(written)
    if share is None or not 0.01 <= share <= 1:  # noqa: PLR2004 -- a hundredth shows no subject
        raise ValueError(f'{format_value(written)} is not possible; it takes "auto", or "1%" to "100%"')
    return share


def _margin(written: object) -> Margin:
    """Parse the margin around the subject: one text for all sides, two for top and bottom and for right and left, or four."""
    sides = [_side(one) for one in written.split()] if isinstance(written, str) else []
    order = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 4: (0, 1, 2, 3)}.get(len(sides))
    known = [side for side in sides if side is not None]
    if order is None or len(known) != len(sides):
        raise ValueError(
            f'{format_value(written)} is not possible; it takes "10%" of the subject or "30px" for all sides, two of them for '
            f"top and bottom and for left and right, or four (top, right, bottom, left), "
            f"each up to {MAX_MARGIN_PERCENT}% or {MAX_MARGIN_PX}px"
        )
    top, right, bottom, left = (known[number] for number in order)
    return Margin(px=(top[0], right[0], bottom[0], left[0]), share=(top[1], right[1], bottom[1], left[1]))


def _position(written: object) -> tuple[float, float] | None:
    """Parse the share of the free room to the left and above, 0 to 1; None for ``auto`` and ``original``."""
    if written in (AUTO, ORIGINAL):
        return None
    if written == CENTER:
        return _MIDDLE
    shares = [_share(one) for one in written.split()] if isinstance(written, str) else []
    known = [share for share in shares if share is not None and share <= 1]
    if len(shares) not in (1, 2) or len(known) != len(shares):
        raise ValueError(
            f'{format_value(written)} is not possible; it takes "auto", "original", "center", "50%", '
            'or "50% 100%" (from the left, from the top)'
        )
    return known[0], known[-1]


def _background(written: object, info: ValidationInfo) -> Written[tuple[int, int, int] | Path | None]:
    """Parse a background: sRGB red, green and blue; the path of a picture; None for ``transparent``."""
    if isinstance(written, Written):
        return written
    if isinstance(written, Path):
        written = str(written)
    if not isinstance(written, str) or not written.strip() or "\0" in written:
        raise ValueError(
            f'{written!r} is not possible; it takes "{TRANSPARENT}", a colour such as "white" or "#f5f5f5", '
            "or the path of a picture"
        )
    colour = _colour(written)
    if written == TRANSPARENT or colour is not None:
        return Written(text=written, value=colour)
    if written.startswith("#"):
        raise ValueError(
            f'"{written}" is not possible; a colour has 3 or 6 hexadecimal digits, as in "#f5f5f5"'
        )
    picture = places.absolute(written, info.context)
    return Written(text=str(picture), value=picture)


def _colour(written: str) -> tuple[int, int, int] | None:
    found = _HEX.fullmatch(written)
    if found is None:
        number = _COLOURS.get(written.lower())
    else:
        digits = found[1] if len(found[1]) == 6 else "".join(one * 2 for one in found[1])  # noqa: PLR2004
        number = int(digits, 16)
    return None if number is None else (number >> 16, number >> 8 & 255, number & 255)


def _share(written: object) -> float | None:
    found = _PERCENT.fullmatch(written) if isinstance(written, str) else None
    return None if found is None else float(found[1]) / 100


def _side(text: str) -> tuple[int, float] | None:
    """Parse the margin of one side to pixels and share."""
    share, pixels = _share(text), _PIXELS.fullmatch(text)
    if share is not None and share * 100 <= MAX_MARGIN_PERCENT:
        return 0, share
    if pixels is not None and int(pixels[1]) <= MAX_MARGIN_PX:
        return int(pixels[1]), 0.0
    return None


def _suffix(written: object) -> object:
    if isinstance(written, str) and ("/" in written or not written.isprintable()):
        raise ValueError(f'{format_value(written)} is not possible; a suffix is printable text without "/"')
    return written


def _directory(written: object) -> object:
    if written == "":
        return written
    parts = written.split("/") if isinstance(written, str) else []
    whole = all(part not in ("", ".", "..") and part.isprintable() for part in parts)
    if not parts or not whole or parts[0].casefold() in _RESERVED:
        raise ValueError(
            f'{format_value(written)} is not possible; it takes a folder inside the output, such as "web" or '
            f'"shop/white", but none of those that cutoutd itself makes there ({", ".join(sorted(_RESERVED))})'
        )
    return written


def _each(written: object) -> object:
    """Expand the rendition tables of a folder, one for each preset that they name."""
    if written in ([], ()):
        raise ValueError("is empty, so nothing would be made; leave it out for one transparent PNG")
    if not isinstance(written, list | tuple) or not all(isinstance(one, dict | BaseModel) for one in written):
        raise ValueError(
            "is a list of tables; write [[folder.rendition]], with two pairs of brackets, on a line of its own"
        )
    each = [one for table in written for one in presets.expanded(table)]
    if len(each) > MAX_RENDITIONS:
        raise ValueError(f"has {len(each)} tables, and {MAX_RENDITIONS} are the most; use another folder")
    return each


class RenditionSettings(Table):
    """``[[folder.rendition]]``: one form in which a folder's cutouts are published."""

    preset: str = Field(
        default="",
        max_length=MAX_DIRECTORY,
        description="Name of a shop: what is not set here is as it asks.",
    )
    format: Format = lenient(Format.PNG, "The kind of file.")
    suffix: Annotated[str, BeforeValidator(_suffix)] = Field(
        default="", max_length=MAX_SUFFIX, description="Stands between the original's name and the extension."
    )
    directory: Annotated[str, BeforeValidator(_directory)] = Field(
        default="", max_length=MAX_DIRECTORY, description="Folder inside the output that it goes to."
    )
    quality: WholeOrAuto = number(
        None,
        (1, 100),
        "What may be lost for a smaller file; None: nothing or, where some is always lost, little.",
    )
    bits: Literal[8, 16] = Field(default=8, description="Of each channel.")
    channels: Channels = lenient(Channels.RGBA, "The subject, or its matte alone.")
    background: Annotated[Written[tuple[int, int, int] | Path | None], ReadBy(_background)] = Field(
        default=Written(text=TRANSPARENT, value=None),
        description="What is behind the subject: nothing, a colour, a picture.",
    )
    crop: bool = Field(default=False, description="Cut to the subject.")
    margin: Annotated[Written[Margin], parsed_by(_margin)] = Field(
        default=Written(text="0%", value=Margin()), description="Room that crop leaves around the subject."
    )
    canvas: Annotated[Written[Canvas | None], parsed_by(_canvas)] = Field(
        default=Written(text="", value=None),
        description="Width and height in pixels or on paper; empty: as large as what is shown.",
    )
    scale: Annotated[Written[float | None], parsed_by(_scale)] = Field(
        default=Written(text=AUTO, value=None), description="Share of the canvas that the subject takes."
    )
    position: Annotated[Written[tuple[float, float] | None], parsed_by(_position)] = Field(
        default=Written(text=AUTO, value=None), description="Where on the canvas."
    )
    shadow: int = number(
        0, (0, 100), "How dark a shadow the subject casts on the ground, per cent: 0 is none, 100 is black."
    )
    profile: Profile = lenient(Profile.KEEP, "What becomes of the colour profile.")
    dpi: WholeOrAuto = number(None, (1, 10_000), "Pixels to an inch; None: what the picture says.")

    max_kb: WholeOrAuto = number(
        None, (1, 1_000_000), "Kilobytes (1000 bytes) of the file at most; None: however large."
    )
    min_quality: int = number(60, (1, 100), "Lowest quality that max_kb may lead to.")
    min_px: WholeOrAuto = number(
        None, (1, 100_000), "Pixels of the longer side below which a result is doubtful; None: any."
    )
    max_px: WholeOrAuto = number(
        None, (16, 100_000), "Pixels of the longer side at most; what is larger is reduced. None: any."
    )
    max_enlargement: float = number(
        3.0,
        (0, 1000),
        "Times that canvas and scale enlarge at most; what needs more is doubtful. 0: however much.",
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
            raise ValueError(f'"{written}" is not a preset{hint}')
        return written

    @property
    def background_picture(self) -> Path | None:
        """Path of the background picture; None: there is none."""
        return self.background.value if isinstance(self.background.value, Path) else None

    @property
    def canvas_px(self) -> tuple[int, int] | None:
        """Width and height in pixels; None: there is no canvas, or it is in inches and ``dpi`` is missing."""
        return None if self.canvas.value is None else self.canvas.value.pixels(self.dpi)

    def rendition(self) -> Rendition:
        """The rendition that these settings describe."""
        picture, behind = self.background_picture, self.background.value
        # Nothing else enlarges, nor has "auto" as a place in the middle.
        is_placed = self.canvas.value is not None or self.scale.value is not None
        return Rendition(
            format=self.format,
            suffix=self.suffix,
            directory=self.directory,
            quality=self.quality,
            bits=self.bits,
            channels=self.channels,
            colour=behind if isinstance(behind, tuple) else None,
            picture=None if picture is None else str(picture),
            crop=self.margin.value if self.crop else None,
            canvas=self.canvas_px,
            scale=self.scale.value,
            position=_MIDDLE if is_placed and self.position.text == AUTO else self.position.value,
            shadow=self.shadow,
            profile=self.profile,
            dpi=self.dpi,
            max_kb=self.max_kb,
            min_quality=self.min_quality,
            min_px=self.min_px,
            max_px=self.max_px,
            max_enlargement=self.max_enlargement if self.max_enlargement and is_placed else None,
        )


Renditions = Annotated[tuple[RenditionSettings, ...], BeforeValidator(_each)]
