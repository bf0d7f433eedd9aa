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
    from cutoutd.engine.guided import Plane

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
    with resources.files("cutoutd.engine").joinpath("trust.npz").open("rb") as file, np.load(file) as stored:
        layers = tuple((stored[f"weight{i}"], stored[f"bias{i}"]) for i in range(3))
        return _Network(mean=stored["mean"], scale=stored["scale"], layers=layers)


def weigh(evidence: Plane, overall: Plane) -> Plane:
    """Weigh the five candidates.

    Args:
        evidence: float32 (n, k), of n pixels.
        overall: float32 (m,), of the picture.

    Returns:
        float32 (n, 5), the shares of given, faithful, near, free and projected; each row sums to 1.
    """
    net = network()
    split = evidence.shape[1]
    low, high = np.float32(-_LIMIT), np.float32(_LIMIT)
    values = np.clip((evidence - net.mean[:split]) * net.scale[:split], low, high)
    common = np.clip((overall - net.mean[split:]) * net.scale[split:], low, high)
    (first, bias), *rest = net.layers
    values = values @ first[:split] + (common @ first[split:] + bias)
    for weight, bias in rest:
        values = np.maximum(values, 0) @ weight + bias
    values = np.exp(values - values.max(axis=1, keepdims=True))
    values /= values.sum(axis=1, keepdims=True)
    return np.asarray(values, np.float32)
