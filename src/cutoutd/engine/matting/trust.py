"""Decides, pixel by pixel, how much to believe the matte and how much the picture.

A small network (two hidden layers, 2,437 weights), trained on composites of known alpha by `models/train_trust.py`,
weighs the candidates by the evidence. This module only applies it: it gathers no evidence and changes no pixel.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cutoutd.engine.matting.guided_filter import Plane

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
    """Read the weights: once, and before a sandbox closes the files."""
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
