"""The geometry of a cutout on its canvas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.engine.render import placement
from cutoutd.engine.render.placement import Box, Placement
from cutoutd.recipe import Format, Margin, Rendition

FRAME = Box(left=0, top=0, right=400, bottom=300)
SUBJECT = Box(left=100, top=60, right=200, bottom=260)  # 100 x 200


def placed(**wanted: object) -> Placement:
    """Return the subject's placement for these settings."""
    rendition = Rendition(format=Format.PNG, suffix="", **wanted)  # type: ignore[arg-type]
    return placement.place(rendition, FRAME, SUBJECT, shown=SUBJECT)


def test_without_a_wish_every_pixel_stays() -> None:
    """The placement is the frame itself."""
    assert placed() == Placement(width=400, height=300, factor=1, left=0, top=0)


def test_crop_leaves_the_subject_and_its_margin() -> None:
    """Pixels are unchanged, and the margin may extend beyond the picture."""
    plain = placed(crop=Margin())
    assert (plain.width, plain.height, plain.keeps_pixels) == (100, 200, True)
    assert plain.onto_canvas(SUBJECT) == Box(left=0, top=0, right=100, bottom=200)
    roomy = placed(crop=Margin(px=(1, 2, 3, 4), share=(0.5, 0.0, 0.5, 0.0)))
    assert (roomy.width, roomy.height) == (4 + 100 + 2, 101 + 200 + 103)
    assert roomy.onto_canvas(SUBJECT) == Box(left=4, top=101, right=104, bottom=301)


def test_a_subject_takes_its_share_of_a_canvas() -> None:
    """By its longer side, centred."""
    found = placed(canvas=(1000, 1000), scale=0.8, position=(0.5, 0.5))
    assert found.onto_canvas(SUBJECT) == Box(left=300, top=100, right=700, bottom=900)
    wide = placed(canvas=(100, 1000), scale=0.8, position=(0.5, 0.5)).onto_canvas(SUBJECT)
    assert (wide.width, wide.height) == pytest.approx((80, 160))


def test_a_position_shares_out_the_free_room() -> None:
    """0 is left or top, 1 is right or bottom."""
    found = placed(canvas=(1000, 1000), scale=0.5, position=(0.0, 1.0)).onto_canvas(SUBJECT)
    assert (found.left, found.bottom) == pytest.approx((0, 1000))


def test_a_subject_that_stays_keeps_its_middle_and_stays_on_the_canvas() -> None:
    """As far as both are possible."""
    smaller = placed(scale=0.5).onto_canvas(SUBJECT)
    assert ((smaller.left + smaller.right) / 2, (smaller.top + smaller.bottom) / 2) == pytest.approx(
        (150, 160)
    )
    full = placed(scale=1.0).onto_canvas(SUBJECT)
    assert (full.top, full.bottom) == pytest.approx((0, 300))


def test_without_a_scale_the_shown_part_fits_the_canvas() -> None:
    """The whole picture, or with crop the subject."""
    frame = placed(canvas=(200, 200), position=(0.5, 0.5)).onto_canvas(FRAME)
    assert (frame.left, frame.right, frame.top, frame.bottom) == pytest.approx((0, 200, 25, 175))
    subject = placed(canvas=(200, 200), crop=Margin(), position=(1.0, 0.5)).onto_canvas(SUBJECT)
    assert (subject.left, subject.right, subject.top, subject.bottom) == pytest.approx((100, 200, 0, 200))


def test_half_a_pixel_of_room_does_not_blur_what_need_not_be_scaled() -> None:
    """Without a change of size, pixels are copied exactly."""
    assert placed(canvas=(401, 300), position=(0.5, 0.5)).keeps_pixels


def test_an_invisible_haze_is_no_part_of_the_subject() -> None:
    """Alpha up to 12 of 255 does not count."""
    alpha = np.zeros((50, 60), np.uint8)
    alpha[:, 3] = 12
    assert placement.subject(alpha) is None
    alpha[10:20, 30:40] = 200
    assert placement.subject(alpha) == Box(left=30, top=10, right=40, bottom=20)
    assert placement.subject(alpha, faintest=0) == Box(left=3, top=0, right=40, bottom=50)


@given(
    canvas=st.none() | st.tuples(st.integers(1, 500), st.integers(1, 500)),
    scale=st.none() | st.floats(0.01, 1),
    position=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
    crop=st.booleans(),
)
def test_a_subject_is_on_its_canvas_whatever_is_wished(
    canvas: tuple[int, int] | None,
    scale: float | None,
    position: tuple[float, float] | None,
    crop: bool,  # noqa: FBT001 -- hypothesis names it
) -> None:
    """Completely, and with the requested share."""
    if scale is None and canvas is not None:
        position = position or (0.5, 0.5)
    found = placed(
        canvas=canvas, scale=scale, position=position, crop=Margin() if crop and scale is None else None
    )
    there = found.onto_canvas(SUBJECT)
    assert there.left >= -0.01
    assert there.top >= -0.01
    assert there.right <= found.width + 0.01
    assert there.bottom <= found.height + 0.01
    if scale is not None:
        assert max(there.width / found.width, there.height / found.height) == pytest.approx(scale)


@pytest.mark.parametrize("wanted", [{}, {"crop": Margin()}, {"position": (0.0, 0.0)}, {"scale": 0.5}])
def test_the_number_of_pixels_of_a_result_is_limited(wanted: dict[str, object]) -> None:
    """The proportions of the shown part are kept, and the size is close to the limit."""
    small = placed(max_pixels=10_000, **wanted)
    assert 9_000 < small.width * small.height <= 10_000
    assert placed(max_pixels=120_000, **wanted) == placed(**wanted)


def test_a_subject_is_moved_as_large_as_it_is() -> None:
    """In a frame of the picture's size, pixel for pixel; reduced only where necessary."""
    moved = placed(position=(0.0, 1.0))
    assert (moved.width, moved.height, moved.keeps_pixels) == (400, 300, True)
    assert moved.onto_canvas(SUBJECT) == Box(left=0, top=100, right=100, bottom=300)
    small = placed(position=(1.0, 0.0), max_pixels=30_000)
    assert (small.width, small.height) == (200, 150)
    assert small.onto_canvas(SUBJECT) == Box(left=150, top=0, right=200, bottom=100)
