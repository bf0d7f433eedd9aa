"""Exponential back-off: pauses that double between attempts.

Values only; it must not wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0

_MOST_DOUBLINGS: Final = 30  # enough for any pause, and no float overflows


def pause_s(failures: int, *, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S) -> float:
    """Return the pause after a failure, in seconds.

    Args:
        failures: number of earlier failures in a row.
        first_s: pause after the first failure.
        longest_s: upper limit of a pause.
    """
    return min(longest_s, first_s * 2.0 ** min(failures, _MOST_DOUBLINGS))


@dataclass(slots=True)
class Backoff:
    """State of a back-off.

    Attributes:
        failures: number of failures in a row.
        until_s: earliest time of the next attempt, in monotonic seconds.
    """

    failures: int = 0
    until_s: float = 0.0

    def failed(self, now_s: float) -> None:
        """Record a failure."""
        self.until_s = now_s + pause_s(self.failures)
        self.failures += 1

    def worked(self) -> None:
        """Record a success."""
        self.failures = 0
        self.until_s = 0.0
