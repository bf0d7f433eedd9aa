"""Which of the folders that the journal knows a folder of the configuration is, and whether it is there: pure decisions.

A folder is its marker; its name is a label. Where there is no marker, as in a read-only input, its place has to do.
By the marker "gone", "another volume" and "empty" are told apart. This module must not look at a folder or at the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from cutoutd.lease import marker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.folders import FolderMemory
    from cutoutd.lease.marker import RootState


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownFolder:
    """It is the one that the journal knows under this name."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFolder:
    """The journal does not know it.

    Attributes:
        sets_aside: another folder is known under its name.
    """

    sets_aside: bool = False


def identify(
    name: str,
    place: str,
    uuid: str | None,
    *,
    recalled: FolderMemory | None,
    known: Mapping[str, str],
    configured: Mapping[str, str],
) -> KnownFolder | NewFolder:
    """Which folder this is.

    Args:
        name: what the configuration calls it.
        place: its input.
        uuid: of the marker that lies there; None if none does.
        recalled: what the journal knows under its name.
        known: those that the journal knows by this marker, or without one by this place: input by name.
        configured: all folders of the configuration: input by name.
    """
    others = [one for one in known if one != name and _may_be_called_otherwise(one, known, configured)]
    if recalled is not None and uuid in (recalled.marker, None) and (uuid or recalled.input == place):
        return KnownFolder(name=name)  # where the marker is missing, it has lost it or is not mounted
    if others:
        return KnownFolder(name=others[0])
    if recalled is not None and recalled.input == place:
        return KnownFolder(name=name)  # something else lies in its place, and is refused
    # Moved without its marker, or made anew: its versions are still known by path, size and time.
    is_as_before = uuid is None and recalled is not None and recalled.input not in configured.values()
    return NewFolder(sets_aside=recalled is not None and not is_as_before)


def _may_be_called_otherwise(name: str, known: Mapping[str, str], configured: Mapping[str, str]) -> bool:
    """Not a folder that stays where it was under its name: then this one is a copy of it, marker and all."""
    return configured.get(name) != known[name]


class MarkerAction(Enum):
    """What to do with a folder."""

    CARRY_ON = auto()  # it is the one we know, or one that another installation marked
    CREATE = auto()  # it is ours but has no marker: write one, with the UUID we remember, if any
    STAND_BY = auto()  # it is probably not there at the moment: keep everything, look again later
    REFUSE = auto()  # something else is mounted in its place: touch nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkerDecision:
    """What to do with a folder, and why."""

    action: MarkerAction
    reason: str = ""


def decide(known: FolderMemory | None, found: RootState) -> MarkerDecision:
    """What to do with a folder.

    A marker that is there decides alone. Where it is missing, a local folder on the same device was emptied
    or made anew by its owner; anything else may be the empty mount point of a share, or a share that lists
    nothing because its server is not well. Absence never means deletion.

    Args:
        known: what the journal remembers of the folder; None: nothing.
        found: what is there now.
    """
    if found.uuid is None:
        return _without_marker(known, found)
    if known is None or known.marker == found.uuid:
        return MarkerDecision(action=MarkerAction.CARRY_ON)
    reason = f"another folder is here: its {marker.NAME} says {found.uuid}, expected was {known.marker}"
    return MarkerDecision(action=MarkerAction.REFUSE, reason=reason)


def _without_marker(known: FolderMemory | None, found: RootState) -> MarkerDecision:
    if known is None:
        return MarkerDecision(action=MarkerAction.CREATE)
    same_disk = not found.network and found.device == known.device
    if known.read_only and (same_disk or (found.network and not found.empty)):
        return MarkerDecision(action=MarkerAction.CARRY_ON)
    if same_disk:
        return MarkerDecision(action=MarkerAction.CREATE)
    reason = "the folder is empty" if found.empty else "the folder has lost its marker"
    reason += ", so its share or disk is probably not mounted"
    if not known.read_only:
        reason += f"; if it is the right one, put a file {marker.NAME} into it that holds {marker.text(known.marker)}"
    return MarkerDecision(action=MarkerAction.STAND_BY, reason=reason)
