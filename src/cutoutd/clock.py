"""Time, as a value that is passed in: wall time for records, monotonic time for deadlines.

Nothing here sleeps. A wall clock may jump; whatever must not notice takes ``monotonic_s``.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """The machine's clocks; tests pass one of their own."""

    def now_us(self) -> int:
        """UTC microseconds since 1970, for records."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds that never jump, for deadlines and quiet periods."""
        return time.monotonic()

    def lived_s(self) -> float:
        """As ``monotonic_s``, but a machine's own sleep counts: what others may have waited through meanwhile."""
        boottime = getattr(
            time, "CLOCK_BOOTTIME", None
        )  # where it is missing, the other counts sleep as well
        return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def moment(us: int) -> datetime:
    """UTC microseconds as a date; what is outside the years 1 to 9999 becomes their end."""
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if us > 0 else datetime.min.replace(tzinfo=UTC)


def local(us: int) -> datetime:
    """As `moment`, in this machine's time zone; in UTC where that has no such date."""
    when = moment(us)
    try:
        return when.astimezone()
    except (OverflowError, ValueError, OSError):
        return when


def rfc3339(us: int) -> str:
    """UTC microseconds as text with ``Z``, as every JSON of ours has it."""
    return moment(us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
