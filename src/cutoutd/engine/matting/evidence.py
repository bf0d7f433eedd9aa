"""Weigh the matte against the picture at each open pixel: the evidence, and the weights derived from it.

The evidence is how well colours explain each candidate, how far they are apart, how well subject and background compose the
picture again, how fine the matte is; and whether its edge looks like a network's answer, which has the long tails of a
sigmoid, or like an average of the true alpha, which ends where the edge ends. A small network (two hidden layers, 2,437
weights), trained on composites of known alpha by `models/train_trust.py`, weighs the candidates by that. No pixel is changed
here.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cutoutd.engine.matting.candidates import steepness
from cutoutd.engine.matting.guided_filter import Plane, box, squared_length, thrice

if TYPE_CHECKING:
    from cutoutd.engine.matting.candidates import AlphaCandidates, ColourFit
    from cutoutd.engine.matting.guided_filter import ColourGuide
    from cutoutd.engine.matting.working_copy import WorkingCopy

_NEAR = 2  # radius of the narrow windows, in working pixels; the wide ones are the guide's
# Shares of pixels by value of the matte; the middle three are what the others are compared with.
_TAIL_EDGES = (0.006, 0.02, 0.05, 0.1, 0.2, 0.8, 0.9, 0.95, 0.98, 0.994)
_TAILS = (0, 1, 2, 6, 7, 8)
_SIGMOID_TAILS = 0.45  # the two outermost together: networks leave more of them, averages of an alpha fewer
# Of a network's mattes three in four have more than .58; of averages of an alpha, three in four have less than .4.
_NO_SIGMOID, _SIGMOID = 0.35, 0.5
# Pieces of evidence, by place in the list, whose mean over the open pixels counts, and whose mean absolute value.
_MEANS = (5, 6, 7, 8, 9, 10, 11, 4, 3, 21, 23)
_MEAN_SIZES = (25, 26, 28, 29)


def evidence_of(work: WorkingCopy, guide: ColourGuide, candidates: AlphaCandidates) -> list[Plane]:
    """Compute the evidence planes, float32 (h, w) each, in the order of the network's inputs."""
    given, faithful = candidates.given.alpha, candidates.faithful.alpha
    near, free = candidates.near.alpha, candidates.free.alpha
    wide = guide.radius
    return [
        given,
        faithful - given,
        free - given,
        np.log(steepness(candidates.free.slopes) + np.float32(0.1)),
        np.log(steepness(candidates.given.slopes) + np.float32(0.1)),
        _rest(candidates.given, wide),
        _rest(candidates.free, wide),
        _deviation(given, wide),
        _root(guide.variance),
        _distance(free, given, wide),
        _distance(faithful, given, wide),
        _sharpness(given, work.cell, wide),
        box(1 - work.hold, wide),
        _distance(free, given, _NEAR),
        _distance(faithful, given, _NEAR),
        _deviation(given, _NEAR),
        _deviation(free, _NEAR),
        _deviation(faithful, _NEAR),
        _colour_deviation(guide, _NEAR),
        _rest(candidates.given, _NEAR),
        _rest(candidates.free, _NEAR),
        *_compose(work, given, wide),
        *_compose(work, free, wide),
        candidates.projected - given,
        candidates.projected - free,
        candidates.contrast,
        candidates.miss,
        near - given,
        _distance(near, given, _NEAR),
        _rest(candidates.near, wide),
        _distance(free, near, wide),
        box(1 - work.near_hold, wide),
    ]


def overall_of(evidence: list[Plane], work: WorkingCopy) -> Plane:
    """Sum the evidence up for the whole picture.

    Args:
        evidence: of `evidence_of`.
        work: it was gathered on.

    Returns:
        float32 (m,), in the order of the network's inputs.
    """
    is_open = 1 - work.hold
    total = float(is_open.sum()) + 1e-3
    means = [float(np.vdot(evidence[i], is_open)) / total for i in _MEANS]
    sizes = [float(np.vdot(np.abs(evidence[i]), is_open)) / total for i in _MEAN_SIZES]
    tails = [math.log(share + 0.02) for share in _tails(work.judged)]
    return np.array([*means, *sizes, math.log(work.cell), *tails], np.float32)


def is_exact(work: WorkingCopy) -> bool:
    """Say whether a matte of the picture's own size is detailed to its last pixel and has no network's long tails."""
    shares = _tails(work.judged)
    return work.cell <= 1 and shares[0] + shares[-1] < _SIGMOID_TAILS


def resemblance_to_network(work: WorkingCopy) -> float:
    """Say how much the tails of a matte look like those of a network's answer, 0..1; an average of a true alpha has shorter ones."""
    shares = _tails(work.judged)
    return min(1.0, max(0.0, (shares[0] + shares[-1] - _NO_SIGMOID) / (_SIGMOID - _NO_SIGMOID)))


