"""Which requests are answered with 304."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from cutoutd.webserver.web.entity_tags import is_named


@pytest.mark.parametrize(
    ("named", "is_same"),
    [
        (['"a1"'], True),
        (['W/"a1"'], True),  # as nginx makes it when it compresses
        (['"b2", W/"a1"'], True),
        (['"b2"', '"a1"'], True),
        (["*"], True),
        ([' "a1" '], True),
        (['"a11"'], False),
        (["a1"], False),
        (['"b2, a1"'], False),
        ([""], False),
        ([], False),
    ],
)
def test_a_tag_is_found_alone_weak_and_among_others(named: list[str], *, is_same: bool) -> None:
    """Whatever else is in the header."""
    headers = Headers(raw=[(b"if-none-match", one.encode()) for one in named])
    assert is_named(headers, '"a1"') is is_same
