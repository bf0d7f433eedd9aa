"""Strokes correct a coarse matte where they touch, spread over one thing, and leave the rest unchanged."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cutoutd.engine.matting.correct import StrokeFollower, correct, framed
from cutoutd.engine.matting.features import GRID, Features
from cutoutd.engine.matting.stroke_masks import mask, paint, remoteness
from cutoutd.engine.matting.subject_search import Region
from cutoutd.strokes import Stroke, StrokeKind

_HEIGHT, _WIDTH = 120, 160


def _stroke(
    kind: StrokeKind, *points: tuple[float, float], radius: float = 3, alpha: float | None = None
) -> Stroke:
    """Return a stroke with a default radius."""
    return Stroke(kind=kind, points=points, radius=radius, alpha=alpha)


def _scene() -> tuple[np.ndarray, np.ndarray]:
    """Return a red disc left and a blue disc right on grey, and the matte of the red one alone."""
    rgb = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    cv2.circle(rgb, (45, 60), 25, (200, 30, 30), cv2.FILLED)
    cv2.circle(rgb, (115, 60), 25, (30, 30, 200), cv2.FILLED)
    matte = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    cv2.circle(matte, (45, 60), 25, 255, cv2.FILLED)
    return rgb, np.asarray(cv2.GaussianBlur(matte, (0, 0), 1) / np.float32(255), np.float32)


def _features(rgb: np.ndarray) -> Features:
    """Return made-up features that tell the three colours apart."""
    small = cv2.resize(rgb, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32) / 128 - 1
    return Features(planes=np.repeat(small, 17, axis=2))


@pytest.mark.parametrize("suggestion", [0, 1])
def test_a_stroke_adds_the_object_under_it_and_changes_nothing_else(suggestion: int) -> None:
    """Bit for bit, including the other disc's soft edge."""
    rgb, matte = _scene()
    before = matte.copy()
    strokes = [_stroke(StrokeKind.KEEP, (110, 55), (120, 65))]
    corrected = correct(rgb, matte, strokes, _features(rgb), suggestion=suggestion)
    assert corrected.changed
    assert np.array_equal(corrected.matte[:, :80], before[:, :80])
    inside = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    cv2.circle(inside, (115, 60), 23, 1, cv2.FILLED)
    assert corrected.matte[inside > 0].min() > 0.5
    outside = np.ones((_HEIGHT, _WIDTH), np.uint8)
    cv2.circle(outside, (115, 60), 28, 0, cv2.FILLED)
    assert np.array_equal(corrected.matte[outside > 0], before[outside > 0])
    assert np.array_equal(matte, before)


def test_a_click_removes_an_object_and_one_of_a_fine_brush_a_part_of_it() -> None:
    """A fine brush affects only what is near."""
    rgb, matte = _scene()
    corrected = correct(rgb, matte, [_stroke(StrokeKind.REMOVE, (45, 60), radius=6)], _features(rgb))
    assert corrected.changed
    assert corrected.matte.max() < 0.5
    fine = correct(rgb, matte, [_stroke(StrokeKind.REMOVE, (45, 60), radius=0.1)], _features(rgb))
    assert fine.changed
    assert fine.matte[60, 45] == 0
    assert fine.matte[60, 65] > 0.9


def test_a_line_of_a_fine_brush_removes_less_than_one_of_a_usual_brush() -> None:
    """However long it is; a brush that is not finer than usual is not bounded by its size."""
    rgb, matte = _scene()
    line = ((45.0, 40.0), (45.0, 80.0))
    fine = correct(rgb, matte, [_stroke(StrokeKind.REMOVE, *line, radius=0.3)], _features(rgb))
    assert fine.changed
    assert fine.matte[45:75, 45].max() == 0
    assert fine.matte[60, 65] > 0.9
    for radius in (2, 6):
        usual = correct(rgb, matte, [_stroke(StrokeKind.REMOVE, *line, radius=radius)], _features(rgb))
        assert usual.matte.max() < 0.5


