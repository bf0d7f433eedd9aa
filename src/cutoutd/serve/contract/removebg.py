"""The contract of remove.bg v1.0, after its public API description: what the fields of a request ask for.

`docs/serve.md` has a table of every field: supported, ignored, refused. Values turned into values; it reads no request. What is
answered is in `removebg_answers`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from cutoutd.job_options import PREVIEW_PIXELS, TRANSPARENT, JobOptions
from cutoutd.recipe import Channels, Format, Margin, RegionOfInterest
from cutoutd.serve.contract.removebg_error import RemoveBgError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SOURCES: Final = ("image_file", "image_file_b64", "image_url")
BACKGROUNDS: Final = ("bg_image_file", "bg_image_file_b64")
SHADOW: Final = 40
"""How dark the shadow of ``add_shadow`` is, per cent, where no opacity is named."""

NO_SIZE: Final = "size was not sent, so this is a preview of 0.25 megapixels; size=auto gives all pixels"

SIZES: Final[Mapping[str, int | None]] = {
    "preview": PREVIEW_PIXELS,
    "small": PREVIEW_PIXELS,
    "regular": PREVIEW_PIXELS,
    "medium": 1_500_000,
    "hd": 4_000_000,
    "full": None,
    "4k": None,
    "50mp": None,
    "auto": None,
}
"""Pixels of a result at most; None: all that the picture has."""

_FORMATS: Final = {"png": Format.PNG, "jpg": Format.JPEG, "jpeg": Format.JPEG, "webp": Format.WEBP}
_TYPES: Final = frozenset(
    {"auto", "person", "product", "car", "animal", "graphic", "transportation", "other"}
)
_LEVELS: Final = frozenset({"none", "1", "2", "latest"})
_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})
_SIDE: Final = re.compile(r"([0-9]{1,5})(?:\.[0-9]{1,3})?\s*(px|%)", re.IGNORECASE)
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%")
_HEX: Final = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{4}|[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)
_MOST_MARGIN: Final = (500, 0.5)
_LEAST_SCALE: Final = 0.1
_MIDDLE: Final = (0.5, 0.5)
_OPAQUE: Final = 255

Place: TypeAlias = tuple[float, float] | Literal["original"] | None

# The sixteen of HTML 4, and three more that people write.
_COLOURS: Final = {
    "white": "ffffff", "black": "000000", "gray": "808080", "grey": "808080", "silver": "c0c0c0", "maroon": "800000",
    "red": "ff0000", "purple": "800080", "fuchsia": "ff00ff", "magenta": "ff00ff", "green": "008000", "lime": "00ff00",
    "olive": "808000", "yellow": "ffff00", "navy": "000080", "blue": "0000ff", "teal": "008080", "aqua": "00ffff",
    "orange": "ffa500",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveBgRequest:
    """A parsed request.

    Attributes:
        options: options of the job, without the background picture, which is added once it is stored.
        is_zip: the response is an archive of colours and matte.
        says_type: the response has the header ``X-Type``.
        note: note for the program; empty: none.
    """

    options: JobOptions
    is_zip: bool
    says_type: bool
    note: str


def parse_request(fields: Mapping[str, str], files: Collection[str]) -> RemoveBgRequest:
    """Parse the fields of a request.

    Args:
        fields: text fields by name, without files in base64.
        files: names of the fields with a file, as bytes or in base64.

    Raises:
        RemoveBgError: a field is invalid or unsupported.
    """
    texts = {name: text.strip() for name, text in fields.items() if text.strip()}
    _check_sources(texts, files)
    size = texts.get("size", "preview").lower()
    if size not in SIZES:
        raise _invalid("size")
    kind = texts.get("format", "auto").lower()
    is_zip = kind == "zip"
    channels = _one_of(texts, "channels", {"rgba": Channels.RGBA, "alpha": Channels.ALPHA})
    background = _background(texts, files)
    opaque = any(name in files for name in BACKGROUNDS) or (background or TRANSPARENT) != TRANSPARENT
    if not is_zip and kind != "auto" and kind not in _FORMATS:
        raise _invalid("format")
    _one_of(texts, "type", dict.fromkeys(_TYPES))
    scale = _scale(texts)
    options = JobOptions(
        format=None if is_zip else _format(kind, is_opaque=opaque and channels is not Channels.ALPHA),
        channels=None if is_zip else channels,
        has_separate_matte=is_zip,
        max_pixels=SIZES[size],
        crop=_flag(texts, "crop"),
        margin=_margin(texts),
        scale=scale,
        position=_position(texts, is_scaled=isinstance(scale, float)),
        background=background,
        roi=_roi(texts),
        shadow=_shadow(texts),
        semitransparency=_flag(texts, "semitransparency"),
        locates_subject=True,
    )
    level = texts.get("type_level", "1").lower()
    if level not in _LEVELS:
        raise _invalid("type_level")
    return RemoveBgRequest(
        options=options,
        is_zip=is_zip,
        says_type=level != "none",
        note="" if "size" in texts else NO_SIZE,
    )


def _check_sources(texts: Mapping[str, str], files: Collection[str]) -> None:
    given = [name for name in SOURCES if name in files or name in texts]
    if not given:
        raise RemoveBgError(
            "missing_source", "No image given", detail="Send it in image_file or image_file_b64."
        )
    if len(given) > 1:
        raise RemoveBgError(
            "multiple_sources", "Multiple image sources given", detail="Send one of them alone."
        )
    if given == ["image_url"]:
        raise RemoveBgError(
            "invalid_image_url",
            "image_url is not taken here: nothing is fetched from anywhere",
            detail="Send the picture itself in image_file or image_file_b64.",
        )
    if given[0] not in files:
        raise RemoveBgError(
            "missing_source", "No image given", detail="image_file is a file of multipart/form-data."
        )


def _background(texts: Mapping[str, str], files: Collection[str]) -> str | None:
    given = [name for name in (*BACKGROUNDS, "bg_image_url", "bg_color") if name in files or name in texts]
    if len(given) > 1:
        raise RemoveBgError(
            "multiple_bg_sources", "Multiple background sources given", detail="Send one of them alone."
        )
    if given == ["bg_image_url"]:
        raise RemoveBgError(
            "invalid_bg_image_url",
            "bg_image_url is not taken here: nothing is fetched from anywhere",
            detail="Send the picture itself in bg_image_file.",
        )
    return _colour(texts["bg_color"]) if "bg_color" in texts else None


def _colour(text: str) -> str:
    found = _HEX.fullmatch(_COLOURS.get(text.lower(), text))
    if text.lower() == TRANSPARENT:
        return TRANSPARENT
    if found is None:
        raise _invalid("bg_color")
    digits = found[1].lower() if len(found[1]) > 4 else "".join(one * 2 for one in found[1].lower())  # noqa: PLR2004 -- a digit a channel
    alpha = int(digits[6:], 16) if len(digits) == 8 else _OPAQUE  # noqa: PLR2004 -- with alpha
    if alpha not in (0, _OPAQUE):
        raise RemoveBgError(
            "invalid_bg_color",
            "bg_color is opaque or transparent here, nothing in between",
            detail="Leave its alpha out, or write ff or 00.",
        )
    return f"#{digits[:6]}" if alpha else TRANSPARENT


def _format(kind: str, *, is_opaque: bool) -> Format:
    return _FORMATS.get(kind, Format.JPEG if is_opaque else Format.PNG)


def _scale(texts: Mapping[str, str]) -> float | Literal["original"] | None:
    text = texts.get("scale", "").lower()
    if text in ("", "original"):
        return "original" if text else None
    share = _share(text)
    if share is None or not _LEAST_SCALE <= share <= 1:
        raise _invalid("scale")
    return share


def _position(texts: Mapping[str, str], *, is_scaled: bool) -> Place:
    text = texts.get("position", "").lower()
    if not text:
        return _MIDDLE if is_scaled else None
    if text in ("original", "center"):
        return "original" if text == "original" else _MIDDLE
    shares = [_share(one) for one in text.split()]
    known = [one for one in shares if one is not None and one <= 1]
    if len(shares) not in (1, 2) or len(known) != len(shares):
        raise _invalid("position")
    return known[0], known[-1]


def _margin(texts: Mapping[str, str]) -> Margin | None:
    text = texts.get("crop_margin", "")
    if not text:
        return None
    sides = [_side(one) for one in _parts(text)]
    order = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 4: (0, 1, 2, 3)}.get(len(sides))
    known = [one for one in sides if one is not None]
    if order is None or len(known) != len(sides):
        raise _invalid("crop_margin")
    if any(px > _MOST_MARGIN[0] or share > _MOST_MARGIN[1] for px, share in known):
        raise RemoveBgError(
            "invalid_crop_margin", "crop_margin is at most 500px or 50% of the subject on each side"
        )
    top, right, bottom, left = (known[number] for number in order)
    return Margin(px=(top[0], right[0], bottom[0], left[0]), share=(top[1], right[1], bottom[1], left[1]))


def _roi(texts: Mapping[str, str]) -> RegionOfInterest | None:
    text = texts.get("roi", "")
    if not text:
        return None
    edges = [_side(one) for one in _parts(text)]
    known = [one for one in edges if one is not None]
    if len(edges) != 4 or len(known) != len(edges):  # noqa: PLR2004 -- two corners
        raise _invalid("roi")
    if any(share > 1 for _, share in known):
        raise RemoveBgError("roi_exceeds_bounds", "The roi parameter goes beyond the image")
    px, share = tuple(one[0] for one in known), tuple(one[1] for one in known)
    pairs = ((0, 2), (1, 3))
    if any(px[one] + px[two] == 0 and share[one] >= share[two] for one, two in pairs):
        raise RemoveBgError("roi_region_empty", "The roi parameter has nothing in it")
    return RegionOfInterest(px=(px[0], px[1], px[2], px[3]), share=(share[0], share[1], share[2], share[3]))


def _shadow(texts: Mapping[str, str]) -> int | None:
    """Parse ``add_shadow`` and its later form, ``shadow_type`` and ``shadow_opacity``."""
    kind = texts.get("shadow_type", "").lower()
    if kind and kind not in ("none", "auto", "drop", "car", "3d"):
        raise _invalid("shadow_type")
    opacity = texts.get("shadow_opacity", str(SHADOW))
    if not opacity.isascii() or not opacity.isdigit() or int(opacity[:4]) > 100:  # noqa: PLR2004 -- per cent
        raise _invalid("shadow_opacity")
    wanted = _flag(texts, "add_shadow")
    if kind:
        wanted = kind != "none"
    return None if wanted is None else int(opacity) * wanted


def _flag(texts: Mapping[str, str], name: str) -> bool | None:
    text = texts.get(name, "").lower()
    if text not in {"", *_TRUE, *_FALSE}:
        raise _invalid(name)
    return None if not text else text in _TRUE


def _one_of(texts: Mapping[str, str], name: str, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- what is known
    text = texts.get(name, "").lower()
    if text and text not in known:
        raise _invalid(name)
    return known.get(text)


def _parts(text: str) -> list[str]:
    return re.sub(r"\s+(?=px|%)", "", text).replace(",", " ").split()


def _side(text: str) -> tuple[int, float] | None:
    """Parse the margin of a side to pixels and share; a plain 0 is both."""
    if text == "0":
        return 0, 0.0
    share, found = _share(text), _SIDE.fullmatch(text)
    if share is not None:
        return 0, share
    return (int(found[1]), 0.0) if found is not None and found[2].lower() == "px" else None


def _share(text: str) -> float | None:
    found = _PERCENT.fullmatch(text)
    return None if found is None else float(found[1]) / 100


def _invalid(name: str) -> RemoveBgError:
    return RemoveBgError(f"invalid_{name}", f"Invalid {name} parameter given")
