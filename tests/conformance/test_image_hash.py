"""A digest of a picture's data: captions do not change it, everything that alters the picture does."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from cutoutd.engine.formats import opening
from cutoutd.engine.formats.image_hash import image_sha256
from tests.conformance.exiftool import write_tags

if TYPE_CHECKING:
    from pathlib import Path

KINDS: Final = ("JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF")
SUFFIX: Final = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif", "WEBP": "webp", "HEIF": "heic", "AVIF": "avif"}
SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
DESCRIPTION, SOFTWARE, ORIENTATION, EXIF_IFD, COLOUR_SPACE = 270, 305, 274, 0x8769, 0xA001


def image(shade: int = 0) -> Image.Image:
    """Return a small picture."""
    y, x = np.mgrid[0:64, 0:64]
    return Image.fromarray(np.stack([x * 3, y * 3, x + y + shade], axis=-1).astype(np.uint8), "RGB")


def exif(**given: int | str) -> Image.Exif:
    """Return EXIF with a caption, an orientation or a colour space."""
    block = Image.Exif()
    for name, tag in (("caption", DESCRIPTION), ("software", SOFTWARE), ("orientation", ORIENTATION)):
        if name in given:
            block[tag] = given[name]
    if "space" in given:
        block.get_ifd(EXIF_IFD)[COLOUR_SPACE] = given["space"]
    return block


def encoded(kind: str, shade: int = 0, **more: Any) -> bytes:  # noqa: ANN401 -- as of an encoder
    """Return the picture as a file of that kind."""
    if kind in ("HEIF", "AVIF"):
        pillow_heif.register_heif_opener()
    out = io.BytesIO()
    image(shade).save(out, format=kind, **more)
    return out.getvalue()


def hashed(data: bytes) -> str:
    """Return the digest of a file's picture."""
    return image_sha256(data, opening.recognise(data))


@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_does_not_change_the_digest(kind: str) -> None:
    """Though it moves everything in the file that comes after it; and the digest is not the whole file's."""
    plain, captioned = (
        encoded(kind, exif=exif(caption=text)) for text in ("short", "a much longer caption" * 50)
    )
    assert plain != captioned
    assert hashed(plain) == hashed(captioned) != hashlib.sha256(captioned).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_another_picture_has_another_digest(kind: str) -> None:
    """A difference of one shade changes the digest."""
    assert hashed(encoded(kind)) != hashed(encoded(kind, shade=40))


@pytest.mark.parametrize("kind", KINDS)
def test_another_profile_makes_it_another_picture(kind: str) -> None:
    """Its numbers mean other colours."""
    with_profile = [hashed(encoded(kind, icc_profile=profile)) for profile in (SRGB, LAB)]
    assert len({hashed(encoded(kind)), *with_profile}) == 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])  # Pillow writes no such EXIF into TIFF
@pytest.mark.parametrize("said", [{"orientation": 6}, {"space": 0xFFFF}])
def test_orientation_and_colour_in_exif_count_as_data(kind: str, said: dict[str, int]) -> None:
    """They decide how the picture is shown."""
    assert hashed(encoded(kind, exif=exif(caption="a"))) != hashed(
        encoded(kind, exif=exif(caption="a", **said))
    )


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """Insert a chunk after the PNG's header."""
    body = name + content
    return png[:33] + struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"cICP", bytes((12, 13, 0, 1))),
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"cHRM", struct.pack(">8I", *range(8))),
        (b"sRGB", b"\0"),
        (b"tRNS", bytes(6)),
    ],
)
def test_chunks_that_state_colours_in_a_png_count(name: bytes, content: bytes) -> None:
    """Each chunk that states colours is part of the digest."""
    plain = encoded("PNG")
    assert hashed(plain) != hashed(with_chunk(plain, name, content))


def test_texts_and_times_in_a_png_do_not_count() -> None:
    """Nor does its resolution."""
    plain, info = encoded("PNG"), PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    info.add_text("Title", "a", zip=True)
    assert hashed(plain) == hashed(encoded("PNG", pnginfo=info))
    assert hashed(plain) == hashed(with_chunk(plain, b"tIME", bytes(7)))


def test_comments_and_foreign_blocks_in_a_jpeg_do_not_count_and_its_tables_do() -> None:
    """The same picture with another quality is another one."""
    assert hashed(encoded("JPEG")) == hashed(encoded("JPEG", comment=b"a comment"))
    assert hashed(encoded("JPEG", quality=75)) != hashed(encoded("JPEG", quality=80))
    progressive = encoded("JPEG", progressive=True)
    assert hashed(progressive) == hashed(encoded("JPEG", progressive=True, comment=b"\xff\xd9\xff\xda"))
    assert hashed(progressive) != hashed(progressive[: len(progressive) * 2 // 3])


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_or_damaged_data_never_count_as_the_whole(kind: str) -> None:
    """Every byte of the picture's data counts, and damaged data raise no error."""
    whole = encoded(kind, exif=exif(caption="x"))
    known = hashed(whole)
    data_at = len(whole) - len(whole) // 4
    for at in range(data_at, len(whole) - 16, 7):
        altered = bytearray(whole)
        altered[at] ^= 0x55
        image_sha256(bytes(altered), opening.recognise(whole))
    for end in range(64, len(whole) - 64, max(1, len(whole) // 50)):
        assert image_sha256(whole[:end], opening.recognise(whole)) != known


def test_a_format_that_is_not_parsed_counts_as_a_whole() -> None:
    """Such as raw files or BMP: every byte counts."""
    out = io.BytesIO()
    image().save(out, format="BMP")
    assert hashed(out.getvalue()) == hashlib.sha256(out.getvalue()).hexdigest()


CHANGES: Final[dict[str, tuple[list[str], bool]]] = {
    "a rating": (["-XMP:Rating=4"], True),
    "a rating and keywords": (
        ["-Rating=3", "-Subject=cat", "-Keywords=cat", "-Caption-Abstract=a cat"],
        True,
    ),
    "a caption": (["-ImageDescription=" + "a long caption " * 30], True),
    "a place": (["-GPSLatitude=48.2", "-GPSLatitudeRef=N"], True),
    "an orientation": (["-Orientation#=6"], False),
    "a colour space": (["-ColorSpace#=2"], False),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF"])
@pytest.mark.parametrize("what", CHANGES)
def test_edits_by_exiftool_count_or_not_as_they_should(tmp_path: Path, kind: str, what: str) -> None:
    """Metadata is edited in place, as photographers' programs do."""
    arguments, is_same = CHANGES[what]
    if kind in ("HEIF", "AVIF") and not is_same:
        pytest.skip("decoders go by the container's own properties there")
    path = tmp_path / f"a.{SUFFIX[kind]}"
    path.write_bytes(encoded(kind, exif=exif(software="camera", orientation=1, space=1)))
    before = path.read_bytes()
    write_tags(path, *arguments)
    after = path.read_bytes()
    assert after != before
    assert (hashed(after) == hashed(before)) is is_same


@pytest.mark.parametrize("kind", KINDS)
def test_encoders_are_repeatable(kind: str) -> None:
    """Otherwise the comparisons above would compare encoders."""
    assert encoded(kind) == encoded(kind)
