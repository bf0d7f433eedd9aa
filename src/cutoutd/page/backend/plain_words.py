"""What the loader says of a value, in the words of the page: without paths of the file, tables, keys, and how TOML is written.

It must not decide what is right; the words that it does not know are left as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cutoutd.settings.problem import ProblemCode

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_POSSIBLE: Final = re.compile(r"(?P<value>.+?) is not possible; (?:it takes )?(?P<right>.+)", re.DOTALL)
_QUOTED: Final = re.compile(r'"([^"]*)"')
_THOUSANDS: Final = re.compile(r"(?<=\d)_(?=\d)")

_WORDS: Final = (
    ("; choose directories apart from each other", ". Choose folders that are apart from each other"),
    ("; choose a directory apart from it", ". cutoutd keeps its own files there. Choose another folder"),
    ("the folder's own input", "the watched folder itself"),
    ("the input of", "the watched folder of"),
    ("the output of", "the folder of cutouts of"),
    (", without quotes", ""),
    (" in quotes", ""),
    ("directories", "folders"),
    ("directory", "folder"),
)

_SENTENCES: Final[Mapping[ProblemCode, str]] = {
    ProblemCode.NO_PATTERN: "Without a pattern no picture would be taken. * takes all.",
    ProblemCode.MARGIN_WITHOUT_CROP: "Only a cropped cutout has a margin. Switch “Crop” on as well.",
    ProblemCode.BITS_OF_FORMAT: "Only PNG and TIFF have 16 bits a colour. Choose one of these formats, or 8 bits.",
    ProblemCode.PROFILE_OF_16_BITS: "With 16 bits a colour the colours stay as they are. Choose “keep”, or 8 bits a colour.",
    ProblemCode.TRANSPARENT_JPEG: "JPEG cannot be transparent. Choose a colour such as white, or another format.",
    ProblemCode.BACKGROUND_OF_MATTE: "The matte alone has no background. Choose “transparent”, or write colours as well.",
    ProblemCode.SHADOW_OF_MATTE: "The matte alone has no shadow. Choose 0, or write colours as well.",
    ProblemCode.SCALE_WITH_CROP: "The subject has a size of its own only on a canvas, and “Crop” is switched on. Keep one of them.",
    ProblemCode.POSITION_WITHOUT_CANVAS: "The subject can be placed only on a canvas. Choose one, such as 2000x2000.",
    ProblemCode.POSITION_WITHOUT_SCALE: "“original” needs a size of the subject as well. Choose “center”, or two shares such as 50% 100%.",
    ProblemCode.MIN_ABOVE_QUALITY: "The least quality is above the quality. Make it smaller.",
    ProblemCode.QUALITY_OF_LOSSLESS: "This format loses nothing, so it has no quality to choose. Choose “auto”, or another format.",
    ProblemCode.MIN_ABOVE_MAX_PX: "The least length of the longer side is above the greatest. Make it smaller.",
    ProblemCode.CANVAS_WITHOUT_DPI: "A canvas in millimetres or inches needs a resolution for print as well, such as 300.",
    ProblemCode.CANVAS_ABOVE_MAX_PX: "The canvas is larger than “Longer side at most” allows. Make it smaller.",
    ProblemCode.CANVAS_BELOW_MIN_PX: "The canvas is smaller than “Longer side at least” asks for. Make it larger.",
    ProblemCode.CANVAS_ABOVE_LIMIT: "The canvas has more pixels than cutoutd makes. Make it smaller.",
    ProblemCode.CANVAS_OF_FORMAT: "The canvas is larger than this format can be. Make it smaller.",
    ProblemCode.SUFFIX_TAKEN: "Another result of this folder has the same name. Choose another end, such as -2.",
}


def in_plain_words(said: str, code: ProblemCode | None = None) -> str:
    """Return what the loader says about a key, as a sentence for a person who sees the field it is about.

    Args:
        said: what it says, to follow the key.
        code: which problem it is; None: it has no code.
    """
    if code is not None:
        return _SENTENCES[code]
    fits = _NOT_POSSIBLE.fullmatch(said)
    if fits is not None:
        is_empty = fits["value"] in ("''", '""')
        value = fits["value"] if fits["value"].startswith('"') else f'"{fits["value"]}"'
        said = f"{'An empty field' if is_empty else value} is not possible here. Possible: {fits['right']}"
    for before, after in _WORDS:
        said = said.replace(before, after)
    said = _THOUSANDS.sub(",", _QUOTED.sub(r"“\1”", said))
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."
