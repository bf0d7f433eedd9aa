"""Keeps what Python puts aside for itself from growing for hours, which nobody could tell from a leak.

CPython keeps freed tuples for use again, up to 2,000 of each size, and gives them back with a whole collection of
garbage only (`gc.collect`, its documentation). Such a collection comes by itself once the new objects are a quarter of
the old ones; a daemon that starts with tens of thousands and keeps hardly any sees it every few hours.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock

TIDY_EVERY_S: Final = 60.0


class Tidying:
    """Has garbage collected at fixed times: 5 ms each, or 0.01 % of a core.

    Args:
        clock: its monotonic side.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_s = clock.monotonic_s() + TIDY_EVERY_S

    def look(self) -> None:
        """Collect, if it is time."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + TIDY_EVERY_S
            gc.collect()
