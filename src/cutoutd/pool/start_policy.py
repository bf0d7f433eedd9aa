"""When workers are started again after failed starts, and when a pool gives up.

It must not start or end anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, FailureCode
from cutoutd.faults.backoff import pause_s
from cutoutd.logs import get

if TYPE_CHECKING:
    from cutoutd.clock import Clock

MAX_FAILED_STARTS: Final = 4
"""Failed starts in a row after which a pool gives up, if no worker ever started."""

MAX_FAILED_RESTARTS: Final = 9
"""Failed starts in a row after which a pool gives up, once workers did start: with the pauses, two minutes for an upgrade."""

START_TIMEOUT_S: Final = 60.0
"""Loading the model takes under a second; a slow disk at boot may need much longer."""

FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 60.0
"""Pauses between failed starts double from the first to this one."""


class WorkersFailError(CutoutdError):
    """No worker can be started."""

    code = FailureCode.WORKERS_FAIL
    title = "No worker can be started"
    ends_daemon = True
    advice = (
        "Nothing is lost: what waits stays queued. See the lines above in the log; memory may be short, or "
        "the installation incomplete: `cutoutd models verify` checks the model."
    )


class StartPolicy:
    """The record of the starts of one pool's workers.

    Args:
        clock: source of monotonic time.

    Attributes:
        next_s: earliest time of the next start, in monotonic seconds.
        are_sound: whether a new worker has passed the self-test since the last one died.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed = 0
        self._log = get()
        self.next_s = clock.monotonic_s()
        self.are_sound = True

    @property
    def have_failed(self) -> bool:
        """Whether the last start failed."""
        return self._failed > 0

    def worked(self, *, self_tested: bool) -> None:
        """Record that a worker is ready.

        Args:
            self_tested: whether it has passed the self-test.
        """
        self._failed = 0
        self.are_sound = self.are_sound or self_tested

    def died(self) -> None:
        """Record that a worker died over a task."""
        self.are_sound = False

    def failed(self, why: str, *, is_first: bool) -> None:
        """Record that a worker did not start.

        Args:
            why: reason, in words.
            is_first: whether no worker ever started.

        Raises:
            WorkersFailError: too many starts in a row failed.
        """
        self._failed += 1
        self.are_sound = False
        self._log.warning("worker.did-not-start", why=why, times=self._failed)
        if self._failed >= (MAX_FAILED_STARTS if is_first else MAX_FAILED_RESTARTS):
            raise WorkersFailError(f"{self._failed} starts in a row failed; the last: {why}")
        self.next_s = self._clock.monotonic_s() + pause_s(
            self._failed - 1, first_s=FIRST_PAUSE_S, longest_s=MAX_PAUSE_S
        )
