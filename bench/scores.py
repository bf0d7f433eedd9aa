"""The difference between an alpha and the true one.

It compares arrays; it draws, refines and prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha = NDArray[np.float32]

_SOFT_FROM, _SOFT_TO = 0.02, 0.98
_BAND_PX = 10
_HALF = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Errors of one alpha; all but `iou` are better when smaller.

    Attributes:
        mae: mean absolute error within 10 px (a square) of the truly soft pixels, those from 0.02 to 0.98.
        mse: mean squared error there.
        gradient: mean absolute difference of the magnitudes of the 3x3 Sobel gradients there.
        iou: intersection over union of the pixels above one half, over the whole frame.
    """

    mae: float
    mse: float
    gradient: float
    iou: float


def score(alpha: Alpha, truth: Alpha) -> Score:
    """Score an alpha against the true one, both float32 (H, W) in 0..1."""
    band = soft_band(truth)
    difference = (alpha - truth)[band]
    if difference.size == 0:
        return Score(mae=0.0, mse=0.0, gradient=0.0, iou=_iou(alpha, truth))
    slopes = np.abs(_slope(alpha) - _slope(truth))[band]
    return Score(
        mae=float(np.abs(difference).mean()),
        mse=float(np.square(difference).mean()),
        gradient=float(slopes.mean()),
        iou=_iou(alpha, truth),
    )


def soft_band(truth: Alpha) -> NDArray[np.bool_]:
    """Return the pixels within 10 px of those that are truly soft, bool (H, W)."""
    soft = ((truth > _SOFT_FROM) & (truth < _SOFT_TO)).astype(np.uint8)
    near: NDArray[np.bool_] = cv2.dilate(soft, np.ones((2 * _BAND_PX + 1,) * 2, np.uint8)) > 0
    return near


def soft_pixels(truth: Alpha) -> NDArray[np.bool_]:
    """Return the pixels that are truly soft, bool (H, W)."""
    soft: NDArray[np.bool_] = (truth > _SOFT_FROM) & (truth < _SOFT_TO)
    return soft


def _slope(alpha: Alpha) -> Alpha:
    slope: Alpha = np.hypot(cv2.Sobel(alpha, cv2.CV_32F, 1, 0), cv2.Sobel(alpha, cv2.CV_32F, 0, 1))
    return slope


def _iou(alpha: Alpha, truth: Alpha) -> float:
    inside, true = alpha > _HALF, truth > _HALF
    union = int((inside | true).sum())
    return float((inside & true).sum() / union) if union else 1.0
