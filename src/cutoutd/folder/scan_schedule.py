"""When a folder is looked at next, and whether it is scanned: a value that each event in the folder's life replaces.

Events are hints to look sooner; only a scan is reliable. This module must not look at the folder or a clock: times are passed
in, all of them in seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd.lease.policy import HEARTBEAT_S

if TYPE_CHECKING:
    from collections.abc import Iterable

SCAN_SHARE: Final = 200
"""The least pause between two scans, as a multiple of a scan's duration: a load of half a percent of a core."""

BURST_SHARE: Final = 10
"""The least pause before a scan that events request, likewise."""

REARM_S: Final = 300.0
"""The pause before events that the system refused are requested again: its limits may have been raised."""

MIN_PAUSE_S: Final = 0.02
MAX_PAUSE_S: Final = 60.0


class Due(Enum):
    """What is due for a folder."""

    NOTHING = auto()  # it is closed, or the journal refuses writes
    CHECK = auto()  # check its health, then look at what is there
    LOOK = auto()  # it is open: look at the files for which events arrived


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanSchedule:
    """The times at which one folder is looked at.

    Attributes:
        poll_interval_s: pause between two scans of a folder without events, and between two checks of a closed one.
        rescan_interval_s: pause between two scans of a folder with events.
        is_open: whether it was found healthy.
        has_events: whether events arrive for it.
        next_scan_s: when the next scan is due; for a closed folder, the next check.
        earliest_scan_s: the earliest time of a scan that events request.
        rests_until_s: nothing is done before this time, since the journal refuses writes.
        rearm_s: when events that the system refused are requested again; None: they were not refused.
        last_took_s: duration of the last scan by the wall clock; None: there was none.
    """

    poll_interval_s: float
    rescan_interval_s: float
    is_open: bool = False
    has_events: bool = False
    next_scan_s: float = 0.0
    earliest_scan_s: float = 0.0
    rests_until_s: float = 0.0
    rearm_s: float | None = None
    last_took_s: float | None = None

    def due(self, now_s: float, *, is_asked: bool) -> Due:
        """Return what is due.

        Args:
            now_s: the time now.
            is_asked: whether a health check was requested.
        """
        is_early = not self.is_open and now_s < self.next_scan_s and not is_asked
        if is_early or now_s < self.rests_until_s:
            return Due.NOTHING
        return Due.CHECK if not self.is_open or is_asked or self.is_scan_due(now_s) else Due.LOOK

    def is_scan_due(self, now_s: float) -> bool:
        """Whether a full scan is due."""
        return now_s >= self.next_scan_s

    def is_rearming_due(self, now_s: float) -> bool:
        """Whether events that the system refused are to be requested again."""
        return self.rearm_s is not None and now_s >= self.rearm_s

    def pause_s(self, now_s: float, others_s: Iterable[float | None] = ()) -> float:
        """Return how long nothing is due, in seconds.

        Args:
            now_s: the time now.
            others_s: when something else is due, such as a file whose quiet time ends; None: nothing.
        """
        ends_s = [end_s for end_s in (self.next_scan_s, self.rearm_s, *others_s) if end_s is not None]
        return min(max(MIN_PAUSE_S, max(min(ends_s), self.rests_until_s) - now_s), MAX_PAUSE_S)

    def begun_anew(self) -> ScanSchedule:
        """Return the schedule of a folder that is to be checked, opened and scanned at once: its events ended or its thread died."""
        return replace(self, is_open=False, has_events=False, next_scan_s=0.0, rearm_s=None)

    def opened(self) -> ScanSchedule:
        """Return the schedule of a folder that was found healthy; a scan follows."""
        return replace(self, is_open=True, next_scan_s=0.0, earliest_scan_s=0.0)

    def closed(self, now_s: float, *, waits_for_owner: bool) -> ScanSchedule:
        """Return the schedule of a folder that may not be worked on.

        Args:
            now_s: the time now.
            waits_for_owner: whether another machine works on it, so that it is checked often enough to notice the end of that.
        """
        interval_s = min(self.poll_interval_s, HEARTBEAT_S) if waits_for_owner else self.poll_interval_s
        next_s = now_s + interval_s
        closed = replace(self, is_open=False, has_events=False, rearm_s=None)
        return replace(closed, next_scan_s=next_s, earliest_scan_s=next_s)

    def armed(self, now_s: float, *, has_events: bool, is_refused: bool) -> ScanSchedule:
        """Return the schedule after its events were requested.

        Args:
            now_s: the time now; earlier changes cause no events, so a scan is due.
            has_events: whether events arrive.
            is_refused: whether the system refused them for now.
        """
        return replace(
            self,
            has_events=has_events,
            next_scan_s=min(self.next_scan_s, now_s) if has_events else self.next_scan_s,
            rearm_s=now_s + REARM_S if is_refused else None,
        )

    def hinted(self, now_s: float) -> ScanSchedule:
        """Return the schedule after events requested a scan."""
        return replace(self, next_scan_s=min(self.next_scan_s, max(now_s, self.earliest_scan_s)))

    def scanned(self, now_s: float, *, took_s: float, cost_s: float) -> ScanSchedule:
        """Return the schedule after a scan.

        Args:
            now_s: the time now.
            took_s: duration of the scan by the wall clock, in seconds.
            cost_s: its processor time, in seconds.
        """
        # A scan that a share delayed says nothing of the next: a hang of a second would cost minutes.
        typical_s = min(took_s, cost_s if self.last_took_s is None else self.last_took_s)
        interval_s = self.rescan_interval_s if self.has_events else self.poll_interval_s
        return replace(
            self,
            next_scan_s=now_s + max(interval_s, SCAN_SHARE * typical_s),
            earliest_scan_s=now_s + BURST_SHARE * typical_s,
            last_took_s=took_s,
        )

    def rested(self, now_s: float) -> ScanSchedule:
        """Return the schedule after the journal refused a write: what was seen is kept, and nothing is done for a while."""
        return replace(self, rests_until_s=now_s + self.poll_interval_s)
