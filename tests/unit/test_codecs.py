"""WebP, AVIF and JPEG: which losses are allowed and which are not."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.containers.png import Extras, Layout
from cutoutd.engine.render import codecs, compose
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cutout(side: int = 200) -> NDArray[np.uint8]:
    """Return a bright disc with a soft edge and nothing around it; uint8 (side, side, 4)."""
    y, x = np.mgrid[0:side, 0:side] - side / 2
    alpha = np.rint(np.clip((side / 3 - np.hypot(y, x)) / 8, 0, 1) * 255).astype(np.uint8)
    rgb = np.empty((side, side, 3), np.uint8)
    rgb[:] = (250, 220, 90)
    rgb[:, ::9] = (230, 200, 60)
    return compose.rgba(rgb, alpha)


def decoded(frame: NDArray[np.uint8], kind: Format, quality: int | None = None) -> NDArray[np.uint8]:
    """Encode a frame, and return its decoded pixels."""
    encoded = codecs.encode(frame.copy(), kind, quality, Extras())
    return np.asarray(Image.open(io.BytesIO(encoded.data)))


def test_webp_is_lossless_unless_configured_otherwise() -> None:
    """Every pixel, and every alpha."""
    assert np.array_equal(decoded(cutout(), Format.WEBP), cutout())
    noise = np.random.default_rng(4).integers(0, 256, (90, 80, 4), np.uint8)
    noise[noise[..., 3] == 0] = 0
    assert np.array_equal(decoded(noise, Format.WEBP), noise)
    assert not np.array_equal(decoded(noise, Format.WEBP, 90), noise)


@pytest.mark.parametrize(("kind", "quality"), [(Format.WEBP, 40), (Format.AVIF, None), (Format.AVIF, 40)])
def test_a_lossy_format_keeps_the_alpha_and_has_no_dark_rim(kind: Format, quality: int | None) -> None:
    """Over the brightest ground no soft pixel is darker than subject and ground, except for noise."""
    frame, found = cutout(), decoded(cutout(), kind, quality)
    assert np.array_equal(found[..., 3], frame[..., 3])
    soft = (frame[..., 3] > 0) & (frame[..., 3] < 255)
    share = found[soft][:, 3:] / 255
    over_white = found[soft][:, :3] * share + 255 * (1 - share)
    wanted = frame[soft][:, :3] * share + 255 * (1 - share)
    assert (over_white - wanted).mean(axis=0) == pytest.approx([0, 0, 0], abs=3)


def test_quality_makes_a_file_smaller() -> None:
    """In each format that loses something."""
    frame = np.random.default_rng(1).integers(100, 140, (200, 200, 3), np.uint8)
    for kind in (Format.JPEG, Format.AVIF, Format.WEBP):
        sizes = [len(codecs.encode(frame, kind, quality, Extras()).data) for quality in (20, 60, 95)]
        assert sizes == sorted(sizes)


def test_jpeg_leaves_out_metadata_that_it_cannot_hold() -> None:
    """With a warning."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    extras = Extras(exif=exif.tobytes().removeprefix(b"Exif\x00\x00"), xmp=b"x" * 70_000)
    encoded = codecs.encode(np.zeros((8, 8, 3), np.uint8), Format.JPEG, None, extras)
    assert len(encoded.warnings) == 2
    assert len(encoded.data) < 10_000


def test_avif_leaves_out_metadata_that_makes_no_sense() -> None:
    """The picture is still encoded."""
    encoded = codecs.encode(np.zeros((8, 8, 3), np.uint8), Format.AVIF, None, Extras(exif=b"no exif"))
    assert len(encoded.warnings) == 1


@pytest.mark.parametrize("kind", [Format.WEBP, Format.AVIF, Format.JPEG])
def test_the_smallest_frame_can_be_encoded(kind: Format) -> None:
    """One pixel, of one channel or three."""
    for shape in ((1, 1), (1, 1, 3)):
        assert decoded(np.zeros(shape, np.uint8), kind).shape[:2] == (1, 1)


def test_strips_become_a_frame() -> None:
    """In their order."""
    frame = np.random.default_rng(2).integers(0, 256, (10, 4, 3), np.uint8)
    layout = Layout(width=4, height=10, channels=3)
    assert np.array_equal(codecs.framed([frame[:3], frame[3:9], frame[9:]], layout), frame)
