"""Recognising files by their first bytes."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from cutoutd.engine.formats.opening import recognise
from cutoutd.errors import LimitError, PictureError
from cutoutd.file_signatures import (
    HEAD_BYTES,
    TEXT,
    FileKind,
    has_picture_extension,
    is_unread_picture,
    kind,
    picture_format,
    seems_to_be,
)


def _picture(format_name: str) -> bytes:
    """Return the first bytes of a small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, format_name)
    return buffer.getvalue()[:HEAD_BYTES]


def _ftyp(*brands: bytes) -> bytes:
    """Return the first bytes of a file with these brands."""
    box = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return (len(box) + 4).to_bytes(4, "big") + box + b"\x00\x00\x00\x08moov"


@pytest.mark.parametrize(
    ("pillow_name", "expected"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("TIFF", "TIFF"),
        ("WEBP", "WebP"),
        ("BMP", "BMP"),
        ("GIF", "GIF"),
        ("AVIF", "AVIF"),
        ("JPEG2000", "JPEG 2000"),
    ],
)
def test_a_real_picture_is_known_whatever_its_name(pillow_name: str, expected: str) -> None:
    """A PNG that is called .jpg is a picture, and so is one without an extension."""
    head = _picture(pillow_name)
    assert picture_format(head) == recognise(head) == expected
    assert kind(head, "IMG_0001") is FileKind.PICTURE
    assert kind(head, "a/notes.txt") is FileKind.PICTURE


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"MM\x00\x2a" + bytes(60), "TIFF"),
        (b"II\x2b\x00" + bytes(60), "TIFF"),
        (_ftyp(b"heic", b"mif1"), "HEIC"),
        (_ftyp(b"mif1", b"miaf", b"avif"), "AVIF"),
        (_ftyp(b"mif1", b"miaf"), "HEIC"),
        (b"\xff\x4f\xff\x51" + bytes(60), "JPEG 2000"),
        (b"II\x2a\x00\x10\x00\x00\x00CR\x02\x00" + bytes(52), "CR2"),
        (_ftyp(b"crx ", b"isom"), "CR3"),
        (b"FUJIFILMCCD-RAW 0201FF383501", "RAF"),
        (b"IIRO\x08\x00\x00\x00" + bytes(56), "ORF"),
        (b"IIRS\x08\x00\x00\x00" + bytes(56), "ORF"),
        (b"MMOR\x00\x00\x00\x08" + bytes(56), "ORF"),
        (b"IIU\x00\x18\x00\x00\x00" + bytes(56), "RW2"),
    ],
)
def test_rarer_signatures_are_known(head: bytes, expected: str) -> None:
    """Big-endian and big TIFF, HEIC by any of its brands, JPEG 2000 code streams, raw files; decoders say the same."""
    assert picture_format(head) == expected
    assert recognise(head) == expected


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "IMG_0001.jpg"),
        (b"\xff\xd8", "IMG_0001.JPEG"),
        (b"this is text", "notes.jpg"),
        (b"%PDF-1.7", "catalogue.PNG"),
        (b"8BPS\x00\x01", "layers.tif"),
        (b"FOVb\x00\x00\x03\x00", "SDIM0001.X3F"),
        (b"\xff\x0a\xfa\x1f", "new.jxl"),
        (b"8BPS\x00\x01", "layers.psd"),
        (b"8BPB\x00\x02", "layers"),
        (b"%PDF-1.7", "catalogue.pdf"),
        (b"", "logo.AI"),
        (b"<svg xmlns=", "logo.svg"),
        (bytes(64), "preallocated.heic"),
    ],
)
def test_a_file_named_like_a_picture_that_begins_like_none_is_recognised(head: bytes, name: str) -> None:
    """Its owner expects a cutout, so the job fails with a reason."""
    assert kind(head, name) is FileKind.NAMED_LIKE_ONE


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"# Read me", "README.txt"),
        (b"<x:xmpmeta", "IMG_0001.xmp"),
        (_ftyp(b"qt  "), "MVI_0001.mov"),
        (_ftyp(b"isom", b"avc1", b"mp41"), "clip.mp4"),
        (b"BMW and other makes of cars, a list", "cars"),
        (b"", "jpg"),
        (b"", ""),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "note.wav"),
    ],
)
def test_other_files_are_not_pictures(head: bytes, name: str) -> None:
    """Sidecars, films and texts lie in every photographer's folder."""
    assert kind(head, name) is FileKind.OTHER


