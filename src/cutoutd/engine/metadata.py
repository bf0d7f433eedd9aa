"""Which metadata a cutout keeps: a policy over EXIF and XMP.

Whatever the policy, nothing is kept that would contradict the cutout: pixels are upright already, and a
thumbnail would show what was cut away. This module must not fail a job: metadata that makes no sense is dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cutoutd.engine import exif as exif_block
from cutoutd.engine.exif import ExifBlock, MalformedError
from cutoutd.jobs import Metadata

# Opaque or textual, so each of them may repeat the position: cameras note places in their maker notes.
_MAY_TELL_THE_PLACE: Final = (exif_block.XMP, exif_block.IPTC)

_XMP_ORIENTATION: Final = re.compile(
    rb"""(tiff:Orientation\s*=\s*["']\s*|<tiff:Orientation>\s*)[0-9]+""", re.IGNORECASE
)
_XMP_THUMBNAILS: Final = (
    (b"<xmp:Thumbnails", b"</xmp:Thumbnails>"),
    (b"<xap:Thumbnails", b"</xap:Thumbnails>"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is left of a picture's metadata.

    Attributes:
        exif: TIFF structure without the six-byte ``Exif`` prefix, or None.
        xmp: UTF-8 packet, or None.
        warnings: what was dropped against the policy, in words for the user.
    """

    exif: bytes | None
    xmp: bytes | None
    warnings: tuple[str, ...] = ()


def kept(exif: bytes | None, xmp: bytes | None, policy: Metadata) -> Kept:
    """What a cutout keeps of its source's metadata.

    Args:
        exif: with or without the six-byte ``Exif`` prefix; it may be malformed.
        xmp: UTF-8 packet.
        policy: ``keep``; ``no-location`` (EXIF without GPS and maker notes, no XMP); or ``none``.
    """
    if policy is Metadata.NONE:
        return Kept(exif=None, xmp=None)
    left_xmp = _xmp_without_contradictions(xmp) if xmp and policy is Metadata.KEEP else None
    if not exif:
        return Kept(exif=None, xmp=left_xmp)
    try:
        left_exif = _exif_without_contradictions(exif, located=policy is Metadata.KEEP)
    except MalformedError as error:
        return Kept(
            exif=None, xmp=left_xmp, warnings=(f"the EXIF data is damaged ({error}) and was dropped",)
        )
    return Kept(exif=left_exif, xmp=left_xmp)


def resized(exif: bytes, width: int, height: int) -> bytes:
    """EXIF of a result that is not as large as its source: where it tells a size, it tells the result's.

    Args:
        exif: as `kept` gave it.
        width: of the result, pixels.
        height: of the result, pixels.
    """
    try:
        block = ExifBlock(exif)
        block.set_size(width, height)
        return bytes(block)
    except MalformedError:
        return exif


def coloured(exif: bytes, *, is_srgb: bool) -> bytes:
    """EXIF of a result: where it tells a colour space, it tells the result's.

    Args:
        exif: as `kept` gave it.
        is_srgb: the result's colours are sRGB; else a profile goes along with them.
    """
    try:
        block = ExifBlock(exif)
        if is_srgb:
            block.set_colour_space(exif_block.SRGB)
        elif block.colour_space == exif_block.SRGB:
            block.set_colour_space(exif_block.UNCALIBRATED)
        return bytes(block)
    except MalformedError:
        return exif


def orientation(exif: bytes | None) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the block is malformed."""
    if not exif:
        return 1
    try:
        return ExifBlock(exif).orientation
    except MalformedError:
        return 1


def _exif_without_contradictions(exif: bytes, *, located: bool) -> bytes:
    block = ExifBlock(exif)
    block.remove_thumbnail()
    block.remove(block.root, exif_block.PHOTOSHOP)
    block.set_upright()
    if not located:
        for tag in _MAY_TELL_THE_PLACE:
            block.remove(block.root, tag)
        block.remove_directory(block.root, exif_block.GPS_IFD)
        camera = block.directory(exif_block.EXIF_IFD)
        if camera is not None:
            block.remove_directory(camera, exif_block.GPS_IFD)
            block.remove(camera, exif_block.MAKER_NOTE)
    return bytes(block)


def _xmp_without_contradictions(xmp: bytes) -> bytes:
    for begin, end in _XMP_THUMBNAILS:
        xmp = _without(xmp, begin, end)
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def _without(text: bytes, begin: bytes, end: bytes) -> bytes:
    """A text without what stands between two marks; one pass, where an expression takes the square of the length."""
    parts = []
    at = 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start)) >= 0:
        parts.append(text[at:start])
        at = stop + len(end)
    return b"".join((*parts, text[at:]))