def test_a_stroke_makes_all_of_a_veil_opaque_and_leaves_the_other_one() -> None:
    """Where the matte is half-transparent, but rather opaque."""
    rgb, matte = _scene()
    veiled = np.zeros_like(matte)
    for x in (45, 115):
        cv2.circle(veiled, (x, 60), 25, 0.7, cv2.FILLED)
    corrected = correct(rgb, veiled, [_stroke(StrokeKind.KEEP, (110, 55), (120, 65))], _features(rgb))
    assert corrected.matte[60, 95:135].min() > 0.95
    assert np.array_equal(corrected.matte[:, :80], veiled[:, :80])


def test_the_same_strokes_give_the_same_matte_in_a_copy_of_any_size() -> None:
    """Strokes are in the picture's pixels; rgb and matte may be smaller or larger."""
    rgb, matte = _scene()
    strokes = [_stroke(StrokeKind.KEEP, (110, 55), (120, 65))]
    one = correct(rgb, matte, strokes, _features(rgb))
    again = correct(rgb, matte, strokes, _features(rgb))
    assert np.array_equal(one.matte, again.matte)
    large = np.repeat(np.repeat(rgb, 4, axis=0), 4, axis=1)
    coarse = np.asarray(cv2.resize(matte, (80, 80), interpolation=cv2.INTER_AREA), np.float32)
    other = correct(large, coarse, strokes, _features(rgb), picture=(_HEIGHT, _WIDTH))
    assert other.matte.shape == (80, 80)
    enlarged = cv2.resize(other.matte, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR)
    assert np.mean((enlarged > 0.5) != (one.matte > 0.5)) < 0.02


def test_strokes_that_agree_with_the_matte_change_nothing() -> None:
    """Nor do strokes outside the picture, paint strokes, or an empty list."""
    rgb, matte = _scene()
    for strokes in (
        [],
        [_stroke(StrokeKind.PAINT, (115, 60), alpha=1.0)],
        [_stroke(StrokeKind.KEEP, (500, 60))],
        [_stroke(StrokeKind.KEEP, (45, 60)), _stroke(StrokeKind.REMOVE, (10, 10))],
    ):
        corrected = correct(rgb, matte, strokes, _features(rgb))
        assert not corrected.changed
        assert np.abs(corrected.matte - matte).max() < 0.01


def test_there_is_no_third_suggestion() -> None:
    """An invalid number is refused, also where there is nothing to do."""
    rgb, matte = _scene()
    with pytest.raises(ValueError, match="from 0 to 1, not 2"):
        correct(rgb, matte, [], _features(rgb), suggestion=2)


def test_where_strokes_cross_the_later_one_counts_and_each_covers_a_pixel() -> None:
    """Even the thinnest stroke on a small copy."""
    wide = _stroke(StrokeKind.KEEP, (0, 60), (160, 60), radius=10)
    thin = _stroke(StrokeKind.REMOVE, (80, 0), (80, 120), radius=0.01)
    assert mask(thin, (12, 16), (_HEIGHT, _WIDTH)).any(axis=1).all()
    rgb, matte = _scene()
    corrected = correct(rgb, matte, [wide, thin], _features(rgb)).matte
    assert (corrected[60, 70], corrected[60, 80], corrected[60, 90]) == (1, 0, 1)
    corrected = correct(rgb, matte, [thin, wide], _features(rgb)).matte
    assert (corrected[60, 70], corrected[60, 80], corrected[60, 90]) == (1, 1, 1)


def _one_thing() -> tuple[np.ndarray, np.ndarray]:
    """Return two discs of one colour on grey, and the matte of both."""
    rgb = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    matte = np.zeros((_HEIGHT, _WIDTH), np.float32)
    for x in (45, 115):
        cv2.circle(rgb, (x, 60), 25, (200, 30, 30), cv2.FILLED)
        cv2.circle(matte, (x, 60), 25, 1, cv2.FILLED)
    return rgb, matte


