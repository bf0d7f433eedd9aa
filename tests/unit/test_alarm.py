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


class Site:
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
def site(tmp_path: Path, clock: FakeClock) -> Site:
    """An alarm watch without any fault so far."""
    return Site(tmp_path, clock)


@pytest.mark.parametrize(("status", "kind"), [(AWAY, "standing-by"), (FULL, "paused")])
def test_a_lasting_fault_is_reported_once_and_its_end_once(
    site: Site, status: FolderStatus, kind: str
) -> None:
    """However long it takes."""
    site.check_for(WELL, 60)
    assert site.events == []
    site.check_for(status, 3600)
    assert site.events == [("shop", kind, False)]
    assert status.why in site.messages[0]
    site.check_for(WELL, 60)
    assert site.events == [("shop", kind, False), ("shop", kind, True)]
    assert status.why in site.messages[1]


def test_a_short_fault_is_not_reported(site: Site) -> None:
    """Neither a short absence nor a short return."""
    for _ in range(10):
        site.check_for(AWAY, HOLD_S - LOOK_S)
        site.check_for(WELL, HOLD_S - LOOK_S)
    assert site.events == []
    site.check_for(AWAY, 30)
    for _ in range(10):
        site.check_for(WELL, HOLD_S - LOOK_S)
        site.check_for(AWAY, HOLD_S - LOOK_S)
    assert site.events == [("shop", "standing-by", False)]


def test_a_folder_that_is_starting_is_not_reported(site: Site) -> None:
    """A folder taken out of the configuration is reported only as no longer at fault."""
    site.check_for(FolderStatus(), 60)
    assert site.events == []


def test_a_queue_that_grows_at_each_check_is_reported_until_it_is_half(site: Site) -> None:
    """A queue that is merely long, short or varying is not reported."""
    site.waiting = {"shop": 10 * LEAST}
    site.check_for(WELL, 6 * SAMPLE_S)
    assert site.events == []
    for length in (LEAST, LEAST + 10, LEAST + 20, LEAST + 30, LEAST + 40):
        site.waiting = {"shop": length}
        site.check_for(WELL, SAMPLE_S)
    assert site.events == [("shop", "queue", False)]
    assert str(LEAST + 30) in " ".join(site.messages)
    site.waiting = {"shop": LEAST + 30}
    site.check_for(WELL, SAMPLE_S)
    assert len(site.events) == 1
    site.waiting = {}
    site.check_for(WELL, 2 * SAMPLE_S)
    assert site.events[1:] == [("shop", "queue", True)]


def test_a_short_queue_may_grow(site: Site) -> None:
    """A person notices a short queue without an alarm."""
    for length in range(LEAST - 10, LEAST - 1):
        site.waiting = {"shop": length}
        site.check_for(WELL, SAMPLE_S)
    assert site.events == []


def test_a_hosted_route_that_is_paused_is_reported(site: Site) -> None:
    """The alarm names no single folder."""
    site.mark.parent.mkdir(parents=True)
    site.mark.touch()
    site.check_for(WELL, 30)
    site.mark.unlink()
    site.check_for(WELL, 30)
    assert site.events == [("", "hosted-paused", False), ("", "hosted-paused", True)]
