"""How long ago something was written down, on a machine whose wall clock may jump.

The journal's times are the wall clock's. An age that spans a jump is not known; it counts as none, so that nothing
is given up too early. This module must not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock

JUMP_S: Final = 2.0
"""Less is a clock being corrected in small steps, or a process that was held up between two looks at it."""

DISTRUST_S: Final = 600.0
"""So long after a jump ages are not believed: longer than any that decides something."""


class Ages:
    """Tells ages; to be asked to look at the clocks now and then.

    Args:
        clock: both of its sides.
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