def test_a_later_stroke_brings_nothing_back_that_it_is_not_drawn_on() -> None:
    """In both orders of keeping one disc and removing the other of the same colour."""
    rgb, matte = _one_thing()
    cv2.rectangle(rgb, (60, 50), (100, 70), (200, 30, 30), cv2.FILLED)  # the discs hang together
    cv2.rectangle(matte, (60, 50), (100, 70), 0, cv2.FILLED)
    away = _stroke(StrokeKind.REMOVE, (105, 45), (125, 75), radius=6)
    bridge = _stroke(StrokeKind.KEEP, (70, 60), (86, 60), radius=8)
    first = correct(rgb, matte, [away], _features(rgb)).matte < 0.5
    gone = first & (matte > 0.5)
    assert gone[60, 105:125].all()
    both = correct(rgb, matte, [away, bridge], _features(rgb)).matte
    assert both[60, 72:84].min() > 0.5
    assert both[gone].max() < 0.5
    again = _stroke(StrokeKind.KEEP, (110, 60), (120, 60), radius=6)
    assert correct(rgb, matte, [away, bridge, again], _features(rgb)).matte[60, 115] == 1
    kept = [_stroke(StrokeKind.KEEP, (45, 45), (45, 75), radius=6), bridge, away]
    assert correct(rgb, matte, kept, _features(rgb)).matte[40:80, 40:50].min() > 0.5


def test_taking_the_last_stroke_back_gives_the_former_matte_to_the_bit() -> None:
    """With and without cached steps; a stroke begun anew is a different stroke."""
    rgb, matte = _scene()
    one = _stroke(StrokeKind.KEEP, (110, 55), (120, 65))
    two = _stroke(StrokeKind.REMOVE, (45, 60), radius=6)
    orders = ((one,), (one, two), (), (two,), (two, one))
    alone = {strokes: correct(rgb, matte, strokes, _features(rgb)) for strokes in orders}
    follower = StrokeFollower(rgb, matte, _features(rgb))
    for strokes in ((one,), (one, two), (one,), (), (two,), (two, one), (one, two)):
        followed = follower.follow(strokes)
        assert np.array_equal(followed.matte, alone[strokes].matte)
        assert followed.changed is alone[strokes].changed
    assert np.array_equal(follower.follow([]).matte, matte)


def test_paint_sets_alpha_exactly_and_nothing_beside_the_brush() -> None:
    """In the order of the strokes; without strokes the same array is returned."""
    alpha = np.full((60, 80), 200, np.uint8)
    assert paint(alpha, [_stroke(StrokeKind.KEEP, (5, 5))]) is alpha
    strokes = [
        _stroke(StrokeKind.PAINT, (10, 30), (70, 30), radius=8, alpha=0.5),
        _stroke(StrokeKind.PAINT, (40, 30), radius=4, alpha=0.0),
        _stroke(StrokeKind.PAINT, (900, 900), radius=4, alpha=0.0),
    ]
    painted = paint(alpha, strokes)
    assert (alpha == 200).all()
    assert painted[30, 20] == 128
    assert painted[30, 40] == 0
    assert (painted[:20] == 200).all()
    assert (painted[40:] == 200).all()
    half = paint(np.full((30, 40), 200, np.uint8), strokes, (60, 80))
    assert (half[15, 10], half[15, 20], half[5, 5]) == (128, 0, 200)


def test_the_matte_of_a_region_is_in_the_frame_where_the_region_is() -> None:
    """At the region's resolution, within bounds."""
    region = Region(top=1000, bottom=2000, left=2000, right=3000)
    frame = framed(np.ones((288, 288), np.float32), region, (3000, 4000))
    assert frame.shape == (768, 1024)
    assert frame[256:512, 512:768].min() == 1.0
    assert frame.sum() == 256 * 256
    whole = Region(top=0, bottom=3000, left=0, right=4000)
    assert framed(np.ones((288, 288), np.float32), whole, (3000, 4000)).shape == (288, 288)


