"""A cutout on its canvas: pixels that stay, pixels that are scaled, and edges without fringes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.render import compose, scaling
from cutoutd.engine.render.placement import Box, Placement

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANDOM = np.random.default_rng(3)


def drawn(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], place: Placement) -> NDArray[np.uint8]:
    """Return the whole canvas."""
    box = Box(left=0, top=0, right=alpha.shape[1], bottom=alpha.shape[0])
    return np.concatenate(list(scaling.strips(rgb, alpha, place, visible=box)))


def disc(
    side: int, colour: tuple[int, int, int], ground: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], ...]:
    """Return a disc with a soft edge: rgb with another colour outside, and alpha."""
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    alpha = np.rint(np.clip(side / 3 - np.hypot(y, x), 0, 1) * 255).astype(np.uint8)
    rgb = np.where(alpha[..., np.newaxis] > 0, np.array(colour, np.uint8), np.array(ground, np.uint8)).astype(
        np.uint8
    )
    return rgb, alpha


@pytest.mark.parametrize(("left", "top"), [(0, 0), (-20, -30), (15, 7), (-20, 200), (500, 0)])
def test_pixels_that_are_only_moved_stay_what_they_are(left: int, top: int) -> None:
    """Bit for bit; beyond canvas and picture all is empty."""
    rgb = RANDOM.integers(0, 256, (120, 90, 3), np.uint8)
    alpha = RANDOM.integers(0, 256, (120, 90), np.uint8)
    canvas = drawn(rgb, alpha, Placement(width=100, height=110, factor=1, left=left, top=top))
    expected = np.zeros((110 + 1000, 100 + 1000, 4), np.uint8)
    expected[top + 400 : top + 520, left + 400 : left + 490] = compose.rgba(rgb, alpha)
    assert np.array_equal(canvas, expected[400:510, 400:500])


@pytest.mark.parametrize("factor", [0.06, 0.11, 0.24, 0.26, 0.5, 0.9, 1.0, 1.7, 3.0])
def test_no_hidden_colour_appears_at_an_edge(factor: float) -> None:
    """A red disc scaled over its own hidden green has only red pixels."""
    rgb, alpha = disc(400, (200, 30, 20), (0, 255, 0))
    side = round(400 * factor) + 1
    canvas = drawn(rgb, alpha, Placement(width=side, height=side, factor=factor, left=0.3, top=0.6))
    seen = canvas[canvas[..., 3] > 40].astype(int)
    assert len(seen) > 100
    assert np.abs(seen[:, :3] - (200, 30, 20)).max() <= 4
    assert not canvas[canvas[..., 3] == 0].any()


@pytest.mark.parametrize("factor", [0.06, 0.3, 0.7, 2.0])
def test_a_disc_keeps_its_place_and_size(factor: float) -> None:
    """Area and centre, to a fraction of a pixel."""
    rgb, alpha = disc(401, (10, 200, 30), (0, 0, 0))
    side = round(401 * factor) + 20
    canvas = drawn(rgb, alpha, Placement(width=side, height=side, factor=factor, left=7.25, top=9.5))
    share = canvas[..., 3] / 255
    y, x = np.mgrid[0:side, 0:side] + 0.5
    assert share.sum() == pytest.approx((alpha / 255).sum() * factor**2, rel=0.01)
    assert (share * x).sum() / share.sum() == pytest.approx(401 * factor / 2 + 7.25, abs=0.1)
    assert (share * y).sum() / share.sum() == pytest.approx(401 * factor / 2 + 9.5, abs=0.1)


@pytest.mark.parametrize("factor", [0.1, 0.21, 0.45, 1.3])
def test_strips_do_not_change_the_result(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A canvas made in thin strips equals one made in one piece."""
    rgb = RANDOM.integers(0, 256, (700, 300, 3), np.uint8)
    alpha = RANDOM.integers(0, 256, (700, 300), np.uint8)
    place = Placement(width=round(300 * factor), height=round(700 * factor), factor=factor, left=0.0, top=0.0)
    whole = drawn(rgb, alpha, place).astype(int)
    monkeypatch.setattr(compose, "STRIP_BYTES", 4 * place.width * 5)
    thin = drawn(rgb, alpha, place)
    # Where hardly anything is to be seen, a last bit of alpha is many of the colour's.
    solid = whole[..., 3] > 64
    assert np.abs(thin - whole)[..., 3].max() <= 1
    assert np.abs(thin - whole)[solid].max() <= 4


def test_the_result_matches_pillows_scaling_of_the_whole() -> None:
    """Pillow scales it independently: multiplied by alpha, scaled and divided, all at once."""
    rgb, alpha = disc(300, (90, 140, 200), (255, 255, 255))
    rgb = np.clip(rgb + RANDOM.integers(-20, 20, rgb.shape), 0, 255).astype(np.uint8)
    ours = drawn(rgb, alpha, Placement(width=150, height=150, factor=0.5, left=0, top=0)).astype(int)
    theirs = np.asarray(
        Image.fromarray(compose.rgba(rgb, alpha)).resize((150, 150), Image.Resampling.LANCZOS)
    ).astype(int)
    # Pillow rounds and clips between the two directions, and this averages pairs of pixels.
    assert np.abs(ours[..., 3] - theirs[..., 3]).max() <= 16
    assert np.abs(ours[..., 3] - theirs[..., 3]).mean() < 0.2
    solid = theirs[..., 3] > 64
    assert np.abs(ours - theirs)[solid].mean() < 2.5  # the noise, which area averages flatten more


def test_a_picture_at_its_frames_edge_is_not_thinned() -> None:
    """A subject that touches the edge is opaque up to the edge."""
    rgb, alpha = np.full((300, 200, 3), 77, np.uint8), np.full((300, 200), 255, np.uint8)
    canvas = drawn(rgb, alpha, Placement(width=67, height=100, factor=1 / 3, left=0.0, top=0.0))
    assert canvas[:, :66, 3].min() == 255
    assert canvas[:, :66, :3].min() == canvas[:, :66, :3].max() == 77
