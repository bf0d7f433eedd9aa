"""The cutout's pixels: opaque ones equal the source's, invisible ones are zero."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.engine.render import compose


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 60),
    seed=st.integers(0, 1 << 20),
    visible=st.floats(0, 1),
)
def test_every_pixel_is_what_its_alpha_says(*, width: int, height: int, seed: int, visible: float) -> None:
    """Alpha 255: the source's bits; between: its colour, not multiplied; 0: four zeros."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    alpha = rng.choice(np.array([0, 1, 128, 254, 255], np.uint8), (height, width))
    alpha[rng.random((height, width)) > visible] = 0
    rgba = np.concatenate(list(compose.strips(rgb, alpha)))
    soft = (alpha > 0) & (alpha < 255)
    assert np.array_equal(rgba[..., 3], alpha)
    assert np.array_equal(rgba[alpha == 255, :3], rgb[alpha == 255])
    assert np.array_equal(rgba[soft, :3], rgb[soft])
    assert not rgba[alpha == 0].any()


def test_a_large_cutout_comes_in_strips_of_bounded_size() -> None:
    """No strip copies the whole frame; together they equal the picture."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (900, 1500, 3), np.uint8)
    alpha = np.full((900, 1500), 255, np.uint8)
    strips = list(compose.strips(rgb, alpha))
    assert len(strips) > 3
    assert max(strip.nbytes for strip in strips) <= compose.STRIP_BYTES
    assert np.array_equal(np.concatenate(strips)[..., :3], rgb)


def test_the_source_is_not_written_to() -> None:
    """Other renditions are made from the same arrays."""
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (20, 30, 3), np.uint8)
    alpha = rng.integers(0, 256, (20, 30), np.uint8)
    before = rgb.copy(), alpha.copy()
    list(compose.strips(rgb, alpha))
    assert all(np.array_equal(was, now) for was, now in zip(before, (rgb, alpha), strict=True))


def test_existing_transparency_is_multiplied_in_with_rounding() -> None:
    """For all 65,536 pairs the result is the nearest value."""
    alpha, existing = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    exact = alpha.astype(np.float64) * existing / 255
    assert np.array_equal(compose.multiplied(alpha, existing), np.rint(exact).astype(np.uint8))


def test_hidden_colours_are_not_visible() -> None:
    """Over grey, a transparent pixel becomes grey and an opaque one is unchanged, in every strip."""
    rng = np.random.default_rng(2)
    rgb = rng.integers(0, 256, (700, 900, 3), np.uint8)
    alpha = rng.choice(np.array([0, 51, 255], np.uint8), (700, 900))
    seen = compose.over_grey(rgb, alpha)
    assert (seen[alpha == 0] == 128).all()
    assert np.array_equal(seen[alpha == 255], rgb[alpha == 255])
    assert np.array_equal(seen[alpha == 51], np.rint(128 + (rgb[alpha == 51] - 128.0) / 5))
