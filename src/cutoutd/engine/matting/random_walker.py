"""Random walker with a prior: spreads what is known over a picture, up to where its colours change.

Grady, Multilabel Random Walker Image Segmentation Using Prior Models, 2005. It must not know strokes or models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_PRIOR: Final = 0.02
"""How strongly a pixel is drawn to its prior, against 1 to a neighbour of its colour."""

_FIXED: Final = 50.0
"""The same where it is known."""

_LEAST: Final = 0.001
"""Weight of an edge between pixels that have nothing in common."""

_STEPS: Final = 60
_GOOD_ENOUGH: Final = 1e-4
"""Residual, as a share of the right side, below which the answer does not change at one half."""


class RandomWalker:
    """Edges between the pixels of one picture.

    Args:
        lab: float32 (h, w, 3), colours; h and w at least 2.
    """

    def __init__(self, lab: Plane) -> None:
        across, down = (np.square(np.diff(lab, axis=axis)).sum(axis=2) for axis in (1, 0))
        count = across.size + down.size
        mean = max(float(across.sum(dtype=np.float64) + down.sum(dtype=np.float64)) / count, 1e-6)
        self._across, self._down = (_weights(distance, mean) for distance in (across, down))
        self._degree = np.zeros(lab.shape[:2], np.float32)
        self._degree[:, :-1] += self._across
        self._degree[:, 1:] += self._across
        self._degree[:-1] += self._down
        self._degree[1:] += self._down

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._across.shape[0], self._down.shape[1]

    def solve(self, prior: Plane, known: NDArray[np.bool_], value: Plane, guess: Plane) -> Plane:
        """Return the probability that a walker from each pixel reaches the subject first.

        Args:
            prior: float32 (h, w) in 0..1.
            known: bool (h, w), where `value` holds.
            value: float32 (h, w), 1 subject, 0 background.
            guess: float32 (h, w), initial estimate of the result: the nearer, the fewer steps.

        Returns:
            float32 (h, w), about 0..1, by at most 60 steps of conjugate gradients with Jacobi's preconditioner.
        """
        pull = np.where(known, np.float32(_FIXED), np.float32(_PRIOR))
        scale = np.asarray(1 / np.sqrt(self._degree + pull), np.float32)
        # Scaled by the roots of its diagonal, the matrix has ones on it.
        across: Plane = self._across * scale[:, :-1] * scale[:, 1:]
        down: Plane = self._down * scale[:-1] * scale[1:]
        start: Plane = np.where(known, value, prior).astype(np.float32)
        begin: Plane = (np.where(known, value, guess) / scale).astype(np.float32)
        solved = _conjugate_gradients(across, down, pull * start * scale, begin)
        return np.asarray(solved * scale, np.float32)


def _weights(squared: Plane, mean: float) -> Plane:
    return np.asarray(np.exp(squared * np.float32(-2 / mean)) + np.float32(_LEAST), np.float32)


def _conjugate_gradients(across: Plane, down: Plane, right: Plane, start: Plane) -> Plane:
    """Solve (I - W) x = right, W the weights of neighbours, float32 (h, w) each but for the missing column or row."""
    term = np.empty_like(right)

    def product(x: Plane) -> Plane:
        made: Plane = x.copy()
        for weight, one, other in ((across, np.s_[:, :-1], np.s_[:, 1:]), (down, np.s_[:-1], np.s_[1:])):
            part = term[one]
            np.multiply(weight, x[other], out=part)
            made[one] -= part
            np.multiply(weight, x[one], out=part)
            made[other] -= part
        return made

    solved = start.copy()
    residual = right - product(solved)
    direction = residual.copy()
    size = float(np.vdot(residual, residual))
    enough = _GOOD_ENOUGH**2 * float(np.vdot(right, right))
    for _ in range(_STEPS):
        if size <= enough:
            break
        applied = product(direction)
        step = size / float(np.vdot(direction, applied))
        cv2.scaleAdd(direction, step, solved, dst=solved)
        cv2.scaleAdd(applied, -step, residual, dst=residual)
        before, size = size, float(np.vdot(residual, residual))
        cv2.scaleAdd(direction, size / before, residual, dst=direction)
    return solved
