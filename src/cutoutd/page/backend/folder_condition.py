"""The status of a folder, for people: a code that the page has a text for, the cause, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.folder.status import FolderState
from cutoutd.folder_trouble import FolderTrouble

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderCondition:
    """The status of a folder.

    Attributes:
        watching: as the running daemon says, a `FolderState`; None: it says nothing of this folder, or does not run.
        trouble: a code: a `FolderTrouble`, ``down`` or ``unheard``; empty where work goes on.
        why: in the daemon's words.
        advice: what to do; empty where nothing is to be done.
    """

    watching: str | None
    trouble: str
    why: str
    advice: str


_DOWN: Final = "down"  # no daemon runs
_UNHEARD: Final = "unheard"  # it says nothing of the folder
_GENERAL: Final[Mapping[str, FolderTrouble]] = {
    FolderState.STANDING_BY: FolderTrouble.STANDING_BY,
    FolderState.PAUSED: FolderTrouble.PAUSED,
}
"""What is shown for a code that is missing or unknown, as while another version of the daemon runs."""

_ADVICE: Final[Mapping[str, str]] = {
    _DOWN: "Start cutoutd: `cutoutd run`, or its service. What you decide here is kept, and carried out then.",
    _UNHEARD: "The running cutoutd does not know this folder yet. It adds it by itself, or when it is started again.",
    FolderTrouble.AWAY: "Connect the disk or share, or make the folder. Work goes on by itself as soon as it is there.",
    FolderTrouble.OTHER_MACHINE: "Nothing is to be done: this machine takes over when the other one ends.",
    FolderTrouble.OTHER_FOLDER: "See whether the right disk is connected; the folder's place has another folder's contents.",
    FolderTrouble.REPLACED: "Put the folder's own directory back, or connect its disk. If this is its new place, `cutoutd adopt` says so.",
    FolderTrouble.UNMOUNTED: "Mount the disk or share again. Work goes on by itself; if the folder is to be without it, `cutoutd adopt` says so.",
    FolderTrouble.OVERLAP: "Two folders of the configuration lie in one another. Change one of them in the settings.",
    FolderTrouble.BACKGROUND: "Put the background picture back, or choose another one in the settings.",
    FolderTrouble.DISK_FULL: "Free some space. Work goes on by itself; nothing is lost.",
    FolderTrouble.JOURNAL_BUSY: "Close what has its file open, such as a backup. Work goes on by itself; nothing is lost.",
    FolderTrouble.JOURNAL_FULL: "Free some space on the disk of the state directory. Work goes on by itself; nothing is lost.",
    FolderTrouble.READ_ONLY: "See who may write into the folder for the cutouts. A service may write only to the folders that it was "
    "installed with: after a folder was added, run `cutoutd service install` again.",
    FolderTrouble.STANDING_BY: "Work goes on by itself as soon as that has changed.",
    FolderTrouble.PAUSED: "Work goes on by itself as soon as that has changed; nothing is lost.",
}


def condition_of(said: Mapping[str, Any] | None, *, running: bool) -> FolderCondition:
    """Return the status of a folder.

    Args:
        said: what the running daemon says of it, as in its status file; None: nothing.
        running: a daemon runs.
    """
    if not running:
        return _troubled(None, _DOWN, "cutoutd is not running.")
    watching, why, trouble = (str((said or {}).get(name) or "") for name in ("watching", "why", "trouble"))
    if not watching:
        return _troubled(None, _UNHEARD, "")
    if watching not in _GENERAL:
        return FolderCondition(watching=watching, trouble="", why=why, advice="")
    return _troubled(watching, trouble if trouble in set(FolderTrouble) else _GENERAL[watching], why)


def _troubled(watching: str | None, trouble: str, why: str) -> FolderCondition:
    return FolderCondition(watching=watching, trouble=trouble, why=why, advice=_ADVICE[trouble])
