"""When a second pass is made, and when it is used; the model is a function that records its inputs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.engine.matting.subject_search import Detection, find_subject

GRID = 320
Matte = NDArray[np.float32]
Rgb = NDArray[np.uint8]


class Model:
    """A model that takes bright pixels for the subject, as sharply as its grid allows.

    Args:
        closer: answer for every picture but the first; None for the computed one.
    """

    def __init__(self, closer: Matte | None = None) -> None:
        self.shown: list[tuple[int, ...]] = []
        self._closer = closer

    def predict(self, rgb: Rgb, _side: int) -> Matte:
        """Record the picture's size; return a matte. uint8 (h, w, 3) to float32 (GRID, GRID)."""
        self.shown.append(rgb.shape[:2])
        if len(self.shown) > 1 and self._closer is not None:
            return self._closer
        return np.asarray(
            cv2.resize(rgb[..., 0], (GRID, GRID), interpolation=cv2.INTER_AREA) / 255, np.float32
        )


def picture(*boxes: tuple[int, int, int, int]) -> Rgb:
    """Return a dark frame of 1200 x 1600 with bright boxes, each (top, bottom, left, right)."""
    rgb = np.zeros((1200, 1600, 3), np.uint8)
    for top, bottom, left, right in boxes:
        rgb[top:bottom, left:right] = 255
    return rgb


def matte(top: int, bottom: int, left: int, right: int, value: float = 1.0) -> Matte:
    """Return a model's answer: a box on nothing."""
    raw = np.zeros((GRID, GRID), np.float32)
    raw[top:bottom, left:right] = value
    return raw


def is_whole(found: Detection) -> bool:
    """Whether the detection comes from the pass over the whole picture."""
    return found.region.slices == (slice(0, 1200), slice(0, 1600))


def test_a_large_subject_is_shown_to_the_model_once() -> None:
    """A second pass would gain little."""
    model = Model()
    assert is_whole(find_subject(picture((200, 1000, 300, 1300)), model.predict))
    assert len(model.shown) == 1


def test_a_picture_without_a_subject_is_shown_to_the_model_once() -> None:
    """A closer pass has no region."""
    model = Model()
    assert find_subject(picture(), model.predict).quality.score == 0
    assert len(model.shown) == 1


def test_a_small_subject_is_shown_again_with_some_background_around_it() -> None:
    """A third of its box on either side; the second matte is used."""
    model = Model()
    found = find_subject(picture((500, 700, 600, 1000)), model.predict)
    assert model.shown[1] == pytest.approx((340, 680), abs=10)
    assert found.region.top == pytest.approx(430, abs=6)
    assert found.region.right == pytest.approx(1140, abs=6)
    assert found.raw.mean() > 0.3  # most of the frame it was shown


def test_every_part_of_a_small_subject_is_in_the_box() -> None:
    """Both of two shoes, however small one of them is."""
    found = find_subject(picture((500, 600, 600, 700), (560, 600, 880, 920)), Model().predict)
    assert found.region.left < 600
    assert found.region.right > 920
    assert not is_whole(found)


def test_parts_far_from_each_other_are_shown_once() -> None:
    """A box around all of them is not small."""
    model = Model()
    assert is_whole(find_subject(picture((50, 150, 50, 150), (1000, 1100, 1400, 1500)), model.predict))
    assert len(model.shown) == 1


def test_a_subject_too_small_for_detail_is_shown_to_the_model_once() -> None:
    """A subject of 60 pixels has no further detail."""
    model = Model()
    small = np.zeros((300, 300, 3), np.uint8)
    small[140:165, 140:165] = 255
    find_subject(small, model.predict)
    assert len(model.shown) == 1


