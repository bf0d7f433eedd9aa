"""The status of a folder, for people: a code that the page has a text for, the cause, and what to do.

The daemon says why in a sentence of its own; what kind of trouble that is, is told here by the words that it uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.folder.status import FolderState

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderCondition:
    """The status of a folder.

    Attributes:
        watching: as the running daemon says, a `FolderState`; None: it says nothing of this folder, or does not run.
        trouble: a code: ``down``, ``unheard``, ``away``, ``other_machine``, ``other_folder``, ``replaced``, ``unmounted``, ``overlap``,
            ``background``, ``disk_full``, ``journal_busy``, ``journal_full``, ``standing_by`` or ``paused``; empty where work goes on.
        why: in the daemon's words.
        advice: what to do; empty where nothing is to be done.
    """

    watching: str | None
    trouble: str
    why: str
    advice: str


_ADVICE: Final[Mapping[str, str]] = {
    "down": "Start cutoutd: `cutoutd run`, or its service. What you decide here is kept, and carried out then.",
    "unheard": "The running cutoutd does not know this folder yet. It adds it by itself, or when it is started again.",
    "away": "Connect the disk or share, or make the folder. Work goes on by itself as soon as it is there.",
    "other_machine": "Nothing is to be done: this machine takes over when the other one ends.",
    "other_folder": "See whether the right disk is connected; the folder's place has another folder's contents.",
    "replaced": "Put the folder's own directory back, or connect its disk. If this is its new place, `cutoutd adopt` says so.",
    "unmounted": "Mount the disk or share again. Work goes on by itself; if the folder is to be without it, `cutoutd adopt` says so.",
    "overlap": "Two folders of the configuration lie in one another. Change one of them in the settings.",
    "background": "Put the background picture back, or choose another one in the settings.",
    "disk_full": "Free some space. Work goes on by itself; nothing is lost.",
    "journal_busy": "Close what has its file open, such as a backup. Work goes on by itself; nothing is lost.",
    "journal_full": "Free some space on the disk of the state directory. Work goes on by itself; nothing is lost.",
    "read_only": "See who may write into the folder for the cutouts. A service may write only to the folders that it was "
    "installed with: after a folder was added, run `cutoutd service install` again.",
    "standing_by": "Work goes on by itself as soon as that has changed.",
    "paused": "Work goes on by itself as soon as that has changed; nothing is lost.",
}

_BY_WORDS: Final = (
    ("min_free_disk_mb", "disk_full"),
    ("No space left", "disk_full"),
    ("Disk quota exceeded", "disk_full"),
    ("Read-only file system", "read_only"),
    ("Permission denied", "read_only"),
    ("is not there; make it", "away"),
    ("probably not mounted", "away"),
    ("working on this folder", "other_machine"),
    ("begins to work on this folder", "other_machine"),
    ("has to be claimed anew", "other_machine"),
    ("another folder is here", "other_folder"),
    ("as an input has", "other_folder"),
    ("another directory than before", "replaced"),
    ("was on a disk or share that was mounted", "unmounted"),
    ("an earlier directory of this folder", "replaced"),
    ("background picture", "background"),
    ("choose directories apart from each other", "overlap"),
)


def condition_of(said: Mapping[str, Any] | None, *, running: bool) -> FolderCondition:
    """Return the status of a folder.

    Args:
        said: what the running daemon says of it, as in its status file; None: nothing.
        running: a daemon runs.
    """
    if not running:
        return _troubled(None, "down", "cutoutd is not running.")
    watching, why = (str((said or {}).get(name) or "") for name in ("watching", "why"))
    if not watching:
        return _troubled(None, "unheard", "")
    if watching not in (FolderState.STANDING_BY, FolderState.PAUSED):
        return FolderCondition(watching=watching, trouble="", why=why, advice="")
    found = next((code for words, code in _BY_WORDS if words in why), "")
    code = found or ("paused" if watching == FolderState.PAUSED else "standing_by")
    if "journal" in why and watching == FolderState.PAUSED:
        code = "journal_busy" if "database is locked" in why else "journal_full"
    return _troubled(watching, code, why)


def _troubled(watching: str | None, code: str, why: str) -> FolderCondition:
    return FolderCondition(watching=watching, trouble=code, why=why, advice=_ADVICE[code])
