"""Files of the TIFF writer, as another reader reads them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from cutoutd.engine.containers import exif as exif_block
from cutoutd.engine.containers import tiff
from cutoutd.engine.containers.png import Extras, Layout

RANDOM = np.random.default_rng(11)


def written(pixels: np.ndarray, rows: int, extras: Extras = Extras()) -> bytes:  # noqa: B008
    """Return a TIFF in strips of this many rows."""
    out = io.BytesIO()
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    layout = Layout(width=pixels.shape[1], height=pixels.shape[0], channels=channels)
    tiff.write(out, (pixels[top : top + rows] for top in range(0, len(pixels), rows)), layout, extras)
    return out.getvalue()


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1, 3), (1, 1, 4), (40, 1, 4), (1, 40, 3), (37, 53, 4), (200, 300)]
)
@pytest.mark.parametrize("rows", [1, 16, 1000])
def test_every_pixel_comes_back(shape: tuple[int, ...], rows: int) -> None:
    """Grey, RGB and RGBA, in one strip or many."""
    pixels = RANDOM.integers(0, 256, shape, np.uint8)
    image = Image.open(io.BytesIO(written(pixels, rows)))
    assert np.array_equal(np.asarray(image), pixels)
    assert image.mode == {2: "L", 3: "RGB"}.get(len(shape) if len(shape) == 2 or shape[2] == 3 else 0, "RGBA")


@pytest.mark.parametrize("order", ["<", ">"])
def test_profile_and_metadata_come_back(order: str) -> None:
    """In the byte order of the EXIF block, with its sub-directories."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "A maker with a long name"
    exif[0x011A] = TiffImagePlugin.IFDRational(300, 1)
    exif.get_ifd(exif_block.EXIF_IFD)[0x829A] = TiffImagePlugin.IFDRational(1, 250)
    exif.get_ifd(exif_block.GPS_IFD)[1] = "N"
    block = exif.tobytes().removeprefix(b"Exif\x00\x00")
    pixels = RANDOM.integers(0, 256, (30, 20, 4), np.uint8)
    data = written(pixels, 7, Extras(icc=b"profile" * 100, exif=block, xmp=b"<x:xmpmeta/>"))
    assert data[:2] == (b"II" if order == "<" else b"MM")
    image = Image.open(io.BytesIO(data))
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    assert np.array_equal(np.asarray(image), pixels)
    assert image.info["icc_profile"] == b"profile" * 100
    assert image.tag_v2[700] == b"<x:xmpmeta/>"
    found = image.getexif()
    assert found[0x010F] == "A maker with a long name"
    assert found[0x011A] == 300
    assert found.get_ifd(exif_block.EXIF_IFD)[0x829A] == pytest.approx(1 / 250)
    assert found.get_ifd(exif_block.GPS_IFD)[1] == "N"


def test_facts_about_another_file_in_an_exif_block_are_rewritten() -> None:
    """Sizes, strips and colours of the source's first directory would be wrong."""
    exif = Image.Exif()
    for tag in (256, 257, 258, 259, 262, 273, 279, 322):
        exif[tag] = 7
    data = written(
        np.zeros((5, 6, 3), np.uint8), 2, Extras(exif=exif.tobytes().removeprefix(b"Exif\x00\x00"))
    )
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.size == (6, 5)


def test_a_value_outside_its_block_does_not_make_the_picture_unreadable() -> None:
    """A TIFF's first directory describes the picture itself, so such metadata must be left out."""
    exif = Image.Exif()
    exif[0x010F] = "A maker with a long name"
    exif[0x013B] = "Ann Example"
    block = bytearray(exif.tobytes().removeprefix(b"Exif\x00\x00"))
    where = block.index(b"\x0f\x01\x02\x00" if block[:2] == b"II" else b"\x01\x0f\x00\x02") + 8
    block[where : where + 4] = b"\x7f\x7f\x7f\x7f"
    data = written(np.full((5, 6, 3), 9, np.uint8), 2, Extras(exif=bytes(block)))
    image = Image.open(io.BytesIO(data))
    assert np.asarray(image).max() == 9
    assert dict(image.getexif())[0x013B] == "Ann Example"
    assert 0x010F not in image.getexif()


def test_a_block_that_is_no_exif_is_left_out() -> None:
    """The pixels are written."""
    image = Image.open(io.BytesIO(written(np.full((3, 3), 9, np.uint8), 3, Extras(exif=b"no exif at all"))))
    assert np.asarray(image).tolist() == [[9] * 3] * 3


@pytest.mark.parametrize("strips", [[3, 2, 3], [2, 2], [4, 4, 4], []])
def test_strips_that_do_not_fit_are_refused(strips: list[int]) -> None:
    """Readers rely on equal strips."""
    layout = Layout(width=2, height=8, channels=3)
    with pytest.raises(ValueError, match="strip"):
        tiff.write(io.BytesIO(), (np.zeros((rows, 2, 3), np.uint8) for rows in strips), layout, Extras())


def test_a_file_of_more_than_four_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """32-bit offsets cannot address its end."""
    monkeypatch.setattr(tiff, "_MAX_BYTES", 300)
    with pytest.raises(tiff.TiffTooLargeError):
        written(RANDOM.integers(0, 256, (30, 20, 4), np.uint8), 7)
