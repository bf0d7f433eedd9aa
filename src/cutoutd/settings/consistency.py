"""What no key alone can tell: names that clash, keys that need each other, directories that overlap.

Paths are compared by their text: resolving them would hang where a share hangs, and they need not exist yet.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from cutoutd.settings.address import Reach
from cutoutd.settings.choices import Originals
from cutoutd.settings.problem import Problem, of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cutoutd.settings.schema import Folder, HostedSettings


def problems(
    folders: Mapping[int, Folder], state_dir: Path | None, hosted: HostedSettings | None
) -> Iterator[Problem]:
    """All of it.

    Args:
        folders: by their number in the file, from 1; those that are right in themselves.
        state_dir: of the service; None if that is wrong.
        hosted: the hosted service; None if that is wrong.
    """
    if hosted is not None:
        yield from _hosted(hosted)
    for number, folder in folders.items():
        title = of_folder(folder.name, number)
        yield from _within(folder, title)
        if hosted is not None and not hosted.enabled and folder.is_tagged:
            text = (
                f'"{folder.route}" sends pictures away, and [hosted] does not say that this may be; set enabled = true '
                'there, or write route = "local"'
            )
            yield Problem(table=title, key="route", text=text)
        for other in folders.values():
            yield from _results_against_input(folder, other, title)
        if state_dir is not None:
            yield from _state_against(folder, state_dir)
    for (one, first), (two, second) in combinations(folders.items(), 2):
        if first.name == second.name:
            text = f'"{second.name}" is the name of folder number {one} too; names are unique'
            yield Problem(table=of_folder(None, two), key="name", text=text)
        yield from _inputs(first, second, of_folder(second.name, two))


def _hosted(hosted: HostedSettings) -> Iterator[Problem]:
    place = hosted.address
    if place.is_encrypted or place.reach is Reach.THIS_MACHINE:
        return
    if place.reach is Reach.ELSEWHERE:
        text = f"{place} would send pictures so that everybody on the way can see them; write it with https"
        yield Problem(table="[hosted]", key="base_url", text=text)
    elif not hosted.allow_private_http:
        text = (
            f"{place} would send pictures so that everybody in that network can see them; write it with https, or "
            "set allow_private_http = true if the network is your own"
        )
        yield Problem(table="[hosted]", key="base_url", text=text)


def _within(folder: Folder, title: str) -> Iterator[Problem]:
    if folder.originals is Originals.MOVE and folder.originals_dir is None:
        yield Problem(
            table=title,
            key="originals_dir",
            text='is missing; originals = "move" needs a directory, outside the input, to move them to',
        )


def _results_against_input(folder: Folder, other: Folder, title: str) -> Iterator[Problem]:
    """What comes out of one folder must not go into another, nor into itself."""
    own = folder is other
    whose = "the folder's own input" if own else f'the input of "{other.name}"'
    for key, place in _results(folder):
        relation = _relation(place, other.input)
        if relation is None:
            continue
        # The one is left out of the scan; the other holds sidecars, which nobody takes for pictures.
        if (relation == "lies inside" and own and key == "output") or (
            relation == "contains" and key == "sidecar_dir"
        ):
            continue
        text = f"{place} {relation} {whose} ({other.input}), so results could be taken for new pictures"
        yield Problem(table=title, key=key, text=f"{text}; choose a directory apart from it")
    if folder.originals_dir is not None and folder.originals_dir == other.output:
        text = (
            f'{other.output} is the output of "{other.name}", where an original could take a cutout\'s name'
        )
        yield Problem(table=title, key="originals_dir", text=f"{text}; choose another directory")


def _results(folder: Folder) -> Iterator[tuple[str, Path]]:
    for key, place in (
        ("output", folder.output),
        ("originals_dir", folder.originals_dir),
        ("sidecar_dir", folder.sidecar_dir),
    ):
        if place is not None:
            yield key, place


def _inputs(first: Folder, second: Folder, title: str) -> Iterator[Problem]:
    """A picture belongs to one folder."""
    relation = _relation(second.input, first.input)
    if relation is None:
        return
    text = f'{second.input} {relation} the input of "{first.name}" ({first.input}), so pictures would be cut twice'
    yield Problem(table=title, key="input", text=f"{text}; choose directories apart from each other")


def _state_against(folder: Folder, state_dir: Path) -> Iterator[Problem]:
    for key, place in (("input", folder.input), ("output", folder.output)):
        relation = _relation(state_dir, place)
        if relation in {"is", "lies inside"}:
            text = f'{state_dir} {relation} the {key} of "{folder.name}" ({place}); choose a directory apart from it'
            yield Problem(table="[service]", key="state_dir", text=text)


def _relation(one: Path, other: Path) -> str | None:
    """How one directory lies to another, in the words of a message; None if they have nothing in common."""
    if one == other:
        return "is"
    if one.is_relative_to(other):
        return "lies inside"
    return "contains" if other.is_relative_to(one) else None
