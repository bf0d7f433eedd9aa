"""Subjects with an exactly known alpha, drawn by a seeded generator.

It draws shapes only: it reads no picture, chooses no background and measures nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Gray = NDArray[np.float32]
Rgb = NDArray[np.uint8]
_TWICE_UP_TO_PX = 4_000_000
_SHIFT = 4  # cv2 draws with 1/16 px coordinates


class Kind(Enum):
    """The difficulty of a subject."""

    PLAIN = "plain"  # a smooth hard outline: nothing to gain but sharpness, much to lose
    HAIR = "hair"  # long thin strands around a solid head
    FUR = "fur"  # a dense rim of short strands
    HOLES = "holes"  # lace: the background shows through many small openings
    THIN = "thin"  # a wheel of wires, most of them thinner than a pixel of the model
    GLASS = "glass"  # a large area of partial alpha inside a solid rim
    SOFT = "soft"  # an outline out of focus: already exact in a coarse matte
    LEAVES = "leaves"  # many pointed shapes with gaps between them


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A subject with its alpha.

    Attributes:
        alpha: float32 (H, W) in 0..1.
        colour: uint8 (H, W, 3), defined everywhere, also where alpha is 0.
    """

    alpha: Gray
    colour: Rgb


def draw(kind: Kind, shape: tuple[int, int], texture: Rgb, rng: np.random.Generator) -> Subject:
    """Draw one subject.

    Args:
        kind: the difficulty.
        shape: (H, W) of the result, in pixels.
        texture: uint8 (H, W, 3), the surface of the subject.
        rng: determines outline, strands and tint; the same state gives the same subject.

    Returns:
        The subject, roughly centred, covering about a fifth to a half of the frame.
    """
    height, width = shape
    # Twice the resolution, so that a strand's alpha is its area and not an estimate of the drawing routine.
    twice = 2 if height * width <= _TWICE_UP_TO_PX else 1
    canvas = np.zeros((height * twice, width * twice), np.uint8)
    alpha = _DRAWERS[kind](canvas, rng)
    reduced = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    return Subject(alpha=np.clip(reduced, 0.0, 1.0), colour=_tinted(texture, rng))


def _tinted(texture: Rgb, rng: np.random.Generator) -> Rgb:
    """Shift a texture half way to one colour, since subjects vary less in colour than whole scenes."""
    tint = rng.integers(20, 236, 3).astype(np.float32)
    share = float(rng.uniform(0.35, 0.85))
    mixed: NDArray[np.float32] = texture.astype(np.float32) * np.float32(1 - share) + tint * np.float32(share)
    return mixed.astype(np.uint8)


def _outline(
    canvas: NDArray[np.uint8], rng: np.random.Generator, radius: float, rough: float
) -> NDArray[np.float64]:
    """Return a closed smooth outline, float64 (N, 2) in x, y pixels, N = 720."""
    height, width = canvas.shape
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    reach = np.ones_like(angle)
    for order in range(2, 7):
        reach += rough / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    centre = np.array([width * rng.uniform(0.44, 0.56), height * rng.uniform(0.46, 0.56)])
    scale = radius * min(height, width) * np.clip(reach, 0.45, 1.35)
    stretch = np.array([rng.uniform(0.8, 1.1), rng.uniform(0.9, 1.2)])
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(centre + unit * scale[:, None] * stretch, np.float64)


def _fill(canvas: NDArray[np.uint8], points: NDArray[np.float64], value: int = 255) -> None:
    fixed = np.round(points * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed.reshape(-1, 1, 2)], (value,), cv2.LINE_AA, _SHIFT)


def _line(canvas: NDArray[np.uint8], points: NDArray[np.float64], thickness: int, value: int = 255) -> None:
    fixed = np.round(points * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [fixed.reshape(-1, 1, 2)], False, (value,), max(1, thickness), cv2.LINE_AA, _SHIFT)


def _unit_alpha(canvas: NDArray[np.uint8]) -> Gray:
    return canvas.astype(np.float32) * np.float32(1 / 255)


def _plain(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    _fill(canvas, _outline(canvas, rng, 0.32, 0.25))
    return _unit_alpha(canvas)


def _soft(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    alpha = _plain(canvas, rng)
    sigma = min(canvas.shape) * float(rng.uniform(0.008, 0.025))
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), sigma), np.float32)


