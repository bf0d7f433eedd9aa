"""Corresponding pixels of the full frame and the small one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cutoutd.engine.matting.tiles import ImagePyramid, destinations, enlarged, inside, part_of, sources, tiles


@pytest.mark.parametrize("shape", [(300, 401), (97, 1000), (1000, 97), (128, 128)])
@pytest.mark.parametrize("small", [(31, 44), (30, 40), (97, 97)])
def test_pixels_interpolated_from_a_pixel_are_in_its_destinations(
    shape: tuple[int, int], small: tuple[int, int]
) -> None:
    """At corners, at edges and in the middle; the destinations are not the whole frame."""
    frame = (slice(0, shape[0]), slice(0, shape[1]))
    for y, x in ((0, 0), (small[0] - 1, small[1] - 1), (small[0] // 2, small[1] // 3), (1, small[1] - 2)):
        plane = np.zeros(small, np.float32)
        plane[y, x] = 1
        touched = enlarged(plane, frame, shape, small=small) > 0
        part = destinations((slice(y, y + 1), slice(x, x + 1)), shape, small)
        assert touched.any()
        touched[part] = False
        assert not touched.any()
        reach = [one.stop - one.start for one in part]
        assert all(
            side <= 4 * full / inner + 2 for side, full, inner in zip(reach, shape, small, strict=True)
        )


def test_parts_of_all_tiles_hold_all_that_is_wanted_and_little_else() -> None:
    """Exact to the pixel; a tile without wanted pixels has no part."""
    rng = np.random.default_rng(7)
    wanted = (rng.random((300, 500)) < 0.0001).astype(np.uint8)
    left = wanted.copy()
    for tile in tiles(wanted.shape):
        part = part_of(tile, wanted[tile])
        if part is None:
            assert not wanted[tile].any()
            continue
        assert inside(tile, part) == part
        edges = (wanted[part][0], wanted[part][-1], wanted[part][:, 0], wanted[part][:, -1])
        assert all(edge.any() for edge in edges)
        left[part] = 0
    assert not left.any()


def test_a_tile_depends_on_its_sources_alone() -> None:
    """Other pixels of the small frame do not change it."""
    rng = np.random.default_rng(8)
    shape, small = (300, 401), (31, 44)
    plane = rng.random(small, np.float32)
    for tile in tiles(shape):
        other = rng.random(small, np.float32)
        around = sources(tile, shape, small)
        other[around] = plane[around]
        assert np.array_equal(
            enlarged(plane, tile, shape, small=small), enlarged(other, tile, shape, small=small)
        )


@pytest.mark.parametrize(
    "shape", [(1600, 2000), (1601, 2001), (1999, 1603), (1750, 2501), (641, 3333), (895, 895), (2397, 4329)]
)
@pytest.mark.parametrize("size", [(200, 160), (333, 97), (1999, 640), (9, 9), (541, 300)])
def test_a_picture_of_any_size_is_reduced_to_where_it_was(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    """With or without a pyramid: nothing moves by more than a sixth of a small pixel."""
    size = (min(size[0], shape[1]), min(size[1], shape[0]))
    for axis, small in ((0, size[1]), (1, size[0])):
        full = shape[axis]
        line = (np.arange(full) * (65535 / full)).astype(np.uint16)
        ramp = np.ascontiguousarray(np.broadcast_to(np.expand_dims(line, 1 - axis), shape))
        straight = cv2.resize(ramp, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        moved = np.abs(ImagePyramid(ramp).reduced(size) - straight) / (65535 / small)
        assert moved.max() < 1 / 6 + 0.02


@pytest.mark.parametrize("shape", [(1600, 2000), (1601, 2001), (641, 3333)])
def test_without_the_large_levels_the_same_reductions_are_made(shape: tuple[int, int]) -> None:
    """A preview keeps less than a picture of any size."""
    picture = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    kept = ImagePyramid(picture)
    kept.drop_larger((200, 100))
    assert kept.shape == shape
    for size in ((200, 100), (97, 53)):
        assert (kept.reduced(size) == ImagePyramid(picture).reduced(size)).all()
    with pytest.raises(KeyError):
        kept.reduced((shape[1], shape[0]))