def test_brands_are_read_from_the_type_box_alone() -> None:
    """Bytes after the box are not its brands."""
    head = _ftyp(b"isom")[:16] + b"\x00\x00\x00\x10freeheicheic"
    assert picture_format(head) is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a/x.JPG", True),
        ("x.heif", True),
        ("x.y.CR3", True),
        ("x", False),
        ("jpg", False),
        (".jpg", False),
        ("a.jpg/x", False),
        ("x.jpg.txt", False),
        ("x.psd", False),
        ("x.jpg ", False),
    ],
)
def test_a_name_ends_like_a_pictures_or_not(name: str, *, is_one: bool) -> None:
    """A file with another ending is never moved or deleted, whatever it contains."""
    assert has_picture_extension(name) is is_one


def test_a_bmp_with_an_applications_reserved_bytes_is_the_same_to_both_sides() -> None:
    """Applications may use the reserved bytes; the second header's size tells a BMP from a text."""
    head = bytearray(_picture("BMP"))
    head[6:10] = b"Appl"
    assert picture_format(bytes(head)) == recognise(bytes(head)) == "BMP"
    head[14] = 41
    assert picture_format(bytes(head)) is None
    with pytest.raises(PictureError, match="no known picture format"):
        recognise(bytes(head))


@pytest.mark.parametrize(
    ("pillow_name", "mode", "expected"),
    [
        ("TGA", "RGB", "a TGA picture"),
        ("TGA", "L", "a TGA picture"),
        ("TGA", "P", "a TGA picture"),
        ("TGA", "RGBA", "a TGA picture"),
        ("SGI", "RGB", "an SGI picture"),
        ("PCX", "RGB", "a PCX picture"),
        ("PCX", "1", "a PCX picture"),
        ("ICNS", "RGBA", "an icon"),
        ("ICO", "RGBA", "an icon"),
        ("DDS", "RGBA", "a DDS texture"),
        ("BLP", "P", "a BLP texture"),
        ("XBM", "1", "an XBM picture"),
        ("PPM", "RGB", "a PNM picture"),
        ("PPM", "F", "a PNM picture"),
        ("QOI", "RGB", "a QOI picture"),
    ],
)
def test_a_picture_that_is_not_read_is_told_by_its_first_bytes(
    pillow_name: str, mode: str, expected: str
) -> None:
    """A Targa picture is no icon, although both begin with the same bytes."""
    buffer = io.BytesIO()
    options = {"blp_version": "BLP2"} if pillow_name == "BLP" else {}
    Image.new("RGB", (32, 32), "red").convert(mode).save(buffer, pillow_name, **options)
    head = buffer.getvalue()[:HEAD_BYTES]
    assert kind(head, "any.file") is FileKind.OTHER
    assert seems_to_be(head) == expected
    assert is_unread_picture(expected)
    with pytest.raises(LimitError, match=expected):
        recognise(head)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sprite.TGA", "a TGA picture"),
        ("a/fly.flc", "a FLI animation"),
        ("photo.PCD", "a Photo CD picture"),
        ("notes", None),
        ("notes.txt", None),
        ("tga", None),
        ("data.bin", None),
    ],
)
def test_the_extension_counts_where_the_first_bytes_do_not_tell(name: str, expected: str | None) -> None:
    """They go first: an archive that is named like a picture is an archive."""
    assert seems_to_be(b"\x07\x08\x09" * 20, name) == expected
    assert seems_to_be(b"just a few words", name) == (expected or TEXT)
    assert seems_to_be(b"PK\x03\x04", name) == "a ZIP archive or an office document"


@pytest.mark.parametrize("head", [bytes(64), b"\x00\x00\x01\x00" + bytes(60), bytes(range(64)), b"\n\n" * 32])
def test_bytes_of_no_kind_are_no_picture_that_is_not_read(head: bytes) -> None:
    """Zeros and counters lie in many files; what is still being written must not be refused for good."""
    assert not is_unread_picture(seems_to_be(head) or "")
