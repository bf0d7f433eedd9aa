"""Rules about overlapping directories of folders, and which folder is rejected.

The rules are the same for paths as they are written and for directories as they are found on the disk; how two places
lie to each other is told by the caller. It must not touch a disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

P = TypeVar("P")


class Relation(StrEnum):
    """The relation of one directory to another, worded for a message."""

    IS = "is"
    INSIDE = "lies inside"
    CONTAINS = "contains"
    SHOWS = "shows a part of"  # by a mount inside it
    SHOWN = "is partly shown in"  # by a mount inside the other


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderPlaces(Generic[P]):
    """The directories of one folder.

    Attributes:
        number: number in the configuration.
        name: name of the folder.
        tagged: the folder's pictures may leave this machine.
        overwrites: the folder's results may replace files of others.
        places: directories by configuration key: ``input``, ``output``, ``originals_dir``, ``sidecar_dir``.
    """

    number: int
    name: str
    tagged: bool
    overwrites: bool
    places: Mapping[str, P]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Two directories that overlap and must not.

    Attributes:
        number: number in the configuration of the rejected folder.
        name: name of that folder.
        key: configuration key of its directory.
        text: message for people, without the folder and the key.
    """

    number: int
    name: str
    key: str
    text: str


_TAKEN = "so results could be taken for new pictures"
_ORIGINALS = "so originals that were put away would be taken for new pictures"
_TWICE = "so pictures would be cut twice"
_LEAVES = "so pictures of a folder that is not tagged could leave this machine"
_REPLACED = "where a cutout could replace an original"
_TAKES_NAME = "where an original could take a cutout's name"


def overlaps(
    folders: Sequence[FolderPlaces[P]],
    relation: Callable[[P, P], Relation | None],
    *,
    about: str | None = None,
) -> Iterator[Overlap]:
    """Yield every harmful overlap.

    Args:
        folders: in the order of the configuration.
        relation: returns the relation of the first directory to the second.
        about: name of the folder to check; None: all.
    """
    for folder in folders:
        for other in folders:
            if about is None or about in (folder.name, other.name):
                yield from _results_against_input(folder, other, relation)
                yield from _originals_against_output(folder, other, relation)
    for number, first in enumerate(folders):
        for second in folders[number + 1 :]:
            if about is None or about in (first.name, second.name):
                yield from _inputs(first, second, relation)


def _results_against_input(
    folder: FolderPlaces[P], other: FolderPlaces[P], relation: Callable[[P, P], Relation | None]
) -> Iterator[Overlap]:
    """Yield outputs that overlap an input: results must not be taken as sources."""
    own = folder.number == other.number
    for key in ("output", "originals_dir", "sidecar_dir"):
        if key not in folder.places:
            continue
        found = relation(folder.places[key], other.places["input"])
        # The one is left out of the scan; the other holds sidecars, which nobody takes for pictures.
        kept_apart = own and key == "output" and found in (Relation.INSIDE, Relation.SHOWN)
        if found is None or kept_apart or (found is Relation.CONTAINS and key == "sidecar_dir"):
            continue
        consequence = _ORIGINALS if key == "originals_dir" else _TAKEN
        yield _overlap(folder, key, found, other, "input", consequence)


def _originals_against_output(
    folder: FolderPlaces[P], other: FolderPlaces[P], relation: Callable[[P, P], Relation | None]
) -> Iterator[Overlap]:
    """Yield originals directories that overlap an output: no cutout may replace a moved original."""
    if "originals_dir" not in folder.places:
        return
    found = relation(folder.places["originals_dir"], other.places["output"])
    if found is Relation.IS or (found is not None and other.overwrites):
        consequence = _REPLACED if other.overwrites else _TAKES_NAME
        yield _overlap(folder, "originals_dir", found, other, "output", consequence)


def _inputs(
    first: FolderPlaces[P], second: FolderPlaces[P], relation: Callable[[P, P], Relation | None]
) -> Iterator[Overlap]:
    """Yield inputs that overlap: a picture belongs to one folder, and an untagged folder goes before a tagged one."""
    giving_way, other = (first, second) if first.tagged and not second.tagged else (second, first)
    found = relation(giving_way.places["input"], other.places["input"])
    if found is not None:
        leaves = giving_way.tagged and not other.tagged
        yield _overlap(giving_way, "input", found, other, "input", _LEAVES if leaves else _TWICE)


def _overlap(
    folder: FolderPlaces[P],
    key: str,
    relation: Relation,
    other: FolderPlaces[P],
    other_key: str,
    consequence: str,
) -> Overlap:
    own = folder.number == other.number
    whose = f"the folder's own {other_key}" if own else f'the {other_key} of "{other.name}"'
    text = f"{folder.places[key]} {relation} {whose} ({other.places[other_key]}), {consequence}"
    return Overlap(number=folder.number, name=folder.name, key=key, text=text)
