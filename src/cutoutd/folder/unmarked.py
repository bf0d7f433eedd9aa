"""Decides about a folder whose marker is missing or damaged, by the claims beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.folder.identity import MarkerAction, MarkerDecision, decide
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.lease import epochs, marker

if TYPE_CHECKING:
    from cutoutd.journal.folders import FolderHistory, FolderMemory
    from cutoutd.lease.lease import Lease

_LEFT_TO_OTHERS: Final = (
    f"its {marker.NAME} is not there, although another machine works on this folder, which writes it again; this one takes over "
    "if that machine does not do so for a minute"
)


def decide_unmarked(
    root: str, known: FolderMemory | None, found: marker.RootState, history: FolderHistory, lease: Lease
) -> MarkerDecision:
    """Decide what to do with a folder without a valid marker.

    Args:
        root: path of its input.
        known: what is known of it; None: nothing.
        found: what is there now.
        history: what else the journal knows of it.
        lease: this machine's lease on it.

    Raises:
        StorageError: the marker is damaged, and nothing shows that this is the right directory.
        OSError: the folder cannot be read.
    """
    claims: tuple[tuple[int, str], ...] = ()
    if known is None or not known.read_only:
        with marker.opened(root) as directory:
            claims = epochs.all_claims(directory)
    if known is None and found.damage is None and lease.leaves_marker_to_others(claims):
        return MarkerDecision(
            action=MarkerAction.STAND_BY, reason=_LEFT_TO_OTHERS, trouble=FolderTrouble.OTHER_MACHINE
        )
    decision = decide(known, found, history, is_recognised=lease.recognises(claims))
    if found.damage is not None and (known is None or decision.action is not MarkerAction.CREATE):
        raise found.damage
    return decision
