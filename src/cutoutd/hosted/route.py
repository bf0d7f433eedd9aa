"""The route to the service: whether it is open, when something may be sent again, and at which rate.

All uploads share it. It must not send anything, and takes its time from the clock that it is given.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.faults.circuit_breaker import CircuitBreaker

if TYPE_CHECKING:
    from cutoutd.clock import Clock

_WINDOW_S: Final = 60.0
_MARGIN_S: Final = 1.0  # the service's minute begins when it has the picture, not when we had sent it
_SLOT_S: Final = 0.1
_TRIAL_S: Final = 0.25
"""Interval of checks whether the trial upload is over."""

_LOOK_AGAIN_S: Final = 3600.0
"""A closed route is tried with one picture after an hour: credits may have been bought, and a refusal costs nothing."""


class RouteState(StrEnum):
    """State of the route."""

    OPEN = "open"  # pictures are sent
    WAITING = "waiting"  # the service asked for a pause, or has a fault; it is tried again automatically
    OFFLINE = "offline"  # it cannot be reached
    PAUSED = "paused"  # a person must act: credits, the key, the address


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteSnapshot:
    """The route at a moment.

    Attributes:
        state: its state.
        why: reason, in words; empty if it is open.
        wait_s: seconds until something may be sent again.
        failures: failed uploads in a row, for whatever reason, since the last good answer of the service.
        trouble: reason of the last failure; empty without any.
    """

    state: RouteState
    why: str
    wait_s: float
    failures: int
    trouble: str


class UploadSlot:
    """A slot for one of the concurrent uploads; it can be given back several times, with one effect.

    Args:
        slots: semaphore of the route.
    """

    def __init__(self, slots: threading.Semaphore) -> None:
        self._slots = slots
        self._is_held = True

    def give_back(self) -> None:
        """Release the slot: the answer is there, and the rest needs no connection."""
        if self._is_held:
            self._is_held = False
            self._slots.release()


class RateLimit:
    """Limits the megapixels a minute; values only.

    Args:
        megapixels_per_minute: limit; 0 for none.
    """

    def __init__(self, megapixels_per_minute: float) -> None:
        self._limit = megapixels_per_minute
        self._sent: deque[tuple[float, float]] = deque()  # when, megapixels

    def wait_s(self, megapixels: float, now_s: float) -> float:
        """Return the seconds until a picture fits into the limit. One that is larger than the limit goes alone."""
        window_s = _WINDOW_S + _MARGIN_S
        while self._sent and self._sent[0][0] <= now_s - window_s:
            self._sent.popleft()
        if not self._limit:
            return 0.0
        used = sum(one for _, one in self._sent)
        if used + megapixels <= self._limit or not self._sent:
            return 0.0
        for sent_s, one in self._sent:
            used -= one
            if used + megapixels <= self._limit:
                return sent_s + window_s - now_s
        return self._sent[-1][0] + window_s - now_s

    def add(self, megapixels: float, now_s: float) -> None:
        """Record that a picture is sent now."""
        self._sent.append((now_s, megapixels))

    def refund(self, megapixels: float) -> None:
        """Remove the last picture of that size, which was not sent."""
        for index in range(len(self._sent) - 1, -1, -1):
            if self._sent[index][1] == megapixels:
                del self._sent[index]
                return


class ServiceRoute:
    """The state of the route; thread-safe.

    Args:
        clock: source of monotonic time.
        megapixels_per_minute: limit; 0 for none.
        at_once: greatest number of concurrent uploads.
    """

    def __init__(self, clock: Clock, *, megapixels_per_minute: int, at_once: int) -> None:
        self._clock = clock
        self._slots = threading.BoundedSemaphore(at_once)
        self._rate = RateLimit(float(megapixels_per_minute))
        self._breaker = CircuitBreaker(clock)
        self._lock = threading.Lock()
        self._state = RouteState.OPEN
        self._delayed_until_s = 0.0
        self._failures = 0
        self._trouble = ""
        self.successes = 0

    def slot(self) -> UploadSlot | None:
        """Wait briefly for a slot; None if none became free."""
        return UploadSlot(self._slots) if self._slots.acquire(timeout=_SLOT_S) else None

    def admit(self, megapixels: float) -> float:
        """Ask to send a picture now.

        Returns:
            0 if it may be sent; then `succeeded`, `back_off`, `close` or `abandoned` must follow. Otherwise the seconds
            after which to ask again.
        """
        now_s = self._clock.monotonic_s()
        with self._lock:
            if wait_s := self._wait_s():
                return wait_s
            if self._state is not RouteState.OPEN and self._breaker.is_on_trial:
                return _TRIAL_S
            if wait_s := self._rate.wait_s(megapixels, now_s):
                return wait_s
            self._rate.add(megapixels, now_s)
            if self._state is not RouteState.OPEN:
                self._breaker.begin_trial()
            return 0.0

    def succeeded(self) -> None:
        """Record a good answer of the service. A pause that it has asked for meanwhile is kept."""
        with self._lock:
            self.successes += 1
            self._failures, self._trouble = 0, ""
            self._breaker.end_trial()
            if not self._wait_s():
                self._state = RouteState.OPEN
                self._breaker.record_success()

    def abandoned(self) -> None:
        """Record that the picture was not sent, or that its end says nothing about the route."""
        self._breaker.end_trial()

    def failed(self, why: str) -> None:
        """Record a failure of the service or the network. The caller updates the state of the route separately.

        Uploads that were under way when another one failed do not count: they met the same fault.
        """
        with self._lock:
            if not self._wait_s():
                self._failures += 1
                self._trouble = why

    def refund(self, megapixels: float) -> None:
        """Remove an admitted picture that was not sent from the rate."""
        with self._lock:
            self._rate.refund(megapixels)

    def back_off(self, why: str, wait_s: float, *, offline: bool = False) -> None:
        """Pause the route.

        Args:
            why: reason, in words.
            wait_s: length of the pause.
            offline: whether the service could not be reached.
        """
        with self._lock:
            if self._state is RouteState.PAUSED and self._wait_s():
                self._breaker.end_trial()
                return
            self._state = RouteState.OFFLINE if offline else RouteState.WAITING
            self._breaker.record_failure(why, pause_s=wait_s)

    def close(self, why: str) -> None:
        """Close the route until a person acts."""
        with self._lock:
            self._state = RouteState.PAUSED
            self._breaker.record_failure(why, pause_s=_LOOK_AGAIN_S)

    def resume(self) -> None:
        """Allow an attempt at once, at a person's request."""
        with self._lock:
            if self._state is not RouteState.OPEN:
                self._delayed_until_s = 0.0
                self._breaker.cancel_trial()

    def delay(self, wait_s: float) -> None:
        """Wait without closing the route, since the service's rate headers announce a refusal."""
        with self._lock:
            until_s = self._clock.monotonic_s() + min(wait_s, 2 * _WINDOW_S)
            self._delayed_until_s = max(self._delayed_until_s, until_s)

    def snapshot(self) -> RouteSnapshot:
        """Return the current state."""
        with self._lock:
            return RouteSnapshot(
                state=self._state,
                why=self._breaker.why,
                wait_s=self._wait_s(),
                failures=self._failures,
                trouble=self._trouble,
            )

    def _wait_s(self) -> float:
        return max(0.0, self._breaker.wait_s, self._delayed_until_s - self._clock.monotonic_s())
