"""The score of a matte as a probability, its reasons, and when there is no subject at all."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.engine.matting.quality import Signs, assess, judge, overlap, signs
from cutoutd.jobs import Reason

Matte = NDArray[np.float32]

CLEAR = Signs(
    decided=0.95,
    agreement=None,
    missing=0.0,
    kept=0.0,
    held=None,
    seen_more=None,
    seen_less=None,
    inside=0.3,
    fill=0.6,
    border=0.0,
    largest=1.0,
    veil=0.02,
)
"""Signs of a matte without any fault."""


def matte() -> Matte:
    """Return an empty matte as the model gives it: near 0, not 0."""
    return np.full((320, 320), 0.004, np.float32)


def disc(raw: Matte, y: int, x: int, radius: int, value: float = 0.998, soft: int = 3) -> Matte:
    """Return the matte with a soft disc added."""
    rows, columns = np.mgrid[0:320, 0:320]
    distance = np.hypot(rows - y, columns - x) - radius
    return np.asarray(np.maximum(raw, value * np.clip(0.5 - distance / soft, 0, 1)), np.float32)


def test_one_whole_subject_is_probably_right_and_without_a_reason() -> None:
    """A clear disc in the middle; still, no model is always right."""
    found = assess(disc(matte(), 160, 160, 70))
    assert 0.8 < found.score < 1.0
    assert found.reasons == ()


@pytest.mark.parametrize("peak", [0.0, 0.004, 0.03, 0.13, 0.6, 0.85])
def test_a_matte_without_a_sure_place_has_no_subject(peak: float) -> None:
    """However large the area: the model is nowhere sure."""
    found = assess(disc(matte(), 160, 160, 70, value=peak))
    assert (found.score, found.reasons) == (0.0, (Reason.NO_SUBJECT,))


def test_a_few_sure_pixels_in_a_haze_are_no_subject() -> None:
    """Textures give a few sure pixels in a wide haze."""
    raw = disc(matte(), 160, 160, 100, value=0.6)
    assert assess(disc(raw, 160, 160, 20)).score == 0.0


def test_noise_in_the_matte_is_no_subject() -> None:
    """Single sure pixels are accidental."""
    rng = np.random.default_rng(0)
    raw = (rng.random((320, 320)) ** 8).astype(np.float32)
    assert assess(raw).score == 0.0


def test_the_less_is_decided_the_less_probably_it_is_right() -> None:
    """Most wrong cutouts have a haze around the subject."""
    scores = [judge(replace(CLEAR, decided=share)).score for share in (0.2, 0.5, 0.8, 0.95)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < scores[-1]


def test_passes_that_disagree_make_a_cutout_doubtful() -> None:
    """A find that depends on the picture's scale is uncertain."""
    whole = disc(matte(), 160, 160, 70)
    same, half = assess(whole, whole), assess(whole, disc(matte(), 160, 120, 45))
    assert half.score < 0.5 < same.score


def test_a_closer_pass_that_disagrees_lowers_the_score() -> None:
    """Whichever of the two passes is right."""
    assert judge(replace(CLEAR, held=0.1)).score < judge(replace(CLEAR, held=1.0)).score


def test_the_more_a_check_contradicts_the_less_probably_a_cutout_is_right() -> None:
    """It sees more beside the subject, or less of it; beyond half of the subject it says nothing more."""
    for sign in ("seen_more", "seen_less"):
        alike = replace(CLEAR, seen_more=0.0, seen_less=0.0)
        scores = [judge(replace(alike, **{sign: amount})).score for amount in (0.0, 0.02, 0.1, 0.4)]
        assert scores == sorted(scores, reverse=True)
        assert scores[-1] < 0.75
        assert scores[0] > 0.9
        assert judge(replace(alike, **{sign: 0.5})).score == judge(replace(alike, **{sign: 3.0})).score


