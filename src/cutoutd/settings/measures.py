"""How sizes, places and colours of a rendition are written, and what they mean.

Each reader takes what was written and returns the value, or raises ValueError with what would be right. It must
not look at files: whether a background picture is there is seen elsewhere.
"""

from __future__ import annotations

import json
import re
from typing import Final

from cutoutd.recipe import Margin

AUTO: Final = "auto"
ORIGINAL: Final = "original"
CENTER: Final = "center"
TRANSPARENT: Final = "transparent"

MAX_MARGIN_PX: Final = 10_000
MAX_MARGIN_PERCENT: Final = 500
_MIDDLE: Final = (0.5, 0.5)

_CANVAS: Final = re.compile(r"([1-9][0-9]{0,5})\s*[xX\u00d7]\s*([1-9][0-9]{0,5})")
_PAPER: Final = re.compile(
    r"([0-9]{1,5}(?:\.[0-9]{1,3})?)\s*[xX\u00d7]\s*([0-9]{1,5}(?:\.[0-9]{1,3})?)\s*(mm|cm|in)", re.IGNORECASE
)
_PER_INCH: Final = {"mm": 25.4, "cm": 2.54, "in": 1.0}
NEEDS_DPI: Final = "is a size on paper, and how many pixels that is, dpi says; write dpi = 300 or the like"
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


def canvas(written: object, dpi: int | None = None) -> tuple[int, int] | None:
    """Width and height in pixels; None for an empty text: as large as what is shown.

    Args:
        written: as it stands there.
        dpi: pixels to an inch, by which a size on paper becomes one in pixels.

    Raises:
        ValueError: it is neither, or a size on paper without ``dpi``.
    """
    if written == "":
        return None
    if isinstance(written, str) and (found := _CANVAS.fullmatch(written)):
        return int(found[1]), int(found[2])
    if isinstance(written, str) and (found := _PAPER.fullmatch(written)):
        if dpi is None:
            raise ValueError(NEEDS_DPI)
        inches = (float(side) / _PER_INCH[found[3].lower()] for side in found.group(1, 2))
        width, height = (max(1, round(side * dpi)) for side in inches)
        return width, height
    raise ValueError(
        f'{_shown(written)} is not possible; it takes width and height in pixels, such as "2000x2000", '
        'or on paper, such as "100x150mm" (or cm, in)'
    )


def scale(written: object) -> float | None:
    """A share of the canvas, above 0 and up to 1; None for ``auto``.

    Raises:
        ValueError: it is neither.
    """
    if written == AUTO:
        return None
    share = _share(written)
    if share is None or not 0.01 <= share <= 1:  # noqa: PLR2004 -- a hundredth shows no subject
        raise ValueError(f'{_shown(written)} is not possible; it takes "auto", or "1%" to "100%"')
    return share


def margin(written: object) -> Margin:
    """Room around the subject: one text for all sides, two for top and bottom and for right and left, or four.

    Raises:
        ValueError: it is none of these.
    """
    sides = [_side(one) for one in written.split()] if isinstance(written, str) else []
    order = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 4: (0, 1, 2, 3)}.get(len(sides))
    known = [side for side in sides if side is not None]
    if order is None or len(known) != len(sides):
        raise ValueError(
            f'{_shown(written)} is not possible; it takes "10%" of the subject or "30px" for all sides, two of them for '
            f"top and bottom and for left and right, or four (top, right, bottom, left), "
            f"each up to {MAX_MARGIN_PERCENT}% or {MAX_MARGIN_PX}px"
        )
    top, right, bottom, left = (known[number] for number in order)
    return Margin(px=(top[0], right[0], bottom[0], left[0]), share=(top[1], right[1], bottom[1], left[1]))


def position(written: object, *, placed: bool) -> tuple[float, float] | None:
    """How much of the free room lies to the left and above, 0 to 1; None: the subject stays where it was.

    Args:
        written: as it stands there.
        placed: there is a canvas or a scale, so that ``auto`` is the middle.

    Raises:
        ValueError: it is no position.
    """
    if written == AUTO:
        return _MIDDLE if placed else None
    if written == ORIGINAL:
        return None
    if written == CENTER:
        return _MIDDLE
    shares = [_share(one) for one in written.split()] if isinstance(written, str) else []
    known = [share for share in shares if share is not None and share <= 1]
    if len(shares) not in (1, 2) or len(known) != len(shares):
        raise ValueError(
            f'{_shown(written)} is not possible; it takes "auto", "original", "center", "50%", '
            'or "50% 100%" (from the left, from the top)'
        )
    return known[0], known[-1]


def colour(written: object) -> tuple[int, int, int] | None:
    """Red, green and blue of a colour, as sRGB; None if no colour was written."""
    if not isinstance(written, str):
        return None
    found = _HEX.fullmatch(written)
    if found is None:
        number = _COLOURS.get(written.lower())
    else:
        digits = found[1] if len(found[1]) == 6 else "".join(one * 2 for one in found[1])  # noqa: PLR2004
        number = int(digits, 16)
    return None if number is None else (number >> 16, number >> 8 & 255, number & 255)


def _shown(written: object) -> str:
    return json.dumps(written, ensure_ascii=False) if isinstance(written, str) else str(written)


def _share(written: object) -> float | None:
    found = _PERCENT.fullmatch(written) if isinstance(written, str) else None
    return None if found is None else float(found[1]) / 100


def _side(text: str) -> tuple[int, float] | None:
    """Pixels and share."""
    share, pixels = _share(text), _PIXELS.fullmatch(text)
    if share is not None and share * 100 <= MAX_MARGIN_PERCENT:
        return 0, share
    if pixels is not None and int(pixels[1]) <= MAX_MARGIN_PX:
        return int(pixels[1]), 0.0
    return None
