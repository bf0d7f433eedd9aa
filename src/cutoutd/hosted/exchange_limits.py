"""What one exchange with the service may take: time, from the name's look-up to the answer's last byte, and bytes.

Time in which this process did not run does not count: a laptop's lid or a stopped process is nobody's delay. It must
not know a protocol.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock

_STEP_S: Final = 0.25
_LONGEST_STEP_S: Final = 1.0
"""Nothing here waits for longer at a time; what is above it between two looks was not spent running."""

MAX_HEAD_BYTES: Final = 256 << 10
"""Before an answer's body begins: its headers, and any number of interim answers (1xx)."""


class LimitExceededError(Exception):
    """The exchange takes longer, or more, than it may."""


class ExchangeLimits:
    """One exchange; belongs to one thread.

    Args:
        clock: its monotonic side.
        limit_s: seconds of running time that all of it may take.
    """

    def __init__(self, clock: Clock, *, limit_s: float) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._ran_s = self._renewed_s = 0.0
        self._looked_s = clock.monotonic_s()
        self._head_bytes = 0
        self._is_in_body = False

    def ran_s(self) -> float:
        """Seconds that it has taken so far, without those in which this process did not run."""
        now_s = self._clock.monotonic_s()
        self._ran_s += min(now_s - self._looked_s, _LONGEST_STEP_S)
        self._looked_s = now_s
        return self._ran_s

    def check(self) -> None:
        """See that there is time left.

        Raises:
            OverrunError: there is none.
        """
        if self.ran_s() >= self._limit_s:
            raise LimitExceededError

    def steps(self, timeout_s: float) -> float:
        """How long to wait for something now, at most; 0 once ``timeout_s`` of running time or all time is over.

        Args:
            timeout_s: as `ran_s` counts: when the wait is over.
        """
        return max(0.0, min(_STEP_S, timeout_s - self.ran_s(), self._limit_s - self._ran_s))

    def wait(self, descriptor: int, events: int, timeout_s: float) -> bool:
        """Wait until a descriptor is ready, but no longer than ``timeout_s``; whether it is."""
        poll = select.poll()
        poll.register(descriptor, events)
        until_s = self.ran_s() + timeout_s
        while step_s := self.steps(until_s):
            if poll.poll(max(1.0, step_s * 1000)):
                return True
        return False

    def renew(self) -> None:
        """Something useful came: the time begins again."""
        self._limit_s += self.ran_s() - self._renewed_s
        self._renewed_s = self._ran_s

    def begin_body(self) -> None:
        """The answer's headers are there: whoever reads its body bounds that."""
        self._is_in_body = True

    def came(self, count: int) -> None:
        """Bytes came.

        Raises:
            OverrunError: more than an answer's headers can be, and no body began.
        """
        self.check()
        if not self._is_in_body:
            self._head_bytes += count
            if self._head_bytes > MAX_HEAD_BYTES:
                raise LimitExceededError
