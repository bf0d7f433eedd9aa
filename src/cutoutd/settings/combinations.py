"""Which keys of a rendition go together, and which renditions of a folder.

It must not look at files: `check` and the start of the daemon see whether a background picture is there.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from cutoutd.recipe import Channels, Format, Profile
from cutoutd.settings import measures
from cutoutd.settings.messages import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.settings.renditions import RenditionSettings
    from cutoutd.settings.schema import Folder

_LOSSLESS = frozenset({Format.PNG, Format.TIFF})


def problems(folders: Mapping[int, Folder], max_pixels: int | None) -> Iterator[Problem]:
    """All of it.

    Args:
        folders: by their number in the file; those that are right in themselves.
        max_pixels: of a picture; None if that is wrong.
    """
    for folder in folders.values():
        names: dict[tuple[str, str, str], int] = {}
        for number, one in enumerate(folder.rendition, 1):
            table = f'[[folder.rendition]] number {number} of "{folder.name}"'
            for key, text in (*_of_one(one), *_size(one, max_pixels)):
                yield Problem(table=table, key=key, text=text)
            # Some file systems do not tell "-A" from "-a", nor an accent from a letter that has it.
            name = one.format.value, _folded(one.directory), _folded(one.suffix)
            if name in names:
                text = f'gives the same file name as number {names[name]}; write another one, such as "-{number}"'
                yield Problem(table=table, key="suffix", text=text)
            names.setdefault(name, number)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFD", text).casefold()


def _of_one(one: RenditionSettings) -> Iterator[tuple[str, str]]:
    yield from _colours(one)
    yield from _places(one)
    yield from _depth(one)
    yield from _limits(one)
    if one.quality is not None and one.format in _LOSSLESS:
        yield (
            "quality",
            f"is of no use: {one.format.value} loses nothing; leave it out, or choose another format",
        )


def _limits(one: RenditionSettings) -> Iterator[tuple[str, str]]:
    if one.max_kb is not None and one.quality is not None and one.min_quality > one.quality:
        yield "min_quality", f"is above quality = {one.quality}; make it smaller, or leave it out"
    if one.min_px is not None and one.max_px is not None and one.min_px > one.max_px:
        yield "min_px", f"is above max_px = {one.max_px}; make it smaller"
    try:
        canvas = measures.canvas(one.canvas, one.dpi)
    except ValueError:  # `_size` says what is missing
        return
    if canvas is not None and one.max_px is not None and max(canvas) > one.max_px:
        yield "canvas", f"is larger than max_px = {one.max_px}; make it smaller, or leave one of them out"
    if canvas is not None and one.min_px is not None and max(canvas) < one.min_px:
        yield "canvas", f"is smaller than min_px = {one.min_px}; make it larger, or leave one of them out"


def _depth(one: RenditionSettings) -> Iterator[tuple[str, str]]:
    if one.bits == 8:  # noqa: PLR2004 -- the other is 16
        return
    if one.format not in _LOSSLESS:
        yield "bits", f"is 16, and {one.format.value} has 8 here; leave it out, or choose png or tiff"
    if one.profile is Profile.SRGB:
        yield (
            "profile",
            'is "srgb", and colours are converted in 8 bits; write "keep", or leave bits = 16 out',
        )


def _colours(one: RenditionSettings) -> Iterator[tuple[str, str]]:
    is_clear = one.background == measures.TRANSPARENT
    if one.channels is Channels.ALPHA:
        if not is_clear:
            yield (
                "background",
                'has no place beside channels = "alpha", the matte alone; leave one of them out',
            )
        if one.shadow:
            yield "shadow", 'has no place beside channels = "alpha", the matte alone; leave one of them out'
    elif one.format is Format.JPEG and is_clear:
        yield (
            "background",
            'is "transparent", which JPEG cannot be; write a colour such as "white", or choose another format',
        )


def _places(one: RenditionSettings) -> Iterator[tuple[str, str]]:
    is_scaled, is_placed = one.scale != measures.AUTO, one.position != measures.AUTO
    if one.margin != type(one).model_fields["margin"].default and not one.crop:
        yield "margin", "is the room that crop leaves, and crop is false; write crop = true"
    if one.crop and is_scaled:
        yield (
            "scale",
            "says how large the subject is on a canvas of its own, and crop makes one of the subject's size; keep one of them",
        )
    elif is_placed and not (is_scaled or one.canvas):
        yield (
            "position",
            'moves the subject on a canvas, or after scale; write canvas = "2000x2000" or the like',
        )
    elif one.position == measures.ORIGINAL and not is_scaled:
        yield "position", 'is "original", which only a subject with a scale has; write "center" or two shares'


def _size(one: RenditionSettings, max_pixels: int | None) -> Iterator[tuple[str, str]]:
    try:
        canvas = measures.canvas(one.canvas, one.dpi)
    except ValueError:  # it is well written, so only this is missing
        yield "canvas", measures.NEEDS_DPI
        return
    if canvas is None:
        return
    if max_pixels is not None and canvas[0] * canvas[1] > max_pixels:
        yield (
            "canvas",
            f"has more pixels than [pool] max_pixels = {max_pixels:_} allows; make it smaller, or raise the limit",
        )
    elif one.format.max_pixels is not None and canvas[0] * canvas[1] > one.format.max_pixels:
        yield (
            "canvas",
            f"is too large: {one.format.value} is made up to {one.format.max_pixels:_} pixels; make it smaller",
        )
    elif max(canvas) > one.format.max_side:
        yield (
            "canvas",
            f"is too large: {one.format.value} holds {one.format.max_side:_} pixels a side; make it smaller",
        )
