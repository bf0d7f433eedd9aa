"""Hears the workers, also where the pool fails by a fault of ours; main thread alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cutoutd.fault_isolation import is_expected, report
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.protocols import PoolEvent, Workers

MAX_FAILURES: Final = 9
"""A pool that fails more often in a row has no workers any more, and the daemon ends."""


class Polling:
    """The supervisor's ear.

    Args:
        pool: where pictures are cut.
    """

    def __init__(self, pool: Workers) -> None:
        self._pool = pool
        self._failures = 0
        self._log = get()

    def poll(self, timeout_s: float) -> Sequence[PoolEvent]:
        """What the workers have to say within a time; nothing, where asking them has failed.

        Raises:
            CutoutdError: as from the pool.
        """
        try:
            events = self._pool.poll(timeout_s)
        except Exception as error:
            self._failures += 1
            if is_expected(error) or self._failures > MAX_FAILURES:
                raise
            report(self._log, error, over="the workers", times=self._failures)
            time.sleep(timeout_s)
            return ()
        self._failures = 0
        return events
