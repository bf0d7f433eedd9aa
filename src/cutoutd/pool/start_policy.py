"""When a worker is started again after starts have failed, and when a pool tries no longer.

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
"""So many starts in a row without any success before, and it would never work."""

MAX_FAILED_RESTARTS: Final = 9
"""So many, once workers did work: with the pauses in between, two minutes for an upgrade to come to its end."""

FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 60.0
"""Between two starts that fail, each pause is twice the one before, but no longer than this."""


class WorkersFailError(CutoutdError):
    """No worker comes up."""

    code = FailureCode.WORKERS_FAIL
    title = "No worker can be started"
    ends_daemon = True
    advice = (
        "Nothing is lost: what waits stays queued. See the lines above in the log; memory may be short, or "
        "the installation incomplete: `cutoutd models verify` checks the model."
    )


class StartPolicy:
    """How the starts of one pool's workers go.

    Args:
        clock: its monotonic side.

    Attributes:
        next_s: before this no worker is started, in monotonic seconds.
        are_sound: a new worker has shown that it can work since the last one died.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed = 0
        self._log = get()
        self.next_s = clock.monotonic_s()
        self.are_sound = True

    @property
    def have_failed(self) -> bool:
        """Whether the last one did."""
        return self._failed > 0

    def worked(self, *, self_tested: bool) -> None:
        """A worker is ready.

        Args:
            self_tested: it has cut a picture of the program's own.
        """
        self._failed = 0
        self.are_sound = self.are_sound or self_tested

    def died(self) -> None:
        """A worker died over a task."""
        self.are_sound = False

    def failed(self, why: str, *, is_first: bool) -> None:
        """A worker did not come up.

        Args:
            why: in words.
            is_first: none ever did.

        Raises:
            WorkersFailError: it has happened too often in a row.
        """
        self._failed += 1
        self.are_sound = False
        self._log.warning("worker.did-not-start", why=why, times=self._failed)
        if self._failed >= (MAX_FAILED_STARTS if is_first else MAX_FAILED_RESTARTS):
            raise WorkersFailError(f"{self._failed} starts in a row failed; the last: {why}")
        self.next_s = self._clock.monotonic_s() + pause_s(
            self._failed - 1, first_s=FIRST_PAUSE_S, longest_s=MAX_PAUSE_S
        )
