"""Faint specks of a model's matte, far from the subject."""

from __future__ import annotations

import numpy as np

from cutoutd.engine.matting.specks import without_specks


def matte() -> np.ndarray:
    """Return a matte with a subject that is soft at its edge, and a haze around that."""
    found = np.zeros((60, 80), np.float32)
    found[10:50, 10:40] = 0.01
    found[12:48, 12:38] = 0.1
    found[14:46, 14:36] = 1.0
    return found


def test_a_faint_part_that_is_separate_is_removed() -> None:
    """Nothing else changes, not by a bit."""
    clean = matte()
    speckled = clean.copy()
    speckled[20:26, 60:75] = 0.135
    speckled[55, 78] = 0.03
    assert np.array_equal(without_specks(speckled), clean)


def test_what_may_be_a_part_of_the_subject_stays() -> None:
    """Such as a strand that is connected, a second subject, and smoke that is dense somewhere; also where there is no subject at all."""
    for where, value in (((slice(30, 31), slice(36, 70)), 0.05), ((slice(20, 30), slice(60, 70)), 0.3)):
        found = matte()
        found[where] = np.maximum(found[where], value)
        assert without_specks(found) is found
    nothing = matte() * np.float32(0.1)
    assert without_specks(nothing) is nothing
