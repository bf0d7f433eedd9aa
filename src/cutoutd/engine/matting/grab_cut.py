"""GrabCut as the second suggestion for strokes: by colours alone, where the model's features mislead.

Rother, Kolmogorov and Blake, GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts, 2004; OpenCV's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting.stroke_masks import KEPT, REMOVED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_PIXELS: Final = 60_000
"""Of the copy that is cut. Its time is bounded by its size and rounds and not by a clock, so that it is the same every time."""

_ROUNDS: Final = 3
_SEED: Final = 0
_INSIDE: Final = 0.5
_COVERED: Final = 0.25  # share of a pixel from which on a stroke lies on it


class GrabCut:
    """One picture.

    Args:
        rgb: uint8 (h, w, 3).
    """

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        height, width = rgb.shape[:2]
        factor = min(1.0, (_PIXELS / (height * width)) ** 0.5)
        self._size = size = (max(2, round(width * factor)), max(2, round(height * factor)))
        self._small = np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)[..., ::-1])

    def find(self, matte: NDArray[np.float32], said: NDArray[np.uint8], _: NDArray[np.float32]) -> Mask:
        """Find the subject's pixels; for the arguments see `StrokeWalker.find`.

        Returns:
            bool (h, w); the matte's own subject where one of the two sides has no pixels.
        """
        inside, size = matte > _INSIDE, self._size
        marks = np.where(_reduce(inside, size) > _INSIDE, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        marks[_reduce(said == KEPT, size) > _COVERED] = cv2.GC_FGD
        marks[_reduce(said == REMOVED, size) > _COVERED] = cv2.GC_BGD
        subject = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
        if subject.all() or not subject.any():
            return inside
        cv2.setRNGSeed(_SEED)  # its first clusters are drawn by lot
        ground, own = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(self._small, marks, (0, 0, 0, 0), ground, own, _ROUNDS, cv2.GC_INIT_WITH_MASK)
        found = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.float32)
        height, width = matte.shape
        return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) > _INSIDE)


def _reduce(mask: Mask, size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
