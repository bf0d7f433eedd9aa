"""Complete files that decoders report as damaged are cut with a warning; truncated files are refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import tifffile
from PIL import Image

from cutoutd.engine.formats import opening
from cutoutd.engine.formats.decode import decode
from cutoutd.engine.formats.load_samples import deep_jpeg2000
from cutoutd.errors import LimitError, PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture


def opened(data: bytes) -> Picture:
    """Decode a file."""
    return decode(data, max_pixels=1_000_000, deep=True)


def photo() -> Image.Image:
    """Return a smooth picture with some grain."""
    y, x = np.mgrid[0:80, 0:112]
    grain = np.random.default_rng(5).integers(0, 12, (80, 112, 3))
    return Image.fromarray((np.dstack((x * 2, y * 3, x + y)) + grain).clip(0, 255).astype(np.uint8))


def jpeg(mode: str, **options: Any) -> bytes:  # noqa: ANN401 -- Pillow's
    """Return the photo as a JPEG."""
    out = io.BytesIO()
    photo().convert(mode).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


JPEGS = [
    jpeg("RGB"),
    jpeg("RGB", progressive=True),
    jpeg("L"),
    jpeg("L", progressive=True),
    jpeg("CMYK"),
    jpeg("RGB", restart_marker_blocks=4),
]


@pytest.mark.parametrize("whole", JPEGS)
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole(whole: bytes, lost: int) -> None:
    """The same pixels, and a warning."""
    found = opened(whole[:-lost])
    assert np.array_equal(found.rgb, opened(whole).rgb)
    assert opening.NO_END_MARKER in found.warnings


@pytest.mark.parametrize("whole", JPEGS)
def test_a_jpeg_that_lacks_more_is_refused(whole: bytes) -> None:
    """Whether a few bytes, a scan of a progressive JPEG, or half of the file is missing."""
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    for end in (len(whole) - 4, len(whole) - 12, len(whole) - 100, len(whole) // 2, *scans):
        with pytest.raises(PictureError):
            opened(whole[:end])


def png(kind: bytes, content: bytes, *, crc: int = 12345) -> bytes:
    """Return the photo as a PNG with an extra chunk that has this checksum."""
    out = io.BytesIO()
    photo().save(out, "PNG")
    data = out.getvalue()
    return data[:33] + struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc) + data[33:]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"tEXt", b"Comment\x00x"),
        (b"zTXt", b"Comment\x00\x00" + zlib.compress(b"x")),
        (b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00<x/>"),
        (b"eXIf", b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        (b"pHYs", struct.pack(">IIB", 1, 1, 1)),
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"tIME", bytes(7)),
    ],
)
def test_a_png_with_a_damaged_chunk_that_no_pixel_needs_is_whole(kind: bytes, content: bytes) -> None:
    """The pixels are the same; the damaged chunk is ignored, and the warning names it."""
    found = opened(png(kind, content))
    assert np.array_equal(found.rgb, np.asarray(photo()))
    assert (found.icc, found.resolution, found.xmp) == (None, None, None)
    assert kind.decode() in " ".join(found.warnings)


def test_a_png_whose_transparency_is_damaged_is_refused() -> None:
    """Transparency is part of the picture."""
    with pytest.raises(PictureError):
        opened(png(b"tRNS", bytes(6)))


def deep(channels: int) -> NDArray[np.uint16]:
    """Return random samples over all 16-bit values."""
    return np.random.default_rng(3).integers(0, 1 << 16, (40, 50, channels), np.uint16)


def tiff(pixels: NDArray[Any], photometric: str | int, extras: tuple[int, ...] = (), **options: Any) -> bytes:  # noqa: ANN401 -- tifffile's
    """Return a TIFF written by tifffile."""
    out = io.BytesIO()
    options = {"planarconfig": "contig", "metadata": None, **options}
    tifffile.imwrite(out, pixels, photometric=photometric, extrasamples=extras or None, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": 2},
        {"compression": "zlib", "tile": (16, 32)},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib", "predictor": 2},
        {"rowsperstrip": 7},
    ],
)
@pytest.mark.parametrize(("channels", "extras"), [(5, (2, 0)), (6, (0, 2, 0)), (5, (0, 0))])
def test_16_bits_with_transparency_and_selections(
    channels: int, extras: tuple[int, ...], options: dict[str, Any]
) -> None:
    """Bit for bit; the first channel marked as transparency is the alpha, selection channels are not used."""
    pixels = deep(channels)
    found = opened(tiff(pixels, "rgb", extras, **options))
    assert found.deep is not None
    assert np.array_equal(found.deep, pixels[..., :3])
    assert np.array_equal(found.rgb, np.rint(pixels[..., :3] / 257).astype(np.uint8))
    if 2 in extras:
        assert found.alpha is not None
        assert np.array_equal(found.alpha, np.rint(pixels[..., 3 + extras.index(2)] / 257).astype(np.uint8))
    else:
        assert found.alpha is None


def test_16_bits_of_separate_planes_with_a_selection() -> None:
    """The planes are stored one after the other."""
    pixels = deep(5)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    found = opened(tiff(planes, "rgb", (2, 0), planarconfig="separate"))
    assert found.deep is not None
    assert np.array_equal(found.deep, pixels[..., :3])


def test_grey_of_16_bits_with_transparency() -> None:
    """Comes out as a PNG of the same kind does."""
    pixels = deep(2)
    found = opened(tiff(pixels, "minisblack", (2,)))
    assert np.array_equal(found.rgb[..., 0], np.rint(pixels[..., 0] / 257).astype(np.uint8))
    assert found.alpha is not None
    assert np.array_equal(found.alpha, np.rint(pixels[..., 1] / 257).astype(np.uint8))


def test_lab_of_16_bits_is_that_of_8() -> None:
    """The colours match an 8-bit TIFF, which Pillow reads."""
    y, x = np.mgrid[0:40, 0:50]
    low = np.dstack((100 + x, (y - 20) % 256, (x - 25) % 256)).astype(np.uint8)
    signed = low.copy().view(np.int8).astype(np.int32)
    wide = np.dstack((low[..., 0].astype(np.int32) * 257, signed[..., 1] * 256, signed[..., 2] * 256))
    eight = opened(tiff(low, 8))
    sixteen = opened(tiff(wide.astype(np.uint16), 8))
    assert np.abs(eight.rgb.astype(int) - sixteen.rgb).max() <= 1
    assert "Lab" in " ".join(sixteen.warnings)


def test_a_wide_tiff_keeps_its_resolution_and_texts() -> None:
    """Resolution and texts are kept."""
    data = tiff(deep(5), "rgb", (2, 0), resolution=(300, 300), resolutionunit=2, description="A text")
    found = opened(data)
    assert found.resolution is not None
    assert (found.resolution.x, found.resolution.y) == (300, 300)
    assert found.exif is not None
    assert b"A text" in found.exif


def test_an_unsupported_kind_is_refused_with_the_reason() -> None:
    """The message does not call the file damaged; a truncated file is called so."""
    with pytest.raises(
        LimitError, match=r"not supported, because its samples are unsigned integers of 32 bits"
    ):
        opened(tiff(np.zeros((9, 9, 5), np.uint32), "rgb", (2, 0)))
    whole = tiff(deep(5), "rgb", (2, 0))
    for size in (len(whole) - 1, len(whole) // 2, 200):
        with pytest.raises(PictureError) as caught:
            opened(whole[:size])
        assert not isinstance(caught.value, LimitError)


@pytest.mark.parametrize("tags", [{"subfiletype": 1}, {"extratags": ((255, 3, 1, 2, True),)}])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_small_version_in_front_is_not_the_picture(tags: dict[str, Any], order: Literal["<", ">"]) -> None:
    """Marked by either tag; the first page that is not a reduced version is cut."""
    out = io.BytesIO()
    whole = np.asarray(photo())
    with tifffile.TiffWriter(out, byteorder=order) as writer:
        writer.write(np.ascontiguousarray(whole[::8, ::8]), photometric="rgb", metadata=None, **tags)
        writer.write(whole, photometric="rgb", metadata=None)
    found = opened(out.getvalue())
    assert np.array_equal(found.rgb, whole)
    assert opening.THUMBNAIL_FIRST in found.warnings


def test_a_picture_over_the_limit_names_the_key_to_raise_and_the_memory_for_that() -> None:
    """As with 200 megapixels of a phone and the default limit of 120."""
    head = struct.pack(">IIBBBBB", 16320, 12240, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", head), (b"IDAT", b""), (b"IEND", b"")):
        data += (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )
    with pytest.raises(LimitError, match="200 megapixels") as caught:
        decode(data, max_pixels=120_000_000)
    assert caught.value.advice is not None
    assert "max_pixels = 200_000_000" in caught.value.advice
    assert "worker_memory_mb" in caught.value.advice


def test_a_jpeg_2000_that_no_reader_decodes_is_refused_with_what_to_export() -> None:
    """No limit helps with grey, transparency and 16 bits."""
    out = io.BytesIO()
    Image.new("LA", (16, 16)).save(out, "JPEG2000", no_jp2=True)
    data = bytearray(out.getvalue())
    data[42], data[45] = 15, 15  # of the SIZ marker: one less than the bits of either component
    with pytest.raises(LimitError, match="grey and transparency with 16 bits") as caught:
        deep_jpeg2000(bytes(data), "LA", (16, 16))
    assert "Export it" in caught.value.advice
    assert "limit" not in caught.value.advice
