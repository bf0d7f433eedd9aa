"""Read and write IPTC-IIM metadata.

This module must not decide what is kept.

IPTC-NAA Information Interchange Model 4.2; Photoshop File Formats Specification, "Image resource blocks"; which XMP
property each dataset stands for: IPTC Photo Metadata Standard 2023, part II.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CREATOR: Final = (2, 80)
COPYRIGHT: Final = (2, 116)
RIGHTS: Final = {
    COPYRIGHT: "rights",
    CREATOR: "creator",
    (2, 85): "creator's title",
    (2, 110): "credit",
    (2, 115): "source",
    (2, 118): "contact",
    (2, 40): "instructions",
    (2, 55): "date created",
    (2, 60): "time created",
}
"""Datasets about whose a picture is, what may be done with it, and its date."""

_NAMES: Final = {
    (2, 5): "title",
    (2, 25): "keywords",
    (2, 26): "location code",
    (2, 27): "location name",
    (2, 90): "city",
    (2, 92): "sublocation",
    (2, 95): "state",
    (2, 100): "country code",
    (2, 101): "country",
    (2, 105): "headline",
    (2, 120): "caption",
}
_STRUCTURE: Final = frozenset({(1, 0), (1, 90), (2, 0)})  # versions, and the set of characters

_TAG: Final = 0x1C
_LONGEST: Final = 0x7FFF  # beyond it the length has a length of its own, which no property here needs
_UTF8: Final = b"\x1b%G"
_RESOURCE: Final = b"8BIM"
IIM_RESOURCE: Final = 0x0404
_PHOTOSHOP: Final = b"Photoshop 3.0\x00"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """One IIM dataset.

    Attributes:
        key: record and number.
        value: raw bytes.
    """

    key: tuple[int, int]
    value: bytes


def datasets(data: bytes) -> list[Dataset]:
    """Return all datasets up to the first damaged one.

    Args:
        data: IIM, without its container.
    """
    found, at = [], 0
    while at + 5 <= len(data) and data[at] == _TAG:
        (size,) = struct.unpack_from(">H", data, at + 3)
        if size > _LONGEST or at + 5 + size > len(data):
            break
        found.append(Dataset(key=(data[at + 1], data[at + 2]), value=data[at + 5 : at + 5 + size]))
        at += 5 + size
    return found


def written(values: Iterable[Dataset]) -> bytes:
    """Encode datasets, in the order of records."""
    return b"".join(
        struct.pack(">BBBH", _TAG, *one.key, len(one.value)) + one.value
        for one in sorted(values, key=lambda one: one.key)
    )


def rights_of(data: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the datasets about rights, and the names of the others.

    Returns:
        None where no dataset is about rights.
    """
    values = datasets(data)
    left = [one for one in values if one.key in RIGHTS]
    gone = [one.key for one in values if one.key not in RIGHTS and one.key not in _STRUCTURE]
    names = dict.fromkeys(_NAMES.get(key, f"{key[0]}:{key[1]:02}") for key in gone)
    frame = [one for one in values if one.key in _STRUCTURE]
    return written([*frame, *left]) if left else None, tuple(names)


def texts(data: bytes) -> Iterator[tuple[tuple[int, int], str]]:
    """Return the values about rights, as text."""
    values = datasets(data)
    is_utf8 = any(one.key == (1, 90) and one.value == _UTF8 for one in values)
    for one in values:
        if one.key in RIGHTS and (text := _text(one.value, is_utf8=is_utf8)):
            yield one.key, text


def in_resources(data: bytes) -> bytes | None:
    """Return the IIM inside Photoshop's resource blocks; None where there is none."""
    at = data.find(_RESOURCE)
    while at >= 0 and data[at : at + 4] == _RESOURCE and at + 12 <= len(data):
        (kind,) = struct.unpack_from(">H", data, at + 4)
        name = 1 + data[at + 6]
        start = at + 6 + name + name % 2
        if start + 4 > len(data):
            break
        (size,) = struct.unpack_from(">I", data, start)
        content = data[start + 4 : start + 4 + size]
        if kind == IIM_RESOURCE:
            return content
        at = start + 4 + size + size % 2
    return None


def segment(data: bytes) -> bytes:
    """Return the whole APP13 segment of a JPEG with this IIM; empty where the IIM does not fit into one segment."""
    resource = _RESOURCE + struct.pack(">HHI", IIM_RESOURCE, 0, len(data)) + data + bytes(len(data) % 2)
    content = _PHOTOSHOP + resource
    return b"" if len(content) + 2 > 0xFFFF else struct.pack(">HH", 0xFFED, len(content) + 2) + content  # noqa: PLR2004 -- of 16 bits


def _text(value: bytes, *, is_utf8: bool) -> str:
    """Decode a value: writers that declare no character set use UTF-8 or Latin-1."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("utf-8" if is_utf8 else "latin-1", "replace")
    return text.strip("\x00 \r\n\t")
