"""What needs the owner is told once when it lasts, and once when it is over; a flicker is nothing."""

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
    """An alarm, and what it was told about."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.told: list[tuple[str, str, bool]] = []
        self.messages: list[str] = []
        self.waiting: dict[str, int] = {}
        self.mark = SpoolPaths.under(root).paused
        self.alarm = AlarmWatch(self.tell, count_waiting=lambda: self.waiting, state_dir=root, clock=clock)

    def tell(self, event: Event) -> None:
        """Remember it."""
        assert isinstance(event, AlarmChanged)
        self.told.append((event.folder, event.kind, event.is_over))
        self.messages.append(event.message)

    def stand(self, status: FolderStatus, seconds: float) -> None:
        """Things are so for a while."""
        end_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < end_s:
            self.alarm.check({"shop": status})
            self.clock.advance(0.5)


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock) -> Site:
    """All is well."""
    return Site(tmp_path, clock)


@pytest.mark.parametrize(("status", "kind"), [(AWAY, "standing-by"), (FULL, "paused")])
def test_what_lasts_is_told_once_and_its_end_once(site: Site, status: FolderStatus, kind: str) -> None:
    """However long it takes."""
    site.stand(WELL, 60)
    assert site.told == []
    site.stand(status, 3600)
    assert site.told == [("shop", kind, False)]
    assert status.why in site.messages[0]
    site.stand(WELL, 60)
    assert site.told == [("shop", kind, False), ("shop", kind, True)]
    assert status.why in site.messages[1]


def test_a_flicker_is_not_told(site: Site) -> None:
    """Neither a short absence nor a short return."""
    for _ in range(10):
        site.stand(AWAY, HOLD_S - LOOK_S)
        site.stand(WELL, HOLD_S - LOOK_S)
    assert site.told == []
    site.stand(AWAY, 30)
    for _ in range(10):
        site.stand(WELL, HOLD_S - LOOK_S)
        site.stand(AWAY, HOLD_S - LOOK_S)
    assert site.told == [("shop", "standing-by", False)]


def test_a_folder_that_is_starting_is_nothing_to_be_told(site: Site) -> None:
    """Nor one that was taken out of the configuration, but that it is over."""
    site.stand(FolderStatus(), 60)
    assert site.told == []


def test_a_queue_that_grows_at_each_look_is_told_until_it_is_half(site: Site) -> None:
    """Not one that is merely long, or short, or that comes and goes."""
    site.waiting = {"shop": 10 * LEAST}
    site.stand(WELL, 6 * SAMPLE_S)
    assert site.told == []
    for length in (LEAST, LEAST + 10, LEAST + 20, LEAST + 30, LEAST + 40):
        site.waiting = {"shop": length}
        site.stand(WELL, SAMPLE_S)
    assert site.told == [("shop", "queue", False)]
    assert str(LEAST + 30) in " ".join(site.messages)
    site.waiting = {"shop": LEAST + 30}
    site.stand(WELL, SAMPLE_S)
    assert len(site.told) == 1
    site.waiting = {}
    site.stand(WELL, 2 * SAMPLE_S)
    assert site.told[1:] == [("shop", "queue", True)]


def test_a_short_queue_may_grow(site: Site) -> None:
    """A person sees that for himself."""
    for length in range(LEAST - 10, LEAST - 1):
        site.waiting = {"shop": length}
        site.stand(WELL, SAMPLE_S)
    assert site.told == []


def test_a_hosted_route_that_is_paused_is_told(site: Site) -> None:
    """It concerns no folder alone."""
    site.mark.parent.mkdir(parents=True)
    site.mark.touch()
    site.stand(WELL, 30)
    site.mark.unlink()
    site.stand(WELL, 30)
    assert site.told == [("", "hosted-paused", False), ("", "hosted-paused", True)]
