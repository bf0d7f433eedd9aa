"""PNG and WebP files with missing picture data are refused, and complete ones never are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.formats.decode import decode
from cutoutd.errors import PictureError

MANY = 20_000_000


def noisy(width: int = 400, height: int = 300) -> Image.Image:
    """Return a picture with detail everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(5).normal(0, 10, (height, width, 3))
    return Image.fromarray(np.clip(np.dstack((x / 3, y / 2, (x + y) / 5)) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the picture as a file of that kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"quality": 90}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {}),
        ("JPEG2000", {}),
        ("GIF", {}),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_a_file_whose_rest_was_never_written_is_refused(
    kind: str, options: dict[str, object], share: float
) -> None:
    """A copy that reserves the whole file before it writes leaves zeros."""
    data = encoded(noisy(), kind, **options)
    at = int(len(data) * share)
    with pytest.raises(PictureError):
        decode(data[:at] + bytes(len(data) - at), max_pixels=MANY)


def test_a_png_with_one_wrong_bit_in_its_picture_is_refused() -> None:
    """Its checksum reveals the error, which Pillow does not check."""
    data = bytearray(encoded(noisy(), "PNG"))
    data[-40] ^= 1
    with pytest.raises(PictureError):
        decode(bytes(data), max_pixels=MANY)


@pytest.mark.parametrize("colour", ["black", "white"])
@pytest.mark.parametrize(("quality", "method"), [(100, 0), (80, 2)])
def test_an_even_webp_whose_data_are_zeros_by_right_passes(colour: str, quality: int, method: int) -> None:
    """The fastest encoding of a plain area ends in thousands of zeros."""
    image = Image.new("RGB", (2400, 2400), colour)
    image.paste(noisy(100, 100), (1000, 0))
    data = encoded(image, "WEBP", quality=quality, method=method)
    assert method or data.endswith(bytes(8192))
    assert decode(data, max_pixels=MANY).rgb.shape == (2400, 2400, 3)
