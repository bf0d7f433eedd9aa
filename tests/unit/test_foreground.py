"""Foreground colour estimation removes the old background from soft pixels, and changes nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cutoutd.engine.matting.foreground import decontaminate, estimate

Rgb = NDArray[np.uint8]
Alpha = NDArray[np.uint8]


def _scene(side: int = 300, blur_px: float = 6.0) -> tuple[Rgb, Alpha, NDArray[np.float32]]:
    """Compose a soft reddish disc on green; return the picture, the alpha and the disc's true colours."""
    rng = np.random.default_rng(5)
    disc = np.zeros((side, side), np.float32)
    cv2.circle(disc, (side // 2, side // 2), side // 3, (1.0,), -1)
    alpha = np.round(cv2.GaussianBlur(disc, (0, 0), blur_px) * 255).astype(np.uint8)
    texture = cv2.GaussianBlur(rng.normal(size=(side, side, 3)), (0, 0), 8) * 80
    subject = np.clip(np.array([190, 60, 50]) + texture, 0, 255).astype(np.float32)
    ground = np.clip(np.array([30, 170, 60]) + texture[::-1], 0, 255).astype(np.float32)
    share = alpha[..., None] / np.float32(255)
    return (subject * share + ground * (1 - share) + np.float32(0.5)).astype(np.uint8), alpha, subject


def _error(colour: Rgb, truth: NDArray[np.float32], alpha: Alpha) -> float:
    """Return the mean error of the colours of soft pixels."""
    soft = (alpha > 5) & (alpha < 250)
    return float(np.abs(colour[soft] - truth[soft]).mean())


@pytest.mark.parametrize("side", [120, 700])
def test_the_old_background_is_taken_out_of_soft_pixels(side: int) -> None:
    """Four fifths of the tinge are removed, at working size and above it."""
    rgb, alpha, subject = _scene(side)
    assert _error(estimate(rgb, alpha), subject, alpha) < 0.2 * _error(rgb, subject, alpha)


def test_opaque_and_invisible_pixels_stay_bit_for_bit() -> None:
    """Only soft pixels carry the old background."""
    rgb, alpha, _ = _scene()
    colour = estimate(rgb, alpha)
    kept = (alpha == 255) | (alpha == 0)
    assert (colour[kept] == rgb[kept]).all()
    assert (colour[~kept] != rgb[~kept]).any()


def test_in_place_gives_what_the_copy_gives() -> None:
    """The pipeline saves a frame by letting the picture itself be changed."""
    rgb, alpha, _ = _scene()
    expected = estimate(rgb, alpha)
    decontaminate(rgb, alpha)
    assert (rgb == expected).all()


def test_sixteen_bits_give_the_same_more_finely() -> None:
    """Each value equals that of 8 bits except for rounding, and values between two of those occur."""
    rgb, alpha, _ = _scene()
    deep = rgb.astype(np.uint16) * 257
    before = deep.copy()
    decontaminate(deep, alpha)
    decontaminate(rgb, alpha)
    assert np.abs(deep / 257 - rgb).max() <= 1
    kept = (alpha == 255) | (alpha == 0)
    assert (deep[kept] == before[kept]).all()
    assert (deep[~kept] % 257 != 0).any()


def test_the_picture_given_is_not_changed() -> None:
    """A caller that asked for a copy keeps its original."""
    rgb, alpha, _ = _scene()
    before = rgb.copy()
    estimate(rgb, alpha)
    assert (rgb == before).all()


@pytest.mark.parametrize("value", [0, 255])
def test_without_soft_pixels_nothing_changes(value: int) -> None:
    """A hard cutout has no fringe to mend."""
    rgb = np.random.default_rng(6).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    assert (estimate(rgb, np.full((90, 70), value, np.uint8)) == rgb).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 2), (3, 4), (4000, 3)])
def test_any_shape_works(shape: tuple[int, int]) -> None:
    """No side is too short."""
    rng = np.random.default_rng(7)
    rgb = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    alpha = rng.integers(0, 256, shape).astype(np.uint8)
    colour = estimate(rgb, alpha)
    assert colour.shape == rgb.shape
    assert colour.dtype == np.uint8


def test_a_veil_over_everything_causes_no_division_by_zero() -> None:
    """With no opaque pixel anywhere the estimate is still a colour."""
    rgb = np.full((50, 60, 3), 120, np.uint8)
    colour = estimate(rgb, np.full((50, 60), 128, np.uint8))
    assert np.abs(colour.astype(int) - 120).max() <= 1


@pytest.mark.parametrize(
    ("rgb", "alpha"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32)),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)),
    ],
)
def test_arrays_that_do_not_match_are_refused(rgb: Rgb, alpha: Alpha) -> None:
    """The message has the expected and the given shapes."""
    with pytest.raises(ValueError, match="needed"):
        estimate(rgb, alpha)
