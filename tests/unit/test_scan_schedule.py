"""When a folder is scanned next, and what is checked: a pure function of values."""

from __future__ import annotations

from typing import Final

import pytest

from cutoutd.folder.scan_schedule import (
    BURST_SHARE,
    MAX_PAUSE_S,
    MIN_PAUSE_S,
    REARM_S,
    SCAN_SHARE,
    Due,
    ScanSchedule,
)
from cutoutd.lease.policy import HEARTBEAT_S

POLL_S: Final = 20.0
RESCAN_S: Final = 600.0
NEW: Final = ScanSchedule(poll_interval_s=POLL_S, rescan_interval_s=RESCAN_S)


def scanned(schedule: ScanSchedule, now_s: float, *, took_s: float = 0.0) -> ScanSchedule:
    """Return the schedule after a scan that nothing delayed."""
    return schedule.scanned(now_s, took_s=took_s, cost_s=took_s)


def with_events(now_s: float = 0.0) -> ScanSchedule:
    """Return the schedule of an open folder with events, just scanned."""
    return scanned(NEW.opened().armed(now_s, has_events=True, is_refused=False), now_s)


def without_events(now_s: float = 0.0) -> ScanSchedule:
    """Return the schedule of an open folder that is polled, just scanned."""
    return scanned(NEW.opened().armed(now_s, has_events=False, is_refused=False), now_s)


def test_a_new_folder_is_checked_at_once_and_scanned_once_it_is_open() -> None:
    """No scan has been made yet."""
    assert NEW.due(0.0, is_asked=False) is Due.CHECK
    assert NEW.opened().is_scan_due(0.0)


@pytest.mark.parametrize(("schedule", "interval_s"), [(with_events(), RESCAN_S), (without_events(), POLL_S)])
def test_an_open_folder_is_checked_and_scanned_when_its_interval_is_over(
    schedule: ScanSchedule, interval_s: float
) -> None:
    """In between only files with events are checked."""
    assert schedule.due(interval_s - 1, is_asked=False) is Due.LOOK
    assert not schedule.is_scan_due(interval_s - 1)
    assert schedule.due(interval_s, is_asked=False) is Due.CHECK
    assert schedule.is_scan_due(interval_s)


def test_a_requested_check_is_made_without_a_scan() -> None:
    """Also for a closed folder, before its time."""
    assert with_events().due(1.0, is_asked=True) is Due.CHECK
    assert not with_events().is_scan_due(1.0)
    assert NEW.closed(0.0, waits_for_owner=False).due(1.0, is_asked=True) is Due.CHECK


def test_a_closed_folder_is_checked_by_its_interval_alone() -> None:
    """Where another machine holds the folder, the interval is short."""
    closed = with_events().closed(100.0, waits_for_owner=False)
    assert closed.due(100.0 + POLL_S - 1, is_asked=False) is Due.NOTHING
    assert closed.due(100.0 + POLL_S, is_asked=False) is Due.CHECK
    assert NEW.closed(0.0, waits_for_owner=True).due(HEARTBEAT_S, is_asked=False) is Due.CHECK


def test_events_ask_for_a_scan_at_once_but_not_again_and_again() -> None:
    """A scan of a large folder costs more than it finds."""
    quick = with_events()
    assert quick.hinted(1.0).is_scan_due(1.0)
    slow = scanned(scanned(with_events(), 0.0, took_s=2.0), 0.0, took_s=2.0)
    hinted = slow.hinted(1.0)
    assert not hinted.is_scan_due(2.0 * BURST_SHARE - 1)
    assert hinted.is_scan_due(2.0 * BURST_SHARE)


def test_a_scan_costs_no_more_than_its_share_of_the_time() -> None:
    """Half a percent of a core."""
    slow = scanned(without_events(), 0.0, took_s=2.0)
    slow = scanned(slow, 0.0, took_s=2.0)
    assert slow.next_scan_s == 2.0 * SCAN_SHARE > POLL_S


def test_a_scan_that_a_share_delayed_once_does_not_delay_the_next() -> None:
    """One delay of a minute would cost three hours; two in a row count."""
    hung = without_events().scanned(0.0, took_s=60.0, cost_s=0.01)
    assert hung.next_scan_s == POLL_S
    assert hung.scanned(0.0, took_s=60.0, cost_s=0.01).next_scan_s == 60.0 * SCAN_SHARE


def test_refused_events_are_armed_again_and_then_a_scan_is_due() -> None:
    """Changes before events were armed gave no events."""
    refused = scanned(NEW.opened().armed(0.0, has_events=False, is_refused=True), 0.0)
    assert not refused.is_rearming_due(REARM_S - 1)
    assert refused.is_rearming_due(REARM_S)
    armed = refused.armed(REARM_S, has_events=True, is_refused=False)
    assert not armed.is_rearming_due(10 * REARM_S)
    assert armed.is_scan_due(REARM_S)


def test_a_folder_whose_events_ended_is_checked_and_scanned_at_once() -> None:
    """Whatever was scheduled."""
    anew = with_events().begun_anew()
    assert not anew.has_events
    assert anew.due(1.0, is_asked=False) is Due.CHECK
    assert anew.opened().is_scan_due(1.0)


def test_nothing_is_done_while_the_journal_takes_nothing() -> None:
    """Not even requested checks; afterwards the schedule continues."""
    rested = with_events().rested(5.0)
    assert rested.due(5.0 + POLL_S - 1, is_asked=True) is Due.NOTHING
    assert rested.pause_s(5.0, [6.0]) == POLL_S
    assert rested.due(5.0 + POLL_S, is_asked=False) is Due.LOOK


def test_the_pause_ends_with_the_first_event() -> None:
    """A scan, arming of events, or a file that settles; never a busy loop, and never over a minute."""
    schedule = without_events()
    assert schedule.pause_s(0.0) == POLL_S
    assert schedule.pause_s(0.0, [None, 3.0]) == 3.0
    assert schedule.pause_s(POLL_S + 5) == MIN_PAUSE_S
    assert with_events().pause_s(0.0) == MAX_PAUSE_S
