"""A circuit breaker: what fails for one picture would fail for the next, so nothing new begins for a while.

It opens with a failure. After a pause one attempt finds out whether it works again, and a success closes it. A folder has one for
the disk or share of its results, where each attempt costs a whole cut; the hosted route has one for the service. This
module must not touch files or jobs.
"""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING, Final

from cutoutd.faults.backoff import pause_s as pause_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock

FIRST_S: Final = 2.0
"""A fault that passes at once, as a lost connection does, costs no more."""

LONGEST_S: Final = 30.0
"""When it works again, a person does not wait for longer; a try every so often costs next to nothing."""


class CircuitBreaker:
    """One circuit breaker; safe to share between threads.

    Args:
        clock: its monotonic side.
        trial_s: for so long an attempt keeps others from being tried.
        on_failure: is told why, when the cause is news.
        on_close: is told that it works again.
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
        self._why = ""
        self._cause = ""
        self._has_opened = False

    @property
    def why(self) -> str:
        """What failed, as long as nothing has worked since; empty when all is well."""
        return self._why

    @property
    def is_open(self) -> bool:
        """Whether nothing new is to be begun now."""
        return self._failures > 0 and (self.wait_s > 0 or self.is_on_trial)

    @property
    def wait_s(self) -> float:
        """Seconds that are left of the pause."""
        return max(0.0, self._pause_until_s - self._clock.monotonic_s())

    @property
    def is_on_trial(self) -> bool:
        """Whether an attempt is under way that finds out whether it works again."""
        return self._clock.monotonic_s() < self._trial_until_s

    def record_failure(self, why: str, cause: str = "", *, pause_s: float | None = None) -> None:
        """An attempt failed.

        Args:
            why: for people; it may name a file.
            cause: the same for all files; only another one is told. Empty: as ``why``.
            pause_s: how long nothing begins, and no less than was said before; None: longer after each failure.
        """
        with self._lock:
            is_news = not self._why or (cause or why) != self._cause
            self._has_opened |= not self._why
            self._why, self._cause = why, cause or why
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
        """Whether it has opened since this was last asked."""
        with self._lock:
            opened, self._has_opened = self._has_opened, False
        return opened

    def begin_trial(self) -> None:
        """An attempt was begun: after a failure no second one is, until it is known what became of it."""
        with self._lock:
            self._trial_until_s = self._clock.monotonic_s() + self._trial_s

    def end_trial(self) -> None:
        """The attempt said nothing about what failed: after the pause another may be tried."""
        with self._lock:
            self._trial_until_s = 0.0

    def cancel_trial(self) -> None:
        """As `end_trial`, and another may be tried at once."""
        with self._lock:
            self._pause_until_s = self._trial_until_s = 0.0

    def record_success(self) -> bool:
        """An attempt worked; returns whether that closes it."""
        with self._lock:
            ended, self._failures, self._why = self._failures > 0, 0, ""
        if ended:
            self._on_close()
        return ended
