"""Time, as a value that is passed in: wall time for records, monotonic time for deadlines.

A wall clock may jump; code that must not be affected uses ``monotonic_s``. A process may be stopped, by SIGSTOP, a frozen
container or a closed lid, and that time must not count against what it waits for, so deadlines use a `RunningClock` or a
`Countdown`.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_S: Final = 1.0
"""Seconds between two looks at a running clock; one wake-up per second is negligible in an idle daemon."""

STOPPED_S: Final = 2.5
"""If a thread was not run for longer, its process was stopped; no deadline is so short that less would matter."""

JUMP_S: Final = 2.0
"""A smaller change is a clock being adjusted in small steps, or a process that was delayed between two looks."""

DISTRUST_S: Final = 600.0
"""How long ages count as unknown after a jump; longer than any age that decides something."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_EARLIEST_S: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _SECOND
_LATEST_S: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _SECOND
_FRACTION: Final = re.compile("[0-9]{0,9}")


class Clock:
    """The machine's clocks; tests pass one of their own."""

    def now_us(self) -> int:
        """UTC microseconds since 1970, for records."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds that never jump, for deadlines and quiet periods."""
        return time.monotonic()

    def elapsed_s(self) -> float:
        """As ``monotonic_s``, but time in which this process was stopped counts."""
        return self.monotonic_s()

    def ticking(self) -> AbstractContextManager[object]:
        """Detect stops of this process while the context is open; a plain clock detects none."""
        return nullcontext()

    def lived_s(self) -> float:
        """As ``monotonic_s``, but the machine's own sleep counts, since other machines may have waited during it."""
        # Where CLOCK_BOOTTIME is missing, the monotonic clock counts sleep as well.
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class RunningClock(Clock):
    """Clocks of a process that may be stopped: ``monotonic_s`` leaves out the time in which it did not run.

    A thread looks at the clock every second while it is ``ticking``. The first look after a stop sees the gap, so no deadline is
    ever compared with a time that includes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticking = 0
        self._seen_s = time.monotonic()
        self._stopped_s = 0.0

    def monotonic_s(self) -> float:
        """Seconds in which this process ran, for deadlines and quiet periods."""
        with self._lock:
            now_s = time.monotonic()
            gap_s = now_s - self._seen_s
            if self._ticking and gap_s > STOPPED_S:
                self._stopped_s += gap_s - TICK_S
            self._seen_s = now_s
            return now_s - self._stopped_s

    def elapsed_s(self) -> float:
        """As ``monotonic_s``, and time in which this process was stopped counts."""
        return time.monotonic()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Detect stops of this process while the context is open."""
        ended = threading.Event()
        self.monotonic_s()
        with self._lock:
            self._ticking += 1
        thread = threading.Thread(target=self._tick, args=(ended,), name="clock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            with self._lock:
                self._ticking -= 1

    def _tick(self, ended: threading.Event) -> None:
        while not ended.wait(TICK_S):
            self.monotonic_s()


class Countdown:
    """The rest of a time limit, for a loop that checks it often; a stop of the process costs at most one step.

    Args:
        limit_s: the time limit in seconds.
        step_s: the longest time that the loop waits between two checks.
    """

    def __init__(self, limit_s: float, *, step_s: float) -> None:
        self._left_s = limit_s
        self._most_s = step_s + TICK_S
        self._seen_s = time.monotonic()

    def left_s(self) -> float:
        """Return the seconds that are left; 0 or less: the time is over."""
        now_s = time.monotonic()
        self._left_s -= min(now_s - self._seen_s, self._most_s)
        self._seen_s = now_s
        return self._left_s


class WallClockGuard:
    """Measures how long ago something was written, although the wall clock that dates it may jump.

    An age that spans a jump is unknown and counts as 0, so that nothing is given up too early.

    Args:
        clock: clock whose wall time and monotonic time `check` compares.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s = self._offset()
        self._distrusted_until_s = 0.0

    def check(self) -> float:
        """Detect a jump since the last call; returns its seconds, 0 if there was none."""
        offset_s = self._offset()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(jump_s) < JUMP_S:
            return 0.0
        self._distrusted_until_s = self._clock.monotonic_s() + DISTRUST_S
        return jump_s

    def since_s(self, then_us: int) -> float:
        """Return the seconds since a time in the journal; 0 if they are unknown."""
        jumps_now = abs(self._offset() - self._offset_s) >= JUMP_S
        if jumps_now or self._clock.monotonic_s() < self._distrusted_until_s:
            return 0.0
        return max(0.0, (self._clock.now_us() - then_us) / 1e6)

    def _offset(self) -> float:
        return self._clock.now_us() / 1e6 - self._clock.elapsed_s()


def moment(us: int) -> datetime:
    """Return UTC microseconds as a date; times outside the years 1 to 9999 are clamped."""
    seconds, rest_us = divmod(us, 1_000_000)
    return _whole_second(seconds) + timedelta(microseconds=rest_us)


def local(us: int) -> datetime:
    """As `moment`, in this machine's time zone; in UTC if the zone has no such date."""
    when = moment(us)
    try:
        return when.astimezone()
    except (OverflowError, ValueError, OSError):
        return when


def rfc3339(us: int) -> str:
    """Return UTC microseconds since 1970 as RFC 3339 text with ``Z``, as in all our JSON."""
    return rfc3339_ns(us * 1000, digits=6)


def utc_day(written: str) -> str:
    """Return the day (UTC) of a time that `rfc3339` wrote, such as "2026-01-31"."""
    return written[:10]


def rfc3339_ns(ns: int, *, digits: int = 9) -> str:
    """Return UTC nanoseconds since 1970 as RFC 3339 text with ``Z``; times outside the years 1 to 9999 are clamped."""
    seconds, rest_ns = divmod(ns, 1_000_000_000)
    whole = _whole_second(seconds).replace(tzinfo=None).isoformat()
    return f"{whole}.{rest_ns // 10 ** (9 - digits):0{digits}d}Z"


def nanoseconds(text: str) -> int:
    """Parse a time of ``rfc3339_ns``: datetime itself has no more than microseconds.

    Raises:
        ValueError: the text is not such a time.
    """
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    if not _FRACTION.fullmatch(fraction):
        raise ValueError(f"not a fraction of a second: {fraction[:20]!r}")
    whole = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return (whole - _EPOCH) // _SECOND * 1_000_000_000 + int(fraction.ljust(9, "0"))


def _whole_second(seconds: int) -> datetime:
    return _EPOCH + min(max(seconds, _EARLIEST_S), _LATEST_S) * _SECOND
