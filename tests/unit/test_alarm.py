"""A lasting fault is reported once when it lasts and once when it ends; a short one is not reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.daemon.alarm import HOLD_S, LEAST, LOOK_S, SAMPLE_S, AlarmWatch
from cutoutd.events import AlarmChanged, Event
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.folder.status import FolderState, FolderStatus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

WELL = FolderStatus(watching=FolderState.NATIVE)
AWAY = FolderStatus(watching=FolderState.STANDING_BY, why="the share is away")
FULL = FolderStatus(watching=FolderState.PAUSED, why="less than 512 MiB are free")


class AlarmSetup:
    """An alarm watch, and the events that it has sent."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.events: list[tuple[str, str, bool]] = []
        self.messages: list[str] = []
        self.waiting: dict[str, int] = {}
        self.mark = SpoolPaths.under(root).paused
        self.alarm = AlarmWatch(self.record, count_waiting=lambda: self.waiting, state_dir=root, clock=clock)

    def record(self, event: Event) -> None:
        """Record an event."""
        assert isinstance(event, AlarmChanged)
        self.events.append((event.folder, event.kind, event.is_over))
        self.messages.append(event.message)

    def check_for(self, status: FolderStatus, seconds: float) -> None:
        """Check a folder with this status every half second, for this many seconds."""
        end_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < end_s:
            self.alarm.check({"shop": status})
            self.clock.advance(0.5)


@pytest.fixture
def alarm_setup(tmp_path: Path, clock: FakeClock) -> AlarmSetup:
    """An alarm watch without any fault so far."""
    return AlarmSetup(tmp_path, clock)


@pytest.mark.parametrize(("status", "kind"), [(AWAY, "standing-by"), (FULL, "paused")])
def test_a_lasting_fault_is_reported_once_and_its_end_once(
    alarm_setup: AlarmSetup, status: FolderStatus, kind: str
) -> None:
    """However long it takes."""
    alarm_setup.check_for(WELL, 60)
    assert alarm_setup.events == []
    alarm_setup.check_for(status, 3600)
    assert alarm_setup.events == [("shop", kind, False)]
    assert status.why in alarm_setup.messages[0]
    alarm_setup.check_for(WELL, 60)
    assert alarm_setup.events == [("shop", kind, False), ("shop", kind, True)]
    assert status.why in alarm_setup.messages[1]


def test_a_short_fault_is_not_reported(alarm_setup: AlarmSetup) -> None:
    """Neither a short absence nor a short return."""
    for _ in range(10):
        alarm_setup.check_for(AWAY, HOLD_S - LOOK_S)
        alarm_setup.check_for(WELL, HOLD_S - LOOK_S)
    assert alarm_setup.events == []
    alarm_setup.check_for(AWAY, 30)
    for _ in range(10):
        alarm_setup.check_for(WELL, HOLD_S - LOOK_S)
        alarm_setup.check_for(AWAY, HOLD_S - LOOK_S)
    assert alarm_setup.events == [("shop", "standing-by", False)]


def test_a_folder_that_is_starting_is_not_reported(alarm_setup: AlarmSetup) -> None:
    """A folder taken out of the configuration is reported only as no longer at fault."""
    alarm_setup.check_for(FolderStatus(), 60)
    assert alarm_setup.events == []


def test_a_queue_that_grows_at_each_check_is_reported_until_it_is_half(alarm_setup: AlarmSetup) -> None:
    """A queue that is merely long, short or varying is not reported."""
    alarm_setup.waiting = {"shop": 10 * LEAST}
    alarm_setup.check_for(WELL, 6 * SAMPLE_S)
    assert alarm_setup.events == []
    for length in (LEAST, LEAST + 10, LEAST + 20, LEAST + 30, LEAST + 40):
        alarm_setup.waiting = {"shop": length}
        alarm_setup.check_for(WELL, SAMPLE_S)
    assert alarm_setup.events == [("shop", "queue", False)]
    assert str(LEAST + 30) in " ".join(alarm_setup.messages)
    alarm_setup.waiting = {"shop": LEAST + 30}
    alarm_setup.check_for(WELL, SAMPLE_S)
    assert len(alarm_setup.events) == 1
    alarm_setup.waiting = {}
    alarm_setup.check_for(WELL, 2 * SAMPLE_S)
    assert alarm_setup.events[1:] == [("shop", "queue", True)]


def test_a_short_queue_may_grow(alarm_setup: AlarmSetup) -> None:
    """A person notices a short queue without an alarm."""
    for length in range(LEAST - 10, LEAST - 1):
        alarm_setup.waiting = {"shop": length}
        alarm_setup.check_for(WELL, SAMPLE_S)
    assert alarm_setup.events == []


def test_a_hosted_route_that_is_paused_is_reported(alarm_setup: AlarmSetup) -> None:
    """The alarm names no single folder."""
    alarm_setup.mark.parent.mkdir(parents=True)
    alarm_setup.mark.touch()
    alarm_setup.check_for(WELL, 30)
    alarm_setup.mark.unlink()
    alarm_setup.check_for(WELL, 30)
    assert alarm_setup.events == [("", "hosted-paused", False), ("", "hosted-paused", True)]
