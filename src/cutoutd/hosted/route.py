"""The route to the service: whether it is open, from when on something may be sent again, and how fast.

All uploads share it. It must not send anything, nor read a clock of its own.
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
"""After so long it is asked again whether the one picture that finds out is over."""

_LOOK_AGAIN_S: Final = 3600.0
"""A closed route is tried with one picture after an hour: credits may have been bought, and a refusal costs nothing."""


class RouteState(StrEnum):
    """How the route stands."""

    OPEN = "open"  # pictures are sent
    WAITING = "waiting"  # the service asked for time, or has a fault; it is tried again by itself
    OFFLINE = "offline"  # it cannot be reached
    PAUSED = "paused"  # something takes a person: credits, the key, the address


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteSnapshot:
    """The route at a moment.

    Attributes:
        state: how it stands.
        why: in words; empty if it is open.
        wait_s: until something may be sent again.
        failures: how many uploads in a row have failed, for whatever reason, since the service last answered as it
            should.
        trouble: what the last of them met; empty without any.
    """

    state: RouteState
    why: str
    wait_s: float
    failures: int
    trouble: str


class UploadSlot:
    """One of the uploads that may be under way at the same time; given back once, however often it is said.

    Args:
        slots: of the route.
    """

    def __init__(self, slots: threading.Semaphore) -> None:
        self._slots = slots
        self._is_held = True

    def give_back(self) -> None:
        """Its answer is there: what is left to do with it takes no connection."""
        if self._is_held:
            self._is_held = False
            self._slots.release()


class RateLimit:
    """How many megapixels are sent in a minute; values only.

    Args:
        megapixels_per_minute: 0 for no limit.
    """

    def __init__(self, megapixels_per_minute: float) -> None:
        self._limit = megapixels_per_minute
        self._sent: deque[tuple[float, float]] = deque()  # when, megapixels

    def wait_s(self, megapixels: float, now_s: float) -> float:
        """Seconds until a picture fits into what the last minute has left; one that never would goes alone."""
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
        """A picture is sent now."""
        self._sent.append((now_s, megapixels))

    def refund(self, megapixels: float) -> None:
        """The last picture of that size was not sent after all."""
        for index in range(len(self._sent) - 1, -1, -1):
            if self._sent[index][1] == megapixels:
                del self._sent[index]
                return


class ServiceRoute:
    """The route's state; safe to share between threads.

    Args:
        clock: for steady seconds.
        megapixels_per_minute: 0 for no limit.
        at_once: uploads that may be under way at the same time.
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
        """Wait a moment for a slot; None if none was given back meanwhile."""
        return UploadSlot(self._slots) if self._slots.acquire(timeout=_SLOT_S) else None

    def admit(self, megapixels: float) -> float:
        """Ask to send a picture now.

        Returns:
            0 if it may, which then must be followed by `succeeded`, `back_off`, `close` or `abandoned`; else the seconds
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
        """The service answered as it should; a wait that it has asked for meanwhile is kept all the same."""
        with self._lock:
            self.successes += 1
            self._failures, self._trouble = 0, ""
            self._breaker.end_trial()
            if not self._wait_s():
                self._state = RouteState.OPEN
                self._breaker.record_success()

    def abandoned(self) -> None:
        """The picture was not sent after all, or its end says nothing about the route."""
        self._breaker.end_trial()

    def failed(self, why: str) -> None:
        """An upload came to nothing by the service's or the network's doing; what follows for the route is said apart.

        Those that were under way when another one failed add nothing: they met the same.
        """
        with self._lock:
            if not self._wait_s():
                self._failures += 1
                self._trouble = why

    def refund(self, megapixels: float) -> None:
        """A picture that was let in did not leave: it does not count in its minute."""
        with self._lock:
            self._rate.refund(megapixels)

    def back_off(self, why: str, wait_s: float, *, offline: bool = False) -> None:
        """Nothing is to be sent for a while.

        Args:
            why: in words.
            wait_s: how long.
            offline: the service cannot even be reached.
        """
        with self._lock:
            if self._state is RouteState.PAUSED and self._wait_s():
                self._breaker.end_trial()
                return
            self._state = RouteState.OFFLINE if offline else RouteState.WAITING
            self._breaker.record_failure(why, pause_s=wait_s)

    def close(self, why: str) -> None:
        """Something takes a person."""
        with self._lock:
            self._state = RouteState.PAUSED
            self._breaker.record_failure(why, pause_s=_LOOK_AGAIN_S)

    def resume(self) -> None:
        """A person says that it may be tried again."""
        with self._lock:
            if self._state is not RouteState.OPEN:
                self._delayed_until_s = 0.0
                self._breaker.cancel_trial()

    def delay(self, wait_s: float) -> None:
        """The service's own count says that it would refuse what comes sooner: the route is open, and waits."""
        with self._lock:
            until_s = self._clock.monotonic_s() + min(wait_s, 2 * _WINDOW_S)
            self._delayed_until_s = max(self._delayed_until_s, until_s)

    def snapshot(self) -> RouteSnapshot:
        """How it stands now."""
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
