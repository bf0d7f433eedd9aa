"""What no key alone can tell: names that clash, keys that need each other, directories that overlap.

Paths are compared by their text: resolving them would hang where a share hangs, and they need not exist yet.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Final

from cutoutd.settings.address import Reach
from cutoutd.settings.messages import Problem, of_folder
from cutoutd.settings.overlap import Arrangement, Relation, overlaps
from cutoutd.settings.types import HostedProvider, OnConflict, Originals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cutoutd.settings.hosted import HostedSettings
    from cutoutd.settings.schema import Folder


_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_FIELD_TEXT: Final = re.compile(r"[ -~]{0,1000}")
_OUR_FIELDS: Final = {
    "file": "is the picture itself; leave it out",
    "url": "would have the server fetch another picture; leave it out",
    "om": "asks for the matte alone, which is what cutoutd always asks for; leave it out",
    "bgc": "would change what comes back; write background under [[folder.rendition]], it is made here",
    "model": "has a key of its own; write model under [hosted]",
}


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
        yield from _form(hosted)
    for number, folder in folders.items():
        title = of_folder(folder.name, number)
        yield from _within(folder, title)
        if hosted is not None and not hosted.enabled and folder.is_tagged:
            text = (
                f'"{folder.route}" sends pictures away, and [hosted] does not say that this may be; set enabled = true '
                'there, or write route = "local"'
            )
            yield Problem(table=title, key="route", text=text)
        if state_dir is not None:
            yield from _state_against(folder, state_dir)
    places = [arrangement(number, folder) for number, folder in folders.items()]
    for overlap in overlaps(places, _relation):
        title = of_folder(overlap.folder.name, overlap.folder.number)
        text = f"{overlap.text()}; choose directories apart from each other"
        yield Problem(table=title, key=overlap.key, text=text)
    for (one, first), (two, second) in combinations(folders.items(), 2):
        if first.name == second.name:
            text = f'"{second.name}" is the name of folder number {one} too; names are unique'
            yield Problem(table=of_folder(None, two), key="name", text=text)


def _form(hosted: HostedSettings) -> Iterator[Problem]:
    """Fields of one's own are a rembg server's alone, and none may change what kind of picture comes back."""
    for key in ("model", "fields"):
        if getattr(hosted, key) and hosted.provider is not HostedProvider.REMBG:
            text = f'is for provider = "rembg" alone, and the provider is "{hosted.provider}"; leave it out'
            yield Problem(table="[hosted]", key=key, text=text)
    for name, value in hosted.fields.items():
        if name in _OUR_FIELDS:
            yield Problem(table="[hosted]", key="fields", text=f'"{name}" {_OUR_FIELDS[name]}')
        elif not _FIELD.fullmatch(name):
            text = f'"{name}" is no name of a form field; one is made of letters, digits and _, such as "a"'
            yield Problem(table="[hosted]", key="fields", text=text)
        elif not _FIELD_TEXT.fullmatch(str(value)):
            text = f'the value of "{name}" is to be a line of at most 1000 printable ASCII characters'
            yield Problem(table="[hosted]", key="fields", text=text)


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


def arrangement(number: int, folder: Folder) -> Arrangement[Path]:
    """The places of a folder, as they are written.

    Args:
        number: of the folder in the configuration.
        folder: its settings.
    """
    return Arrangement(
        number=number,
        name=folder.name,
        tagged=folder.is_tagged,
        overwrites=folder.on_conflict is OnConflict.OVERWRITE,
        places=folder.places,
    )


def _state_against(folder: Folder, state_dir: Path) -> Iterator[Problem]:
    for key, place in folder.places.items():
        relation = _relation(state_dir, place)
        if relation is not None and (relation is not Relation.INSIDE or key in ("input", "output")):
            text = f'{state_dir} {relation} the {key} of "{folder.name}" ({place}); choose a directory apart from it'
            yield Problem(table="[service]", key="state_dir", text=text)


def _relation(one: Path, other: Path) -> Relation | None:
    """How one directory lies to another by their text; None if they have nothing in common."""
    if one == other:
        return Relation.IS
    if one.is_relative_to(other):
        return Relation.INSIDE
    return Relation.CONTAINS if other.is_relative_to(one) else None
