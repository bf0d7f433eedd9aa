"""Strokes of a person's brush on a picture: values, their JSON form, and their limits.

It paints nothing and knows no picture: whether a stroke is inside one is checked by code that has its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_STROKES = 500  # on one picture; a person draws tens
MAX_POINTS = 20_000  # of all strokes of a picture together: about 400 KB of JSON
MAX_COORDINATE = (
    1_000_000.0  # pixels, either sign: beyond every picture; a stroke may begin outside the picture
)
MAX_RADIUS = 100_000.0  # pixels
DECIMALS = 2  # of a coordinate, a radius and an alpha: finer than any pointer


class StrokeKind(StrEnum):
    """The effect of a stroke on the pixels under it."""

    KEEP = "keep"  # they belong to the subject
    REMOVE = "remove"  # they do not
    PAINT = "paint"  # their alpha is set to a value


class StrokesError(ValueError):
    """The data is not a list of strokes, or exceeds the limits; the text says which stroke and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stroke:
    """One stroke: a line of a round brush, or a click if it has one point.

    Attributes:
        kind: its effect.
        points: x and y of at least one point, in pixels of the picture as shown, after EXIF orientation. (0, 0) is the top left
            corner of the first pixel, whose centre is (.5, .5).
        radius: radius of the brush in pixels of the picture as shown, above 0.
        alpha: the value that `PAINT` sets, 0 to 1; None for the other kinds.
    """

    kind: StrokeKind
    points: tuple[tuple[float, float], ...]
    radius: float
    alpha: float | None = None


def parse(data: object) -> tuple[Stroke, ...]:
    """Parse decoded JSON: a list of ``{"kind", "points": [[x, y], ...], "radius", "alpha" (for paint only)}``.

    Numbers are rounded to `DECIMALS`, so that ``parse(dump(strokes)) == strokes``. An empty list has no strokes.

    Raises:
        StrokesError: the data is anything else, or exceeds the limits.
    """
    if not isinstance(data, list):
        msg = "Strokes are a list."
        raise StrokesError(msg)
    if len(data) > MAX_STROKES:
        msg = f"There are {len(data)} strokes; a picture may have {MAX_STROKES}."
        raise StrokesError(msg)
    strokes: list[Stroke] = []
    left = MAX_POINTS
    for number, one in enumerate(data, start=1):
        strokes.append(_stroke(one, number, left))
        left -= len(strokes[-1].points)
    return tuple(strokes)


def dump(strokes: Iterable[Stroke]) -> list[dict[str, object]]:
    """Return strokes as data for JSON; see `parse`."""
    return [_dump(one) for one in strokes]


def _dump(stroke: Stroke) -> dict[str, object]:
    points = [list(point) for point in stroke.points]
    made: dict[str, object] = {"kind": stroke.kind.value, "points": points, "radius": stroke.radius}
    return made if stroke.alpha is None else made | {"alpha": stroke.alpha}


def _stroke(data: object, number: int, max_points: int) -> Stroke:
    """Parse the ``number``-th stroke of a list; see `parse`."""
    if not isinstance(data, dict):
        msg = f"Stroke {number} is not an object."
        raise StrokesError(msg)
    kinds = [kind for kind in StrokeKind if kind.value == data.get("kind")]
    if not kinds:
        msg = f"Stroke {number}: its kind is none of {', '.join(StrokeKind)}."
        raise StrokesError(msg)
    fields = {"kind", "points", "radius"} | ({"alpha"} if kinds[0] is StrokeKind.PAINT else set())
    if data.keys() != fields:
        msg = f"Stroke {number}: a {kinds[0]} stroke has exactly the fields {', '.join(sorted(fields))}."
        raise StrokesError(msg)
    radius = _number(data["radius"], f"Stroke {number}: its radius", 0.0, MAX_RADIUS)
    if radius <= 0:
        msg = f"Stroke {number}: its radius must be above 0."
        raise StrokesError(msg)
    return Stroke(
        kind=kinds[0],
        points=_points(data["points"], number, max_points),
        radius=radius,
        alpha=_number(data["alpha"], f"Stroke {number}: its alpha", 0.0, 1.0) if "alpha" in data else None,
    )


def _points(data: object, number: int, max_points: int) -> tuple[tuple[float, float], ...]:
    """Parse the points of the ``number``-th stroke, at least one and at most ``max_points``; see `parse`."""
    if not isinstance(data, list) or not data:
        msg = f"Stroke {number}: its points are a list of at least one."
        raise StrokesError(msg)
    if len(data) > max_points:
        msg = f"Stroke {number}: the strokes of a picture may have {MAX_POINTS} points together."
        raise StrokesError(msg)
    points = []
    for point in data:
        if not isinstance(point, list) or len(point) != 2:  # noqa: PLR2004 - x and y
            msg = f"Stroke {number}: a point is a list of x and y."
            raise StrokesError(msg)
        x, y = (
            _number(value, f"Stroke {number}: a coordinate", -MAX_COORDINATE, MAX_COORDINATE)
            for value in point
        )
        points.append((x, y))
    return tuple(points)


def _number(value: object, what: str, low: float, high: float) -> float:
    """Return a number, rounded, if it is finite and from ``low`` to ``high``."""
    # A bool is an int; an int may be too large for a float, but not for a comparison.
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= value <= high
        or not math.isfinite(value)
    ):
        msg = f"{what} must be a number from {low:g} to {high:g}."
        raise StrokesError(msg)
    return round(float(value), DECIMALS)
