"""Rendition presets by shop: its requirements for a product's main picture, with the source of each rule.

The rules are data, in ``presets.toml`` beside this module. A rendition's own keys override its preset.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

KEY: Final = "preset"

_LOSSLESS: Final = frozenset({"png", "tiff"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A source of rules.

    Attributes:
        url: address of the source page.
        by: publisher of the page; empty: the shop itself.
        dated: date stated on the page; None: there is none.
        read: day on which a stored copy of it was read.
        rules: paraphrase of the rules.
    """

    url: str
    read: date
    rules: tuple[str, ...]
    by: str = ""
    dated: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """The requirements of one shop.

    Attributes:
        name: name in a configuration; also the sub-folder of its pictures.
        title: title for people.
        settings: keys of a rendition, with values.
        ours: keys among them that no source requires.
        sources: sources of the other keys.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    ours: tuple[str, ...]
    sources: tuple[Source, ...]


@cache
def _load() -> dict[str, Preset]:
    document = tomllib.loads(files(__package__).joinpath("presets.toml").read_text(encoding="utf-8"))
    return {name: _preset(name, table) for name, table in sorted(document.items())}


def _preset(name: str, table: dict[str, Any]) -> Preset:
    sources = (Source(**(one | {"rules": tuple(one["rules"])})) for one in table["source"])
    return Preset(
        name=name,
        title=table["title"],
        settings=table["settings"] | {"directory": name},
        ours=tuple(table["ours"]),
        sources=tuple(sources),
    )


def names() -> tuple[str, ...]:
    """Return all names, sorted."""
    return tuple(_load())


def find(name: str) -> Preset | None:
    """Return the preset of this name; None if there is none."""
    return _load().get(name)


def expanded(table: object) -> list[object]:
    """Expand a written rendition to one table per preset that it names.

    Args:
        table: with ``preset = ["amazon", "etsy"]`` several; anything else is returned as it is.
    """
    named = table.get(KEY) if isinstance(table, dict) else None
    if not isinstance(named, list | tuple) or not isinstance(table, dict) or not named:
        return [table]
    return [table | {KEY: one} for one in named]


def filled(written: dict[str, Any]) -> dict[str, Any]:
    """Fill in the keys of a rendition's preset that the rendition does not set.

    A key of the preset that conflicts with a set key is left out as well.

    Args:
        written: as it stands in the configuration.
    """
    name = written.get(KEY)
    preset = find(name) if isinstance(name, str) else None
    if preset is None:
        return written
    yielding = _keys_left_out(written)
    return {key: value for key, value in preset.settings.items() if key not in yielding} | written


def _keys_left_out(written: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that a preset must not set beside the written ones."""
    found: set[str] = set()
    if written.get("crop") is True:
        found |= {"scale"}  # each says how much room is left around the subject
    if written.get("format") in _LOSSLESS:
        found |= {"quality", "min_quality"}
    if written.get("channels") == "alpha":
        found |= {"background"}
    if written.get("bits") == 16:  # noqa: PLR2004 -- the other is 8
        found |= {"profile"}
    if "canvas" in written:
        found |= {"min_px", "max_px"}  # the user knows which size is wanted
    if "quality" in written:
        found |= {"min_quality"}
    return frozenset(found)
