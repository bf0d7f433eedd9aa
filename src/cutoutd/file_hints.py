"""What a file that is no picture of an allowed format seems to be, so that its owner need not guess.

By the first bytes only; this module must not open or parse anything.
"""

from __future__ import annotations

import re
from typing import Final

HEAD_BYTES: Final = 256
"""How much of a file's start is looked at."""

TEXT: Final = "a text file"

# https://en.wikipedia.org/wiki/List_of_file_signatures; what people put into a folder of pictures besides.
_KNOWN: Final = (
    (re.compile(rb"FOVb"), "a camera's raw file (X3F)"),
    (re.compile(rb"\x00MRM"), "a camera's raw file (MRW)"),
    (re.compile(rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3", re.DOTALL), "a film"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "a JPEG XL picture"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript or EPS file"),
    (re.compile(rb"8BP[SB]"), "a Photoshop document"),
    (re.compile(rb"SIMPLE  ="), "a FITS file"),
    (re.compile(rb"gimp xcf"), "a GIMP document"),
    (re.compile(rb"\x76\x2f\x31\x01"), "an OpenEXR picture"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg|<svg)", re.DOTALL), "an SVG drawing"),
    (re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE), "a web page"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive or an office document"),
    (re.compile(rb"\x00\x00[\x01\x02]\x00"), "an icon"),
    (re.compile(rb"P[1-7]\s"), "a PNM picture"),
    (re.compile(rb"qoif"), "a QOI picture"),
    (re.compile(rb"DDS "), "a DDS texture"),
    (re.compile(rb"\x7fELF|MZ"), "a program"),
    (re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{4,}\Z"), TEXT),
)

_DOCUMENT: Final = re.compile(rb"8BP[SB]|%PDF|%!PS|\xc5\xd0\xd3\xc6|gimp xcf|\x76\x2f\x31\x01")
_DOCUMENTS: Final = frozenset(
    {"psd", "psb", "pdf", "eps", "ai", "svg", "svgz", "xcf", "indd", "afphoto", "afdesign", "exr"}
)


def is_document(head: bytes, name: str) -> bool:
    """Whether a file is a designer's work, by its first bytes or its name, of which a cutout may be expected.

    Args:
        head: the first bytes of the file, or all there are.
        name: its name or path.
    """
    _, dot, extension = name.rpartition("/")[2].rpartition(".")
    return _DOCUMENT.match(head) is not None or bool(dot and extension.lower() in _DOCUMENTS)


def seems_to_be(head: bytes) -> str | None:
    """What the file is, with its article, such as ``a PDF document``; None where the bytes say nothing.

    Args:
        head: the first ``HEAD_BYTES`` of the file, or all there are.
    """
    return next((name for magic, name in _KNOWN if magic.match(head)), None)
