"""Strokes are validated when they are parsed from JSON, and dumped unchanged."""

from __future__ import annotations

import json
import math

import pytest

from cutoutd.strokes import MAX_POINTS, MAX_STROKES, Stroke, StrokeKind, StrokesError, dump, parse

_KEEP = {"kind": "keep", "points": [[1, 2.5], [3, 4]], "radius": 12}
_PAINT = {"kind": "paint", "points": [[0, 0]], "radius": 3, "alpha": 0.25}


def test_parsed_strokes_are_dumped_and_parsed_again_unchanged() -> None:
    """Also numbers with more decimals than are kept."""
    strokes = parse([_KEEP, _PAINT, {"kind": "remove", "points": [[1 / 3, -7.12345]], "radius": 0.017}])
    assert parse(json.loads(json.dumps(dump(strokes)))) == strokes
    assert strokes[0] == Stroke(kind=StrokeKind.KEEP, points=((1.0, 2.5), (3.0, 4.0)), radius=12.0)
    assert strokes[1].alpha == 0.25
    assert strokes[2].points == ((0.33, -7.12),)
    assert parse([]) == ()


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"0": _KEEP},
        [None],
        [_KEEP | {"kind": "erase"}],
        [_KEEP | {"kind": ["keep"]}],
        [_KEEP | {"alpha": 0.5}],
        [_KEEP | {"more": 1}],
        [{"kind": "keep", "points": [[1, 2]]}],
        [{"kind": "paint", "points": [[1, 2]], "radius": 1}],
        [_PAINT | {"alpha": None}],
        [_PAINT | {"alpha": 1.01}],
        [_PAINT | {"alpha": True}],
        [_KEEP | {"radius": 0}],
        [_KEEP | {"radius": 0.001}],
        [_KEEP | {"radius": "5"}],
        [_KEEP | {"radius": math.inf}],
        [_KEEP | {"points": []}],
        [_KEEP | {"points": [[1]]}],
        [_KEEP | {"points": [[1, 2, 3]]}],
        [_KEEP | {"points": [{"x": 1, "y": 2}]}],
        [_KEEP | {"points": [[1, math.nan]]}],
        [_KEEP | {"points": [[1, 10**400]]}],
        [_KEEP | {"points": [[1, -1e7]]}],
    ],
)
def test_anything_else_is_refused_with_a_reason(data: object) -> None:
    """Missing, unknown and impossible values."""
    with pytest.raises(StrokesError, match=r"\.$"):
        parse(data)


def test_the_bounds_count_all_strokes_together() -> None:
    """At the limit of strokes and points, and one above."""
    assert len(parse([_KEEP] * MAX_STROKES)) == MAX_STROKES
    with pytest.raises(StrokesError, match="501"):
        parse([_KEEP] * (MAX_STROKES + 1))
    half = _KEEP | {"points": [[1, 1]] * (MAX_POINTS // 2)}
    assert len(parse([half, half])) == 2
    with pytest.raises(StrokesError, match="Stroke 3"):
        parse([half, half, _KEEP])
