"""The PNG writer: its files are read back bit-identically, for any size, kind and content."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cutoutd.engine.containers.png import Extras, Layout, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def written(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], rows: int = 1 << 30, extras: Extras | None = None
) -> bytes:
    """Return the pixels as a PNG, given to the writer in strips of this many rows."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    layout = Layout(width=width, height=height, channels=channels, bits=8 * pixels.itemsize)
    file = io.BytesIO()
    write(file, (pixels[top : top + rows] for top in range(0, height, rows)), layout, extras or Extras())
    return file.getvalue()


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and data of each chunk, after checking its CRC."""
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(name + data)
        yield name, data
        at += 12 + size


def content(kind: str, shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    """Return pixels that are noise, smooth, flat, or mostly invisible."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, shape, np.uint8)
    if kind == "smooth":
        places = np.indices(shape).sum(axis=0)
        return np.asarray(places * int(rng.integers(1, 9)) % 256, np.uint8)
    pixels = np.full(shape, rng.integers(0, 256), np.uint8)
    if kind == "island":
        pixels[:] = 0
        pixels[shape[0] // 3 : shape[0] // 2 + 1, shape[1] // 3 :] = 200
    return pixels


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 70),
    channels=st.sampled_from([1, 2, 3, 4]),
    rows=st.integers(1, 80),
    kind=st.sampled_from(["noise", "smooth", "flat", "island"]),
    seed=st.integers(0, 1 << 20),
)
def test_any_8_bit_picture_is_read_back_bit_identically(
    *, width: int, height: int, channels: int, rows: int, kind: str, seed: int
) -> None:
    """Pillow, which uses libpng's rules, reads the given pixels."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = content(kind, shape, seed)
    image = Image.open(io.BytesIO(written(pixels, rows)))
    assert image.mode == ("L", "LA", "RGB", "RGBA")[channels - 1]
    assert np.array_equal(np.asarray(image), pixels)


@given(
    width=st.integers(1, 60), height=st.integers(1, 40), rows=st.integers(1, 50), seed=st.integers(0, 1 << 20)
)
def test_16_bit_grey_is_read_back_bit_identically(width: int, height: int, rows: int, seed: int) -> None:
    """A matte may have more levels than a screen."""
    pixels = np.random.default_rng(seed).integers(0, 1 << 16, (height, width), np.uint16)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(written(pixels, rows)))), pixels)


def test_strips_and_one_piece_give_the_same_pixels() -> None:
    """The row above a strip's first one is the last of the strip before."""
    pixels = content("noise", (64, 33, 4), 5)
    for rows in (1, 7, 63, 64, 100):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(written(pixels, rows)))), pixels)


def test_no_chunk_is_larger_than_a_mebibyte() -> None:
    """A reader may hold a whole chunk in memory."""
    pixels = content("noise", (700, 1000, 4), 1)
    sizes = [len(data) for name, data in chunks(written(pixels)) if name == b"IDAT"]
    assert len(sizes) > 2
    assert max(sizes) <= 1 << 20


def test_profile_and_metadata_come_before_the_pixels_and_are_read_back() -> None:
    """ICC, EXIF and XMP are identical to the byte."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    block = exif.tobytes().removeprefix(b"Exif\x00\x00")
    png = written(content("smooth", (9, 8, 4), 1), extras=Extras(icc=icc, exif=block, xmp=b"<x:xmpmeta/>"))
    names = [name for name, _ in chunks(png)]
    assert names == [b"IHDR", b"iCCP", b"eXIf", b"iTXt", b"IDAT", b"IEND"]
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.info["icc_profile"] == icc
    assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert image.getexif()[0x010F] == "Maker"


def test_the_same_pixels_give_the_same_bytes() -> None:
    """A cutout's hash tells whether it was touched; it must not depend on time or memory."""
    pixels = content("noise", (40, 50, 4), 3)
    assert written(pixels, 8) == written(pixels.copy(), 8)


@pytest.mark.parametrize(
    ("pixels", "layout"),
    [
        (np.zeros((4, 4, 4), np.uint8), Layout(width=4, height=5, channels=4)),
        (np.zeros((4, 4, 4), np.uint8), Layout(width=4, height=3, channels=4)),
        (np.zeros((4, 4, 4), np.uint8), Layout(width=4, height=4, channels=3)),
        (np.zeros((4, 4, 4), np.uint8), Layout(width=8, height=2, channels=4)),
        (np.zeros((4, 4, 4), np.uint16), Layout(width=4, height=4, channels=4)),
        (np.zeros((4, 4, 5), np.uint8), Layout(width=4, height=4, channels=5)),
        (np.zeros((0, 4, 4), np.uint8), Layout(width=4, height=0, channels=4)),
    ],
)
def test_strips_that_do_not_fit_the_layout_are_refused(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], layout: Layout
) -> None:
    """No file is better than one with a wrong header."""
    with pytest.raises(ValueError, match=r"layout|rows"):
        write(io.BytesIO(), [pixels], layout, Extras())
