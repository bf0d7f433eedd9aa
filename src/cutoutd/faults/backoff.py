"""Pauses that double between tries of what fails: soon again at first, and rarely in the end.

Values only; it waits for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0

_MOST_DOUBLINGS: Final = 30  # of any pause that makes sense, and no float overflows


def pause_s(failures: int, *, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S) -> float:
    """The pause after a failure, in seconds.

    Args:
        failures: earlier ones in a row.
        first_s: the pause after the first one.
        longest_s: no pause is longer.
    """
    return min(longest_s, first_s * 2.0 ** min(failures, _MOST_DOUBLINGS))


@dataclass(slots=True)
class Backoff:
    """When what failed may be tried again.

    Attributes:
        failures: in a row.
        until_s: before this it is not tried, in monotonic seconds.
    """

    failures: int = 0
    until_s: float = 0.0

    def failed(self, now_s: float) -> None:
        """It has failed again."""
        self.until_s = now_s + pause_s(self.failures)
        self.failures += 1

    def worked(self) -> None:
        """It has worked."""
        self.failures = 0
        self.until_s = 0.0
