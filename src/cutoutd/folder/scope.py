"""By what the parts of a folder's watching side know the folder."""

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
    """A folder that was found open, until it is closed again.

    Attributes:
        name: of the folder.
        root: its input.
        rules: which names it takes.
        sources: the journal's memory of versions.
        clock: for quiet periods and ages.
        boundary: gives what inside the input belongs to somebody else.
        has_stamps: inodes and times of change stay as they are as long as a file does.
        is_known_disk: it lies on the device on which its files were seen before; what was brought to another one, such as
            by a restored backup, has other inodes and is what it was.
    """

    name: str
    root: str
    rules: Rules
    sources: Sources
    clock: Clock
    boundary: Callable[[], FolderBoundary | None] = lambda: None
    has_stamps: bool = False
    is_known_disk: bool = True
