"""The scope of a folder: what the parts of its watching side know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.intake.rules import Rules
    from cutoutd.intake.scan import FolderBoundary
    from cutoutd.journal.sources import Sources


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderScope:
    """A folder from when it was found open until it is closed again.

    Attributes:
        name: name of the folder.
        root: path of its input.
        rules: rules for which names it takes.
        sources: the versions in the journal.
        clock: clock for quiet times and ages.
        boundary: returns what inside the input does not belong to the folder.
        has_stamps: whether a file keeps its inode and change time as long as it is unchanged.
        is_known_disk: whether it is on the device on which its files were seen before. Files that were copied to another device,
            such as by a restored backup, have other inodes but are the same.
    """

    name: str
    root: str
    rules: Rules
    sources: Sources
    clock: Clock
    boundary: Callable[[], FolderBoundary | None] = lambda: None
    has_stamps: bool = False
    is_known_disk: bool = True
