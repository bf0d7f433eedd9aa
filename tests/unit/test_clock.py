"""How times are written, and the machine's clocks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.clock import Clock, rfc3339

END_OF_9999_US = 253_402_300_799_999_999


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
        (1_700_000_000_999_999, "2023-11-14T22:13:20.999999Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
    ],
)
def test_a_time_is_written_as_json_has_it(us: int, text: str) -> None:
    """RFC 3339, UTC, with all microseconds."""
    assert rfc3339(us) == text


@given(us=st.integers(min_value=0, max_value=END_OF_9999_US // 100))
def test_a_written_time_is_read_back_as_it_was(us: int) -> None:
    """By our reader, and by any other that implements RFC 3339."""
    text = rfc3339(us)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    read = (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert read == us


def test_the_wall_clock_gives_microseconds_of_now() -> None:
    """This clock is for records."""
    before = datetime.now(tz=UTC)
    now = datetime.fromtimestamp(Clock().now_us() / 1_000_000, tz=UTC)
    after = datetime.now(tz=UTC)
    assert before - timedelta(milliseconds=1) <= now <= after + timedelta(milliseconds=1)


def test_the_steady_clock_never_goes_back() -> None:
    """This clock is for deadlines."""
    clock = Clock()
    seen = [clock.monotonic_s() for _ in range(100)]
    assert seen == sorted(seen)
