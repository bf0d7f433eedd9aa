"""Validation across keys: keys that need or exclude each other, names that clash, directories that overlap.

Paths are compared by their text: resolving them would hang where a share hangs, and they need not exist yet. Nor is any
file looked at: `check` and the start of the daemon see whether a background picture is there.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import combinations
from typing import TYPE_CHECKING, Final

from cutoutd.recipe import Channels, Format, Profile
from cutoutd.settings.hosted import AddressScope
from cutoutd.settings.messages import of_folder
from cutoutd.settings.overlap import FolderPlaces, Relation, overlaps
from cutoutd.settings.problem import Problem, ProblemCode
from cutoutd.settings.renditions import ORIGINAL, TRANSPARENT
from cutoutd.settings.types import AUTO, HostedProvider, OnConflict, Originals
from cutoutd.settings.webhooks import MAX_PER_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cutoutd.settings.cluster import ClusterSettings
    from cutoutd.settings.hosted import HostedSettings
    from cutoutd.settings.renditions import RenditionSettings
    from cutoutd.settings.schema import Folder, Settings
    from cutoutd.settings.webhooks import WebhookSettings

_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_FIELD_TEXT: Final = re.compile(r"[ -~]{0,1000}")
_REFUSED_FIELDS: Final = {
    "file": "is the picture itself; leave it out",
    "url": "would have the server fetch another picture; leave it out",
    "om": "asks for the matte alone, which is what cutoutd always asks for; leave it out",
    "bgc": "would change what comes back; write background under [[folder.rendition]], it is made here",
    "model": "has a key of its own; write model under [hosted]",
}
_LOSSLESS: Final = frozenset({Format.PNG, Format.TIFF})
_LIMITS_OF_THE_SCORE: Final = ("review_below", "escalate_below")
_CAME_WITH: Final = "doubtful_below"


def problems(
    folders: Mapping[int, Folder],
    state_dir: Path | None,
    hosted: HostedSettings | None,
    max_pixels: int | None,
) -> Iterator[Problem]:
    """Return all problems of a configuration whose keys are valid one by one.

    Args:
        folders: by their number in the file, from 1; those that are right in themselves.
        state_dir: state directory of the service; None if that is invalid.
        hosted: the hosted service; None if that is wrong.
        max_pixels: of a picture; None if that is wrong.
    """
    if hosted is not None:
        for key, text in (*_base_url(hosted), *_form_fields(hosted)):
            yield Problem(table="[hosted]", key=key, text=text)
    for number, folder in folders.items():
        for key, text in _within(folder, hosted):
            yield Problem(table=of_folder(folder.name, number), key=key, text=text)
        if state_dir is not None:
            yield from _state_against(folder, state_dir)
    places = [folder_places(number, folder) for number, folder in folders.items()]
    for overlap in overlaps(places, _relation):
        title = of_folder(overlap.name, overlap.number)
        text = f"{overlap.text}; choose directories apart from each other"
        yield Problem(table=title, key=overlap.key, text=text)
    for (one, first), (two, second) in combinations(folders.items(), 2):
        if first.name == second.name:
            text = f'"{second.name}" is the name of folder number {one} too; names are unique'
            yield Problem(table=of_folder(None, two), key="name", text=text)
    for folder in folders.values():
        yield from rendition_problems(folder, max_pixels)


def cluster_problems(folders: Mapping[int, Folder], cluster: ClusterSettings | None) -> Iterator[Problem]:
    """Folders whose pictures would go to a cluster that is not enabled.

    Args:
        folders: by their number in the file, from 1; those that are right in themselves.
        cluster: the cluster; None if that is wrong.
    """
    for number, folder in folders.items():
        if folder.is_clustered and cluster is not None and not cluster.enabled:
            text = (
                f'"{folder.route}" sends pictures to other machines, and [cluster] does not allow that; set '
                'enabled = true there, or write route = "local"'
            )
            yield Problem(table=of_folder(folder.name, number), key="route", text=text)


def webhook_problems(folders: Mapping[int, Folder], webhooks: WebhookSettings | None) -> Iterator[Problem]:
    """Return problems of webhooks: not allowed, at a forbidden address, or duplicate.

    Args:
        folders: by their number in the file, from 1; those that are right in themselves.
        webhooks: the table of their bounds; None if that is wrong.
    """
    for number, folder in folders.items():
        if not folder.webhook:
            continue
        title = of_folder(folder.name, number)
        if webhooks is not None and not webhooks.enabled:
            text = (
                "sends results to others, and [webhooks] does not allow that; set enabled = true there, or "
                "take it out"
            )
            yield Problem(table=title, key="webhook", text=text)
        if len(folder.webhook) > MAX_PER_FOLDER:
            yield Problem(table=title, key="webhook", text=f"is there more than {MAX_PER_FOLDER} times")
        seen: dict[str, int] = {}
        for count, one in enumerate(folder.webhook, 1):
            table = f'[[folder.webhook]] number {count} of "{folder.name}"'
            first = seen.setdefault(str(one.url), count)
            again = [("url", f"is that of number {first} too; put both together")] if first != count else []
            for key, text in (*one.problems(), *again):
                yield Problem(table=table, key=key, text=text)


def older_score_limits(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give the name of each folder whose limits of the quality score have the meaning of earlier versions, and a word about it.

    The score became the probability that a cutout is right. A number does not show what it was meant for, but a folder
    that limits the score and does not know `doubtful_below`, which came with that meaning, was written before.
    """
    for folder in settings.folder:
        written = folder.model_fields_set
        limits = [f"{name} = {getattr(folder, name):g}" for name in _LIMITS_OF_THE_SCORE if name in written]
        if limits and _CAME_WITH not in written:
            word = (
                f"{' and '.join(limits)}: the score is the probability that a cutout is right, 0 to 1; in "
                "configurations of earlier versions the same number meant something else. `cutoutd docs quality` says what each "
                f"value catches. Write {_CAME_WITH} as well, and this is not said again"
            )
            yield folder.name, word


