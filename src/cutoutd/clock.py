"""Time, as a value that is passed in: wall time for records, monotonic time for deadlines.

A wall clock may jump; whatever must not notice takes ``monotonic_s``. A process may be stopped, by SIGSTOP, a frozen
container or a closed lid; whoever is waited for meanwhile must not be blamed for that, so deadlines take a `RunningClock`
or a `Countdown`.
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
"""Between two looks at a running clock: a wake-up a second is not to be seen in any figure of an idle daemon."""

STOPPED_S: Final = 2.5
"""A thread that was not run for longer was stopped with its process; no deadline is short enough to miss less."""

JUMP_S: Final = 2.0
"""Less is a clock being corrected in small steps, or a process that was held up between two looks at it."""

DISTRUST_S: Final = 600.0
"""So long after a jump ages are not believed: longer than any that decides something."""

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
        """As ``monotonic_s``, and time in which this process was stopped counts."""
        return self.monotonic_s()

    def ticking(self) -> AbstractContextManager[object]:
        """Notice stops of this process while this is open; a plain clock knows none."""
        return nullcontext()

    def lived_s(self) -> float:
        """As ``monotonic_s``, but a machine's own sleep counts: what others may have waited through meanwhile."""
        boottime = getattr(
            time, "CLOCK_BOOTTIME", None
        )  # where it is missing, the other counts sleep as well
        return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class RunningClock(Clock):
    """Clocks of a process that may be stopped: ``monotonic_s`` leaves out the time in which it did not run.

    A thread looks at the clock every second while it is ``ticking``. Whoever looks first after a stop sees the gap, so no
    deadline is ever compared with a time that has it.
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
        """Notice stops of this process while this is open."""
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
    """What is left of a time limit, for a loop that looks at it often; a stop of the process costs one step of it.

    Args:
        limit_s: seconds.
        step_s: the longest that the loop ever waits between two looks.
    """

    def __init__(self, limit_s: float, *, step_s: float) -> None:
        self._left_s = limit_s
        self._most_s = step_s + TICK_S
        self._seen_s = time.monotonic()

    def left_s(self) -> float:
        """Seconds; 0 or less: it is over."""
        now_s = time.monotonic()
        self._left_s -= min(now_s - self._seen_s, self._most_s)
        self._seen_s = now_s
        return self._left_s


class WallClockGuard:
    """Tells how long ago something was written down, although the wall clock that dates it may jump.

    An age that spans a jump is not known; it counts as none, so that nothing is given up too early.

    Args:
        clock: both its wall time and its monotonic time; `look` compares them now and then.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s = self._offset()
        self._distrusted_until_s = 0.0

    def look(self) -> float:
        """Notice a jump since the last look; returns its seconds, 0 if there was none."""
        offset_s = self._offset()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(jump_s) < JUMP_S:
            return 0.0
        self._distrusted_until_s = self._clock.monotonic_s() + DISTRUST_S
        return jump_s

    def since_s(self, then_us: int) -> float:
        """Seconds since a time of the journal's; 0 where that cannot be known."""
        jumps_now = abs(self._offset() - self._offset_s) >= JUMP_S
        if jumps_now or self._clock.monotonic_s() < self._distrusted_until_s:
            return 0.0
        return max(0.0, (self._clock.now_us() - then_us) / 1e6)

    def _offset(self) -> float:
        return self._clock.now_us() / 1e6 - self._clock.elapsed_s()


def moment(us: int) -> datetime:
    """UTC microseconds as a date; what is outside the years 1 to 9999 becomes their end."""
    seconds, rest_us = divmod(us, 1_000_000)
    return _whole_second(seconds) + timedelta(microseconds=rest_us)


def local(us: int) -> datetime:
    """As `moment`, in this machine's time zone; in UTC where that has no such date."""
    when = moment(us)
    try:
        return when.astimezone()
    except (OverflowError, ValueError, OSError):
        return when


def rfc3339(us: int) -> str:
    """UTC microseconds since 1970 as text with ``Z``, as every JSON of ours has it."""
    return rfc3339_ns(us * 1000, digits=6)


def utc_day(written: str) -> str:
    """The day (UTC) of a moment that `rfc3339` wrote, as "2026-01-31"."""
    return written[:10]


def rfc3339_ns(ns: int, *, digits: int = 9) -> str:
    """UTC nanoseconds since 1970 as RFC 3339 with Z; what is outside the years 1 to 9999 becomes their end."""
    seconds, rest_ns = divmod(ns, 1_000_000_000)
    whole = _whole_second(seconds).replace(tzinfo=None).isoformat()
    return f"{whole}.{rest_ns // 10 ** (9 - digits):0{digits}d}Z"


def nanoseconds(text: str) -> int:
    """The inverse of ``rfc3339_ns``: datetime itself knows no more than microseconds.

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
