"""A reduced rendition as pixels, computed while its strips pass."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cutoutd import tiling
from cutoutd.engine.colour import icc_build
from cutoutd.pipeline.preview import ReducedRendition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.exchange.cutout_previews import CutoutPreview


def _preview(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], rows: list[int], icc: bytes | None = None
) -> CutoutPreview:
    """Return the preview of strips of these numbers of rows; check that the strips are unchanged."""
    height, width = pixels.shape[:2]
    reduced, top = ReducedRendition((width, height)), 0
    strips: list[NDArray[np.uint8] | NDArray[np.uint16]] = []
    while top < height:
        count = rows[len(strips) % len(rows)]
        strips.append(pixels[top : top + count])
        top += count
    before = pixels.copy()
    passed = [*reduced.watched(strips)]
    assert all(one is other for one, other in zip(passed, strips, strict=True))
    assert np.array_equal(pixels, before)
    return reduced.preview(icc)


def _frame(preview: CutoutPreview) -> NDArray[np.int16]:
    """Return the large preview, alpha beside its colours."""
    colours = Image.open(io.BytesIO(preview.colours)).convert("RGB")
    alpha = Image.open(io.BytesIO(preview.alpha)) if preview.alpha else Image.new("L", colours.size, 255)
    return np.dstack((np.asarray(colours), np.asarray(alpha))).astype(np.int16)


def _cutout(width: int, height: int) -> NDArray[np.uint8]:
    """Return a green disc with a soft edge, and nothing beside it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot(x - width / 2, y - height / 2)
    alpha = np.clip((0.3 * height - distance) * 20, 0, 255).astype(np.uint8)
    pixels = np.dstack((np.full_like(alpha, 40), np.full_like(alpha, 180), np.full_like(alpha, 60), alpha))
    pixels[alpha == 0] = 0
    return pixels


@pytest.mark.parametrize("size", [(2400, 1600), (2401, 1603), (1101, 5), (3, 1700), (900, 600), (1, 1)])
@pytest.mark.parametrize("rows", [[61], [1], [7, 1, 300], [5000]])
def test_a_preview_has_the_size_of_its_level_whatever_its_strips(
    size: tuple[int, int], rows: list[int]
) -> None:
    """Sides of levels are rounded up, as tiles are counted; the pixels do not depend on the strips."""
    pixels = _cutout(*size)
    preview = _preview(pixels, rows)
    assert (preview.width, preview.height) == size
    assert preview.level == tiling.first_level_within(size, tiling.COARSE_SIDE)
    frame = _frame(preview)
    assert frame.shape[1::-1] == tiling.level_size(size, preview.level)
    assert np.array_equal(frame, _frame(_preview(pixels, [size[1]])))
    small = Image.open(io.BytesIO(preview.small))
    assert small.format == "WEBP"
    assert max(small.size) == min(320, max(size))


def test_removed_background_does_not_show_through_the_edge() -> None:
    """Neither by averaging nor by JPEG blocks: soft pixels have the subject's colour."""
    frame = _frame(_preview(_cutout(2400, 1600), [61]))
    seen = frame[..., 3] > 0
    soft = seen & (frame[..., 3] < 255)
    assert soft.sum() > 500
    off = np.abs(frame[..., :3] - (40, 180, 60)).max(axis=-1)
    # What it is off by is seen through its alpha.
    assert (off * frame[..., 3] / 255)[seen].max() <= 14
    assert np.median(off[soft]) <= 4


def test_opaque_grey_and_deep_renditions_are_shown_as_they_are() -> None:
    """A picture on white, a matte, and a picture of 16 bits."""
    white = np.full((1200, 1800, 3), 255, np.uint8)
    opaque = np.dstack((white, np.full((1200, 1800), 255, np.uint8)))
    for pixels in (white, opaque):
        preview = _preview(pixels, [61])
        assert preview.alpha == b""
        assert (_frame(preview) == 255).all()
    grey = np.full((1200, 1800), 77, np.uint8)
    preview = _preview(grey, [61])
    assert preview.alpha == b""
    assert abs(_frame(preview)[..., 0] - 77).max() <= 1
    deep = _cutout(1800, 1200).astype(np.uint16) * 257
    assert np.array_equal(_frame(_preview(deep, [61])), _frame(_preview(_cutout(1800, 1200), [61])))


def test_colours_of_a_preview_keep_their_profile() -> None:
    """Browsers use it."""
    adobe = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.329))
    profile = icc_build.profile(adobe, "wide")
    preview = _preview(_cutout(600, 400), [61], profile)
    for file in (preview.colours, preview.small):
        assert Image.open(io.BytesIO(file)).info["icc_profile"] == profile
