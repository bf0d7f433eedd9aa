"""Compute five candidates for the alpha of the undecided pixels of a working copy, from the matte alone to the colours alone.

This module must not choose between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cutoutd.engine.matting.guided_filter import (
    ColourGuide,
    Plane,
    box,
    product,
    squared_length,
    sum_of_products,
    thrice,
)

if TYPE_CHECKING:
    from cutoutd.engine.matting.working_copy import WorkingCopy

_EPS = 1.5e-4
_FAITHFUL_ROUNDS = 4
_NEAR_ROUNDS = 5
_FREE_ROUNDS = 5
_SIGHT_CELLS = 0.5  # standard deviation of the blur of a cell, in cells
_FINEST_SIGHT = 0.3
_WIDEST_GAUSSIAN = 8.0  # standard deviation, in working pixels
# Steepness of a fit: below the first the colours predict the edge well, above the second not at all.
_STEADY_SLOPE, _WILD_SLOPE = 2.5, 7.0
_LEAST_PULL = 0.05
_Pull = Callable[[list[Plane]], "Plane | float"]
_NEARLY = 0.9  # from here up to 1, and as far from 0, a pixel serves as a sample of pure colour


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ColourFit:
    """A matte and its local linear fit by the colours of the picture (as in the guided filter).

    Attributes:
        alpha: float32 (h, w) in 0..1.
        slopes: three float32 (h, w), coefficients of the fit for red, green and blue.
        explained: float32 (h, w), alpha that the fit predicts, not clipped.
    """

    alpha: Plane
    slopes: list[Plane]
    explained: Plane


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AlphaCandidates:
    """The five candidates.

    Attributes:
        given: the coarse matte itself.
        faithful: alpha predicted by the colours, corrected so that its average over a cell is the coarse matte.
        near: alpha predicted by the colours, corrected towards the coarse matte only where the fit is poor; sure pixels are fixed.
        free: like `near`, but the edge may move into pixels of which the matte is sure.
        projected: position of each pixel's colour between the mean colours of background (0) and subject (1) around it, float32 (h, w).
        contrast: distance of these two colours, float32 (h, w).
        miss: distance of the pixel from the line between them, in units of `contrast`, float32 (h, w).
    """

    given: ColourFit
    faithful: ColourFit
    near: ColourFit
    free: ColourFit
    projected: Plane
    contrast: Plane
    miss: Plane

    @property
    def alphas(self) -> tuple[Plane, ...]:
        """The five alphas; the order is the network's."""
        return self.given.alpha, self.faithful.alpha, self.near.alpha, self.free.alpha, self.projected


def make_candidates(work: WorkingCopy, guide: ColourGuide) -> AlphaCandidates:
    """Return the candidates for a working copy; `guide` is made of its picture by `new_guide`."""
    projected, contrast, miss = _projection(work)
    given = fit(guide, work.coarse)
    near = _iterate(work, guide, given, work.near_hold, _NEAR_ROUNDS, _where_slopes_are_wild)
    return AlphaCandidates(
        given=given,
        faithful=_iterate(work, guide, given, work.near_hold, _FAITHFUL_ROUNDS, _entirely),
        near=near,
        free=_iterate(work, guide, fit(guide, near.alpha), work.hold, _FREE_ROUNDS, _where_slopes_are_wild),
        projected=projected,
        contrast=contrast,
        miss=miss,
    )


def new_guide(work: WorkingCopy) -> ColourGuide:
    """Return the guide for `make_candidates`."""
    return ColourGuide(work.rgb, work.radius, _EPS)


def fit(guide: ColourGuide, alpha: Plane) -> ColourFit:
    """Fit a matte by colours, once."""
    coefficients = guide.fit(alpha)
    return ColourFit(alpha=alpha, slopes=coefficients[:3], explained=guide.explain(coefficients))


def steepness(slopes: list[Plane]) -> Plane:
    """Return the length of the vector of slopes, float32 (h, w)."""
    return np.asarray(np.sqrt(sum_of_products(slopes, slopes)), np.float32)


def _iterate(
    work: WorkingCopy, guide: ColourGuide, start: ColourFit, hold: Plane, rounds: int, pull: _Pull
) -> ColourFit:
    """Iterate: predict alpha by colours, add back what is missing against the coarse matte, fix sure pixels."""
    sight = max(_FINEST_SIGHT, _SIGHT_CELLS * work.cell)
    now = start
    for done in range(rounds):
        if done > 0:
            now = fit(guide, now.alpha)
        missed = work.coarse - _blur(now.explained, sight)
        alpha = np.clip(now.explained + pull(now.slopes) * missed, 0, 1)
        alpha += hold * (work.target - alpha)
        now = ColourFit(alpha=alpha, slopes=now.slopes, explained=now.explained)
    return now


def _blur(plane: Plane, sigma: float) -> Plane:
    if sigma <= _WIDEST_GAUSSIAN:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)
    # A Gaussian's cost grows with its width; two boxes of the same variance cost the same at any.
    radius = min(round(sigma * math.sqrt(1.5)), max(plane.shape))
    return box(box(plane, radius), radius)


def _entirely(_slopes: list[Plane]) -> float:
    return 1.0


def _where_slopes_are_wild(slopes: list[Plane]) -> Plane:
    ramp = np.clip(
        (steepness(slopes) - np.float32(_STEADY_SLOPE)) / np.float32(_WILD_SLOPE - _STEADY_SLOPE), 0, 1
    )
    return np.asarray(np.maximum(ramp * ramp * (3 - 2 * ramp), np.float32(_LEAST_PULL)), np.float32)


def _projection(work: WorkingCopy) -> tuple[Plane, Plane, Plane]:
    """Project each pixel on the line between the mean colours of subject and background around it."""
    steep = np.float32(1.2 / (1 - _NEARLY))
    subject = _mean_colour(work, np.clip((work.coarse - np.float32(_NEARLY)) * steep, 0, 1))
    ground = _mean_colour(work, np.clip((np.float32(1 - _NEARLY) - work.coarse) * steep, 0, 1))
    line = subject - ground
    length2 = squared_length(line) + np.float32(2e-3)
    offset = work.rgb - ground
    projected = np.clip(product(offset, line) / length2, 0, 1)
    rest = offset - thrice(projected) * line
    miss = np.sqrt(squared_length(rest) / length2 + np.float32(1e-8))
    return projected, np.sqrt(length2), np.minimum(miss, 3)


def _mean_colour(work: WorkingCopy, weight: Plane) -> Plane:
    radius = 3 * work.radius
    floor = np.float32(1e-4)  # if no pure colour is near, the mean of all colours is used
    total = box(work.rgb * thrice(weight + floor), radius)
    total /= thrice(box(weight, radius) + floor)
    return total
