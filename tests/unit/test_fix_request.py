"""The argument of the command ``fix``: read back as written, and refused with a reason if invalid."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutoutd.journal.fix_request import MAX_CHARACTERS, FixAction, FixRequest, FixRequestError
from cutoutd.strokes import MAX_POINTS, MAX_STROKES, Stroke, StrokeKind

STROKES = (
    Stroke(kind=StrokeKind.KEEP, points=((1.0, 2.5), (3.0, -4.0)), radius=5.0),
    Stroke(kind=StrokeKind.PAINT, points=((1.0, 2.0),), radius=1.0, alpha=0.25),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "request_",
    [
        FixRequest(job=7, strokes=STROKES, suggestion=1, seen="0123456789abcdef" * 4),
        FixRequest(job=7, strokes=STROKES),
        FixRequest(job=7, action=FixAction.UNDO),
        FixRequest(job=7, action=FixAction.CLEAR),
    ],
)
def test_a_request_is_read_back_as_it_was_written(request_: FixRequest) -> None:
    """By another process, through the journal."""
    assert FixRequest.from_argument(request_.to_argument()) == request_


def test_the_most_that_can_be_drawn_fits() -> None:
    """A drawing within the bounds is never refused as too large."""
    points = tuple((100_000.25 + number, -99_999.75) for number in range(MAX_POINTS // MAX_STROKES))
    most = tuple(Stroke(kind=StrokeKind.REMOVE, points=points, radius=99_999.25) for _ in range(MAX_STROKES))
    argument = FixRequest(job=10**17, strokes=most, seen="0" * 64).to_argument()
    assert len(argument) < MAX_CHARACTERS
    assert FixRequest.from_argument(argument).strokes == most


@settings(deadline=None, max_examples=150, derandomize=True, database=None)
@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "job": st.just(7) | values,
            "action": st.sampled_from(["draw", "undo"]) | values,
            "strokes": values,
            "suggestion": st.just(0) | values,
            "seen": values,
            "more": values,
        },
    )
    | values
)
def test_whatever_the_journal_contains_is_read_or_refused_with_a_reason(fields: object) -> None:
    """Any program of the same user can write to the journal."""
    request = None
    with suppress(FixRequestError):
        request = FixRequest.from_argument(json.dumps(fields))
    if request is not None:
        assert FixRequest.from_argument(request.to_argument()) == request


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5000, "{}", '{"job": 1, "action": "draw"}'])
def test_an_invalid_request_is_refused(text: str) -> None:
    """With an error of ours and no other exception."""
    with pytest.raises(FixRequestError):
        FixRequest.from_argument(text)
