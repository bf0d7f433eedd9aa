"""Evidence from strokes about all other pixels of a picture: by features of the model, and by colour.

Each result is a plane of log odds that a pixel is the subject. The decision is made by the random walker, not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import Features

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]

_LAB_UNITS: Final = np.array((30.0, 20.0, 20.0), np.float32)
"""About the deviations of L, a and b over photos: a colour then weighs as much as what the model sees."""

_PLACE: Final = 0.5
"""How much a place weighs, of -1 to 1 across and down."""

_SAMPLES: Final = 1500
"""Pixels of a class that the probe is fitted to; more change nothing."""

_STROKE_WEIGHT, _MATTE_WEIGHT = 1.0, 0.5
_RIDGE: Final = 0.003
_NEWTON_STEPS: Final = 6
_PROBE_LIMIT: Final = 8.0

_BINS: Final = (12, 24, 24)
_MATTE_SHARE: Final = 0.3
_LEAST_SHARE: Final = 1e-4
_COLOUR_LIMIT: Final = 4.0


class Evidence:
    """Evidence for one picture.

    Args:
        lab: float32 (h, w, 3): L 0 to 100, a and b.
        features: of the same picture.
    """

    def __init__(self, lab: Plane, features: Features) -> None:
        self._lab = lab
        self._planes = features.planes
        self._bins = _bins_of(lab)

    def probe(self, keep: Mask, remove: Mask, sure: tuple[Mask, Mask]) -> Plane:
        """Classify pixels linearly by features, colour and place, fitted to the strokes and the sure pixels of the matte.

        Logistic regression with a ridge, by Newton's method (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning,
        4.4). Because the classifier is linear, its result can be enlarged in place of the features.

        Args:
            keep: bool (h, w), what strokes keep.
            remove: bool (h, w), what they remove.
            sure: bool (h, w), pixels of the subject and of the background as the matte has it.

        Returns:
            float32 (h, w), log odds in -8..8.
        """
        rows: list[Plane] = []
        weights: list[Plane] = []
        targets: list[Plane] = []
        groups = (
            (keep, 1.0, _STROKE_WEIGHT),
            (remove, 0.0, _STROKE_WEIGHT),
            (sure[0], 1.0, _MATTE_WEIGHT),
            (sure[1], 0.0, _MATTE_WEIGHT),
        )
        for mask, target, weight in groups:
            where = np.flatnonzero(mask)
            if where.size == 0:
                continue
            where = where[np.linspace(0, where.size - 1, min(_SAMPLES, where.size)).astype(np.intp)]
            rows.append(self._rows(where))
            weights.append(np.full(where.size, weight / where.size, np.float32))
            targets.append(np.full(where.size, target, np.float32))
        fitted = _fit(np.concatenate(rows), np.concatenate(targets), np.concatenate(weights))
        return np.clip(self._answer(fitted), -_PROBE_LIMIT, _PROBE_LIMIT)

    def colour(self, keep: Mask, remove: Mask, inside: Mask) -> Plane:
        """Compare how often each colour occurs under the strokes, and in the matte's subject and background.

        Args:
            keep: bool (h, w), what strokes keep.
            remove: bool (h, w), what they remove.
            inside: bool (h, w), the subject as the matte has it.

        Returns:
            float32 (h, w), log ratio in -4..4.
        """
        subject = self._histogram(keep) + _MATTE_SHARE * self._histogram(inside)
        ground = self._histogram(remove) + _MATTE_SHARE * self._histogram(~inside)
        ratio = np.log((subject + _LEAST_SHARE) / (ground + _LEAST_SHARE))
        return np.clip(ratio, -_COLOUR_LIMIT, _COLOUR_LIMIT).astype(np.float32)[self._bins]

    def _rows(self, where: NDArray[np.intp]) -> Plane:
        """Return the probe's inputs for the pixels with these indices, float32 (n, 58): features, colour, place and a 1."""
        height, width = self._lab.shape[:2]
        y, x = np.divmod(where, width)
        seen = _interpolate(self._planes, (y + 0.5) / height, (x + 0.5) / width)
        colour = self._lab.reshape(-1, 3)[where] / _LAB_UNITS
        place = np.stack((_place(x, width), _place(y, height), np.ones(where.size, np.float32)), axis=1)
        return np.concatenate((seen, colour, place), axis=1, dtype=np.float32)

    def _answer(self, fitted: Plane) -> Plane:
        """Return the fitted probe's log odds of each pixel."""
        height, width = self._lab.shape[:2]
        count = self._planes.shape[2]
        small = self._planes @ fitted[:count]
        answer = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        answer += self._lab @ (fitted[count : count + 3] / _LAB_UNITS)
        answer += fitted[count + 3] * _place(np.arange(width), width)
        answer += (fitted[count + 4] * _place(np.arange(height), height) + fitted[count + 5])[:, np.newaxis]
        return answer

    def _histogram(self, mask: Mask) -> NDArray[np.float64]:
        """Return the normalised, smoothed histogram of these pixels; all 0 where there are none."""
        counts = (
            np.bincount(self._bins[mask], minlength=int(np.prod(_BINS))).reshape(_BINS).astype(np.float64)
        )
        for axis in range(counts.ndim):
            padded = np.pad(counts, [(1, 1) if one == axis else (0, 0) for one in range(counts.ndim)], "edge")
            middle = padded.shape[axis] - 2
            before, after = (padded.take(range(start, start + middle), axis) for start in (0, 2))
            counts = (before + 2 * counts + after) / 4
        return np.asarray(counts.ravel() / max(1.0, float(counts.sum())))


