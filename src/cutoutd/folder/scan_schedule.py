"""When a folder is looked at next, and at what of it: a value, which each event in the folder's life replaces by another.

Events are hints to look sooner; the scan is the truth. It must not look at the folder or a clock: times are passed in, all
of them seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd.lease.policy import HEARTBEAT_S

if TYPE_CHECKING:
    from collections.abc import Iterable

SCAN_SHARE: Final = 200
"""A scan is repeated no sooner than after so many times its own duration: half a percent of a core."""

BURST_SHARE: Final = 10
"""And one that events ask for no sooner than after so many times."""

REARM_S: Final = 300.0
"""Events that the system refused are asked for again after this: somebody may have raised its limits."""

MIN_PAUSE_S: Final = 0.02
MAX_PAUSE_S: Final = 60.0


class Due(Enum):
    """What is to be done about a folder now."""

    NOTHING = auto()  # it is closed, or rests; whatever woke us, it is not time to look again
    CHECK = auto()  # see whether it may be worked on, and then what there is
    LOOK = auto()  # it is open: see what events have told of


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanSchedule:
    """When one folder is looked at.

    Attributes:
        poll_interval_s: between two scans of a folder without events, and between two looks at one that is closed.
        rescan_interval_s: between two scans of one with events.
        is_open: it was found well, and is looked at.
        has_events: changes are told.
        next_scan_s: when the next scan is due; while the folder is closed, when it is looked at again.
        earliest_scan_s: no event has it scanned before.
        rests_until_s: nothing is done before, since the journal takes nothing.
        rearm_s: when events that the system refused are asked for again; None: not at all.
        last_took_s: how long the last scan took, by the clock; None: there was none.
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
        """What is to be done now.

        Args:
            now_s: the time.
            is_asked: somebody asked for a check.
        """
        is_early = not self.is_open and now_s < self.next_scan_s and not is_asked
        if is_early or now_s < self.rests_until_s:
            return Due.NOTHING
        return Due.CHECK if not self.is_open or is_asked or self.is_scan_due(now_s) else Due.LOOK

    def is_scan_due(self, now_s: float) -> bool:
        """Whether all of it is to be looked at."""
        return now_s >= self.next_scan_s

    def is_rearming_due(self, now_s: float) -> bool:
        """Whether events that the system refused are to be asked for again."""
        return self.rearm_s is not None and now_s >= self.rearm_s

    def pause_s(self, now_s: float, others_s: Iterable[float | None] = ()) -> float:
        """How long nothing is to be done.

        Args:
            now_s: the time.
            others_s: when something else is due, such as a file whose quiet time ends; None: it is not.
        """
        ends_s = [end_s for end_s in (self.next_scan_s, self.rearm_s, *others_s) if end_s is not None]
        return min(max(MIN_PAUSE_S, max(min(ends_s), self.rests_until_s) - now_s), MAX_PAUSE_S)

    def begun_anew(self) -> ScanSchedule:
        """It is to be checked, opened and scanned at once, as its events ended or its thread died."""
        return replace(self, is_open=False, has_events=False, next_scan_s=0.0, rearm_s=None)

    def opened(self) -> ScanSchedule:
        """It was found well; a scan follows."""
        return replace(self, is_open=True, next_scan_s=0.0, earliest_scan_s=0.0)

    def closed(self, now_s: float, *, waits_for_owner: bool) -> ScanSchedule:
        """It may not be worked on.

        Args:
            now_s: the time.
            waits_for_owner: another machine works on it, so that it is looked at often enough to notice its end.
        """
        interval_s = min(self.poll_interval_s, HEARTBEAT_S) if waits_for_owner else self.poll_interval_s
        next_s = now_s + interval_s
        closed = replace(self, is_open=False, has_events=False, rearm_s=None)
        return replace(closed, next_scan_s=next_s, earliest_scan_s=next_s)

    def armed(self, now_s: float, *, has_events: bool, is_refused: bool) -> ScanSchedule:
        """Its events were asked for.

        Args:
            now_s: the time; what came before gives no events, so that a scan is due.
            has_events: they come.
            is_refused: the system has refused them for now.
        """
        return replace(
            self,
            has_events=has_events,
            next_scan_s=min(self.next_scan_s, now_s) if has_events else self.next_scan_s,
            rearm_s=now_s + REARM_S if is_refused else None,
        )

    def hinted(self, now_s: float) -> ScanSchedule:
        """Events ask for a scan."""
        return replace(self, next_scan_s=min(self.next_scan_s, max(now_s, self.earliest_scan_s)))

    def scanned(self, now_s: float, *, took_s: float, cost_s: float) -> ScanSchedule:
        """A scan is over.

        Args:
            now_s: the time.
            took_s: by the clock.
            cost_s: of processor time.
        """
        # One that a share held up says nothing of the next: a hang of a second would cost minutes.
        typical_s = min(took_s, cost_s if self.last_took_s is None else self.last_took_s)
        interval_s = self.rescan_interval_s if self.has_events else self.poll_interval_s
        return replace(
            self,
            next_scan_s=now_s + max(interval_s, SCAN_SHARE * typical_s),
            earliest_scan_s=now_s + BURST_SHARE * typical_s,
            last_took_s=took_s,
        )

    def rested(self, now_s: float) -> ScanSchedule:
        """The journal takes nothing: what was seen is kept, and nothing is done for a while."""
        return replace(self, rests_until_s=now_s + self.poll_interval_s)