def _strands(
    canvas: NDArray[np.uint8],
    rng: np.random.Generator,
    outline: NDArray[np.float64],
    count: int,
    length: tuple[float, float],
) -> None:
    """Draw curved strands from the outline outward, tapering; lengths are shares of the shorter side."""
    side = min(canvas.shape)
    centre = outline.mean(axis=0)
    along = np.linspace(0, 1, 14)[:, None]
    for start in rng.integers(0, len(outline), count):
        root = outline[start] - (outline[start] - centre) * 0.06
        away = (root - centre) / max(float(np.linalg.norm(root - centre)), 1e-6)
        lean = np.array([-away[1], away[0]]) * rng.normal() * 0.5 + np.array([0, rng.uniform(0, 0.35)])
        reach = side * rng.uniform(*length)
        curve = root + away * reach * along + lean * reach * along**2
        thickness = max(1, round(side / 1000 * rng.uniform(0.8, 3.0)))
        _line(canvas, curve[:9], thickness)
        _line(canvas, curve[8:], thickness // 2, int(rng.integers(130, 255)))


def _hair(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    outline = _outline(canvas, rng, 0.26, 0.12)
    _strands(canvas, rng, outline, 420, (0.03, 0.16))
    _fill(canvas, outline)
    return _unit_alpha(canvas)


def _fur(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    outline = _outline(canvas, rng, 0.28, 0.2)
    _strands(canvas, rng, outline, 2600, (0.015, 0.05))
    _fill(canvas, outline)
    return _unit_alpha(canvas)


def _holes(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    _fill(canvas, _outline(canvas, rng, 0.34, 0.15))
    side = min(canvas.shape)
    pitch = side * rng.uniform(0.03, 0.06)
    cut = np.zeros_like(canvas)
    for row, y in enumerate(np.arange(0, canvas.shape[0], pitch)):
        for x in np.arange(pitch * (row % 2) / 2, canvas.shape[1], pitch):
            size = pitch * rng.uniform(0.18, 0.38) * (1 << _SHIFT)
            at = (round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT)))
            cv2.circle(cut, at, round(size), (255,), -1, cv2.LINE_AA, _SHIFT)
    rim = max(1, round(side * 0.015))
    inner = np.asarray(cv2.erode(canvas, np.ones((3, 3), np.uint8), iterations=rim), np.uint8)
    return np.asarray(_unit_alpha(canvas) * (1 - _unit_alpha(cut) * _unit_alpha(inner)), np.float32)


def _thin(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    side = min(canvas.shape)
    rim = _outline(canvas, rng, 0.34, 0.05)
    centre = rim.mean(axis=0)
    _line(canvas, np.vstack([rim, rim[:2]]), round(side * 0.02))
    _fill(canvas, centre + (rim - centre) * 0.3)
    for start in np.linspace(0, len(rim), int(rng.integers(18, 42)), endpoint=False).astype(int):
        _line(canvas, np.vstack([centre, rim[start]]), round(side * rng.uniform(0.001, 0.006)))
    return _unit_alpha(canvas)


def _glass(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    outline = _outline(canvas, rng, 0.3, 0.08)
    _fill(canvas, outline)
    body = _unit_alpha(canvas)
    slope = np.linspace(rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.8), canvas.shape[0], dtype=np.float32)
    rim = np.zeros_like(canvas)
    _line(rim, np.vstack([outline, outline[:2]]), round(min(canvas.shape) * 0.02))
    glass: Gray = np.maximum(body * slope[:, None], _unit_alpha(rim))
    return glass


def _leaves(canvas: NDArray[np.uint8], rng: np.random.Generator) -> Gray:
    side = min(canvas.shape)
    outline = _outline(canvas, rng, 0.2, 0.2)
    centre = outline.mean(axis=0)
    _fill(canvas, outline)
    for start in rng.integers(0, len(outline), 90):
        away = (outline[start] - centre) / max(float(np.linalg.norm(outline[start] - centre)), 1e-6)
        away += rng.normal(0, 0.35, 2)
        aside = np.array([-away[1], away[0]])
        tip = side * rng.uniform(0.06, 0.2)
        along = np.linspace(0, 1, 16)
        half = np.sin(along * np.pi) ** 0.8 * tip * rng.uniform(0.08, 0.2)
        spine = outline[start] + away * (along * tip)[:, None] - away * side * 0.02
        _fill(canvas, np.vstack([spine + aside * half[:, None], (spine - aside * half[:, None])[::-1]]))
    return _unit_alpha(canvas)


_DRAWERS: dict[Kind, Callable[[NDArray[np.uint8], np.random.Generator], Gray]] = {
    Kind.PLAIN: _plain,
    Kind.HAIR: _hair,
    Kind.FUR: _fur,
    Kind.HOLES: _holes,
    Kind.THIN: _thin,
    Kind.GLASS: _glass,
    Kind.SOFT: _soft,
    Kind.LEAVES: _leaves,
}
