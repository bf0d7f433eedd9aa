"""Decoding: what is refused with which reason, what is kept, and that no picture is decoded partially."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from cutoutd.engine.containers.png import png_chunks
from cutoutd.engine.formats.decode import MOST_PIXELS, decode, header
from cutoutd.errors import LimitError, PictureError
from cutoutd.settings import schema

MANY = 120_000_000


def photo(width: int = 96, height: int = 64) -> Image.Image:
    """Return a smooth picture in which every place has its own colour."""
    y, x = np.mgrid[0:height, 0:width]
    planes = (x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height))
    return Image.fromarray(np.dstack(planes).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the picture as a file of that kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of exactly these chunks."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in chunks:
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return b"".join(parts)


def test_a_lossless_picture_is_decoded_bit_identically() -> None:
    """RGB in, the same RGB out, contiguous and without an alpha."""
    image = photo()
    picture = decode(encoded(image, "PNG"), max_pixels=MANY)
    assert np.array_equal(picture.rgb, np.asarray(image))
    assert picture.rgb.flags.c_contiguous
    assert (picture.alpha, picture.icc, picture.exif, picture.xmp, picture.warnings) == (
        None,
        None,
        None,
        None,
        (),
    )


def test_a_picture_taller_than_one_strip_is_whole() -> None:
    """Strips meet without a seam."""
    image = photo(700, 500)
    assert np.array_equal(decode(encoded(image, "BMP"), max_pixels=MANY).rgb, np.asarray(image))


def test_an_empty_file_is_called_empty() -> None:
    """Zero bytes have a reason of their own."""
    with pytest.raises(PictureError, match="the file is empty"):
        decode(b"", max_pixels=MANY)


def test_a_file_of_zeros_may_only_be_unfinished() -> None:
    """Space that was reserved and not written yet is not a reason to give up for good."""
    with pytest.raises(PictureError, match="zeros") as caught:
        decode(bytes(5000), max_pixels=MANY)
    assert not isinstance(caught.value, LimitError)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript or EPS file"),
        (b"\xc5\xd0\xd3\xc6" + bytes(28), "a PostScript or EPS file"),
        (b"8BPS\x00\x01" + bytes(20), "a Photoshop document"),
        (b"SIMPLE  =                    T", "a FITS file"),
        (b"GIMP is not what this begins with, it is prose.", "a text file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00", "a film"),
        (b"PK\x03\x04\x14\x00", "a ZIP archive"),
        (b"FOVb\x00\x00\x03\x00", "raw file"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL picture"),
        (b"P6 10 10 255\n" + bytes(300), "a PNM picture"),
        (b"qoif" + bytes(10), "a QOI picture"),
    ],
)
def test_another_format_is_refused_by_its_name(data: bytes, name: str) -> None:
    """The first bytes decide, whatever the extension; the message names the detected format."""
    with pytest.raises(LimitError, match=name):
        decode(data, max_pixels=MANY)


def test_formats_that_pillow_could_read_are_out_of_reach() -> None:
    """Decoding leaves no plugin loaded that is not on the allow-list, and no way to load one."""
    png = encoded(Image.new("RGB", (8, 8)), "PNG").hex()
    script = (  # in a process of its own, whose first use of Pillow is ours
        "from PIL import Image; from cutoutd.engine.formats.decode import decode;"
        f"decode(bytes.fromhex('{png}'), max_pixels=100);"
        "import cutoutd.engine.formats.heif, cutoutd.engine.formats.raw;"  # as the first HEIC and the first raw file do
        "Image.preinit(); Image.init(); print(*sorted(Image.OPEN))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"]


def test_unknown_bytes_are_no_picture() -> None:
    """Noise is refused with a plain reason."""
    with pytest.raises(PictureError, match="no known picture format"):
        decode(b"\x01\x02\x03\x04" * 100, max_pixels=MANY)


def test_a_bomb_is_refused_by_its_header() -> None:
    """The limit holds before a pixel is decoded: this file has no pixel data at all."""
    bomb = png_of(
        [(b"IHDR", struct.pack(">IIBBBBB", 13000, 13000, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    )
    with pytest.raises(LimitError, match=r"169 megapixels \(13000 x 13000\), more than the limit of 120"):
        decode(bomb, max_pixels=MANY)
    assert header(bomb).pixels == 169_000_000


def test_a_size_beyond_pillows_own_limit_is_ours_to_judge() -> None:
    """Neither Pillow's error nor its warning is raised."""
    huge = png_of(
        [(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    )
    with pytest.raises(LimitError, match="3600 megapixels"):
        decode(huge, max_pixels=MANY)


def test_no_limit_is_advised_that_the_settings_refuse() -> None:
    """A picture that no limit allows has a false header, or has to be exported smaller."""
    for width, is_possible in (
        (MOST_PIXELS // 1000, True),
        (MOST_PIXELS // 1000 + 1, False),
        (2**31 - 1, False),
    ):
        ihdr = struct.pack(">IIBBBBB", width, 1000, 8, 2, 0, 0, 0)
        with pytest.raises(LimitError) as caught:
            decode(png_of([(b"IHDR", ihdr), (b"IDAT", b""), (b"IEND", b"")]), max_pixels=MANY)
        assert ("max_pixels" in str(caught.value)) == is_possible
        assert ("is not true" in str(caught.value)) != is_possible
    assert schema.PoolSettings(max_pixels=MOST_PIXELS).max_pixels == MOST_PIXELS
    with pytest.raises(ValueError, match="max_pixels"):
        schema.PoolSettings(max_pixels=MOST_PIXELS + 1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("BMP", {}),
        ("GIF", {}),
        ("AVIF", {}),
        ("JPEG2000", {}),
    ],
)
def test_a_file_cut_short_anywhere_never_gives_half_a_picture(kind: str, options: dict[str, object]) -> None:
    """Cut at every 5 %, a file is an error of ours or still the whole picture, never something between."""
    rng = np.random.default_rng(1)
    noisy = np.clip(np.asarray(photo(160, 120)) + rng.normal(0, 9, (120, 160, 3)), 0, 255).astype(np.uint8)
    data = encoded(Image.fromarray(noisy), kind, **options)
    whole = decode(data, max_pixels=MANY).rgb
    failed = 0
    for percent in range(0, 100, 5):
        try:
            part = decode(data[: len(data) * percent // 100], max_pixels=MANY).rgb
        except PictureError:
            failed += 1
        else:
            assert np.array_equal(part, whole)
    assert failed >= 18


def test_a_deep_jpeg_2000_that_pillow_refuses_never_reaches_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's copy of OpenJPEG has a flaw with truncated headers, CVE-2025-54874; Pillow's is fixed."""
    pixels = np.random.default_rng(1).integers(0, 1 << 16, (64, 96, 3)).astype(np.uint16)
    data = cv2.imencode(".jp2", pixels)[1].tobytes()
    begin, scan = data.find(b"\xff\x4f\xff\x51"), data.find(b"\xff\x90")
    read, given = cv2.imdecode, []

    def reading(*call: Any) -> Any:  # noqa: ANN401 -- as OpenCV takes and gives it
        given.append(call)
        return read(*call)

    monkeypatch.setattr(cv2, "imdecode", reading)
    assert decode(data, max_pixels=MANY, deep=True).deep is not None
    assert len(given) == 1
    for end in range(begin + 55, scan + 12, 7):
        with pytest.raises(PictureError):
            decode(data[:end], max_pixels=MANY, deep=True)
    assert len(given) == 1


def test_a_jpeg_whose_rest_was_never_written_is_refused() -> None:
    """Reserved space reads as zeros, which libjpeg would decode to grey."""
    data = encoded(photo(400, 300), "JPEG", quality=95)
    unfinished = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    with pytest.raises(PictureError, match="not written to its end"):
        decode(unfinished, max_pixels=MANY)


def test_zeros_after_the_end_of_a_jpeg_do_no_harm() -> None:
    """Some cameras pad their files."""
    data = encoded(photo(), "JPEG")
    assert np.array_equal(decode(data + bytes(500), max_pixels=MANY).rgb, decode(data, max_pixels=MANY).rgb)


def test_damage_anywhere_is_an_error_of_ours_or_a_picture() -> None:
    """No exception of Pillow's or a codec's is raised, whichever byte is wrong."""
    rng = np.random.default_rng(2)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000"):
        options = {} if kind in ("GIF", "BMP", "JPEG2000") else {"exif": exif}
        data = encoded(photo(48, 40), kind, **options)
        for _ in range(40):
            broken = bytearray(data)
            for place in rng.integers(0, len(data), 3):
                broken[place] = rng.integers(0, 256)
            try:
                picture = decode(bytes(broken), max_pixels=1_000_000)
            except PictureError:
                continue
            assert picture.rgb.dtype == np.uint8
            assert picture.rgb.shape[2] == 3


def test_a_fitting_profile_is_kept_to_the_byte() -> None:
    """An RGB profile describes the cutout as it described the source."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF"):
        picture = decode(encoded(photo(), kind, icc_profile=icc), max_pixels=MANY)
        assert picture.icc == icc, kind
        assert picture.warnings == ()


def test_a_profile_for_another_colour_space_is_dropped_with_a_warning() -> None:
    """A Lab profile on an RGB picture would make viewers show wrong colours."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture = decode(encoded(photo(), "PNG", icc_profile=lab), max_pixels=MANY)
    assert picture.icc is None
    assert "another kind of picture" in picture.warnings[0]


def test_a_huge_profile_is_dropped_with_a_warning() -> None:
    """Metadata is bounded; the picture is still cut."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    huge = struct.pack(">I", 6_000_000) + icc[4:] + bytes(6_000_000 - len(icc))
    for kind in ("JPEG", "WEBP", "TIFF", "PNG"):
        picture = decode(encoded(photo(), kind, icc_profile=huge), max_pixels=MANY)
        assert picture.icc is None
        assert "unreasonably large" in picture.warnings[0]


def test_a_text_bomb_in_a_png_does_not_cost_the_picture() -> None:
    """64 MB of zeros in a few kilobytes are left out; the pixels are not."""
    image = photo()
    whole = encoded(image, "PNG")
    bomb = b"Comment\x00\x00" + zlib.compress(bytes(64_000_000))
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    picture = decode(whole[:33] + chunk + whole[33:], max_pixels=MANY)
    assert np.array_equal(picture.rgb, np.asarray(image))
    assert "unreasonably large" in picture.warnings[0]


def test_huge_xmp_is_dropped_with_a_warning() -> None:
    """It would be copied into every cutout."""
    picture = decode(encoded(photo(), "WEBP", xmp=b"<x>" + b" " * 3_000_000), max_pixels=MANY)
    assert picture.xmp is None
    assert "XMP" in picture.warnings[0]


def test_only_the_first_of_several_frames_is_taken() -> None:
    """An animation is cut as its first frame, with a warning."""
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    for kind in ("GIF", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        picture = decode(data, max_pixels=MANY)
        assert picture.rgb[5, 5].tolist() == [255, 0, 0]
        assert any("first one" in warning for warning in picture.warnings)


@pytest.mark.parametrize("default_image", [True, False])
def test_an_animated_png_is_cut_as_its_still_image(*, default_image: bool) -> None:
    """Errors in the sequence of its frames do not concern that: no frame control, no frame, or their number is wrong."""
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=default_image)
    chunks = [(kind, data[begin:end]) for kind, begin, end in png_chunks(data)]
    broken = [
        [one for one in chunks if one[0] != b"fcTL"],
        [(kind, bytes(8) if kind == b"acTL" else content) for kind, content in chunks],
        [(kind, content[:3] if kind == b"fcTL" else content) for kind, content in chunks],
        [(kind, content[:1] if kind == b"fdAT" else content) for kind, content in chunks],
        [*chunks[:-1], *(one for one in chunks if one[0] == b"fcTL"), chunks[-1]],
    ]
    for file in (data, *map(png_of, broken)):
        picture = decode(file, max_pixels=MANY)
        assert picture.rgb[5, 5].tolist() == [255, 0, 0]
        assert any("first one" in warning for warning in picture.warnings)


@pytest.mark.parametrize(
    ("at", "form", "value", "why"),
    [
        (54, "<III", (0xFF0, 0xFF000, 0xF), "bitfields layout"),
        (28, "<H", (2,), "pixel depth"),
        (30, "<I", (6,), "compression"),
        (14, "<I", (16,), "header type"),
    ],
)
def test_a_bmp_of_a_rare_kind_is_not_called_damaged(
    at: int, form: str, value: tuple[int, ...], why: str
) -> None:
    """Masks of its own for the channels, two bits, transparency in bit fields, and the short header of OS/2."""
    head = struct.pack("<2sIHHI", b"BM", 66 + 4 * 96, 0, 0, 66)
    info = struct.pack("<IiiHHIIiiII", 40, 12, 8, 1, 32, 3, 4 * 96, 0, 0, 0, 0)
    data = bytearray(head + info + struct.pack("<III", 0xFF0000, 0xFF00, 0xFF) + bytes(4 * 96))
    assert decode(bytes(data), max_pixels=MANY).rgb.shape == (8, 12, 3)
    struct.pack_into(form, data, at, *value)
    with pytest.raises(LimitError, match=f"not supported, because of its {why}"):
        decode(bytes(data), max_pixels=MANY)


def test_a_raw_files_preview_is_not_taken_for_the_picture() -> None:
    """A TIFF that starts with a reduced page is decoded by LibRaw or refused; its preview is not cut."""
    data = encoded(photo(16, 12), "TIFF", tiffinfo={254: 1})
    with pytest.raises(PictureError, match="not supported"):
        decode(data, max_pixels=MANY)


def test_floating_point_samples_are_refused() -> None:
    """They have no range of their own, so any 8-bit form would be a guess."""
    data = encoded(Image.fromarray(np.linspace(0, 3, 64, dtype=np.float32).reshape(8, 8)), "TIFF")
    with pytest.raises(LimitError, match="floating-point numbers of 32 bits, which is not supported"):
        decode(data, max_pixels=MANY)


def test_damaged_exif_does_not_cost_the_picture() -> None:
    """EXIF may be missing from the cutout; the pixels are cut."""
    text = PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n  12\nnot hexadecimal")
    for data in (
        encoded(photo(), "PNG", pnginfo=text),
        encoded(photo(), "PNG", exif=b"Exif\x00\x00II\x2a\x00\xff\xff\xff\x7f"),
        encoded(photo(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\xff\xff\x01\x12"),
        encoded(photo(), "WEBP", exif=b"garbage"),
    ):
        picture = decode(data, max_pixels=MANY)
        assert picture.rgb.shape == (64, 96, 3)
        assert picture.orientation == 1


def test_exif_that_is_too_large_to_keep_still_turns_the_picture() -> None:
    """The orientation is read before the block is dropped."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 3_000_000
    picture = decode(encoded(photo(), "WEBP", exif=exif), max_pixels=MANY)
    assert (picture.rgb.shape, picture.orientation, picture.exif) == ((96, 64, 3), 6, None)
    assert "EXIF" in picture.warnings[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (66_000, 1), (33_000, 3), (300, 500)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_transparent_picture_keeps_every_sample_whatever_its_shape(
    size: tuple[int, int], mode: str
) -> None:
    """Colours and alpha are separated strip by strip."""
    width, height = size
    samples = np.random.default_rng(1).integers(0, 256, (height, width, len(mode)), np.uint8)
    samples[0, 0, -1] = 7
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    picture = decode(file.getvalue(), max_pixels=10**6)
    assert picture.alpha is not None
    assert (picture.alpha == samples[..., -1]).all()
    assert (picture.rgb == samples[..., :-1]).all()
