"""Which of the journal's folders a configured folder is, and whether it is there: pure decisions.

A folder is identified by its marker; its name is a label. Where there is no marker, as in a read-only input, its path decides.
The marker distinguishes a folder that is gone, on another volume, or empty. This module must not look at a folder or the journal.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd.folder_trouble import FolderTrouble
from cutoutd.lease import marker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.folders import FolderHistory, FolderMemory
    from cutoutd.lease.marker import RootState

_TICK_US: Final = 20_000
"""File systems stamp with the time of the kernel's last tick, which may be some milliseconds before the clock's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownFolder:
    """The journal knows the folder, under this name."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFolder:
    """The journal does not know the folder.

    Attributes:
        sets_aside: whether another folder is known under its name, and has to get another name.
        copied_from: name of a folder that the journal knows with the same marker: one of the two directories is a copy, marker
            included. None: there is none.
    """

    sets_aside: bool = False
    copied_from: str | None = None


def identify(
    name: str,
    place: str,
    uuid: str | None,
    *,
    recalled: FolderMemory | None,
    known: Mapping[str, str],
    configured: Mapping[str, str],
    is_other_directory: bool = False,
) -> KnownFolder | NewFolder:
    """Return which folder this is.

    Args:
        name: its name in the configuration.
        place: path of its input.
        uuid: UUID of the marker that is there; None: there is none.
        recalled: what the journal knows under this name; None: nothing.
        known: folders that the journal knows with this marker, or without a marker at this path: input by name.
        configured: all folders of the configuration: input by name.
        is_other_directory: whether this is certainly not the directory that is known under the name.
    """
    others = [one for one in known if one != name and _may_be_called_otherwise(one, known, configured)]
    is_here = recalled is not None and recalled.input == place
    if not is_here and (here := [one for one in others if known[one] == place]):
        return KnownFolder(
            name=here[0]
        )  # also if the folder of this name has the same marker: one is a copy of the other
    if recalled is not None and is_other_directory and uuid == recalled.marker and not is_here:
        elsewhere = {other for one, other in configured.items() if one != name}
        if recalled.input in elsewhere:
            return NewFolder(
                sets_aside=True, copied_from=name
            )  # the original is still in use, under another name
    if recalled is not None and uuid in (recalled.marker, None) and (uuid or recalled.input == place):
        return KnownFolder(name=name)  # a missing marker was lost, or is not mounted
    if others:
        return KnownFolder(name=others[0])
    if is_here:
        return KnownFolder(name=name)  # something else is in its place, and is refused later
    # Moved without its marker, or created again: its versions are still recognised by path, size and time.
    is_as_before = uuid is None and recalled is not None and recalled.input not in configured.values()
    copied_from = next((one for one in known if one != name), None) if uuid is not None else None
    return NewFolder(sets_aside=recalled is not None and not is_as_before, copied_from=copied_from)


def _may_be_called_otherwise(name: str, known: Mapping[str, str], configured: Mapping[str, str]) -> bool:
    """Whether a known folder was renamed; if it is still configured at its path, this one is a copy of it, marker included."""
    return configured.get(name) != known[name]


def is_copy(found: RootState, original: FolderMemory) -> bool:
    """Whether a directory is certainly not the one that a folder with the same marker was last seen in.

    On a share the numbers of a directory can differ by the way to it, unless both are on one mount.
    """
    if original.inode is None or (found.network and found.device != original.device):
        return False
    return (found.device, found.inode) != (original.device, original.inode)


def copy_text(name: str, other: str, place: str) -> str:
    """Return why a folder stands by of which it cannot be told whether it is a copy of another one."""
    return (
        f"it has the same {marker.NAME} as {other} ({place}), and it cannot be told which of the two is a copy. If they are two "
        f"directories, run `cutoutd adopt {shlex.quote(name)}`: then it gets a marker of its own"
    )


class MarkerAction(Enum):
    """What to do with a folder."""

    CARRY_ON = auto()  # it is the one we know, or another installation marked it
    CREATE = auto()  # it has no marker: write one, with the UUID we remember, if any
    CREATE_ANEW = auto()  # another directory is the folder from now on: write a marker with a new UUID
    STAND_BY = auto()  # it is probably not mounted: keep everything, and check again later
    REFUSE = auto()  # something else is mounted in its place: touch nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkerDecision:
    """What to do with a folder, and why."""

    action: MarkerAction
    reason: str = ""
    trouble: FolderTrouble | None = None


def decide(
    known: FolderMemory | None, found: RootState, history: FolderHistory, *, is_recognised: bool = False
) -> MarkerDecision:
    """Decide what to do with a folder.

    If there is a marker, it alone decides: the folder's own, or one that it had before and nothing is outstanding. If it is missing
    from the very directory that is known, only the marker was removed. Any other directory may be an empty mount point, a share
    whose server is failing and lists nothing, or stand for one that was moved away for a while. It takes the folder's place only
    if its owner has made it since and nothing is outstanding, or says so. Absence never means deletion.

    It then gets a marker of its own: what is handed in there must not be looked for in the former directory, if that comes back.

    Args:
        known: what the journal remembers of the folder; None: nothing.
        found: what is there now.
        history: what else the journal knows of it.
        is_recognised: whether a claim beside the missing marker shows that it is the very directory, also on a share.
    """
    if known is None:
        action = MarkerAction.CREATE if found.uuid is None else MarkerAction.CARRY_ON
        return MarkerDecision(action=action)
    if found.uuid is None:
        if found.network and is_recognised and not known.read_only:
            return MarkerDecision(action=MarkerAction.CREATE)
        return _without_marker(known, found, history)
    is_former = found.uuid in history.former
    if known.marker == found.uuid or is_adopted(found, history) or (is_former and not history.outstanding):
        return MarkerDecision(action=MarkerAction.CARRY_ON)
    if is_former:
        reason, trouble = "an earlier directory of this folder is here", FolderTrouble.REPLACED
    else:
        reason = (
            f"another folder is here: its {marker.NAME} has {found.uuid}, but {known.marker} was expected"
        )
        trouble = FolderTrouble.OTHER_FOLDER
    return MarkerDecision(action=MarkerAction.REFUSE, reason=reason + _advice(history), trouble=trouble)


def _without_marker(known: FolderMemory, found: RootState, history: FolderHistory) -> MarkerDecision:
    is_same_disk = not found.network and found.device == known.device
    if known.read_only and (is_same_disk or (found.network and not found.empty)):
        return MarkerDecision(action=MarkerAction.CARRY_ON)
    if is_same_disk and found.inode == known.inode:
        return MarkerDecision(action=MarkerAction.CREATE)
    if is_adopted(found, history):
        return MarkerDecision(action=MarkerAction.CREATE_ANEW)
    if is_same_disk and not history.outstanding and _is_younger(found, history):
        return MarkerDecision(action=MarkerAction.CREATE_ANEW)
    reason = "the folder is empty" if found.empty else "the folder has lost its marker"
    if is_same_disk:
        reason, trouble = f"{reason}, and is another directory than before", FolderTrouble.REPLACED
    else:
        reason, trouble = f"{reason}, so its share or disk is probably not mounted", FolderTrouble.AWAY
    return MarkerDecision(action=MarkerAction.STAND_BY, reason=reason + _advice(history), trouble=trouble)


def is_adopted(found: RootState, history: FolderHistory) -> bool:
    """Whether a person named a directory as the folder's new place."""
    return history.adopted == (found.device, found.inode)


def _is_younger(found: RootState, history: FolderHistory) -> bool:
    """Whether a directory was made after the folder was first healthy; a mount point was there before. Yes, if nothing tells."""
    born_us, since_us = found.born_us, history.first_run_us
    return born_us is None or since_us is None or born_us > since_us - _TICK_US


def _advice(history: FolderHistory) -> str:
    waiting = ""
    if history.outstanding:
        are = (
            "1 accepted picture is"
            if history.outstanding == 1
            else f"{history.outstanding} accepted pictures are"
        )
        waiting = f"; {are} not finished, and kept"
    command = f"cutoutd adopt {shlex.quote(history.name)}"
    return f"{waiting}. Connect the right one, and work goes on by itself; if this is its new place, run `{command}`"
