"""Every kind of file that cameras and editors write, as Pillow writes it, comes out as the picture it means."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from cutoutd.engine.formats.decode import decode, header
from cutoutd.errors import LimitError

if TYPE_CHECKING:
    from cutoutd.engine.picture import Picture

Rgb = NDArray[np.uint8]

HEIGHT, WIDTH = 48, 72
ORIENTATION = 0x0112
LOSSLESS = ("PNG", "TIFF", "BMP", "WebP", "JPEG 2000")
OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 97, "subsampling": 0},
    "PNG": {},
    "TIFF": {},
    "WebP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 98, "subsampling": "4:4:4"},
    "JPEG 2000": {"irreversible": False},
    "BMP": {},
    "GIF": {},
}
WITH_ORIENTATION = ("JPEG", "PNG", "TIFF", "WebP", "AVIF")


def pixels(channels: int = 3) -> Rgb:
    """Return a smooth picture without symmetry: turning or mirroring changes it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = (x * 3 + 20, y * 5, (x + y) * 2 + 10, 255 - x * 3)
    return np.dstack(planes[:channels]).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the picture as a file of that kind."""
    file = io.BytesIO()
    image.save(file, {"WebP": "WEBP", "JPEG 2000": "JPEG2000"}.get(kind, kind), **options)
    return file.getvalue()


def decoded(data: bytes) -> Picture:
    """Decode a file, whatever its size."""
    return decode(data, max_pixels=1_000_000, deep=True)


def distance(one: Rgb, other: Rgb) -> float:
    """Mean absolute difference of two pictures of the same size."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_plain_picture_of_each_format(kind: str) -> None:
    """Lossless formats to the bit, the others nearly; format and size are known from the header."""
    data = encoded(Image.fromarray(pixels()), kind, **OPTIONS[kind])
    picture = decoded(data)
    assert picture.format == kind
    assert (header(data).format, header(data).width, header(data).height) == (kind, WIDTH, HEIGHT)
    if kind in LOSSLESS:
        assert np.array_equal(picture.rgb, pixels())
    else:
        assert distance(picture.rgb, pixels()) < (12 if kind == "GIF" else 3)
    assert picture.rgb.flags.c_contiguous


@pytest.mark.parametrize("kind", WITH_ORIENTATION)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_applied_exactly_once(kind: str, orientation: int) -> None:
    """As Pillow's own transposition does it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(pixels())
    tagged = image.copy()
    tagged.getexif()[ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(tagged))
    picture = decoded(encoded(image, kind, exif=exif, **OPTIONS[kind]))
    assert picture.orientation == orientation
    assert distance(picture.rgb, upright) < 3
    assert picture.rgb.flags.c_contiguous


def test_transparency_is_turned_with_the_picture() -> None:
    """Alpha and colour stay together."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = decoded(encoded(Image.fromarray(pixels(4)), "PNG", exif=exif))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, np.rot90(pixels(4)[..., 3], -1))


def test_an_orientation_in_xmp_alone_is_not_followed() -> None:
    """No viewer follows it."""
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for kind, options in (("JPEG", {"xmp": xmp}), ("TIFF", {"tiffinfo": {700: xmp}})):
        picture = decoded(encoded(Image.fromarray(pixels()), kind, **options))
        assert picture.rgb.shape == (HEIGHT, WIDTH, 3)
        assert picture.xmp == xmp


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 2}, {"restart_marker_rows": 1}])
def test_jpeg_variants(options: dict[str, object]) -> None:
    """Progressive, subsampled and with restart markers: each decodes to nearly the same picture."""
    assert (
        distance(decoded(encoded(Image.fromarray(pixels()), "JPEG", quality=95, **options)).rgb, pixels()) < 4
    )


def test_a_grey_jpeg() -> None:
    """Decodes to three equal channels without a warning."""
    grey = pixels()[..., 0]
    picture = decoded(encoded(Image.fromarray(grey), "JPEG", quality=97))
    assert distance(picture.rgb, np.repeat(grey[..., np.newaxis], 3, axis=2)) < 3
    assert picture.warnings == ()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_becomes_srgb(kind: str) -> None:
    """By the usual rule, with a warning; Pillow writes and reads CMYK inverted, as Adobe does."""
    cmyk = Image.fromarray(pixels()).convert("CMYK")
    picture = decoded(encoded(cmyk, kind, **({"quality": 97} if kind == "JPEG" else {})))
    assert distance(picture.rgb, pixels()) < 4
    assert picture.icc is None
    assert "CMYK" in picture.warnings[0]


def test_lab_becomes_srgb() -> None:
    """Through a built-in Lab profile; the file needs none."""
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = to_lab.apply(Image.fromarray(pixels()))
    picture = decoded(encoded(lab, "TIFF"))
    assert distance(picture.rgb, pixels()) < 3
    assert "Lab" in picture.warnings[0]


