"""The reference configuration, and how it explains each key: the comment that stands above it.

It is the one source of such texts, for people who read the file as for the page.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGE: Final = Path(__file__).resolve().parents[1]
# In an installed package it lies beside the code; in a checkout, where people read it.
_HOMES: Final = (
    _PACKAGE / "config" / "cutoutd.toml",
    _PACKAGE.parents[1] / "config" / "cutoutd.toml",
)

_HEADING: Final = re.compile(r"\[\[?([a-z_.]+)\]\]?")
_KEY: Final = re.compile(r"([a-z_]+) = ")


def text() -> str:
    """Return the content of the reference configuration.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    home = next((one for one in _HOMES if one.is_file()), _HOMES[0])
    return home.read_text(encoding="utf-8")


@cache
def explanations() -> Mapping[str, str]:
    """Return the explanation of each key, by its dotted name, such as ``folder.matte.refine``."""
    found: dict[str, str] = {}
    table, comment = "", []
    for line in text().splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
            continue
        if heading := _HEADING.fullmatch(line):
            table = heading[1]
        elif key := _KEY.match(line):
            found[f"{table}.{key[1]}"] = " ".join(comment)
        comment = []
    return found
