"""Output forms, a small choice of purposes for results: each form is the renditions of a folder, with an explanation.

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
    """One output form.

    Attributes:
        name: stable short name; key in the page's catalogue of texts.
        title: title for people.
        explanation: one or two sentences about the results.
        renditions: tables of ``[[folder.rendition]]``.
    """

    name: str
    title: str
    explanation: str
    renditions: tuple[Mapping[str, Any], ...]


@cache
def every() -> tuple[OutputForm, ...]:
    """Return all forms, in the order in which they are offered."""
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
    """Return the form of this name; None if there is none."""
    return next((one for one in every() if one.name == name), None)