def test_a_check_that_sees_a_whole_body_contradicts_a_decided_head() -> None:
    """It is half sure of the body: a mean of both would not show it, and the matte alone is as decided as a right one."""
    head = disc(matte(), 100, 160, 50)
    both = cv2.resize(disc(head, 250, 160, 70, value=0.4), (128, 128), interpolation=cv2.INTER_AREA)
    same = cv2.resize(head, (128, 128), interpolation=cv2.INTER_AREA)
    found, right = (assess(head, check=np.asarray(check, np.float32)) for check in (both, same))
    assert found.score < 0.6 < assess(head).score < right.score
    assert (found.reasons, right.reasons) == ((Reason.MISSING,), ())


def test_the_edge_of_a_check_is_no_contradiction() -> None:
    """A pass of less than half the size finds it by a pixel of its own."""
    raw = disc(matte(), 160, 160, 70)
    found = signs(raw, check=disc(np.zeros_like(raw), 162, 158, 70, value=1.0, soft=6))
    assert found.contradicted == pytest.approx(0, abs=0.01)


def test_what_is_doubted_always_has_a_reason() -> None:
    """Though the matte is decided, and neither check nor closer pass says what it is."""
    found = judge(replace(CLEAR, held=0.5, seen_more=0.05, seen_less=0.05))
    assert found.score < 0.6
    assert found.reasons == (Reason.UNSURE,)


def test_a_page_of_text_is_doubtful_however_sure_the_model_is() -> None:
    """The matte is a filled rectangle, or all of the picture."""
    block, all_of_it = matte(), np.full((320, 320), 0.99, np.float32)
    block[30:290, 40:280] = 0.99
    for raw in (block, all_of_it):
        found = assess(raw)
        assert 0 < found.score < 0.2
        assert Reason.PAGE in found.reasons


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"agreement": 0.8, "missing": 0.25}, Reason.MISSING),
        ({"agreement": 0.8, "kept": 0.2}, Reason.KEPT),
        ({"largest": 0.55}, Reason.EQUALS),
        ({"veil": 0.3}, Reason.VEIL),
        ({"decided": 0.7}, Reason.UNSURE),
        ({"decided": 0.86, "seen_more": 0.5, "seen_less": 0.0}, Reason.MISSING),
        ({"decided": 0.86, "seen_more": 0.0, "seen_less": 0.5}, Reason.KEPT),
        ({"border": 0.1}, Reason.TOUCHING_BORDER),
        ({"inside": 0.005}, Reason.SMALL),
    ],
    ids=lambda value: value.name if isinstance(value, Reason) else "",
)
def test_a_reason_names_what_to_look_for(changed: dict[str, float], reason: Reason) -> None:
    """One reason for each sign, and no other."""
    assert judge(replace(CLEAR, **changed)).reasons == (reason,)


def test_border_blobs_and_size_are_reasons_and_no_factors() -> None:
    """A person at the frame's edge, two shoes, a bird in the sky are as probably right as others."""
    for changed in ({"border": 0.3}, {"largest": 0.5}, {"inside": 0.002}):
        assert judge(replace(CLEAR, **changed)).score == judge(CLEAR).score


def test_the_other_passes_findings_are_shares_of_the_subject() -> None:
    """Mattes of different sizes are compared in one frame."""
    raw, other = matte(), matte()
    raw[80:160, 80:160] = 1
    other[80:160, 80:200] = 1
    small = np.asarray(cv2.resize(other, (160, 160), interpolation=cv2.INTER_AREA), np.float32)
    found = signs(raw, small)
    assert found.missing == pytest.approx(0.5, abs=0.03)
    assert found.kept == 0
    assert found.agreement == pytest.approx(overlap(small, raw)) == pytest.approx(2 / 3, abs=0.02)


def test_the_score_stays_between_its_ends() -> None:
    """Every fault at once still gives a score above the minimum."""
    raw = disc(disc(matte(), 0, 0, 12, soft=8), 319, 319, 12, soft=8)
    found = assess(raw, matte(), 0.0)
    assert 0.0 < found.score < 0.5
    assert len(found.reasons) == len(set(found.reasons)) >= 2
    assert assess(np.ones((320, 320), np.float32)).score > 0