def test_where_the_matte_was_unsure_a_stroke_leaves_what_it_was_sure_of() -> None:
    """Also where the colour is the same: such a mistake is small."""
    rgb = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    cv2.circle(rgb, (60, 60), 35, (200, 30, 30), cv2.FILLED)
    matte = np.zeros((_HEIGHT, _WIDTH), np.float32)
    cv2.circle(matte, (60, 60), 35, 1, cv2.FILLED)
    matte[:, 75:] *= np.float32(0.7)
    stroke = _stroke(StrokeKind.REMOVE, (82, 50), (82, 70), radius=4)
    corrected = correct(rgb, matte, [stroke], _features(rgb)).matte
    assert corrected[45:75, 35:65].min() > 0.5
    assert corrected[50:70, 80:86].max() < 0.5


@pytest.mark.parametrize("shape", [(480, 480), (360, 480), (320, 480), (270, 480), (160, 480), (480, 160)])
def test_the_brush_that_the_page_begins_with_is_no_fine_one(shape: tuple[int, int]) -> None:
    """Whatever the form of the picture: `firstRadius` of strokes.js. Before, a wide picture's reached less."""
    height, width = shape
    points = ((width * 0.2, height * 0.5), (width * 0.8, height * 0.5))
    usual = Stroke(kind=StrokeKind.KEEP, points=points, radius=min(shape) / 60)
    larger = Stroke(kind=StrokeKind.KEEP, points=points, radius=min(shape) / 30)
    far = [float(remoteness(one, shape, shape).max()) for one in (usual, larger)]
    covered = [2 * one.radius * width * 0.6 + np.pi * one.radius**2 for one in (usual, larger)]
    # Only the pixels that they cover tell them apart, and not their radius.
    assert far[0] / far[1] == pytest.approx(covered[1] / covered[0], rel=0.2)


def _disc(x: int, radius: int) -> np.ndarray:
    """Return the matte of a disc, as another pass may see it."""
    matte = np.zeros((_HEIGHT, _WIDTH), np.float32)
    cv2.circle(matte, (x, 60), radius, 1, cv2.FILLED)
    return matte


def test_a_pass_that_sees_what_a_stroke_says_gives_the_extent_of_the_part() -> None:
    """Where colours and features show no edge; a pass that contradicts the stroke has no say."""
    rgb = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    blind = Features(planes=np.zeros((GRID, GRID, 52), np.float32))
    one, both = _disc(45, 25), _disc(45, 25) + _disc(115, 15)
    keep = [_stroke(StrokeKind.KEEP, (115, 60), radius=4)]
    alone = correct(rgb, one, keep, blind).matte
    seen = correct(rgb, one, keep, replace(blind, mattes=(both,))).matte
    assert np.mean((seen > 0.5) != (both > 0.5)) < 0.01 < np.mean((alone > 0.5) != (both > 0.5))
    assert np.array_equal(correct(rgb, one, keep, replace(blind, mattes=(one,))).matte, alone)
    remove = [_stroke(StrokeKind.REMOVE, (115, 60), radius=4)]
    removed = correct(rgb, both, remove, replace(blind, mattes=(one,))).matte
    assert np.mean((removed > 0.5) != (one > 0.5)) < 0.01


def test_a_pass_that_shows_another_subject_does_not_spread_a_stroke() -> None:
    """Although it is right under the stroke."""
    rgb, matte = _scene()
    keep = [_stroke(StrokeKind.KEEP, (110, 55), (120, 65))]
    everything = replace(_features(rgb), mattes=(np.ones_like(matte),))
    alone = correct(rgb, matte, keep, _features(rgb)).matte
    assert np.mean((correct(rgb, matte, keep, everything).matte > 0.5) != (alone > 0.5)) < 0.01
