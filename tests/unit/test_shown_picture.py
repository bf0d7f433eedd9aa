"""Levels and tiles of a picture, as pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.colour import icc_build, icc_transform
from cutoutd.engine.formats import decode
from cutoutd.engine.render.levels import halved
from cutoutd.errors import PictureError
from cutoutd.previews.shown_picture import ShownPicture
from cutoutd.tiling import TILE, level_count, level_size, tile_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("jpeg", "png", "tiff")


def _file(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    """Return the picture as a file."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def _shown(data: bytes) -> ShownPicture:
    """Return the picture as levels and tiles."""
    return ShownPicture(data, max_pixels=100_000_000, allowed=FORMATS)


def _read(webp: bytes | None) -> Image.Image:
    """Return the picture of a tile."""
    assert webp is not None
    image = Image.open(io.BytesIO(webp))
    image.load()
    return image


def _gradient(width: int, height: int) -> Image.Image:
    """Return a picture of gradients."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = (columns * 255 // width, rows * 255 // height, (rows + columns) % 256 // 4)
    return Image.fromarray(np.dstack(planes).astype(np.uint8))


def _reduced(image: Image.Image, by: int) -> NDArray[np.float32]:
    """Return means of this many pixels each way; missing pixels are copies of the last ones."""
    (height, width), pixels = image.size[::-1], np.asarray(image)
    rows, columns = -(-height // by), -(-width // by)
    padded = np.pad(pixels, ((0, rows * by - height), (0, columns * by - width), (0, 0)), "edge")
    means = padded.reshape(rows, by, columns, by, 3).mean(axis=(1, 3))
    return np.asarray(means, np.float32)


def test_a_level_is_the_mean_of_four_pixels_in_proportion_to_their_alpha() -> None:
    """Hidden colours do not show at an edge, and an odd row is not lost."""
    rgb = np.zeros((3, 4, 3), np.uint8)
    rgb[:, :2], rgb[0, 2:] = (200, 100, 50), (10, 20, 30)
    alpha = np.array([[255, 0, 255, 255], [0, 0, 255, 255], [255, 255, 0, 0]], np.uint8)
    rgb[1, :2] = rgb[0, 1] = (0, 255, 0)
    small, small_alpha = halved(rgb, alpha)
    assert small.shape == (2, 2, 3)
    assert small_alpha is not None
    assert small_alpha.tolist() == [[64, 255], [255, 0]]
    assert small[0, 0].tolist() == [200, 100, 50]
    assert small[0, 1].tolist() == [5, 10, 15]
    assert small[1, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_tiles_put_together_are_the_picture_at_every_level(kind: str) -> None:
    """Level 0 has the picture's own size; a JPEG decoded at reduced size has the same levels."""
    image = _gradient(1401, 703)
    shown = _shown(_file(image, kind, quality=95) if kind == "JPEG" else _file(image))
    size = shown.size
    assert size == image.size
    for level in reversed(range(level_count(size))):
        whole = Image.new("RGB", level_size(size, level))
        columns, rows = tile_counts(size, level)
        for x, y in ((x, y) for y in range(rows) for x in range(columns)):
            whole.paste(_read(shown.tile(level, x, y, matte=False)), (x * TILE, y * TILE))
        wanted = _reduced(image, 1 << level)
        assert np.abs(np.asarray(whole, np.float32) - wanted)[..., :2].mean() < 2


def test_a_picture_is_shown_upright() -> None:
    """Also if it is decoded at reduced size."""
    image = _gradient(3000, 1500)
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = _shown(_file(image, "JPEG", exif=exif))
    assert shown.stored_size == (3000, 1500)
    assert shown.size == (1500, 3000)
    assert _read(shown.small(320, matte=False)).size == (160, 320)
    small = np.asarray(_read(shown.small(320, matte=False)))
    assert small[0, 0, 1] > small[0, -1, 1] + 100  # the lowest row is the first column now


def test_a_cutout_keeps_its_transparency_and_shows_its_matte() -> None:
    """The matte in grey; an opaque picture has none."""
    image = Image.new("RGBA", (700, 600), (10, 200, 30, 0))
    image.paste((10, 200, 30, 255), (200, 100, 500, 600))
    shown = _shown(_file(image))
    tile = _read(shown.tile(0, 0, 0, matte=False))
    assert tile.mode == "RGBA"
    assert (tile.getpixel((5, 5))[3], tile.getpixel((250, 250))[3]) == (0, 255)  # type: ignore[index]
    matte = _read(shown.tile(0, 0, 0, matte=True)).convert("RGB")
    assert matte.getpixel((5, 5)) == (0, 0, 0)
    assert min(matte.getpixel((250, 250))) >= 253  # type: ignore[arg-type]
    assert _read(shown.small(100, matte=True)).size == (100, 86)
    assert _shown(_file(_gradient(20, 20))).tile(0, 0, 0, matte=True) is None


def test_a_tile_has_the_profile_of_its_picture_unless_that_means_srgb_or_is_large() -> None:
    """A large profile is not sent with every tile: colours are converted to sRGB."""
    plain = _shown(_file(_gradient(30, 30), icc_profile=icc_transform.srgb()))
    assert "icc_profile" not in _read(plain.tile(0, 0, 0, matte=False)).info
    adobe = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.329))
    wide = icc_build.profile(adobe, "wide")
    shown = _shown(_file(Image.new("RGB", (30, 30), (200, 60, 40)), icc_profile=wide))
    tile = _read(shown.tile(0, 0, 0, matte=False))
    assert tile.info["icc_profile"] == wide
    padded = wide + bytes(5000)
    padded = len(padded).to_bytes(4, "big") + padded[4:]
    large = _shown(_file(Image.new("RGB", (30, 30), (200, 60, 40)), icc_profile=padded))
    converted = _read(large.tile(0, 0, 0, matte=False))
    assert "icc_profile" not in converted.info
    assert converted.getpixel((9, 9))[0] > tile.getpixel((9, 9))[0] + 10  # type: ignore[index]


def test_a_damaged_picture_is_an_error_with_a_reason() -> None:
    """At the latest when a tile is read."""
    data = _file(_gradient(900, 600), "JPEG")
    with pytest.raises(PictureError):
        _shown(data[: len(data) // 2]).tile(0, 0, 0, matte=False)
    with pytest.raises(PictureError):
        _shown(b"nothing")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_draft_has_the_size_that_it_says(mode: str) -> None:
    """Sides are rounded up; formats without reduced decoding are decoded in full."""
    data = _file(Image.new(mode, (2049, 1537), 99 if mode == "L" else None), "JPEG")
    picture, halvings = decode.draft(data, max_pixels=10**8, least_side=1000)
    assert halvings == (1 if mode == "RGB" else 0)
    assert picture.rgb.shape[:2] == (-(-1537 >> halvings), -(-2049 >> halvings))
