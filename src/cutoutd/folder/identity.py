"""Which of the journal's folders a configured folder is, and whether it is there: pure decisions.

A folder is identified by its marker; its name is a label. Where there is no marker, as in a read-only input, its path decides.
The marker distinguishes a folder that is gone, on another volume, or empty. This module must not look at a folder or the journal.
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
    """The journal knows the folder, under this name."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFolder:
    """The journal does not know the folder.

    Attributes:
        sets_aside: whether another folder is known under its name, and has to get another name.
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
    """Return which folder this is.

    Args:
        name: its name in the configuration.
        place: path of its input.
        uuid: UUID of the marker that is there; None: there is none.
        recalled: what the journal knows under this name; None: nothing.
        known: folders that the journal knows with this marker, or without a marker at this path: input by name.
        configured: all folders of the configuration: input by name.
    """
    others = [one for one in known if one != name and _may_be_called_otherwise(one, known, configured)]
    if recalled is not None and uuid in (recalled.marker, None) and (uuid or recalled.input == place):
        return KnownFolder(name=name)  # a missing marker was lost, or is not mounted
    if others:
        return KnownFolder(name=others[0])
    if recalled is not None and recalled.input == place:
        return KnownFolder(name=name)  # something else is in its place, and is refused later
    # Moved without its marker, or created again: its versions are still recognised by path, size and time.
    is_as_before = uuid is None and recalled is not None and recalled.input not in configured.values()
    return NewFolder(sets_aside=recalled is not None and not is_as_before)


def _may_be_called_otherwise(name: str, known: Mapping[str, str], configured: Mapping[str, str]) -> bool:
    """Whether a known folder was renamed; if it is still configured at its path, this one is a copy of it, marker included."""
    return configured.get(name) != known[name]


class MarkerAction(Enum):
    """What to do with a folder."""

    CARRY_ON = auto()  # it is the one we know, or another installation marked it
    CREATE = auto()  # it has no marker: write one, with the UUID we remember, if any
    STAND_BY = auto()  # it is probably not mounted: keep everything, and check again later
    REFUSE = auto()  # something else is mounted in its place: touch nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkerDecision:
    """What to do with a folder, and why."""

    action: MarkerAction
    reason: str = ""


def decide(known: FolderMemory | None, found: RootState) -> MarkerDecision:
    """Decide what to do with a folder.

    If there is a marker, it alone decides. If it is missing, a local folder on the same device was emptied or created again by
    its owner; any other may be the empty mount point of a share, or a share whose server is failing and lists nothing. Absence
    never means deletion.

    Args:
        known: what the journal remembers of the folder; None: nothing.
        found: what is there now.
    """
    if found.uuid is None:
        return _without_marker(known, found)
    if known is None or known.marker == found.uuid:
        return MarkerDecision(action=MarkerAction.CARRY_ON)
    reason = f"another folder is here: its {marker.NAME} has {found.uuid}, but {known.marker} was expected"
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
