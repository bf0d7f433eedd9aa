"""Where strokes have changed an alpha, colours follow it; elsewhere they are what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cutoutd.engine.matting import foreground
from cutoutd.engine.matting.tiles import ImagePyramid
from cutoutd.pipeline.corrected_colours import NEAR, Estimate, decontaminate, near_changes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.mark.parametrize("shape", [(300, 401), (1201, 960), (2003, 1500), (2999, 4001)])
def test_a_single_pixel_that_has_changed_is_near_and_the_rest_is_far(shape: tuple[int, int]) -> None:
    """In pictures of all sizes, also at their last row and column."""
    before = np.full(shape, 7, np.uint8)
    assert not near_changes(before, before).any()
    for y, x in ((shape[0] // 2, 3), (shape[0] - 1, shape[1] - 1)):
        after = before.copy()
        after[y, x] = 8
        share = near_changes(before, after)
        rows, columns = (
            np.arange(side) * (whole / side) for side, whole in zip(share.shape, shape, strict=True)
        )
        apart = np.hypot(rows[:, None] - y, columns[None] - x)
        reach = NEAR * max(shape)
        assert share[apart < reach - 9].min() == 1
        assert share[apart > 2 * reach + 18].max() == 0
        assert max(share.shape) <= 1024


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_near_a_change_colours_are_those_of_the_new_alpha_and_far_those_of_the_former(dtype: type) -> None:
    """To the bit; beside opaque parts nothing is estimated."""
    rng = np.random.default_rng(2)
    shape = (900, 1200)
    colours: NDArray[Any] = rng.integers(0, np.iinfo(dtype).max, (*shape, 3)).astype(dtype)
    before = np.full(shape, 255, np.uint8)
    before[:, 100:1100] = np.linspace(0, 255, 1000).astype(np.uint8)
    after = before.copy()
    after[400:500, 900:1000] = 0
    expected = [colours.copy(), colours.copy()]
    for made, alpha in zip(expected, (before, after), strict=True):
        foreground.decontaminate(made, alpha)
    former, new = expected
    made = colours.copy()
    pyramid = ImagePyramid(colours.copy())
    whole = (slice(None), slice(None))
    decontaminate(
        made,
        Estimate(alpha=before, where=whole, pyramid=pyramid),
        Estimate(alpha=after, where=whole, pyramid=pyramid),
        near_changes(before, after),
    )
    assert (made[390:510, 890:1010] == new[390:510, 890:1010]).all()
    assert (made[:, :800] == former[:, :800]).all()
    assert (former[:, 100:800] != new[:, 100:800]).any()
    low, high = np.minimum(former, new), np.maximum(former, new)
    assert ((made >= low) & (made <= high)).all()
