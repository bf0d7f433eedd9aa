"""Whether a file is a picture, by its first bytes; the name only says what it was meant to be.

It must not decode anything: it looks at magic numbers, in a process that sees all folders.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from cutoutd import file_hints

HEAD_BYTES: Final = 64
"""How much of a file's start is looked at: an ISO media file lists its brands there."""

# Of what can be cut, and of what a photographer would expect to be: rarer raw files, JPEG XL.
PICTURE_EXTENSIONS: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "jpg jpeg jpe jfif png apng tif tiff webp bmp dib gif avif avifs heic heif heics heifs hif "
        "jp2 j2k j2c jpc jpf jpx jxl "
        "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
    ).split()
)

# https://en.wikipedia.org/wiki/List_of_file_signatures, checked against files of each kind. Two bytes are no
# evidence of a BMP: its reserved zeros and the size of its second header are asked for as well.
_MAGIC: Final = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("CR2", re.compile(rb"II\x2a\x00....CR", re.DOTALL)),
    ("TIFF", re.compile(rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]")),
    ("RAF", re.compile(rb"FUJIFILMCCD-RAW ")),
    ("ORF", re.compile(rb"IIR[OS]|MMOR")),
    ("RW2", re.compile(rb"IIU\x00")),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM.{4}\x00{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3}", re.DOTALL)),
    ("JPEG 2000", re.compile(rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
)
_BRANDS: Final = (
    ("AVIF", frozenset({b"avif", b"avis"})),
    ("HEIC", frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"})),
    ("HEIC", frozenset({b"mif1", b"msf1"})),
    ("CR3", frozenset({b"crx "})),
)


class Kind(Enum):
    """What a file is to us."""

    PICTURE = auto()  # begins like a picture
    NAMED_LIKE_ONE = (
        auto()
    )  # does not, but is called one, or is a designer's: its owner should be told why it is not cut
    OTHER = auto()  # is none and does not claim to be: left alone


def kind(first_bytes: bytes, name: str) -> Kind:
    """What a file is to us.

    Args:
        first_bytes: the first ``HEAD_BYTES`` of the file, or all there are.
        name: its name or path, for the extension.
    """
    if picture_format(first_bytes) is not None:
        return Kind.PICTURE
    is_expected = has_picture_extension(name) or file_hints.is_document(first_bytes, name)
    return Kind.NAMED_LIKE_ONE if is_expected else Kind.OTHER


def has_picture_extension(name: str) -> bool:
    """Whether a name or path ends like a picture's. What does not may be cut, but is never moved or deleted after."""
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    return bool(stem and dot) and extension.lower() in PICTURE_EXTENSIONS


def picture_format(first_bytes: bytes) -> str | None:
    """The format a file begins like, or None; the raw files of many cameras begin like a TIFF, and are one here.

    Args:
        first_bytes: the first ``HEAD_BYTES`` of the file, or all there are.
    """
    for name, magic in _MAGIC:
        if magic.match(first_bytes):
            return name
    return _iso_media_format(first_bytes)


def _iso_media_format(first_bytes: bytes) -> str | None:
    """AVIF, HEIC and CR3 by their file type box (ISO/IEC 14496-12, 4.3); films have one as well."""
    if first_bytes[4:8] != b"ftyp":
        return None
    box = first_bytes[: int.from_bytes(first_bytes[:4], "big")]
    brands = {box[8:12], *(box[at : at + 4] for at in range(16, len(box), 4))}
    return next((name for name, known in _BRANDS if brands & known), None)
