"""Where a second look is taken, and how both looks become one matte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cutoutd.engine.secondlook import Region, combined, region

Matte = NDArray[np.float32]


def with_boxes(*boxes: tuple[int, int, int, int]) -> Matte:
    """A matte with rectangles from top to bottom, left to right."""
    raw = np.zeros((320, 320), np.float32)
    for top, bottom, left, right in boxes:
        raw[top:bottom, left:right] = 1.0
    return raw


def test_a_small_subject_is_looked_at_again_with_its_surroundings() -> None:
    """The region is the subject's box in the picture's pixels, a third wider on each side."""
    found = region(with_boxes((100, 140, 200, 240)), 3200, 6400)
    assert found is not None
    assert (found.top, found.bottom, found.left, found.right) == (860, 1541, 3720, 5081)


def test_the_region_stays_inside_the_picture() -> None:
    """A subject in a corner has no surroundings beyond it."""
    found = region(with_boxes((0, 60, 280, 320)), 1000, 1000)
    assert found is not None
    assert (found.top, found.right) == (0, 1000)


def test_no_second_look_where_it_gains_nothing() -> None:
    """At nothing, at a large subject, at several ones, or at a region of hardly any pixels."""
    assert region(np.zeros((320, 320), np.float32), 3000, 4000) is None
    assert region(with_boxes((50, 250, 50, 250)), 3000, 4000) is None
    assert region(with_boxes((50, 90, 50, 90), (200, 240, 200, 240)), 3000, 4000) is None
    assert region(with_boxes((100, 120, 100, 120)), 320, 320) is None


def test_crumbs_do_not_hinder_a_second_look() -> None:
    """A few stray pixels elsewhere are no second subject."""
    assert region(with_boxes((100, 150, 100, 150), (300, 305, 10, 15)), 3000, 4000) is not None


def test_inside_the_region_the_second_look_counts_outside_the_first() -> None:
    """The new matte is finer, and never larger than the picture."""
    first = with_boxes((140, 180, 140, 180), (300, 304, 10, 14))
    where = Region(top=1300, bottom=1900, left=1300, right=1900)
    second = with_boxes((70, 250, 70, 250))  # 1431 to 1769 in the picture, where the first saw 1400 to 1800
    both = combined(first, second, where, 3200, 3200)
    assert both.shape == (1280, 1280)
    assert both.dtype == np.float32
    assert both[640, 640] == 1.0
    assert both[566, 640] == 0.0  # row 1415 of the picture
    assert both[1208, 48] > 0.9  # the crumb is the first look's
    assert 0.0 <= both.min() <= both.max() <= 1.0


def test_there_is_no_seam_where_both_agree() -> None:
    """A region's edge must not show."""
    first = np.full((320, 320), 0.25, np.float32)
    first[150:170, 150:170] = 1.0
    second = np.full((320, 320), 0.25, np.float32)
    second[80:240, 80:240] = 1.0
    both = combined(first, second, Region(top=1400, bottom=1800, left=1400, right=1800), 3200, 3200)
    assert np.abs(both[:590] - 0.25).max() < 0.01


def test_a_second_look_at_something_else_is_not_believed() -> None:
    """Without its surroundings a part may look like background, and the background like a subject."""
    first = with_boxes((140, 180, 140, 180))
    where = Region(top=1300, bottom=1900, left=1300, right=1900)
    assert combined(first, with_boxes((0, 60, 0, 320)), where, 3200, 3200) is first
    assert combined(first, np.zeros((320, 320), np.float32), where, 3200, 3200) is first
