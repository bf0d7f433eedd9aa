"""Which metadata a cutout keeps: a policy over EXIF, IPTC and XMP.

By default the place goes and the rights stay: who made the picture, what may be done with it, and its date, in whichever of the
three it was said; it is said in EXIF and XMP of every format then. Whatever the policy, nothing is kept that would
contradict the cutout: pixels are upright already, and a thumbnail would show what was cut away. This module must not fail a
job: metadata that makes no sense is dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.engine.containers import exif as exif_block
from cutoutd.engine.containers import iptc as iim
from cutoutd.engine.containers import xmp as xmp_packet
from cutoutd.engine.containers.exif import EMPTY, ExifBlock, IfdEntry, edited
from cutoutd.engine.containers.exif_places import remove_places
from cutoutd.engine.containers.tiff_structure import MalformedError
from cutoutd.recipe import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_ASCII, _UNDEFINED = 2, 7
_MOST_NAMES: Final = 40  # of what was dropped: a sidecar is not a copy of it

# Dataset of IPTC, and the XMP property of the same meaning (IPTC Photo Metadata Standard).
_TEXTS: Final = {
    (2, 110): "photoshop:Credit",
    (2, 115): "photoshop:Source",
    (2, 85): "photoshop:AuthorsPosition",
    (2, 40): "photoshop:Instructions",
}
_DATE, _TIME, _CONTACT = (2, 55), (2, 60), (2, 118)
_DAY: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_CLOCK: Final = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})(?:([+-][0-9]{2})([0-9]{2}))?")
_DERIVED: Final = "xmpMM:DerivedFrom"

_XMP_ORIENTATION: Final = re.compile(
    rb"""(tiff:Orientation\s*=\s*["']\s*|<tiff:Orientation>\s*)[0-9]+""", re.IGNORECASE
)
_XMP_THUMBNAILS: Final = (
    (b"<xmp:Thumbnails", b"</xmp:Thumbnails>"),
    (b"<xap:Thumbnails", b"</xap:Thumbnails>"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptMetadata:
    """What is left of a picture's metadata.

    Attributes:
        exif: TIFF structure without the six-byte ``Exif`` prefix, or None.
        xmp: UTF-8 packet, or None.
        iptc: IIM, or None.
        warnings: messages for the user about metadata that the policy keeps and that had to be dropped.
        dropped: names of what was dropped by the policy.
    """

    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None = None
    warnings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def apply_policy(
    exif: bytes | None,
    xmp: bytes | None,
    policy: Metadata,
    iptc: bytes | None = None,
    *,
    derived_from: str = "",
) -> KeptMetadata:
    """Return the metadata that a cutout keeps of its source.

    Args:
        exif: with or without the six-byte ``Exif`` prefix; it may be malformed.
        xmp: UTF-8 packet.
        policy: ``keep``; ``no-location`` (EXIF without position, texts and maker notes; what IPTC and XMP say of rights); or ``none``.
        iptc: IIM.
        derived_from: SHA-256 of the source, which the cutout is to name; empty: it names none.
    """
    if policy is Metadata.NONE:
        named = [name for name, found in (("EXIF", exif), ("XMP", xmp), ("IPTC", iptc)) if found]
        packet = xmp_packet.packet([_derived(derived_from)]) if derived_from else None
        return KeptMetadata(exif=None, xmp=packet, dropped=tuple(named))
    is_all = policy is Metadata.KEEP
    block, warnings, dropped = _block(exif, located=is_all)
    if iptc and not is_all:
        iptc, gone = iim.rights_of(iptc)
        dropped += [f"IPTC: {name}" for name in gone]
    packet, names = _packet(xmp, block, iptc, is_all=is_all, derived_from=derived_from)
    dropped += [f"XMP: {name}" for name in names]
    _add_rights(block, packet, iptc)
    return KeptMetadata(
        exif=None if block.is_empty else bytes(block),
        xmp=packet,
        iptc=iptc,
        warnings=tuple(warnings),
        dropped=tuple(dict.fromkeys(dropped))[:_MOST_NAMES],
    )


def with_iptc(exif: bytes | None, iptc: bytes) -> bytes:
    """Return EXIF with IIM embedded as in TIFF, for formats that have no other place for IIM.

    Args:
        exif: of a result; None: there is none.
        iptc: IIM.
    """
    field = IfdEntry(tag=exif_block.IPTC, kind=_UNDEFINED, count=len(iptc), value=iptc)
    return edited(exif or EMPTY, lambda block: block.put(field))


def _block(exif: bytes | None, *, located: bool) -> tuple[ExifBlock, list[str], list[str]]:
    """Return the kept EXIF, a warning where it is damaged, and the names of dropped entries."""
    if not exif:
        return ExifBlock.empty(), [], []
    try:
        block, dropped = _exif_without_contradictions(exif, located=located)
    except MalformedError as error:
        return ExifBlock.empty(), [f"the EXIF data is damaged ({error}) and was dropped"], []
    return block, [], dropped


def resized(exif: bytes, width: int, height: int) -> bytes:
    """Return EXIF with the size of the result, where it states a size.

    Args:
        exif: as `apply_policy` returned it.
        width: of the result, pixels.
        height: of the result, pixels.
    """
    return edited(exif, lambda block: block.set_size(width, height))


def coloured(exif: bytes, *, is_srgb: bool) -> bytes:
    """Return EXIF with the colour space of the result, where it states a colour space.

    Args:
        exif: as `apply_policy` returned it.
        is_srgb: the result is sRGB; else it carries a profile.
    """

    def change(block: ExifBlock) -> None:
        if is_srgb:
            block.set_colour_space(exif_block.SRGB)
        elif block.colour_space == exif_block.SRGB:
            block.set_colour_space(exif_block.UNCALIBRATED)

    return edited(exif, change)


def orientation(exif: bytes | None) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or the block is malformed."""
    if not exif:
        return 1
    try:
        return ExifBlock(exif).orientation
    except MalformedError:
        return 1


def _exif_without_contradictions(exif: bytes, *, located: bool) -> tuple[ExifBlock, list[str]]:
    block = ExifBlock(exif)
    block.remove_thumbnail()
    for tag in (exif_block.PHOTOSHOP, exif_block.XMP, exif_block.IPTC):  # these are kept apart from it
        block.remove(block.root, tag)
    block.set_upright()
    dropped: list[str] = []
    if not located:
        dropped = [f"EXIF: {name}" for name in remove_places(block)]
    bytes(block)  # so that what is malformed is found here
    return block, dropped


def _packet(
    xmp: bytes | None, block: ExifBlock, iptc: bytes | None, *, is_all: bool, derived_from: str
) -> tuple[bytes | None, list[str]]:
    """Return the XMP of a cutout, and the names of dropped properties."""
    dropped: list[str] = []
    found = xmp_packet.properties(_xmp_without_contradictions(xmp)) if xmp else []
    if found is None:
        if is_all and not derived_from:
            return _xmp_without_contradictions(xmp or b""), []  # whoever can read it may
        found, dropped = [], ["all, as it is damaged"]
    left = []
    for one in found:
        if is_all or xmp_packet.is_about_rights(one):
            if not is_all:
                xmp_packet.keep_own_fields(one)
            left.append(one)
        else:
            dropped.append(xmp_packet.name_of(one))
    added = list(_missing(left, block, iptc))
    if derived_from:
        left = [one for one in left if xmp_packet.name_of(one) != _DERIVED]
        added.append(_derived(derived_from))
    if is_all and xmp and not added:
        return _xmp_without_contradictions(xmp), dropped
    return xmp_packet.packet([*left, *added]) if left or added else None, dropped


def _missing(left: list[Element], block: ExifBlock, iptc: bytes | None) -> Iterator[Element]:
    """Return the rights properties that IPTC or EXIF has and XMP lacks."""
    there = {xmp_packet.name_of(one) for one in left}
    said = list(iim.texts(iptc)) if iptc else []
    by_key = dict(reversed(said))  # the first of each
    creators = [text for key, text in said if key == iim.CREATOR] or _texts(block, exif_block.ARTIST)
    rights = [by_key[iim.COPYRIGHT]] if iim.COPYRIGHT in by_key else _texts(block, exif_block.COPYRIGHT)
    if creators and "dc:creator" not in there:
        yield xmp_packet.listed("dc:creator", creators, "Seq")
    if rights and "dc:rights" not in there:
        yield xmp_packet.listed("dc:rights", rights[:1], "Alt")
    for key, name in _TEXTS.items():
        if key in by_key and name not in there:
            yield xmp_packet.simple(name, by_key[key])
    if "photoshop:DateCreated" not in there and (date := _date(by_key.get(_DATE, ""), by_key.get(_TIME, ""))):
        yield xmp_packet.simple("photoshop:DateCreated", date)
    contact = "Iptc4xmpCore:CreatorContactInfo"
    if _CONTACT in by_key and contact not in there:
        yield xmp_packet.structure(contact, {"Iptc4xmpCore:CiAdrExtadr": by_key[_CONTACT]})


def _add_rights(block: ExifBlock, packet: bytes | None, iptc: bytes | None) -> None:
    """Add creator and copyright to EXIF, where only IPTC or XMP has them."""
    said = {xmp_packet.name_of(one): one for one in (xmp_packet.properties(packet) or [] if packet else [])}
    by_key = dict(reversed(list(iim.texts(iptc)))) if iptc else {}
    for tag, name, key in (
        (exif_block.ARTIST, "dc:creator", iim.CREATOR),
        (exif_block.COPYRIGHT, "dc:rights", iim.COPYRIGHT),
    ):
        text = by_key.get(key, "") or (xmp_packet.all_text(said[name]) if name in said else "")
        if text and not _texts(block, tag):
            value = (
                text.encode() + b"\x00"
            )  # cameras and editors write UTF-8 here, whatever the standard says
            block.put(IfdEntry(tag=tag, kind=_ASCII, count=len(value), value=value))


def _texts(block: ExifBlock, tag: int) -> list[str]:
    try:
        found = (block.value(tag) or b"").strip(b"\x00 ")
    except MalformedError:
        return []
    try:
        text = found.decode("utf-8")
    except UnicodeDecodeError:
        text = found.decode("latin-1")
    text = "".join(letter for letter in text.replace("\x00", "; ") if letter.isprintable())
    return [text] if text else []


def _date(day: str, clock: str) -> str:
    """Return a date in the form of XMP; empty where there is none."""
    found = _DAY.fullmatch(day)
    if found is None:
        return ""
    time = _CLOCK.fullmatch(clock)
    date = "-".join(found.groups())
    if time is None:
        return date
    hours, minutes, seconds, zone, rest = time.groups()
    return f"{date}T{hours}:{minutes}:{seconds}" + (f"{zone}:{rest}" if zone else "")


def _derived(sha256: str) -> Element:
    return xmp_packet.structure(_DERIVED, {"stRef:documentID": f"sha256:{sha256}"})


def _xmp_without_contradictions(xmp: bytes) -> bytes:
    for begin, end in _XMP_THUMBNAILS:
        xmp = _without(xmp, begin, end)
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def _without(text: bytes, begin: bytes, end: bytes) -> bytes:
    """Remove the text between two marks, in one pass: a regular expression takes quadratic time."""
    parts = []
    at = 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start)) >= 0:
        parts.append(text[at:start])
        at = stop + len(end)
    return b"".join((*parts, text[at:]))