def _tails(matte: Plane) -> list[float]:
    """Count nearly decided pixels by value, in units of the number of undecided ones."""
    counts = np.histogram(matte, _TAIL_EDGES)[0]
    middle = float(counts[3:6].sum()) + 1
    return [float(counts[i]) / middle for i in _TAILS]


def _root(square: Plane) -> Plane:
    root = np.maximum(square, 0)
    root += np.float32(1e-8)
    return np.sqrt(root, out=root)


def _distance(one: Plane, other: Plane, radius: int) -> Plane:
    difference = one - other
    return _root(box(difference * difference, radius))


def _rest(fit: ColourFit, radius: int) -> Plane:
    return _distance(fit.alpha, fit.explained, radius)


def _deviation(plane: Plane, radius: int) -> Plane:
    mean = box(plane, radius)
    return _root(box(plane * plane, radius) - mean * mean)


def _colour_deviation(guide: ColourGuide, radius: int) -> Plane:
    parts = []
    for plane in guide.planes:
        mean = box(plane, radius)
        parts.append(box(plane * plane, radius) - mean * mean)
    return _root(parts[0] + parts[1] + parts[2])


def gradient(alpha: Plane) -> Plane:
    """Return how much an alpha changes from one pixel to the next, float32 (h, w)."""
    slope: Plane = np.hypot(
        cv2.Sobel(alpha, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(alpha, cv2.CV_32F, 0, 1, scale=1 / 8)
    )
    return slope


def _sharpness(alpha: Plane, cell: float, radius: int) -> Plane:
    """Return how much the undecided parts of a window change over one cell of the matte."""
    slope = gradient(alpha)
    weight = alpha * (1 - alpha) + np.float32(1e-4)
    return box(slope * np.float32(cell) * weight, radius) / box(weight, radius)


def _compose(work: WorkingCopy, alpha: Plane, radius: int) -> tuple[Plane, Plane]:
    """Separate subject and background colours by an alpha; return the error of compositing them again, and their distance."""
    share, rest = alpha * alpha + np.float32(1e-4), (1 - alpha) ** 2 + np.float32(1e-4)
    subject = box(work.rgb * thrice(share), radius) / thrice(box(share, radius))
    ground = box(work.rgb * thrice(rest), radius) / thrice(box(rest, radius))
    line = subject - ground
    missed = work.rgb - ground - thrice(alpha) * line
    return _root(box(squared_length(missed), _NEAR)), _root(squared_length(line))


_PIXELS_AT_A_TIME = 8192  # all layers of so many fit in the cache
_LIMIT = 5.0  # in standard deviations of the training set: beyond it the network has seen nothing


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Network:
    """Weights of the network, as stored beside this module."""

    mean: Plane
    scale: Plane
    layers: tuple[tuple[Plane, Plane], ...]


@functools.cache
def network() -> _Network:
    """Read the weights; call this once before the sandbox closes the file system."""
    with (
        resources.files("cutoutd.engine.matting").joinpath("trust.npz").open("rb") as file,
        np.load(file) as stored,
    ):
        layers = tuple((stored[f"weight{i}"], stored[f"bias{i}"]) for i in range(3))
        return _Network(mean=stored["mean"], scale=stored["scale"], layers=layers)


def weigh(evidence: Plane, overall: Plane) -> Plane:
    """Weigh the five candidates.

    Args:
        evidence: float32 (k, n), k pieces on each of n pixels.
        overall: float32 (m,), of the picture.

    Returns:
        float32 (5, n), the shares of given, faithful, near, free and projected; those of a pixel sum to 1.
    """
    net = network()
    split = evidence.shape[0]
    (first, bias), *rest = net.layers
    common = _standard(overall.copy(), net.mean[split:], net.scale[split:])
    layers = [(first[:split], common @ first[split:] + bias), *rest]
    shares = np.empty((len(layers[-1][1]), evidence.shape[1]), np.float32)
    for begin in range(0, evidence.shape[1], _PIXELS_AT_A_TIME):
        part = slice(begin, begin + _PIXELS_AT_A_TIME)
        values = _standard(evidence[:, part].copy(), net.mean[:split, None], net.scale[:split, None])
        for number, (weight, bias) in enumerate(layers):
            if number > 0:
                np.maximum(values, 0, out=values)
            values = weight.T @ values
            values += bias[:, None]
        values -= values.max(axis=0)
        np.exp(values, out=values)
        np.divide(values, values.sum(axis=0), out=shares[:, part])
    return shares


def _standard(values: Plane, mean: Plane, scale: Plane) -> Plane:
    """Bring values to the mean and deviation of the training set, in place."""
    values -= mean
    values *= scale
    return np.clip(values, np.float32(-_LIMIT), np.float32(_LIMIT), out=values)
