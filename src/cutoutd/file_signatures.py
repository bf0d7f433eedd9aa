"""The kind of a file by its first bytes: a picture that can be cut, another known format, or unknown.

The one table of signatures, for the processes that see all folders and for the decoders. A name only says what a file was meant
to be. This module must not open, parse or decode anything.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

HEAD_BYTES: Final = 256
"""Number of first bytes to read: an ISO media file lists its brands there, and an SVG may begin with a comment."""

DECIDED_BYTES: Final = 64
"""If this many bytes are not those of a picture, more bytes will not change that."""

JPEG: Final = "JPEG"
PNG: Final = "PNG"
TIFF: Final = "TIFF"
WEBP: Final = "WebP"
GIF: Final = "GIF"
BMP: Final = "BMP"
JPEG_2000: Final = "JPEG 2000"
AVIF: Final = "AVIF"
HEIC: Final = "HEIC"
TEXT: Final = "a text file"

# https://en.wikipedia.org/wiki/List_of_file_signatures, checked against files of each kind. Two bytes are no
# evidence of a BMP: the size of its second header must be one of those that exist.
_PICTURES: Final = (
    (JPEG, re.compile(rb"\xff\xd8\xff")),
    (PNG, re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("CR2", re.compile(rb"II\x2a\x00....CR", re.DOTALL)),
    (TIFF, re.compile(rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]")),
    ("RAF", re.compile(rb"FUJIFILMCCD-RAW ")),
    ("ORF", re.compile(rb"IIR[OS]|MMOR")),
    ("RW2", re.compile(rb"IIU\x00")),
    (WEBP, re.compile(rb"RIFF....WEBP", re.DOTALL)),
    (GIF, re.compile(rb"GIF8[79]a")),
    (BMP, re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00{3}", re.DOTALL)),
    (JPEG_2000, re.compile(rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
)
# Of an ISO media file (ISO/IEC 14496-12, 4.3): which of its brands make it which format; films have brands as well.
_BRANDS: Final = (
    (AVIF, frozenset({b"avif", b"avis"})),
    (
        HEIC,
        frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}),
    ),
    ("CR3", frozenset({b"crx "})),
)
_DOCUMENTS: Final = (
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript or EPS file"),
    (re.compile(rb"8BP[SB]"), "a Photoshop document"),
    (re.compile(rb"gimp xcf"), "a GIMP document"),
    (re.compile(rb"\x76\x2f\x31\x01"), "an OpenEXR picture"),
)
# Pictures that no decoder here reads. A Targa picture has no signature: that its header makes sense has to do.
_UNREAD_PICTURES: Final = (
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "a JPEG XL picture"),
    (re.compile(rb"SIMPLE  ="), "a FITS file"),
    (re.compile(rb"\x00\x00\x01\x00(?!\x00\x00)|icns"), "an icon"),
    (re.compile(rb"\x00\x00\x02\x00(?!\x00\x00)"), "a mouse pointer"),
    (re.compile(rb"P[1-7Ff]\s"), "a PNM picture"),
    (re.compile(rb"qoif"), "a QOI picture"),
    (re.compile(rb"DDS "), "a DDS texture"),
    (re.compile(rb"BLP[12]"), "a BLP texture"),
    (re.compile(rb"\x01\xda[\x00\x01][\x01\x02]"), "an SGI picture"),
    (re.compile(rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]|\xb1\x68\xde\x3a"), "a PCX picture"),
    (re.compile(rb"\x59\xa6\x6a\x95"), "a Sun raster picture"),
    (re.compile(rb".{4}[\x11\x12]\xaf.{6}[\x08\x00]\x00", re.DOTALL), "a FLI animation"),
    (re.compile(rb"/\* XPM"), "an XPM picture"),
    (re.compile(rb"\s*#define\s+\S+_width\s"), "an XBM picture"),
    (re.compile(rb"#\?(RADIANCE|RGBE)"), "a Radiance HDR picture"),
    (re.compile(rb"II\xbc"), "a JPEG XR picture"),
    (re.compile(rb"SDPX|XPDS|\x80\x2a\x5f\xd7"), "a DPX or Cineon picture"),
    (re.compile(rb"FORM....(ILBM|PBM )", re.DOTALL), "an IFF picture"),
    (re.compile(rb"\xd7\xcd\xc6\x9a|\x01\x00\x00\x00.{36} EMF", re.DOTALL), "a Windows metafile"),
    (
        re.compile(
            rb".(\x00[\x02\x03\x0a\x0b]\x00{5}|\x01[\x01\x09].{4}[\x0f\x10\x18\x20])"
            rb".{4}(?!\x00\x00)..(?!\x00\x00)..[\x08\x0f\x10\x18\x20][\x00-\x3f]",
            re.DOTALL,
        ),
        "a TGA picture",
    ),
)
# Other files that people put into a folder of pictures.
_OTHERS: Final = (
    (re.compile(rb"FOVb"), "a camera's raw file (X3F)"),
    (re.compile(rb"\x00MRM"), "a camera's raw file (MRW)"),
    (re.compile(rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3", re.DOTALL), "a film"),
    *_DOCUMENTS,
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg|<svg)", re.DOTALL), "an SVG drawing"),
    (re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE), "a web page"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive or an office document"),
    (re.compile(rb"\x7fELF|MZ"), "a program"),
    *_UNREAD_PICTURES,
    (re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{4,}\Z"), TEXT),
)
# What a file is by its name, if its first bytes do not tell.
_BY_EXTENSION: Final = {
    extension: name
    for extensions, name in (
        ("tga vda icb vst", "a TGA picture"),
        ("sgi", "an SGI picture"),
        ("pcx dcx", "a PCX picture"),
        ("ras", "a Sun raster picture"),
        ("ico icns", "an icon"),
        ("cur", "a mouse pointer"),
        ("xpm", "an XPM picture"),
        ("xbm", "an XBM picture"),
        ("fli flc", "a FLI animation"),
        ("blp", "a BLP texture"),
        ("pnm pbm pgm ppm pam pfm", "a PNM picture"),
        ("jxr wdp hdp", "a JPEG XR picture"),
        ("dpx cin", "a DPX or Cineon picture"),
        ("wmf emf", "a Windows metafile"),
        ("pcd", "a Photo CD picture"),
        ("pct pict", "a PICT picture"),
        ("djvu djv", "a DjVu picture"),
        ("fpx", "a FlashPix picture"),
    )
    for extension in extensions.split()
}
_UNREAD: Final = frozenset({name for _, name in _UNREAD_PICTURES} | set(_BY_EXTENSION.values()))

# Of pictures that can be cut, and of others that photographers call pictures: rarer raw files, JPEG XL.
PICTURE_EXTENSIONS: Final = frozenset(
    (  # noqa: SIM905 -- a list would have one name a line
        "jpg jpeg jpe jfif png apng tif tiff webp bmp dib gif avif avifs heic heif heics heifs hif "
        "jp2 j2k j2c jpc jpf jpx jxl "
        "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
    ).split()
)
_DOCUMENT_EXTENSIONS: Final = frozenset(
    {"psd", "psb", "pdf", "eps", "ai", "svg", "svgz", "xcf", "indd", "afphoto", "afdesign", "exr"}
)


class FileKind(Enum):
    """What a file is for cutoutd."""

    PICTURE = auto()  # begins like a picture
    NAMED_LIKE_ONE = (
        auto()
    )  # has a picture's extension, or is a document: the owner is told why it is not cut
    OTHER = auto()  # neither: ignored


def kind(head: bytes, name: str) -> FileKind:
    """Return what a file is for cutoutd.

    Args:
        head: the first `HEAD_BYTES` of the file, or all if it has fewer.
        name: name or path of the file, for the extension.
    """
    if picture_format(head) is not None:
        return FileKind.PICTURE
    is_document = any(magic.match(head) for magic, _ in _DOCUMENTS)
    is_expected = is_document or _extension(name) in PICTURE_EXTENSIONS | _DOCUMENT_EXTENSIONS
    return FileKind.NAMED_LIKE_ONE if is_expected else FileKind.OTHER


def has_picture_extension(name: str) -> bool:
    """Whether a name or path has a picture's extension. Other files may be cut, but are never moved or deleted afterwards."""
    return _extension(name) in PICTURE_EXTENSIONS


