"""Which places of which folders must not overlap, and whose folder has to give way.

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
    """How one directory lies to another, in the words of a message."""

    IS = "is"
    INSIDE = "lies inside"
    CONTAINS = "contains"
    SHOWS = "shows a part of"  # by a mount inside it
    SHOWN = "is partly shown in"  # by a mount inside the other


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderPlaces(Generic[P]):
    """The places of one folder.

    Attributes:
        number: in the configuration.
        name: of the folder.
        tagged: its pictures may leave this machine.
        overwrites: its results may replace files that are not ours.
        places: by their keys in the configuration: ``input``, ``output``, ``originals_dir``, ``sidecar_dir``.
    """

    number: int
    name: str
    tagged: bool
    overwrites: bool
    places: Mapping[str, P]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Two places that must not overlap, and do.

    Attributes:
        number: in the configuration, of the folder that has to give way.
        name: of that folder.
        key: of its place.
        text: what is wrong, for people; without the folder and the key.
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
    """Every overlap that does harm.

    Args:
        folders: in the order of the configuration.
        relation: how the first place lies to the second.
        about: name of the folder that matters; None: all of them.
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
    """What comes out of one folder must not go into another, nor into itself."""
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
    """No cutout may replace an original that was moved."""
    if "originals_dir" not in folder.places:
        return
    found = relation(folder.places["originals_dir"], other.places["output"])
    if found is Relation.IS or (found is not None and other.overwrites):
        consequence = _REPLACED if other.overwrites else _TAKES_NAME
        yield _overlap(folder, "originals_dir", found, other, "output", consequence)


def _inputs(
    first: FolderPlaces[P], second: FolderPlaces[P], relation: Callable[[P, P], Relation | None]
) -> Iterator[Overlap]:
    """A picture belongs to one folder; of one that is tagged and one that is not, it belongs to the one that is not."""
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
