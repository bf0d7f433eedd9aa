"""What the loader says of a value, in the words of the page: without paths of the file, tables, keys, and how TOML is written.

It must not decide what is right; the words that it does not know are left as they are.
"""

from __future__ import annotations

import re
from typing import Final

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

_SENTENCES: Final = (
    ("include", "is empty", "Without a pattern no picture would be taken. * takes all."),
    (
        "margin",
        "is the room that crop leaves",
        "Only a cropped cutout has a margin. Switch “Crop” on as well.",
    ),
    ("bits", "is 16", "Only PNG and TIFF have 16 bits a colour. Choose one of these formats, or 8 bits."),
    (
        "profile",
        'is "srgb"',
        "With 16 bits a colour the colours stay as they are. Choose “keep”, or 8 bits a colour.",
    ),
    (
        "background",
        'is "transparent"',
        "JPEG cannot be transparent. Choose a colour such as white, or another format.",
    ),
    (
        "background",
        "has no place beside",
        "The matte alone has no background. Choose “transparent”, or write colours as well.",
    ),
    ("shadow", "has no place beside", "The matte alone has no shadow. Choose 0, or write colours as well."),
    (
        "scale",
        "says how large",
        "The subject has a size of its own only on a canvas, and “Crop” is switched on. Keep one of them.",
    ),
    (
        "position",
        "moves the subject",
        "The subject can be placed only on a canvas. Choose one, such as 2000x2000.",
    ),
    (
        "position",
        'is "original"',
        "“original” needs a size of the subject as well. Choose “center”, or two shares such as 50% 100%.",
    ),
    ("min_quality", "is above quality", "The least quality is above the quality. Make it smaller."),
    (
        "quality",
        "is of no use",
        "This format loses nothing, so it has no quality to choose. Choose “auto”, or another format.",
    ),
    (
        "min_px",
        "is above max_px",
        "The least length of the longer side is above the greatest. Make it smaller.",
    ),
    (
        "canvas",
        "is a size on paper",
        "A canvas in millimetres or inches needs a resolution for print as well, such as 300.",
    ),
    (
        "canvas",
        "is larger than max_px",
        "The canvas is larger than “Longer side at most” allows. Make it smaller.",
    ),
    (
        "canvas",
        "is smaller than min_px",
        "The canvas is smaller than “Longer side at least” asks for. Make it larger.",
    ),
    ("canvas", "has more pixels", "The canvas has more pixels than cutoutd makes. Make it smaller."),
    ("canvas", "is too large", "The canvas is larger than this format can be. Make it smaller."),
    (
        "suffix",
        "gives the same file name",
        "Another result of this folder has the same name. Choose another end, such as -2.",
    ),
)


def in_plain_words(cause: str, key: str) -> str:
    """Return what the loader says about a key, as a sentence for a person who sees the field it is about.

    Args:
        cause: what it says, with the file, the table and the key before.
        key: name of the key in its table.
    """
    # A second message stands in the next line.
    said = cause.partition(f" {key}: ")[2].partition("\n")[0] or cause
    for about, begin, sentence in _SENTENCES:
        if about == key and said.startswith(begin):
            return sentence
    fits = _NOT_POSSIBLE.fullmatch(said)
    if fits is not None:
        is_empty = fits["value"] in ("''", '""')
        value = fits["value"] if fits["value"].startswith('"') else f'"{fits["value"]}"'
        said = f"{'An empty field' if is_empty else value} is not possible here. Possible: {fits['right']}"
    for before, after in _WORDS:
        said = said.replace(before, after)
    said = _THOUSANDS.sub(",", _QUOTED.sub(r"“\1”", said))
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."