def picture_format(head: bytes) -> str | None:
    """Return the format by a file's first bytes; None: unknown. Raw files of many cameras begin like a TIFF, and count as such.

    Args:
        head: the first `HEAD_BYTES` of the file, or all if it has fewer.
    """
    known = next((name for name, magic in _PICTURES if magic.match(head)), None)
    if known is not None or head[4:8] != b"ftyp":
        return known
    box = head[: int.from_bytes(head[:4], "big")]
    brands = {box[8:12], *(box[at : at + 4] for at in range(16, len(box), 4))}
    return next((name for name, known in _BRANDS if brands & known), None)


def seems_to_be(head: bytes, name: str = "") -> str | None:
    """Return what a file is that is not a picture that can be cut, with its article, such as ``a PDF document``; None: unknown.

    Args:
        head: the first `HEAD_BYTES` of the file, or all if it has fewer.
        name: name or path of the file, whose extension counts where the bytes do not tell; empty: none.
    """
    by_bytes = next((known for magic, known in _OTHERS if magic.match(head)), None)
    return _BY_EXTENSION.get(_extension(name), by_bytes) if by_bytes in (None, TEXT) else by_bytes


def is_unread_picture(seems: str) -> bool:
    """Whether what a file seems to be is a picture, of a format that is not read."""
    return seems in _UNREAD


def _extension(name: str) -> str:
    """Return the extension in lower case; empty if there is none, as in a name that only begins with a dot."""
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    return extension.lower() if stem and dot else ""
