"""TIFFs of every kind that tifffile and Pillow write: the picture comes back, or the message says what is not supported."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from cutoutd.engine.containers.exif import ExifBlock
from cutoutd.engine.containers.metadata import apply_policy
from cutoutd.engine.formats.decode import decode
from cutoutd.errors import PictureError
from cutoutd.recipe import Metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture

HEIGHT, WIDTH = 40, 52


def opened(data: bytes) -> Picture:
    """Decode a file."""
    return decode(data, max_pixels=1_000_000, deep=True)


def samples(channels: int, kind: type[Any] = np.uint8) -> NDArray[Any]:
    """Return random samples over all values of a type."""
    top = np.iinfo(kind).max
    return np.random.default_rng(6).integers(0, int(top) + 1, (HEIGHT, WIDTH, channels), kind)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:  # noqa: ANN401 -- tifffile's
    """Return a TIFF written by tifffile."""
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **{"photometric": "rgb", "metadata": None, **options})
    return out.getvalue()


BIG = [{"byteorder": order, "bigtiff": True} for order in "<>"]


@pytest.mark.parametrize("big", BIG)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 7},
        {"tile": (16, 32)},
        {"compression": "zlib", "predictor": 2},
        {"compression": "zlib", "planarconfig": "separate"},
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_bigtiff_is_read_in_either_byte_order(
    big: dict[str, Any], options: dict[str, Any], kind: type[Any]
) -> None:
    """Bit for bit, without a warning."""
    pixels = samples(3, kind)
    is_planar = options.get("planarconfig") == "separate"
    found = opened(tiff(np.moveaxis(pixels, 2, 0) if is_planar else pixels, **options, **big))
    step = np.iinfo(kind).max / 255
    assert np.abs(found.rgb - np.rint(pixels / step)).max() <= is_planar * (kind is np.uint16)
    assert found.warnings == ()


@pytest.mark.parametrize("big", BIG)
def test_a_bigtiff_keeps_its_texts_resolution_and_orientation(big: dict[str, Any]) -> None:
    """Its EXIF is that of a plain TIFF, and not called damaged."""
    options = {"extratags": [(274, 3, 1, 6, True)], "resolution": (300, 240), "description": "A cup of tea"}
    found, plain = opened(tiff(samples(3), **big, **options)), opened(tiff(samples(3), **options))
    assert (found.rgb.shape, found.orientation) == ((WIDTH, HEIGHT, 3), 6)
    kept = apply_policy(found.exif, found.xmp, Metadata.KEEP)
    assert kept.warnings == ()
    assert kept.exif is not None
    assert ExifBlock(kept.exif).value(0x010E) == b"A cup of tea\x00"
    assert found.resolution == plain.resolution is not None


@pytest.mark.parametrize("big", BIG)
def test_a_bigtiffs_thumbnail_is_not_taken_for_the_picture(big: dict[str, Any]) -> None:
    """Whether the small version comes first in the chain, or has the picture in a sub-directory."""
    pixels, small = samples(3), samples(3)[::4, ::4]
    chain, tree = io.BytesIO(), io.BytesIO()
    with tifffile.TiffWriter(chain, **big) as writer:
        writer.write(small, photometric="rgb", subfiletype=1)
        writer.write(pixels, photometric="rgb")
    with tifffile.TiffWriter(tree, **big) as writer:
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1)
        writer.write(pixels, photometric="rgb")
    for file in (chain, tree):
        assert np.array_equal(opened(file.getvalue()).rgb, pixels)


@pytest.mark.parametrize("big", BIG)
def test_a_damaged_bigtiff_is_an_error_or_a_picture(big: dict[str, Any]) -> None:
    """Whatever byte of its directory is changed, and wherever it ends."""
    data = tiff(samples(3)[:6, :6], rowsperstrip=2, **big, extratags=[(330, 16, 1, 16, True)])
    for at in (*range(8, 16), *range(16, len(data), 3)):
        for changed in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            try:
                opened(changed)
            except PictureError as error:
                assert str(error)  # noqa: PT017 -- either is right
