"""What results are for, as a choice of few: each form is the renditions of a folder, with words that explain it.

The forms are data, in ``forms.toml`` beside this module. It must not write a configuration.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputForm:
    """One form.

    Attributes:
        name: stable, short; the page's catalogue of texts has it.
        title: for people.
        explanation: what comes out, in a sentence or two.
        renditions: tables of ``[[folder.rendition]]``.
    """

    name: str
    title: str
    explanation: str
    renditions: tuple[Mapping[str, Any], ...]


@cache
def every() -> tuple[OutputForm, ...]:
    """All, in the order in which they are offered."""
    document = tomllib.loads(files(__package__).joinpath("forms.toml").read_text(encoding="utf-8"))
    return tuple(
        OutputForm(
            name=name,
            title=table["title"],
            explanation=table["explanation"],
            renditions=tuple(table["rendition"]),
        )
        for name, table in document.items()
    )


def find(name: str) -> OutputForm | None:
    """The form of a name; None if there is none."""
    return next((one for one in every() if one.name == name), None)
