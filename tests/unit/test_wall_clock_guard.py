"""WallClockGuard on a machine whose wall clock may jump: a jump makes nothing old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import DISTRUST_S, WallClockGuard

if TYPE_CHECKING:
    from tests.conftest import FakeClock

DAY_S = 86_400


def test_an_age_is_the_time_that_has_passed(clock: FakeClock) -> None:
    """While the clock runs regularly, small corrections included."""
    guard = WallClockGuard(clock)
    then_us = clock.now_us()
    for _ in range(100):
        clock.advance(1.0)
        clock.wall_us += 1000
        assert guard.check() == 0.0
    assert guard.since_s(then_us) == pytest.approx(100.1)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, 3600, -5])
def test_nothing_grows_old_by_a_jump(clock: FakeClock, jump_s: int) -> None:
    """Forward or back, detected or not; later ages count again."""
    guard = WallClockGuard(clock)
    then_us = clock.now_us()
    clock.advance(1.0)
    clock.wall_us += jump_s * 1_000_000
    assert guard.since_s(then_us) == 0.0
    assert guard.check() == pytest.approx(jump_s)
    assert guard.check() == 0.0
    assert guard.since_s(then_us) == 0.0
    after_us = clock.now_us()
    clock.advance(DISTRUST_S + 1)
    assert guard.since_s(after_us) == pytest.approx(DISTRUST_S + 1)
