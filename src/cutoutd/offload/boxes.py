"""Keeps outbox and inbox free of what nobody waits for: a part at a time, since all folders wait for the main loop.

The uploader may write in both, and what it leaves there is not to be believed. It must not read any of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd import spool
from cutoutd.fs.removal import remove_some

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

MAX_NAMES: Final = 1000
"""In outbox or inbox, beside four for each upload that is not over: an honest uploader leaves none of them."""

REMOVALS: Final = 200
"""Of one look."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TidyResult:
    """What came of it.

    Attributes:
        is_whole: nothing is left that was to be removed.
        is_crowded: there is more than an honest uploader leaves.
        refused: why something of it cannot be removed; empty if all could.
    """

    is_whole: bool
    is_crowded: bool
    refused: str = ""


def tidy(box: Path, kept: Collection[str], *, throughout: bool = False) -> TidyResult:
    """Remove some of what nobody waits for, such as the reply to an upload that was withdrawn too late.

    Args:
        box: outbox or inbox.
        kept: ids of parcels that are needed.
        throughout: also drafts and what no parcel names yet, which an upload that is under way may be about to name.

    Raises:
        OSError: it cannot be read.
    """
    most = MAX_NAMES + 4 * len(kept)
    names = spool.names_in(box, most + 1)
    is_crowded = len(names) > most
    strays = [name for name in names if _id(name) not in kept]
    if not (is_crowded or throughout):
        parcels = {_id(name) for name in strays if name.endswith(".json")}
        strays = [name for name in strays if _id(name) in parcels]  # what a parcel names goes with it
    left, refused = REMOVALS, ""
    directory = os.open(box, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in strays:
            try:
                left = remove_some(directory, name, left)
            except OSError as error:  # it harms nobody
                refused, left = refused or f"{name}: {error.strerror}", left - 1
            if left == 0:
                break
    finally:
        os.close(directory)
    return TidyResult(is_whole=left > 0 and not is_crowded, is_crowded=is_crowded, refused=refused)


def _id(name: str) -> str:
    return name.partition(".")[0]