def _place(number: NDArray[np.intp], count: int) -> Plane:
    return (((number + 0.5) / count * 2 - 1) * _PLACE).astype(np.float32)


def _bins_of(lab: Plane) -> NDArray[np.intp]:
    """Return the index of each pixel's histogram bin, (h, w)."""
    level, across, down = cv2.split(lab)
    parts = (
        (np.clip(plane, low, high - 1e-3) - low) * (count / (high - low))
        for plane, low, high, count in (
            (level, 0, 100, _BINS[0]),
            (across, -128, 128, _BINS[1]),
            (down, -128, 128, _BINS[2]),
        )
    )
    one, two, three = (part.astype(np.intp) for part in parts)
    return np.asarray((one * _BINS[1] + two) * _BINS[2] + three)


def _interpolate(planes: Plane, y: NDArray[np.float64], x: NDArray[np.float64]) -> Plane:
    """Interpolate planes, float32 (rows, columns, k), at relative places (0..1): float32 (n, k)."""
    rows, columns = planes.shape[:2]
    top, down = _split(y * rows - 0.5, rows)
    left, across = _split(x * columns - 0.5, columns)
    below, right = np.minimum(top + 1, rows - 1), np.minimum(left + 1, columns - 1)
    upper = planes[top, left] * (1 - across) + planes[top, right] * across
    lower = planes[below, left] * (1 - across) + planes[below, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _split(at: NDArray[np.float64], count: int) -> tuple[NDArray[np.intp], Plane]:
    """Split numbers into integer part (n,) and fraction (n, 1)."""
    at = np.clip(at, 0, count - 1)
    whole = at.astype(np.intp)
    return whole, (at - whole).astype(np.float32)[:, np.newaxis]


def _fit(rows: Plane, targets: Plane, weights: Plane) -> Plane:
    """Fit the probe; return its coefficients, float32 (k,)."""
    found = np.zeros(rows.shape[1])
    ridge = np.full(rows.shape[1], _RIDGE)
    ridge[-1] = _RIDGE / 100  # the constant
    for _ in range(_NEWTON_STEPS):
        said = 1 / (1 + np.exp(-np.clip(rows @ found.astype(np.float32), -30, 30)))
        slope = rows.T @ (weights * (said - targets)) + ridge * found
        bend = (rows * (weights * said * (1 - said))[:, np.newaxis]).T @ rows + np.diag(ridge)
        found -= np.linalg.solve(bend.astype(np.float64), slope.astype(np.float64))
    return found.astype(np.float32)
