"""The copy that is uploaded: sRGB pixels and nothing else, bounded in size, reproducible."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from cutoutd.engine.picture import Picture
from cutoutd.engine.render.upload import copy_of
from cutoutd.errors import LimitError

PLENTY = 1_000_000_000


def picture(height: int = 90, width: int = 160, *, icc: bytes | None = None, alpha: bool = False) -> Picture:
    """Return a picture with metadata that names camera and place."""
    rng = np.random.default_rng(7)
    return Picture(
        rgb=rng.integers(0, 256, (height, width, 3), np.uint8),
        alpha=np.full((height, width), 128, np.uint8) if alpha else None,
        icc=icc,
        exif=b"MM\0*\0\0\0\x08 camera 12345 at home",
        xmp=b"<x:xmpmeta>home</x:xmpmeta>",
        format="JPEG",
        orientation=6,
        warnings=(),
    )


def opened(data: bytes) -> Image.Image:
    """Open the copy as a service does."""
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("alpha", [False, True])
def test_the_copy_contains_nothing_but_pixels(alpha: bool) -> None:  # noqa: FBT001 -- a case
    """No EXIF, no XMP, no profile, no comment."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    copy = copy_of(picture(icc=profile, alpha=alpha), max_side=PLENTY, max_pixels=PLENTY, max_bytes=PLENTY)
    image = opened(copy.data)
    assert not image.getexif()
    assert not set(image.info) & {"exif", "icc_profile", "xmp", "comment", "photoshop"}
    assert b"home" not in copy.data
    assert b"12345" not in copy.data


def test_the_copy_is_as_large_as_the_picture_if_configured() -> None:
    """The best edges need every pixel."""
    copy = copy_of(picture(), max_side=PLENTY, max_pixels=PLENTY, max_bytes=PLENTY)
    assert (copy.width, copy.height) == opened(copy.data).size == (160, 90)


@pytest.mark.parametrize(("side", "pixels"), [(80, PLENTY), (PLENTY, 80 * 45)])
def test_the_copy_is_reduced_as_configured(side: int, pixels: int) -> None:
    """By its longer side or its area, with the same proportions."""
    copy = copy_of(picture(), max_side=side, max_pixels=pixels, max_bytes=PLENTY)
    assert (copy.width, copy.height) == opened(copy.data).size == (80, 45)


def test_the_copy_fits_the_services_limits() -> None:
    """By lower quality first, then by smaller size."""
    for limit in (30_000, 6_000):
        assert len(copy_of(picture(), max_side=PLENTY, max_pixels=PLENTY, max_bytes=limit).data) <= limit


def test_a_copy_that_fits_at_no_size_is_refused() -> None:
    """Instead of being sent in unusable quality."""
    with pytest.raises(LimitError, match="no copy"):
        copy_of(picture(), max_side=PLENTY, max_pixels=PLENTY, max_bytes=100)


def test_the_same_picture_gives_the_same_bytes() -> None:
    """By these bytes a picture that was paid for is recognised."""
    first, second = (
        copy_of(picture(), max_side=100, max_pixels=PLENTY, max_bytes=PLENTY).data for _ in range(2)
    )
    assert first == second


def test_colours_of_another_space_are_brought_to_srgb() -> None:
    """Without the profile the numbers would mean other colours."""
    wide = picture()
    image = Image.fromarray(wide.rgb)
    # A profile whose red and blue are exchanged, as far from sRGB as can be.
    matrix = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = matrix.index(b"rXYZ"), matrix.index(b"bXYZ")
    matrix[red : red + 4], matrix[blue : blue + 4] = b"bXYZ", b"rXYZ"
    copy = copy_of(picture(icc=bytes(matrix)), max_side=PLENTY, max_pixels=PLENTY, max_bytes=PLENTY)
    exchanged = np.asarray(opened(copy.data), np.int16)
    original = np.asarray(image, np.int16)[..., ::-1]
    assert np.abs(exchanged - original).mean() < np.abs(exchanged - np.asarray(image, np.int16)).mean() / 3
