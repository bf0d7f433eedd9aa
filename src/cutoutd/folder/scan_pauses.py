"""How long a folder is left alone after a scan, by what the scan took. It must not look at the folder or a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SCAN_SHARE: Final = 200
"""A scan is repeated no sooner than after so many times its own duration: half a percent of a core."""

BURST_SHARE: Final = 10
"""And one that events ask for no sooner than after so many times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pauses:
    """Seconds until the next scan.

    Attributes:
        usual_s: of its own accord.
        least_s: when events ask for it.
    """

    usual_s: float
    least_s: float


class ScanPauses:
    """Remembers what the last scan took."""

    def __init__(self) -> None:
        self._last_s: float | None = None

    def after(self, took_s: float, cost_s: float, interval_s: float) -> Pauses:
        """The pauses after one more scan.

        Args:
            took_s: by the clock.
            cost_s: of processor time.
            interval_s: between two scans, by the settings.
        """
        # One that a share held up says nothing of the next: a hang of a second would cost minutes.
        typical_s = min(took_s, cost_s if self._last_s is None else self._last_s)
        self._last_s = took_s
        return Pauses(usual_s=max(interval_s, SCAN_SHARE * typical_s), least_s=BURST_SHARE * typical_s)