def folder_places(number: int, folder: Folder) -> FolderPlaces[Path]:
    """Return the directories of a folder, as written.

    Args:
        number: of the folder in the configuration.
        folder: its settings.
    """
    return FolderPlaces(
        number=number,
        name=folder.name,
        tagged=folder.may_leave,
        overwrites=folder.on_conflict is OnConflict.OVERWRITE,
        places=folder.places,
    )


def rendition_problems(folder: Folder, max_pixels: int | None) -> Iterator[Problem]:
    """Return conflicts between keys of a rendition, and between renditions of a folder.

    Args:
        folder: valid by itself.
        max_pixels: of a picture; None if that is wrong.
    """
    names: dict[tuple[str, str, str], int] = {}
    for number, one in enumerate(folder.rendition, 1):
        table = f'[[folder.rendition]] number {number} of "{folder.name}"'
        for key, code, text in (*_background(one), *_layout(one), *_encoding(one), *_canvas(one, max_pixels)):
            yield Problem(table=table, key=key, text=text, code=code)
        # Some file systems do not tell "-A" from "-a", nor an accent from a letter that has it.
        name = one.format.value, _fold(one.directory), _fold(one.suffix)
        if name in names:
            text = f'gives the same file name as number {names[name]}; write another one, such as "-{number}"'
            yield Problem(table=table, key="suffix", text=text, code=ProblemCode.SUFFIX_TAKEN)
        names.setdefault(name, number)


def _within(folder: Folder, hosted: HostedSettings | None) -> Iterator[tuple[str, str]]:
    if folder.originals is Originals.MOVE and folder.originals_dir is None:
        text = 'is missing; originals = "move" needs a directory, outside the input, to move them to'
        yield "originals_dir", text
    if hosted is not None and not hosted.enabled and folder.is_tagged:
        text = (
            f'"{folder.route}" sends pictures away, and [hosted] does not allow that; set enabled = true '
            'there, or write route = "local"'
        )
        yield "route", text


def _base_url(hosted: HostedSettings) -> Iterator[tuple[str, str]]:
    """Check that pictures are not sent unencrypted over a network."""
    place = hosted.address
    if place.is_encrypted or place.scope is AddressScope.LOOPBACK:
        return
    if place.scope is AddressScope.PUBLIC:
        text = f"{place} would send pictures so that everybody on the way can see them; write it with https"
        yield "base_url", text
    elif not hosted.allow_private_http:
        text = (
            f"{place} would send pictures so that everybody in that network can see them; write it with https, or "
            "set allow_private_http = true if the network is your own"
        )
        yield "base_url", text


def _form_fields(hosted: HostedSettings) -> Iterator[tuple[str, str]]:
    """Fields of one's own are a rembg server's alone, and none may change what kind of picture comes back."""
    for key in ("model", "fields"):
        if getattr(hosted, key) and hosted.provider is not HostedProvider.REMBG:
            text = f'is for provider = "rembg" alone, and the provider is "{hosted.provider}"; leave it out'
            yield key, text
    for name, value in hosted.fields.items():
        if name in _REFUSED_FIELDS:
            yield "fields", f'"{name}" {_REFUSED_FIELDS[name]}'
        elif not _FIELD.fullmatch(name):
            text = (
                f'"{name}" is not a name of a form field; one is made of letters, digits and _, such as "a"'
            )
            yield "fields", text
        elif not _FIELD_TEXT.fullmatch(str(value)):
            text = f'the value of "{name}" is to be a line of at most 1000 printable ASCII characters'
            yield "fields", text


def _state_against(folder: Folder, state_dir: Path) -> Iterator[Problem]:
    for key, place in folder.places.items():
        relation = _relation(state_dir, place)
        if relation is not None and (relation is not Relation.INSIDE or key in ("input", "output")):
            text = f'{state_dir} {relation} the {key} of "{folder.name}" ({place}); choose a directory apart from it'
            yield Problem(table="[service]", key="state_dir", text=text)


def _relation(one: Path, other: Path) -> Relation | None:
    """Return the relation of one directory to another by their text; None if they do not overlap."""
    if one == other:
        return Relation.IS
    if one.is_relative_to(other):
        return Relation.INSIDE
    return Relation.CONTAINS if other.is_relative_to(one) else None