@pytest.mark.parametrize(
    ("closer", "why"),
    [
        (matte(20, 60, 20, 60), "it shows something else"),
        (matte(0, 0, 0, 0), "it shows nothing"),
        (matte(60, GRID, 60, 260), "it ends at the lower edge of the region, which is not the picture's"),
        (matte(60, 260, 0, 260), "it ends at the left edge"),
    ],
)
def test_a_closer_pass_that_contradicts_the_first_is_not_used(closer: Matte, why: str) -> None:
    """The pass over the whole picture is used."""
    assert is_whole(find_subject(picture((500, 700, 600, 1000)), Model(closer).predict)), why


def test_a_subject_at_the_picture_s_own_edge_may_touch_it() -> None:
    """The picture ends there anyway."""
    found = find_subject(picture((900, 1200, 600, 900)), Model().predict)
    assert not is_whole(found)
    assert found.region.bottom == 1200


class Scales:
    """A model whose answer to a whole picture depends on the side at which it is shown.

    Args:
        answers: answers by the side of the picture.
    """

    def __init__(self, answers: dict[int, Matte]) -> None:
        self.asked: list[int] = []
        self._answers = answers

    def predict(self, _rgb: Rgb, side: int) -> Matte:
        """Record the side; return its answer."""
        self.asked.append(side)
        return self._answers[side]


def hazy(top: int, bottom: int, left: int, right: int) -> Matte:
    """Return a box in a haze of twice its width: half of it is decided."""
    raw = matte(top, bottom, left, right * 2 - left, 0.4)
    raw[top:bottom, left:right] = 1.0
    return raw


def test_a_decided_first_pass_is_the_only_one() -> None:
    """Most pictures need one pass."""
    model = Scales({288: matte(40, 280, 40, 280)})
    found = find_subject(picture(), model.predict, (288, 224, 320))
    assert model.asked == [288]
    assert found.signs.agreement is None


def test_where_the_first_pass_leaves_doubt_another_scale_is_tried() -> None:
    """The more decided matte is used, and the agreement of both is recorded."""
    clear = matte(40, 280, 40, 280)
    model = Scales({288: hazy(40, 280, 40, 120), 224: clear})
    found = find_subject(picture(), model.predict, (288, 224, 320))
    assert model.asked == [288, 224]
    assert found.raw is clear
    assert found.signs.agreement == pytest.approx(1 / 3, abs=0.02)


def test_where_no_pass_is_sure_the_most_decided_is_used_and_is_doubtful() -> None:
    """All scales are tried; among equals the first is used."""
    answers = {288: hazy(40, 280, 40, 120), 224: hazy(20, 300, 20, 100), 320: hazy(10, 60, 100, 160)}
    model = Scales(answers)
    found = find_subject(picture(), model.predict, (288, 224, 320))
    assert model.asked == [288, 224, 320]
    assert found.raw is answers[288]
    assert found.quality.score < 0.7


def test_a_matte_with_a_subject_is_checked_by_one_small_pass() -> None:
    """Its matte is for the score alone, however decided it is."""
    clear, other = matte(40, 280, 40, 280), matte(40, 280, 40, 120)
    model = Scales({288: clear, 128: other})
    found = find_subject(picture(), model.predict, (288, 224, 320), 128)
    assert model.asked == [288, 128]
    assert found.raw is clear
    assert found.signs.seen_less == pytest.approx(2 / 3, abs=0.05)
    assert found.signs.agreement is None
    assert found.quality.score < find_subject(picture(), model.predict, (288,)).quality.score


def test_where_nothing_was_found_there_is_nothing_to_check() -> None:
    """Its score is 0 in any case."""
    model = Scales(dict.fromkeys((288, 224, 320), matte(0, 0, 0, 0)))
    assert find_subject(picture(), model.predict, (288, 224, 320), 128).quality.score == 0
    assert model.asked == [288, 224, 320]


def test_a_model_of_one_size_runs_once_and_is_scored_by_that() -> None:
    """A user's own model may accept one size only."""
    model = Scales({0: hazy(40, 280, 40, 120)})
    found = find_subject(picture(), model.predict)
    assert model.asked == [0]
    assert 0 < found.quality.score < 0.7
