"""A plan is stored in the journal and read back, whatever bytes its names have."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.jobs import Published
from cutoutd.publish.plan import Move, Plan

T = TypeVar("T")

_PATH = st.binary(min_size=1, max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
_HASH = st.binary(min_size=32, max_size=32).map(bytes.hex)
_MOVE = st.builds(
    Move,
    staged=_PATH,
    target=_PATH,
    root=_PATH,
    bytes=st.integers(min_value=0),
    sha256=_HASH,
    replaces_sha256=st.none() | _HASH,
)
_PUBLISHED = st.builds(
    Published, rendition=st.integers(-1, 5), path=_PATH, sha256=_HASH, review=st.booleans()
)


def _tuples(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    """Return a strategy for short tuples."""
    return st.lists(strategy, max_size=3).map(tuple)


@given(
    plan=st.builds(
        Plan,
        moves=_tuples(_MOVE),
        unused=_tuples(_PATH),
        published=_tuples(_PUBLISHED),
        claims=_tuples(st.binary(max_size=20)),
        warnings=_tuples(st.text()),
    )
)
def test_a_plan_comes_back_from_its_json_as_it_was(plan: Plan) -> None:
    """The JSON is plain ASCII, so that no database refuses half a character."""
    text = plan.to_json()
    assert text.isascii()
    assert Plan.from_json(text) == plan


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"moves": [{"target": "x"}]}', '{"moves": 3}'])
def test_an_invalid_plan_is_refused(text: str) -> None:
    """A damaged row must not count as a plan without moves."""
    with pytest.raises(ValueError, match=r"not a plan|Expecting value"):
        Plan.from_json(text)


def test_a_plan_names_all_staged_files() -> None:
    """A sweep keeps these files."""
    move = Move(staged="/s/1.json", target="/o/a", root="/o", bytes=1, sha256="00", replaces_sha256=None)
    plan = Plan(moves=(move,), unused=("/s/1-1.png",), published=(), claims=(), warnings=())
    assert plan.staged == ("/s/1.json", "/s/1-1.png")
