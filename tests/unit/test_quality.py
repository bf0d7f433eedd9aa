"""The score of a matte, and when there is no subject at all."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.engine.quality import Reason, assess

Matte = NDArray[np.float32]


def matte() -> Matte:
    """An empty one, as the model gives it: near 0, not 0."""
    return np.full((320, 320), 0.004, np.float32)


def disc(raw: Matte, y: int, x: int, radius: int, value: float = 0.998, soft: int = 3) -> Matte:
    """The matte with a disc in it, of soft outline."""
    rows, columns = np.mgrid[0:320, 0:320]
    distance = np.hypot(rows - y, columns - x) - radius
    return np.asarray(np.maximum(raw, value * np.clip(0.5 - distance / soft, 0, 1)), np.float32)


def test_one_whole_subject_is_perfect() -> None:
    """Nothing to say against a clear disc in the middle."""
    found = assess(disc(matte(), 160, 160, 70))
    assert (found.score, found.reasons) == (1.0, ())


@pytest.mark.parametrize("peak", [0.0, 0.004, 0.03, 0.13, 0.6, 0.85])
def test_a_matte_without_a_sure_place_has_no_subject(peak: float) -> None:
    """However large the area is: the model never said yes."""
    found = assess(disc(matte(), 160, 160, 70, value=peak))
    assert (found.score, found.reasons) == (0.0, (Reason.NO_SUBJECT,))


def test_a_yes_that_drowns_in_perhaps_is_no_subject() -> None:
    """Textures make a few sure pixels in a wide haze."""
    raw = disc(matte(), 160, 160, 100, value=0.6)
    assert assess(disc(raw, 160, 160, 20)).score == 0.0


def test_noise_in_the_matte_is_no_subject() -> None:
    """Single sure pixels are chance."""
    rng = np.random.default_rng(0)
    raw = (rng.random((320, 320)) ** 8).astype(np.float32)
    assert assess(raw).score == 0.0


def test_a_speck_may_be_a_subject_but_is_called_small() -> None:
    """A bird in the sky is one; its outline is coarse."""
    found = assess(disc(matte(), 100, 200, 6))
    assert 0 < found.score < 0.5
    assert Reason.SMALL in found.reasons


def test_two_subjects_are_named_and_cost_less_than_crumbs_would() -> None:
    """Two equal discs are doubtful; a crumb beside a disc is not worth a word."""
    two = assess(disc(disc(matte(), 160, 80, 40), 160, 240, 40))
    crumb = assess(disc(disc(matte(), 160, 80, 40), 160, 240, 5))
    assert two.reasons == (Reason.SEVERAL_BLOBS,)
    assert 0.5 < two.score < 0.9
    assert crumb.reasons == ()


def test_a_subject_cut_off_by_the_frame_is_named() -> None:
    """More of it at the border costs more."""
    some, more = assess(disc(matte(), 300, 160, 60)), assess(disc(matte(), 320, 160, 130))
    assert some.reasons == more.reasons == (Reason.TOUCHING_BORDER,)
    assert 0.5 < more.score < some.score < 1.0


def test_an_undecided_matte_is_named() -> None:
    """Half of what is there is neither in nor out."""
    found = assess(disc(disc(matte(), 160, 160, 90, value=0.5), 160, 160, 50))
    assert Reason.UNDECIDED in found.reasons
    assert 0 < found.score < 0.8


def test_the_score_stays_between_its_ends() -> None:
    """Everything wrong at once is still a subject, if a poor one."""
    raw = disc(disc(matte(), 0, 0, 12, soft=8), 319, 319, 12, soft=8)
    found = assess(raw)
    assert 0.0 < found.score < 0.5
    assert len(found.reasons) == len(set(found.reasons)) >= 2
    assert assess(np.ones((320, 320), np.float32)).score > 0
