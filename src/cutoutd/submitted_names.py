"""The names of pictures that programs hand in: plain ones, which their folder takes.

Pure: this module must not look at a folder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cutoutd.publish.naming import fitted, split_name
from cutoutd.submission_refusals import NAME

if TYPE_CHECKING:
    from cutoutd.intake.rules import Rules

_USUAL_EXTENSIONS: Final = ("jpg", "png", "tif", "webp")
"""Of a name that the folder takes, for a picture whose suggested name it does not take; its format is told by its content."""

_PLAIN: Final = "picture"
_SEPARATOR: Final = re.compile(r"[/\\]")


def plain_name(text: str) -> str:
    """Return a file name made from a submitted one: its last part, without unprintable characters, and not too long."""
    last = _SEPARATOR.split(text)[-1]
    name = "".join(character for character in last if character.isprintable()).strip().strip(".")
    stem, kind = split_name(name or _PLAIN)
    return fitted(stem, f".{kind}" if kind else "")


def fitting_name(rules: Rules, text: str) -> str | None:
    """Return a name that a folder takes, as similar as possible to a submitted one; None: it takes none of the usual ones.

    Args:
        rules: the folder's rules.
        text: submitted name; any text.
    """
    wanted = plain_name(text)
    stem, kind = split_name(wanted)
    # What the folder takes goes by its rules alone; the program was told that its picture is accepted, whatever its name.
    candidates = (
        wanted,
        f"{_PLAIN}.{kind}" if kind else _PLAIN,
        *(f"{one}.{usual}" for one in (stem or _PLAIN, _PLAIN) for usual in _USUAL_EXTENSIONS),
    )
    return next((one for one in candidates if rules.takes_file(one)), None)


def no_name(text: str) -> str:
    """Return the reason why a picture is refused if its folder takes none of the usual names."""
    return f"{NAME} {text!r}"