def test_mpo_is_cut_as_its_first_picture() -> None:
    """Stereo cameras and phones append previews and second views to the JPEG."""
    first, second = Image.fromarray(pixels()), Image.new("RGB", (WIDTH, HEIGHT))
    picture = decoded(encoded(first, "MPO", save_all=True, append_images=[second], quality=97))
    assert picture.format == "JPEG"
    assert distance(picture.rgb, pixels()) < 4
    assert picture.warnings == ()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_existing_transparency_is_kept_apart(mode: str) -> None:
    """Colours under transparent pixels are unchanged; alpha is an array of its own."""
    rgba = pixels(4)
    if mode == "RGBA":
        image = Image.fromarray(rgba)
    elif mode == "LA":
        rgba[..., 1] = rgba[..., 2] = rgba[..., 0]
        image = Image.fromarray(rgba[..., [0, 3]])
    else:
        image = Image.fromarray(rgba).quantize(16).convert("PA")
    kind = "TIFF" if mode == "PA" else "PNG"
    picture = decoded(encoded(image, kind))
    expected = np.asarray(image.convert("RGBA"))
    if mode == "PA" and picture.alpha is None:
        assert expected[..., 3].min() == 255
    else:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, expected[..., 3])
    assert np.array_equal(picture.rgb, expected[..., :3])


@pytest.mark.parametrize("kind", ["WebP", "TIFF", "AVIF", "JPEG 2000"])
def test_transparency_in_other_formats(kind: str) -> None:
    """Each keeps its alpha channel."""
    picture = decoded(encoded(Image.fromarray(pixels(4)), kind, **OPTIONS[kind]))
    assert picture.alpha is not None
    assert np.abs(picture.alpha.astype(int) - pixels(4)[..., 3]).mean() < 2


def test_an_alpha_that_hides_nothing_is_none() -> None:
    """Many editors write an alpha channel that is opaque everywhere."""
    rgba = pixels(4)
    rgba[..., 3] = 255
    assert decoded(encoded(Image.fromarray(rgba), "PNG")).alpha is None


def test_a_palette_with_and_without_transparency() -> None:
    """Colours come out of the palette, and its transparent entries become alpha."""
    image = Image.fromarray(pixels()).quantize(32)
    assert np.array_equal(decoded(encoded(image, "PNG")).rgb, np.asarray(image.convert("RGB")))
    for kind in ("PNG", "GIF"):
        picture = decoded(encoded(image, kind, transparency=3))
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha == 0, np.asarray(image) == 3)


def test_a_transparent_colour_of_an_rgb_png() -> None:
    """The tRNS chunk names one colour whose pixels are transparent."""
    colour = tuple(int(value) for value in pixels()[10, 10])
    picture = decoded(encoded(Image.fromarray(pixels()), "PNG", transparency=colour))
    assert picture.alpha is not None
    assert picture.alpha[10, 10] == 0
    assert picture.alpha[40, 60] == 255


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_stretched_to_the_whole_range(bits: int) -> None:
    """White is white, however few levels there are."""
    levels = (pixels()[..., 0] >> (8 - bits)).astype(np.uint8)
    packed = np.packbits(
        np.unpackbits(levels[..., np.newaxis], axis=2)[..., 8 - bits :].reshape(HEIGHT, -1), axis=1
    )
    data = png16(packed, bits, 0, WIDTH)
    expected = (levels.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)
    assert np.array_equal(decoded(data).rgb[..., 1], expected)


def png16(
    rows: NDArray[np.uint8], bits: int, colour_type: int, width: int, *, interlaced: bool = False
) -> bytes:
    """Return a PNG of rows of packed bytes, without filters."""
    body = zlib.compress(b"".join(b"\x00" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, int(interlaced))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return b"".join(parts)


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_16_bit_png_is_rounded_not_cut(channels: int, colour_type: int) -> None:
    """Every value that a sample can have goes to its nearest neighbour of 8 bits."""
    values = np.arange(65536, dtype=np.uint16)
    wide = np.stack([np.roll(values, 1000 * channel) for channel in range(channels)], axis=1)
    wide = wide.reshape(256, 256 * channels)
    picture = decoded(png16(wide.astype(">u2").view(np.uint8), 16, colour_type, 256))
    nearest = np.rint(wide / 257).astype(np.uint8).reshape(256, 256, channels)
    colour = nearest[..., : channels - (channels in (2, 4))]
    assert np.array_equal(picture.rgb, np.broadcast_to(colour, (256, 256, 3)))
    if channels in (2, 4):
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, nearest[..., -1])
    assert "rounded" in picture.rounded
    assert picture.deep is not None
    wanted = wide.reshape(256, 256, channels)[..., : colour.shape[2]]
    assert np.array_equal(picture.deep, np.broadcast_to(wanted, (256, 256, 3)))


