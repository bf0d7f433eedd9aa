"""Whether the places of a folder's results and originals are on the disks and shares that they were on.

Used by the folder's own thread and by that of its delivery, since any access to a share may hang.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Final

from cutoutd.errors import OutputError
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.intake import filesystems
from cutoutd.intake.mounts import AUTOFS, locate_on_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cutoutd.journal.folders import Folders
    from cutoutd.settings.schema import Folder

INPUT: Final = "input"


class PlaceAwayError(OutputError):
    """A place for results or originals is not on the disk or share that it was on."""

    title = "The disk or share is not mounted"
    trouble = FolderTrouble.UNMOUNTED


def lost_places(folder: Folder, known: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Path, str]]:
    """Yield the places of a folder whose disk or share is not mounted any more: key, path and mount point.

    Args:
        folder: settings of the folder.
        known: the mounts that its places were on, by path; see `cutoutd.journal.folders.Folders.mounts`.

    Raises:
        OSError: a place cannot be reached.
    """
    for key, place in result_places(folder).items():
        if (before := known.get(os.fspath(place))) and (point := locate_on_mounts(place).lost_mount(before)):
            yield key, place, point


def result_places(folder: Folder) -> dict[str, Path]:
    """Return the places of a folder that are not its input, by their keys in the configuration."""
    return {key: place for key, place in folder.places.items() if key != INPUT}


def describe(key: str, place: Path, point: str) -> str:
    """Return, for people, that a place's disk or share is not mounted."""
    there = f"at {point}" if os.fspath(place) != point else "there"
    return (
        f"{key} {place} was on a disk or share that was mounted {there}, and nothing is mounted {there} now"
    )


def advice(name: str) -> str:
    """Return what its owner can do."""
    return (
        "Mount it again, and work goes on by itself; if the place is to be without it from now on, run "
        f"`cutoutd adopt {shlex.quote(name)}`"
    )


class PlaceMounts:
    """The mounts of one folder's places, as they were when it was last healthy.

    Args:
        folder: settings of the folder.
        memory: the folders in the journal.
    """

    def __init__(self, folder: Folder, memory: Folders) -> None:
        self._folder = folder
        self._memory = memory
        self._known = memory.mounts(folder.name)

    def recall(self) -> None:
        """Read from the journal what is known: the folder may have been renamed, or a person may have named a place."""
        self._known = self._memory.mounts(self._folder.name)

    def misses_any(self) -> bool:
        """Whether a mount that a place was on is missing from the list of mounts; only the kernel is queried.

        Not for what an automounter mounts: it comes and goes.
        """
        table = {mount.point for mount in filesystems.mounts()}
        return any(
            max(before, key=len) not in table
            for before in self._known.values()
            if AUTOFS not in before.values()
        )

    def why_away(self) -> str:
        """Return why the folder cannot be worked on; empty if all its places are where they were.

        Raises:
            OSError: a place cannot be reached.
        """
        for key, place, point in lost_places(self._folder, self._known):
            return f"{describe(key, place, point)}. {advice(self._folder.name)}"
        return ""

    def prove(self) -> None:
        """Check, immediately before a publication or before an original goes, that all places are where they were.

        Raises:
            PlaceAwayError: one is not.
            OSError: one cannot be reached.
        """
        for key, place, point in lost_places(self._folder, self._known):
            raise PlaceAwayError(describe(key, place, point), advice=f"{advice(self._folder.name)}.")

    def remember(self) -> None:
        """Store the mounts of all places of a healthy folder.

        Raises:
            JournalError: the journal cannot be written.
            OSError: a place cannot be reached.
        """
        found = {
            os.fspath(place): dict(on)
            for place in result_places(self._folder).values()
            if (on := locate_on_mounts(place).mounts)
        }
        if found and found != self._known:
            self._memory.remember_mounts(self._folder.name, found)
            self._known = found
