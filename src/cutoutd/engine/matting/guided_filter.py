"""Explain a matte by the colours around each pixel: the guided filter with a colour guide.

This module must not know mattes, certainty or tiles, and enlarges nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Plane = NDArray[np.float32]


def box(plane: Plane, radius: int) -> Plane:
    """Return the mean over a square of side 2 radius + 1 pixels, reflected at the border; any shape is kept.

    Where the plane is narrower than the radius, the window is: one that is mostly reflections costs much and says no more.
    """
    height, width = (min(2 * radius, 2 * side - 2) + 1 for side in plane.shape[:2])
    return np.asarray(cv2.blur(plane, (width, height), borderType=cv2.BORDER_REFLECT), np.float32)


def sum_of_products(left: Sequence[Plane], right: Sequence[Plane]) -> Plane:
    """Return the sum of the products of two equally long, non-empty rows of planes."""
    total = left[0] * right[0]
    term = np.empty_like(total)
    for a, b in zip(left[1:], right[1:], strict=True):
        total += np.multiply(a, b, out=term)
    return total


def thrice(plane: Plane) -> Plane:
    """Return a plane for each of three colours, float32 (H, W) to (H, W, 3): numpy is twenty times slower at broadcasting it."""
    return np.asarray(cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB), np.float32)


def with_fourth(colours: Plane) -> Plane:
    """Add an unused channel, float32 (H, W, 3) to (H, W, 4): OpenCV interpolates four in less time than three."""
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2RGBA), np.float32)


def without_fourth(colours: Plane) -> Plane:
    """Drop the channel that `with_fourth` added."""
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGBA2RGB), np.float32)


def squared_length(vectors: Plane) -> Plane:
    """Return the squared length of the vectors of a plane, float32 (H, W, k) to (H, W)."""
    return product(vectors, vectors)


def rounded(levels: Plane) -> NDArray[np.uint8]:
    """Round levels to the nearest of 0..255, float32 with contiguous rows to uint8; the levels are not kept."""
    cv2.threshold(levels, 0, 0, cv2.THRESH_TOZERO, dst=levels)
    return np.asarray(cv2.convertScaleAbs(levels), np.uint8)  # what is above 255 becomes 255


def product(left: Plane, right: Plane) -> Plane:
    """Return the scalar product of the vectors of two planes, float32 (H, W, k) to (H, W)."""
    return summed(left * right)


def summed(vectors: Plane) -> Plane:
    """Return the sum of each vector of a plane, float32 (H, W, k) to (H, W), k at least 2: twice as fast as OpenCV, ten times as einsum."""
    components = vectors.reshape(-1, vectors.shape[2])
    total: Plane = components[:, 0] + components[:, 1]
    for i in range(2, components.shape[1]):
        total += components[:, i]
    return total.reshape(vectors.shape[:2])


class ColourGuide:
    """A picture that other planes are fitted to, window by window (He, Sun and Tang, Guided Image Filtering, 2013).

    What depends on the picture alone, the inverse covariance of its colours, is computed once.
    """

    def __init__(self, rgb: Plane, radius: int, eps: float) -> None:
        """Take a picture as guide.

        Args:
            rgb: float32 (H, W, 3) in 0..1.
            radius: of the square window, in pixels, at least 1.
            eps: variance of colour, in 0..1 squared, below which a window counts as flat.
        """
        self.radius = radius
        # Centred colours keep the covariances, which are differences of products, exact in float32.
        self.planes = [np.asarray(cv2.extractChannel(rgb, i), np.float32) - np.float32(0.5) for i in range(3)]
        self._means = [box(plane, radius) for plane in self.planes]
        moment = {
            (i, j): box(self.planes[i] * self.planes[j], radius) - self._means[i] * self._means[j]
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        }
        self.variance: Plane = moment[0, 0] + moment[1, 1] + moment[2, 2]
        self._inverse = _inverse(moment, np.float32(eps))

    def fit(self, plane: Plane) -> list[Plane]:
        """Fit a plane linearly to the colours.

        Args:
            plane: float32 (H, W).

        Returns:
            Four float32 (H, W): the slopes by red, green and blue and the offset, each the mean over the windows
            that hold a pixel, for colours in 0..1 less one half.
        """
        mean = box(plane, self.radius)
        shared = [
            box(guide * plane, self.radius) - guide_mean * mean
            for guide, guide_mean in zip(self.planes, self._means, strict=True)
        ]
        slopes = [sum_of_products(row, shared) for row in self._inverse]
        offset = mean - sum_of_products(slopes, self._means)
        return [box(coefficient, self.radius) for coefficient in (*slopes, offset)]

    def explain(self, coefficients: Sequence[Plane]) -> Plane:
        """Return the plane that coefficients of `fit` give on this picture, float32 (H, W), not clipped."""
        return sum_of_products(coefficients[:3], self.planes) + coefficients[3]


def _inverse(moment: dict[tuple[int, int], Plane], eps: np.float32) -> list[list[Plane]]:
    """Invert the 3x3 covariance of each window in closed form: numpy's own is 50 times slower on so many."""
    rr, gg, bb = (moment[i, i] + eps for i in range(3))
    rg, rb, gb = moment[0, 1], moment[0, 2], moment[1, 2]
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = np.float32(1) / (rr * c_rr + rg * c_rg + rb * c_rb)
    i_rr, i_rg, i_rb, i_gg, i_gb, i_bb = (part * scale for part in (c_rr, c_rg, c_rb, c_gg, c_gb, c_bb))
    return [[i_rr, i_rg, i_rb], [i_rg, i_gg, i_gb], [i_rb, i_gb, i_bb]]
