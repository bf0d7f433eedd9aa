"""A circuit breaker for each folder: it opens when the disk or share for its results refuses one, and begins nothing new then.

What one picture meets there, the next would too, and each attempt costs a whole cut. So the folder pauses, then tries
one picture, and goes on when a result is published. This module must not touch files or jobs.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from cutoutd.backoff import pause_s
from cutoutd.logs import get

if TYPE_CHECKING:
    from cutoutd.clock import Clock

FIRST_S: Final = 2.0
"""A fault that passes at once, as a lost connection does, costs no more."""

LONGEST_S: Final = 30.0
"""When there is room again, a person does not wait for longer; a try every so often costs next to nothing."""


class CircuitBreaker:
    """One folder's circuit breaker; shared by the supervisor and the folder's delivery.

    Args:
        folder: its name.
        clock: its monotonic side.
    """

    def __init__(self, folder: str, clock: Clock) -> None:
        self._clock = clock
        self._log = get(folder=folder)
        self._lock = threading.Lock()
        self._failures = 0
        self._until_s = 0.0
        self._why = ""
        self._cause = ""
        self._has_opened = False

    @property
    def why(self) -> str:
        """What was refused, as long as nothing was published since; empty when all is well."""
        return self._why

    @property
    def is_open(self) -> bool:
        """Whether nothing new is to be begun now."""
        return self._failures > 0 and self._clock.monotonic_s() < self._until_s

    def record_failure(self, why: str, cause: str = "") -> None:
        """A result could not be written.

        Args:
            why: for people; it may name a file.
            cause: the same for all files; only another one is logged. Empty: as ``why``.
        """
        with self._lock:
            is_news = not self._why or (cause or why) != self._cause
            self._has_opened |= not self._why
            self._why, self._cause = why, cause or why
            self._failures += 1
            pause = pause_s(self._failures - 1, first_s=FIRST_S, longest_s=LONGEST_S)
            self._until_s = self._clock.monotonic_s() + pause
        if is_news:
            self._log.warning("folder.rests", why=why)

    def has_opened(self) -> bool:
        """Whether it has opened since this was last asked."""
        with self._lock:
            opened, self._has_opened = self._has_opened, False
        return opened

    def begin_trial(self) -> None:
        """A picture was begun: after a refusal no second one is, until it is known what became of it."""
        with self._lock:
            self._until_s = self._clock.monotonic_s() + LONGEST_S

    def cancel_trial(self) -> None:
        """A picture ended without a result to write: another may try."""
        with self._lock:
            self._until_s = 0.0

    def record_success(self) -> bool:
        """A result was published; returns whether that closes it."""
        with self._lock:
            ended, self._failures, self._why = self._failures > 0, 0, ""
        if ended:
            self._log.info("folder.resumes")
        return ended
