"""Segment the subject by strokes, matte, features and colours, combined by a random walker.

This module must not choose which part of the result is accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting.random_walker import RandomWalker
from cutoutd.engine.matting.stroke_evidence import Evidence
from cutoutd.engine.matting.stroke_masks import KEPT, REMOVED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import Features

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]

_INSIDE: Final = 0.5
_COARSE_ROUNDS: Final = 2
_SHARPNESS: Final = 0.5  # of the sum of all log odds, as the walker's prior
_SURE_MARGIN_PX: Final = 3  # from the matte's edge: nearer pixels teach nothing


class StrokeWalker:
    """Segmentation of one picture by strokes.

    Args:
        rgb: uint8 (h, w, 3), sRGB, the copy that strokes are applied to.
        features: of the picture.
    """

    def __init__(self, rgb: NDArray[np.uint8], features: Features) -> None:
        lab = np.asarray(
            cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32
        )
        height, width = lab.shape[:2]
        half = np.asarray(
            cv2.resize(lab, (max(2, width // 2), max(2, height // 2)), interpolation=cv2.INTER_AREA),
            np.float32,
        )
        self._levels = [(Evidence(one, features), RandomWalker(one)) for one in (half, lab)]

    def find(self, matte: Plane, said: NDArray[np.uint8], by_mattes: Plane) -> Mask:
        """Find the subject's pixels.

        Args:
            matte: float32 (h, w) in 0..1, the current matte.
            said: uint8 (h, w), label of the pixels under a stroke: `KEPT`, `REMOVED` or 0.
            by_mattes: float32 (h, w), log odds that mattes give, weighed against those of strokes.

        Returns:
            bool (h, w).
        """
        now = matte
        for (evidence, walker), rounds in zip(self._levels, (_COARSE_ROUNDS, 1), strict=True):
            shape = walker.shape
            now, odds = _resize(now, shape), _resize(by_mattes, shape)
            marks = _marks(said, shape)
            keep, remove = marks == KEPT, marks == REMOVED
            for _ in range(rounds):
                found = now > _INSIDE
                total = (
                    odds + evidence.probe(keep, remove, _sure(found)) + evidence.colour(keep, remove, found)
                )
                prior = np.asarray(1 / (1 + np.exp(-np.float32(_SHARPNESS) * total)), np.float32)
                now = walker.solve(prior, keep | remove, keep.astype(np.float32), now)
        return now > _INSIDE


def _resize(plane: Plane, shape: tuple[int, int]) -> Plane:
    if plane.shape == shape:
        return plane
    method = cv2.INTER_AREA if plane.shape[0] > shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=method), np.float32)


def _marks(said: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Reduce the labels of strokes to a smaller copy without losing the thinnest stroke."""
    if said.shape == shape:
        return said
    marks = np.zeros(shape, np.uint8)
    for mark in (KEPT, REMOVED):
        covered = cv2.resize((said == mark).astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
        marks[np.asarray(covered) > 0] = mark
    return marks


def _sure(found: Mask) -> tuple[Mask, Mask]:
    """Return the pixels of the subject and of the background that are away from the edge."""
    kernel = np.ones((2 * _SURE_MARGIN_PX + 1,) * 2, np.uint8)
    inside, outside = (cv2.erode(part.astype(np.uint8), kernel) > 0 for part in (found, ~found))
    return np.asarray(inside), np.asarray(outside)
