"""The circuit breaker: when something that fails may be tried again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import OutputError
from cutoutd.faults.circuit_breaker import FIRST_S, LONGEST_S, CircuitBreaker
from cutoutd.folder_trouble import FolderTrouble

if TYPE_CHECKING:
    from tests.conftest import FakeClock


def is_open(breaker: CircuitBreaker) -> bool:
    """Return whether the breaker is open.

    A call, since a type checker assumes that a property is constant.
    """
    return breaker.is_open


def test_a_breaker_is_closed_until_something_fails(clock: FakeClock) -> None:
    """A trial in progress blocks nothing."""
    breaker = CircuitBreaker(clock)
    breaker.begin_trial()
    assert (breaker.is_open, breaker.why) == (False, "")


def test_pauses_grow_with_each_failure_and_are_bounded(clock: FakeClock) -> None:
    """After each pause one trial is allowed."""
    breaker = CircuitBreaker(clock)
    pauses = []
    for _ in range(8):
        breaker.record_failure("the disk is full")
        assert is_open(breaker)
        pauses.append(breaker.wait_s)
        clock.advance(breaker.wait_s)
        assert not is_open(breaker)
    assert pauses[:3] == pytest.approx([FIRST_S, 2 * FIRST_S, 4 * FIRST_S])
    assert max(pauses) == pytest.approx(LONGEST_S)


def test_the_last_failure_is_kept_until_there_is_a_success(clock: FakeClock) -> None:
    """With its reason, and the code of what it means for a folder."""
    breaker = CircuitBreaker(clock)
    breaker.record_error(
        OutputError("the disk is full", path=Path("/out/a.png"), trouble=FolderTrouble.DISK_FULL)
    )
    failure = breaker.last_failure
    assert failure is not None
    assert (failure.cause, failure.trouble) == ("the disk is full", FolderTrouble.DISK_FULL)
    assert failure.why == breaker.why
    assert failure.why.startswith("/out/a.png: the disk is full.")
    assert breaker.record_success()
    assert (breaker.last_failure, breaker.why) == (None, "")


def test_one_trial_blocks_further_trials(clock: FakeClock) -> None:
    """Until the trial ends or times out."""
    breaker = CircuitBreaker(clock, trial_s=30.0)
    breaker.record_failure("the disk is full")
    clock.advance(FIRST_S)
    breaker.begin_trial()
    assert is_open(breaker)
    breaker.end_trial()
    assert not is_open(breaker)
    breaker.begin_trial()
    clock.advance(30.0)
    assert not is_open(breaker)


def test_a_cancelled_trial_ends_the_pause_as_well(clock: FakeClock) -> None:
    """The next trial may begin at once; a trial that ended without a result leaves the pause."""
    breaker = CircuitBreaker(clock)
    breaker.record_failure("the disk is full")
    breaker.end_trial()
    assert is_open(breaker)
    breaker.cancel_trial()
    assert not is_open(breaker)
    assert breaker.why == "the disk is full"


def test_a_requested_pause_is_never_shortened(clock: FakeClock) -> None:
    """A later request for a shorter pause does not shorten it."""
    breaker = CircuitBreaker(clock)
    breaker.record_failure("it says 429", pause_s=60.0)
    breaker.record_failure("it says 503", pause_s=1.0)
    assert breaker.wait_s == pytest.approx(60.0)


def test_an_outage_is_reported_once_for_each_cause_and_once_at_the_end(clock: FakeClock) -> None:
    """Whatever the file; a success without an earlier failure is not reported."""
    messages: list[str] = []
    breaker = CircuitBreaker(clock, on_failure=messages.append, on_close=lambda: messages.append("closed"))
    assert not breaker.record_success()
    for number in range(3):
        breaker.record_failure(f"{number}.png: no space", "no space")
    breaker.record_failure("4.png: read-only", "read-only")
    assert breaker.has_opened()
    assert not breaker.has_opened()
    assert breaker.record_success()
    assert messages == ["0.png: no space", "4.png: read-only", "closed"]
    assert breaker.why == ""
