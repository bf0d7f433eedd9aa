"""Five candidates for the alpha of the open pixels of a working copy, from "the matte is right" to "the picture is right".

It weighs none of them against another.
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
# Slopes of a fit, alpha by colour: below the first colours explain the edge well, above the second not at all.
_STEADY_SLOPE, _WILD_SLOPE = 2.5, 7.0
_LEAST_PULL = 0.05
_Pull = Callable[[list[Plane]], "Plane | float"]
_NEARLY = 0.9  # from here up to 1, and as far from 0, a pixel serves as a sample of pure colour


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ColourFit:
    """A matte and how colours explain it.

    Attributes:
        alpha: float32 (h, w) in 0..1.
        slopes: three float32 (h, w), alpha by red, green and blue.
        explained: float32 (h, w), what the fit says, not clipped.
    """

    alpha: Plane
    slopes: list[Plane]
    explained: Plane


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AlphaCandidates:
    """The five candidates.

    Attributes:
        given: the coarse matte itself.
        faithful: as colours explain it, but averaging to the coarse matte at its own resolution.
        near: as colours explain it, drawn to the coarse matte only where they do not; what is sure is held.
        free: the same, but free to move the edge into what the matte is sure of.
        projected: each pixel's place between the pure colours around it, float32 (h, w) in 0..1.
        contrast: distance of these pure colours, float32 (h, w).
        miss: how far from the line between them the pixel lies, in units of their distance, float32 (h, w).
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
    """Make the candidates on a working copy, of which `guide` is the picture."""
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
    """Make the guide that `candidates` works with."""
    return ColourGuide(work.rgb, work.radius, _EPS)


def fit(guide: ColourGuide, alpha: Plane) -> ColourFit:
    """Explain a matte by colours, once."""
    coefficients = guide.fit(alpha)
    return ColourFit(alpha=alpha, slopes=coefficients[:3], explained=guide.explain(coefficients))


def steepness(slopes: list[Plane]) -> Plane:
    """Return the length of the vector of slopes, float32 (h, w)."""
    return np.asarray(np.sqrt(sum_of_products(slopes, slopes)), np.float32)


def _iterate(
    work: WorkingCopy, guide: ColourGuide, start: ColourFit, hold: Plane, rounds: int, pull: _Pull
) -> ColourFit:
    """Correct what colours explain by what the matte's own grid would have seen otherwise, hold what is sure; repeat."""
    sight = max(_FINEST_SIGHT, _SIGHT_CELLS * work.cell)
    now = start
    for done in range(rounds):
        if done > 0:
            now = fit(guide, now.alpha)
        missed = work.coarse - _blurred(now.explained, sight)
        alpha = np.clip(now.explained + pull(now.slopes) * missed, 0, 1)
        alpha += hold * (work.target - alpha)
        now = ColourFit(alpha=alpha, slopes=now.slopes, explained=now.explained)
    return now


def _blurred(plane: Plane, sigma: float) -> Plane:
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
    """Project each pixel on the line between the nearest pure colours of subject and background."""
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
    floor = np.float32(1e-4)  # where no pure colour is near, the mean of all serves
    total = box(work.rgb * thrice(weight + floor), radius)
    total /= thrice(box(weight, radius) + floor)
    return total
