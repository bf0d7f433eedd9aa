"""A price above the expected one exceeds the limit by one picture, whatever the concurrency."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cutoutd.hosted.queue import Admission, Budget
from cutoutd.settings.loader import assemble


def budget(limit: float, prices: dict[float, float] | None = None) -> Budget:
    """Return a budget with a daily limit for one folder."""
    folder = {"name": "a", "input": "/in", "output": "/out", "route": "hosted"}
    document = {"hosted": {"enabled": True, "max_credits_per_day": limit}, "folder": [folder]}
    settings = assemble(document, {}, origin="", base=None)
    return Budget(settings, prices or {})


def test_before_a_price_is_known_one_picture_finds_it_out() -> None:
    """The others have their credits reserved, and wait."""
    created = budget(10)
    for _ in range(3):
        assert not created.reserve("a", 0.25)
    assert created.begin("a", 0.25) is Admission.NOW
    assert created.begin("a", 0.25) is Admission.LATER
    created.ended(0.25, 0.25)
    created.release("a", 0.25, 0.25)
    assert [created.begin("a", 0.25) for _ in range(2)] == [Admission.NOW, Admission.NOW]


def test_a_recently_known_price_is_used() -> None:
    """The ledger has it: no upload waits."""
    created = budget(10, {0.25: 0.25})
    for _ in range(3):
        assert not created.reserve("a", 0.25)
        assert created.begin("a", 0.25) is Admission.NOW


def test_reserved_credits_count_at_the_highest_known_price() -> None:
    """Four concurrent uploads expected at 0.25 and charged 1.0: one is paid, and the limit is reached."""
    created = budget(1.0)
    for _ in range(4):
        assert not created.reserve("a", 0.25)
    assert created.begin("a", 0.25) is Admission.NOW
    created.ended(0.25, 1.0)
    created.release("a", 0.25, 1.0)
    for _ in range(3):
        assert created.begin("a", 0.25) is Admission.NOT
        created.release("a", 0.25, 0.0)
    assert "this takes 1" in created.reserve("a", 0.25)


def test_after_a_surprise_one_at_a_time_is_sent_until_the_expectation_is_right() -> None:
    """Once a price matches the expected one, concurrency is restored."""
    created = budget(100, {1.0: 1.0})
    for _ in range(4):
        assert not created.reserve("a", 1.0)
    assert created.begin("a", 1.0) is Admission.NOW
    created.ended(1.0, 2.0)
    assert created.begin("a", 1.0) is Admission.NOW
    assert created.begin("a", 1.0) is Admission.LATER
    created.ended(1.0, 2.0)
    assert [created.begin("a", 1.0) for _ in range(2)] == [Admission.NOW, Admission.NOW]


def test_an_upload_without_a_result_says_nothing_about_prices() -> None:
    """A free refusal makes the next upload neither cheap nor certain."""
    created = budget(10)
    for _ in range(2):
        assert not created.reserve("a", 1.0)
    assert created.begin("a", 1.0) is Admission.NOW
    created.ended(1.0, None)
    assert created.begin("a", 1.0) is Admission.NOW
    assert created.begin("a", 1.0) is Admission.LATER


@given(
    limit=st.floats(0.25, 50),
    price=st.floats(0.0, 20),
    at_once=st.integers(1, 16),
)
def test_a_constant_surprise_costs_one_picture_more_than_the_limit_at_most(
    limit: float, price: float, at_once: int
) -> None:
    """Whatever is charged instead of 0.25, and however many uploads are concurrent."""
    created = budget(limit)
    spent, ready = 0.0, 0
    for _ in range(100):
        while ready < at_once and not created.reserve("a", 0.25):
            ready += 1
        started = [created.begin("a", 0.25) for _ in range(ready)]
        for start in started:
            if start is Admission.NOT:
                created.release("a", 0.25, 0.0)
            elif start is Admission.NOW:
                created.ended(0.25, price)
                created.release("a", 0.25, price)
                spent += price
        ready = started.count(Admission.LATER)
    assert spent <= max(limit, price) + 1e-6
