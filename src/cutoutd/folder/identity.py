"""Which of the folders that the journal knows a folder of the configuration is: a pure decision.

A folder is its marker; its name is a label. Where there is no marker, as in a read-only input, its place has to do.
This module must not look at a folder or at the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.folders import FolderMemory


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """It is the one that the journal knows under this name."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class New:
    """The journal does not know it.

    Attributes:
        sets_aside: another folder is known under its name.
    """

    sets_aside: bool = False


def identify(
    name: str,
    place: str,
    marker: str | None,
    *,
    recalled: FolderMemory | None,
    known: Mapping[str, str],
    configured: Mapping[str, str],
) -> Known | New:
    """Which folder this is.

    Args:
        name: what the configuration calls it.
        place: its input.
        marker: UUID of the marker that lies there; None if none does.
        recalled: what the journal knows under its name.
        known: those that the journal knows by this marker, or without one by this place: input by name.
        configured: all folders of the configuration: input by name.
    """
    others = [one for one in known if one != name and _may_be_called_otherwise(one, known, configured)]
    if recalled is not None and marker in (recalled.marker, None) and (marker or recalled.input == place):
        return Known(name=name)  # where the marker is missing, it has lost it or is not mounted
    if others:
        return Known(name=others[0])
    if recalled is not None and recalled.input == place:
        return Known(name=name)  # something else lies in its place, and is refused
    # Moved without its marker, or made anew: its versions are still known by path, size and time.
    is_as_before = marker is None and recalled is not None and recalled.input not in configured.values()
    return New(sets_aside=recalled is not None and not is_as_before)


def _may_be_called_otherwise(name: str, known: Mapping[str, str], configured: Mapping[str, str]) -> bool:
    """Not a folder that stays where it was under its name: then this one is a copy of it, marker and all."""
    return configured.get(name) != known[name]
