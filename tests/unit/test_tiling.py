"""Levels and tiles of a large picture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.tiling import (
    TILE,
    first_level_within,
    has_tile,
    level_count,
    level_size,
    tile_counts,
)

SIZES = st.tuples(st.integers(1, 70_000), st.integers(1, 70_000))


@pytest.mark.parametrize(
    ("size", "levels"), [((1, 1), 1), ((256, 256), 1), ((257, 1), 2), ((512, 3), 2), ((8688, 5792), 7)]
)
def test_the_last_level_is_the_first_that_is_one_tile(size: tuple[int, int], levels: int) -> None:
    """For any size and proportions."""
    assert level_count(size) == levels


@given(SIZES)
def test_each_level_is_half_of_the_one_before_rounded_up(size: tuple[int, int]) -> None:
    """Halving a level gives the next to the last row, down to one tile."""
    for level in range(1, level_count(size)):
        before, after = level_size(size, level - 1), level_size(size, level)
        assert after == tuple((side + 1) // 2 for side in before)
    assert tile_counts(size, level_count(size) - 1) == (1, 1)


@given(SIZES)
def test_tiles_cover_a_level_and_nothing_else(size: tuple[int, int]) -> None:
    """The last column and row are at least one pixel wide."""
    for level in range(level_count(size)):
        columns, rows = tile_counts(size, level)
        width, height = level_size(size, level)
        assert (columns - 1) * TILE < width <= columns * TILE
        assert (rows - 1) * TILE < height <= rows * TILE
        assert has_tile(size, level, columns - 1, rows - 1)
        assert not has_tile(size, level, columns, 0)
        assert not has_tile(size, level, 0, rows)
    assert not has_tile(size, level_count(size), 0, 0)
    assert not has_tile(size, -1, 0, 0)


def test_the_finest_level_that_fits_is_found() -> None:
    """Or the last one, if none fits."""
    assert first_level_within((8688, 5792), 1100) == 3
    assert first_level_within((8688, 5792), 1024) == 4
    assert first_level_within((300, 200), 1024) == 0
    assert first_level_within((8688, 5792), 1) == 6