@pytest.mark.parametrize("compression", ["none", "lzw"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff_is_rounded_not_cut(channels: int, compression: str) -> None:
    """Uncompressed and through libtiff, written by OpenCV, as Pillow cannot write 16-bit colour."""
    wide = np.random.default_rng(3).integers(0, 1 << 16, (HEIGHT, WIDTH, channels), np.uint16)
    code = {"none": 1, "lzw": 5}[compression]
    done, data = cv2.imencode(".tiff", wide, [cv2.IMWRITE_TIFF_COMPRESSION, code])
    assert done
    picture = decoded(data.tobytes())
    nearest = np.rint(wide / 257).astype(np.uint8)
    colour = nearest if channels == 1 else nearest[..., 2::-1]  # OpenCV writes B, G, R as R, G, B
    assert np.array_equal(picture.rgb, np.broadcast_to(colour, (HEIGHT, WIDTH, 3)))
    if channels == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, nearest[..., 3])
    deep = wide if channels == 1 else wide[..., 2::-1]
    assert picture.deep is not None
    assert np.array_equal(picture.deep, np.broadcast_to(deep, (HEIGHT, WIDTH, 3)))


def test_an_interlaced_png() -> None:
    """The smallest Adam7 picture: its first pass holds all pixels."""
    single = png16(np.array([[200, 100, 50]], np.uint8), 8, 2, 1, interlaced=True)
    assert decoded(single).rgb.tolist() == [[[200, 100, 50]]]


def planar_tiff(planes: NDArray[np.uint16]) -> bytes:
    """Return an uncompressed TIFF with one strip for each channel (TIFF 6.0, planar configuration 2)."""
    channels, height, width = planes.shape
    size = height * width * 2
    lists_at = 8 + 2 + 10 * 12 + 4
    body_at = lists_at + 6 + 12 + 12
    entries = (
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, lists_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, channels, lists_at + 6),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, channels, lists_at + 18),
        (284, 3, 1, 2),
    )
    head = b"II\x2a\x00" + struct.pack("<IH", 8, len(entries))
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    lists = struct.pack("<3H3I3I", 16, 16, 16, *(body_at + size * n for n in range(3)), size, size, size)
    return head + lists + planes.astype("<u2").tobytes()


def test_16_bit_planes_are_not_taken_for_noise() -> None:
    """Pillow's own reader reads the rows of such a file as 8-bit ones, without an error."""
    wide = np.random.default_rng(4).integers(0, 1 << 16, (3, HEIGHT, WIDTH), np.uint16)
    picture = decoded(planar_tiff(wide))
    nearest = np.rint(wide / 257).astype(np.int16).transpose(1, 2, 0)
    assert np.array_equal(picture.rgb, nearest)
    assert "rounded" in picture.rounded
    assert picture.deep is not None
    assert np.array_equal(picture.deep, wide.transpose(1, 2, 0))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiff_compressions(compression: str) -> None:
    """The compressions that scanners and editors use."""
    options = {"quality": 97} if compression == "jpeg" else {}
    data = encoded(Image.fromarray(pixels()), "TIFF", compression=compression, **options)
    assert distance(decoded(data).rgb, pixels()) < (3 if compression == "jpeg" else 1e-9)


def test_a_tiff_keeps_its_camera_but_not_how_it_was_stored() -> None:
    """Tags about strips and samples make no sense in another file."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[0x010F], info[0x0110] = "Maker", "Model 7"
    picture = decoded(encoded(Image.fromarray(pixels()), "TIFF", tiffinfo=info))
    found = Image.Exif()
    found.load(picture.exif or b"")
    assert (found[0x010F], found[0x0110]) == ("Maker", "Model 7")
    assert 0x0111 not in found


def test_an_rgb_profile_on_a_grey_picture_is_kept() -> None:
    """Three equal values mean the same grey in it."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = decoded(encoded(Image.fromarray(pixels()[..., 0]), "PNG", icc_profile=icc))
    assert picture.icc == icc
    assert np.array_equal(picture.rgb[..., 2], pixels()[..., 0])


def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile for grey pictures: a white point and one curve (ICC.1:2010, 8.3.2)."""
    white = b"XYZ \x00\x00\x00\x00" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\x00\x00\x00\x00" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc\x00\x00\x00\x00" + struct.pack(">I", 2) + b"g\x00" + bytes(78)
    tags, body, at = b"", b"", 128 + 4 + 3 * 12
    for name, data in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text)):
        tags += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", 3) + tags + body


@pytest.mark.parametrize("alpha", [False, True])
def test_grey_with_a_grey_profile_becomes_srgb(*, alpha: bool) -> None:
    """Gamma 1 means that half the value is half the light, which is 188 in sRGB."""
    grey = np.full((HEIGHT, WIDTH), 128, np.uint8)
    image = Image.fromarray(np.dstack((grey, pixels()[..., 0])) if alpha else grey)
    picture = decoded(encoded(image, "PNG", icc_profile=grey_profile(1.0)))
    assert np.abs(picture.rgb.astype(int) - 188).max() <= 1
    assert picture.icc is None
    assert "grey" in picture.warnings[0]
    assert (picture.alpha is not None) == alpha


def test_32_bit_integers_are_refused() -> None:
    """No standard defines their white."""
    with pytest.raises(LimitError, match="not supported"):
        decoded(encoded(Image.fromarray(pixels()[..., 0].astype(np.int32)), "TIFF"))