def _fold(text: str) -> str:
    return unicodedata.normalize("NFD", text).casefold()


def _background(one: RenditionSettings) -> Iterator[tuple[str, ProblemCode, str]]:
    is_clear = one.background.text == TRANSPARENT
    if one.channels is Channels.ALPHA:
        beside = 'has no place beside channels = "alpha", the matte alone; leave one of them out'
        if not is_clear:
            yield "background", ProblemCode.BACKGROUND_OF_MATTE, beside
        if one.shadow:
            yield "shadow", ProblemCode.SHADOW_OF_MATTE, beside
    elif one.format is Format.JPEG and is_clear:
        text = (
            'is "transparent", which JPEG cannot be; write a colour such as "white", or choose another format'
        )
        yield "background", ProblemCode.TRANSPARENT_JPEG, text


def _layout(one: RenditionSettings) -> Iterator[tuple[str, ProblemCode, str]]:
    is_scaled, is_placed = one.scale.text != AUTO, one.position.text != AUTO
    if one.margin != type(one).model_fields["margin"].default and not one.crop:
        yield (
            "margin",
            ProblemCode.MARGIN_WITHOUT_CROP,
            "is the room that crop leaves, and crop is false; write crop = true",
        )
    if one.crop and is_scaled:
        text = (
            "says how large the subject is on a canvas of its own, and crop makes one of the subject's size; "
            "keep one of them"
        )
        yield "scale", ProblemCode.SCALE_WITH_CROP, text
    elif is_placed and not (is_scaled or one.canvas.value):
        yield (
            "position",
            ProblemCode.POSITION_WITHOUT_CANVAS,
            'moves the subject on a canvas, or after scale; write canvas = "2000x2000" or the like',
        )
    elif one.position.text == ORIGINAL and not is_scaled:
        yield (
            "position",
            ProblemCode.POSITION_WITHOUT_SCALE,
            'is "original", which only a subject with a scale has; write "center" or two shares',
        )


def _encoding(one: RenditionSettings) -> Iterator[tuple[str, ProblemCode, str]]:
    """Check bits per channel and lossy quality."""
    kind = one.format.value
    if one.bits == 16:  # noqa: PLR2004 -- the other is 8
        if one.format not in _LOSSLESS:
            yield (
                "bits",
                ProblemCode.BITS_OF_FORMAT,
                f"is 16, and {kind} has 8 here; leave it out, or choose png or tiff",
            )
        if one.profile is Profile.SRGB:
            text = 'is "srgb", and colours are converted in 8 bits; write "keep", or leave bits = 16 out'
            yield "profile", ProblemCode.PROFILE_OF_16_BITS, text
    if one.quality is not None:
        if one.max_kb is not None and one.min_quality > one.quality:
            yield (
                "min_quality",
                ProblemCode.MIN_ABOVE_QUALITY,
                f"is above quality = {one.quality}; make it smaller, or leave it out",
            )
        if one.format in _LOSSLESS:
            yield (
                "quality",
                ProblemCode.QUALITY_OF_LOSSLESS,
                f"is of no use: {kind} loses nothing; leave it out, or choose another format",
            )


def _canvas(one: RenditionSettings, max_pixels: int | None) -> Iterator[tuple[str, ProblemCode, str]]:
    if one.min_px is not None and one.max_px is not None and one.min_px > one.max_px:
        yield "min_px", ProblemCode.MIN_ABOVE_MAX_PX, f"is above max_px = {one.max_px}; make it smaller"
    if one.canvas.value is None:
        return
    canvas = one.canvas_px
    if canvas is None:
        text = "is a size on paper, and how many pixels that is, dpi says; write dpi = 300 or the like"
        yield "canvas", ProblemCode.CANVAS_WITHOUT_DPI, text
        return
    side, pixels, kind = max(canvas), canvas[0] * canvas[1], one.format.value
    if one.max_px is not None and side > one.max_px:
        yield (
            "canvas",
            ProblemCode.CANVAS_ABOVE_MAX_PX,
            f"is larger than max_px = {one.max_px}; make it smaller, or leave one of them out",
        )
    if one.min_px is not None and side < one.min_px:
        yield (
            "canvas",
            ProblemCode.CANVAS_BELOW_MIN_PX,
            f"is smaller than min_px = {one.min_px}; make it larger, or leave one of them out",
        )
    if max_pixels is not None and pixels > max_pixels:
        text = f"has more pixels than [pool] max_pixels = {max_pixels:_} allows; make it smaller, or raise the limit"
        yield "canvas", ProblemCode.CANVAS_ABOVE_LIMIT, text
    elif one.format.max_pixels is not None and pixels > one.format.max_pixels:
        yield (
            "canvas",
            ProblemCode.CANVAS_OF_FORMAT,
            f"is too large: {kind} is made up to {one.format.max_pixels:_} pixels; make it smaller",
        )
    elif side > one.format.max_side:
        yield (
            "canvas",
            ProblemCode.CANVAS_OF_FORMAT,
            f"is too large: {kind} holds {one.format.max_side:_} pixels a side; make it smaller",
        )
