"""Backgrounds behind a cutout, and the shadow on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.engine.render import backdrop
from cutoutd.engine.render.placement import Box, Placement

RANDOM = np.random.default_rng(5)


@given(st.tuples(*[st.integers(0, 255)] * 7), st.integers(0, 100))
def test_a_cutout_before_a_colour_is_the_compositing_equation(
    values: tuple[int, int, int, int, int, int, int], darkness: int
) -> None:
    """To the nearest value, for every colour, alpha, background and shadow."""
    pixel, behind = np.array(values[:4], np.uint8), np.array(values[4:], np.uint8)
    dark = np.full((1, 1), darkness / 100, np.float32)
    found = backdrop.over(behind.reshape(1, 1, 3).copy(), pixel.reshape(1, 1, 4), dark)[0, 0]
    share = values[3] / 255
    ground = np.array(values[4:]) * (1 - np.float64(dark[0, 0]))
    exact = np.array(values[:3]) * share + ground * (1 - share)
    assert np.abs(found - exact).max() <= 0.51


def test_an_opaque_pixel_stays_what_it_is() -> None:
    """Bit for bit, in shadow or not."""
    pixels = RANDOM.integers(0, 256, (9, 7, 4), np.uint8)
    pixels[..., 3] = 255
    ground = RANDOM.integers(0, 256, (9, 7, 3), np.uint8)
    assert np.array_equal(backdrop.over(ground, pixels, np.ones((9, 7), np.float32)), pixels[..., :3])


@given(st.tuples(*[st.integers(0, 255)] * 4), st.integers(0, 100), st.integers(0, 255))
def test_a_shadow_on_transparency_looks_the_same_over_any_background(
    values: tuple[int, int, int, int], darkness: int, ground: int
) -> None:
    """The transparent result laid over grey equals the subject composed over that grey with its shadow."""
    pixel = np.array(values, np.uint8).reshape(1, 1, 4)
    dark = np.full((1, 1), darkness / 100, np.float32)
    shaded = backdrop.shaded(pixel.copy(), dark)[0, 0].astype(np.float64)
    seen = shaded[:3] * shaded[3] / 255 + ground * (1 - shaded[3] / 255)
    own = values[3] / 255
    exact = np.array(values[:3]) * own + ground * (1 - darkness / 100) * (1 - own)
    assert np.abs(seen - exact).max() <= 1.6


@pytest.mark.parametrize(("width", "height"), [(50, 50), (200, 40), (30, 300), (1, 1)])
def test_a_picture_fills_its_canvas_evenly(width: int, height: int) -> None:
    """The background's centre stays the centre, and no side shows a gap."""
    picture = np.zeros((120, 180, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, 180).astype(np.uint8)
    picture[..., 1] = np.linspace(0, 255, 120).astype(np.uint8)[:, np.newaxis]
    filled = backdrop.filling(picture, None, width, height)
    assert filled.shape == (height, width, 3)
    assert abs(float(filled[..., 0].mean()) - 127.5) < 3
    assert abs(float(filled[..., 1].mean()) - 127.5) < 3


def test_a_background_with_holes_is_white_in_them() -> None:
    """Transparent parts of the background picture become white."""
    filled = backdrop.filling(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), 8, 8)
    assert filled.min() == 255


def table() -> tuple[np.ndarray, Box]:
    """Return the alpha and the bounding box of a table: a top and two legs."""
    alpha = np.zeros((400, 500), np.uint8)
    alpha[100:140, 100:400] = 255
    alpha[140:300, 110:130] = 255
    alpha[140:300, 370:390] = 255
    return alpha, Box(left=100, top=100, right=400, bottom=300)


def test_a_shadow_is_where_a_subject_touches_the_ground() -> None:
    """Darkest under the legs, faint between them, none beside the top."""
    alpha, box = table()
    cast = backdrop.cast_shadow(alpha, box)
    assert cast is not None
    place = Placement(width=500, height=400, factor=1, left=0, top=0)
    mask = np.concatenate([cast.strip(place, 0, 150), cast.strip(place, 150, 400)])
    assert mask.shape == (400, 500)
    assert mask[300, 120] > 0.5
    assert mask[300, 380] > 0.5
    assert mask[300, 250] < mask[300, 120] / 2
    assert mask[120, 250] == 0
    assert mask[390, 250] == 0
    reach = backdrop.reach(cast, box)
    assert reach.bottom > box.bottom
    assert reach.top == box.top


def test_a_shadow_goes_with_its_subject() -> None:
    """Scaled and moved, the subject has the same shadow."""
    alpha, box = table()
    cast = backdrop.cast_shadow(alpha, box)
    assert cast is not None
    plain = cast.strip(Placement(width=500, height=400, factor=1, left=0, top=0), 0, 400)
    moved = cast.strip(Placement(width=1100, height=900, factor=2, left=60, top=30), 0, 900)
    assert np.abs(moved[30:830:2, 60:1060:2] - plain).max() < 0.1


def test_a_subject_cut_off_by_the_edge_casts_no_shadow() -> None:
    """The ground under a cropped subject is outside the picture."""
    alpha = np.zeros((400, 500), np.uint8)
    alpha[100:400, 100:300] = 255
    assert backdrop.cast_shadow(alpha, Box(left=100, top=100, right=300, bottom=400)) is None


def test_a_subject_of_one_pixel_does_not_stop_a_shadow() -> None:
    """Whatever the subject is."""
    alpha = np.zeros((9, 9), np.uint8)
    alpha[4, 4] = 255
    backdrop.cast_shadow(alpha, Box(left=4, top=4, right=5, bottom=5))
