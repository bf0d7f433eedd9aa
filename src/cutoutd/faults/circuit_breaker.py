"""A circuit breaker: a fault that would affect the next picture too holds back new attempts for a while.

It opens with a failure. After a pause one attempt is the trial, and a success closes it. A folder has one for the disk or
share of its results, where each attempt costs a whole cut; the hosted route has one for the service. This module must not
touch files or jobs.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from cutoutd.faults.backoff import pause_s as pause_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.errors import StorageError
    from cutoutd.folder_trouble import FolderTrouble

FIRST_S: Final = 2.0
"""First pause: a fault that passes at once, such as a lost connection, costs no more."""

LONGEST_S: Final = 30.0
"""Longest pause: nobody waits longer after a repair, and an attempt now and then costs next to nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedAttempt:
    """A failed attempt.

    Attributes:
        why: reason, for people; may name a file.
        cause: the same for all files.
        trouble: what it means for a folder; None: it has no code of its own.
    """

    why: str
    cause: str
    trouble: FolderTrouble | None = None


class CircuitBreaker:
    """A circuit breaker; thread-safe.

    Args:
        clock: source of monotonic time.
        trial_s: how long a trial keeps other attempts back, in seconds.
        on_failure: called with the reason of a failure with a new cause.
        on_close: called when the circuit breaker closes.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        trial_s: float = inf,
        on_failure: Callable[[str], object] = lambda _: None,
        on_close: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._trial_s = trial_s
        self._on_failure = on_failure
        self._on_close = on_close
        self._lock = threading.Lock()
        self._failures = 0
        self._pause_until_s = self._trial_until_s = 0.0
        self._last: FailedAttempt | None = None
        self._has_opened = False

    @property
    def last_failure(self) -> FailedAttempt | None:
        """The last failure, until there is a success; None when all is well."""
        return self._last

    @property
    def why(self) -> str:
        """The reason of the last failure, until there is a success; empty when all is well."""
        last = self._last
        return "" if last is None else last.why

    @property
    def is_open(self) -> bool:
        """Whether nothing new may begin now."""
        return self._failures > 0 and (self.wait_s > 0 or self.is_on_trial)

    @property
    def wait_s(self) -> float:
        """Seconds left of the pause."""
        return max(0.0, self._pause_until_s - self._clock.monotonic_s())

    @property
    def is_on_trial(self) -> bool:
        """Whether a trial is under way."""
        return self._clock.monotonic_s() < self._trial_until_s

    def record_error(self, error: StorageError) -> None:
        """Record an attempt that failed with an error."""
        self.record_failure(str(error), error.cause, trouble=error.trouble)

    def record_failure(
        self,
        why: str,
        cause: str = "",
        *,
        trouble: FolderTrouble | None = None,
        pause_s: float | None = None,
    ) -> None:
        """Record a failed attempt.

        Args:
            why: reason, for people; may name a file.
            cause: the same for all files; only a new one is reported. Empty: as ``why``.
            trouble: what it means for a folder.
            pause_s: pause, which never shortens a longer one; None: longer after each failure.
        """
        with self._lock:
            before, self._last = self._last, FailedAttempt(why=why, cause=cause or why, trouble=trouble)
            is_news = before is None or before.cause != self._last.cause
            self._has_opened |= before is None
            self._failures += 1
            now_s, self._trial_until_s = self._clock.monotonic_s(), 0.0
            if pause_s is not None:
                self._pause_until_s = max(self._pause_until_s, now_s + pause_s)
            else:
                pause_s = pause_after(self._failures - 1, first_s=FIRST_S, longest_s=LONGEST_S)
                self._pause_until_s = now_s + pause_s
        if is_news:
            self._on_failure(why)

    def has_opened(self) -> bool:
        """Whether it has opened since the last call."""
        with self._lock:
            opened, self._has_opened = self._has_opened, False
        return opened

    def begin_trial(self) -> None:
        """Record the start of an attempt: after a failure there is no second one until its outcome is known."""
        with self._lock:
            self._trial_until_s = self._clock.monotonic_s() + self._trial_s

    def end_trial(self) -> None:
        """Record a trial without a verdict: after the pause there may be another."""
        with self._lock:
            self._trial_until_s = 0.0

    def cancel_trial(self) -> None:
        """End the trial as `end_trial` does, and allow another at once."""
        with self._lock:
            self._pause_until_s = self._trial_until_s = 0.0

    def record_success(self) -> bool:
        """Record a successful attempt. Returns whether that closes the circuit breaker."""
        with self._lock:
            ended, self._failures, self._last = self._failures > 0, 0, None
        if ended:
            self._on_close()
        return ended
