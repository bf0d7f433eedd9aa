"""The order of uploads, and the budget for them.

First come, first served, but a folder whose budget is used up delays no other. It must not send anything, nor read the
ledger: the caller passes what was spent.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd.hosted.route import RouteState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cutoutd.exchange.spool import Request
    from cutoutd.hosted.route import ServiceRoute
    from cutoutd.process.stop_flag import StopFlag
    from cutoutd.settings.schema import Settings


_LOOK_S: Final = 0.25
_IDLE_S: Final = 5.0
_ROUNDING: Final = 1e-9


class UploadQueue:
    """Requests that wait, and those that are being uploaded; thread-safe.

    Args:
        route: state of the route; while it is paused, no request is returned.
        budget: the budget.
        stopping: set when the uploader is to stop.
    """

    def __init__(self, *, route: ServiceRoute, budget: Budget, stopping: StopFlag) -> None:
        self._route = route
        self._budget = budget
        self._stopping = stopping
        self._changed = threading.Condition()  # its lock is reentrant
        self._waiting: dict[str, Request] = {}
        self._uploading: dict[str, Request] = {}
        self._costs: dict[str, float] = {}
        self._is_paused = False
        self._refusals: dict[str, str] = {}

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """Return those of the requests in the outbox that are not queued yet."""
        with self._changed:
            return [id_ for id_ in ids if id_ not in self._waiting and id_ not in self._uploading]

    def offer(self, request: Request, cost: float) -> None:
        """Queue a new request, with the credits that it is expected to cost."""
        with self._changed:
            self._waiting[request.id] = request
            self._costs[request.id] = cost
            self._changed.notify()

    def keep_only(self, ids: Collection[str]) -> None:
        """Drop waiting requests that are no longer in the outbox."""
        with self._changed:
            for id_ in self._waiting.keys() - ids:
                del self._waiting[id_], self._costs[id_]

    def pause(self, *, paused: bool) -> None:
        """Return no requests while uploads are paused."""
        with self._changed:
            self._is_paused = paused
            self._changed.notify_all()

    def take(self) -> Request | None:
        """Take the next request that may be uploaded now; `done` must follow. None: there is none."""
        with self._changed:
            request = self._choose()
            if request is not None:
                self._uploading[request.id] = self._waiting.pop(request.id)
            return request

    def wait_for_next(self) -> Request | None:
        """Wait for a request that may be uploaded, and take it; None when the uploader is to stop."""
        with self._changed:
            while not self._stopping.is_set():
                if (request := self.take()) is not None:
                    return request
                # An empty queue is notified of a change. Requests that wait for the budget or the route are checked again.
                self._changed.wait(_LOOK_S if self._waiting else _IDLE_S)
            return None

    def done(self, request: Request, *, finished: bool) -> None:
        """Record the end of an upload: the request is answered, or waits again."""
        with self._changed:
            del self._uploading[request.id]
            if finished:
                self._costs.pop(request.id, None)
            else:
                self._waiting[request.id] = request
            self._changed.notify()

    def close(self) -> None:
        """Wake all waiting threads: the uploader is to stop."""
        with self._changed:
            self._changed.notify_all()

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """Return how many requests wait, and how many are being uploaded, by folder."""
        with self._changed:
            return (
                Counter(one.folder for one in self._waiting.values()),
                Counter(one.folder for one in self._uploading.values()),
            )

    def refusals(self) -> dict[str, str]:
        """Return why requests of a folder cannot be paid for now, by folder."""
        with self._changed:
            return dict(self._refusals)

    def _choose(self) -> Request | None:
        snapshot = self._route.snapshot()
        if self._is_paused or (snapshot.state is RouteState.PAUSED and snapshot.wait_s):
            return None
        self._refusals = {}
        # Each folder is checked once per cost: the next picture would be refused as well.
        blocked: set[tuple[str, float]] = set()
        # The same picture twice at once would be paid twice: the second waits for the result of the first.
        uploading = {one.sha256 for one in self._uploading.values()}
        for request in self._waiting.values():
            cost = self._costs[request.id]
            if request.sha256 in uploading or (request.folder, cost) in blocked:
                continue
            why = self._budget.refusal(request.folder, cost)
            if not why:
                return request
            blocked.add((request.folder, cost))
            self._refusals[request.folder] = why
        return None


def refusal(*, cost: float, limit: float, spent: float, whose: str) -> str:
    """Return why a picture cannot be paid for, in words; empty if it can.

    Args:
        cost: credits that it is expected to cost; 0 for a free server.
        limit: credits a day.
        spent: credits of today, including those under way.
        whose: owner of the limit, for the message.
    """
    if not cost and not spent:
        return ""  # a free server needs no budget, as long as it is free
    if spent + cost <= limit + _ROUNDING:
        return ""
    if not limit and not spent:
        return f"{whose} allows no credits: max_credits_per_day is 0"
    return (
        f"{whose} allows {limit:g} credits a day, {spent:g} are spent or under way, and this takes {cost:g}"
    )


class Admission(Enum):
    """Whether a picture with reserved credits may be sent."""

    NOW = auto()  # yes, and it counts as under way
    LATER = auto()  # another picture is finding out the price
    NOT = auto()  # prices have turned out higher than its reserved credits


class Budget:
    """The limits of a configuration, and their use today; thread-safe.

    An upload under way counts at the highest price that was seen for its kind. While none was seen, and after one that was
    higher than expected, one picture of a kind is sent at a time, so that a wrong expectation exceeds the limit by one
    picture at most.

    Args:
        settings: the configuration, with the limits.
        prices: highest recent price, by the price that was expected.
    """

    def __init__(self, settings: Settings, prices: Mapping[float, float]) -> None:
        self._limit = settings.hosted.max_credits_per_day
        self._limits = {folder.name: folder.max_credits_per_day for folder in settings.folder}
        self._lock = threading.Lock()
        self._reserved: dict[str, Counter[float]] = defaultdict(Counter)
        self._spent: dict[str, float] = defaultdict(float)
        self._highest = dict(prices)
        self._surprising: set[float] = set()
        self._sending: Counter[float] = Counter()

    def set_spent(self, spent: Mapping[str, float]) -> None:
        """Set what was spent today, by folder, from the ledger."""
        with self._lock:
            self._spent = defaultdict(float, spent)

    def reserve(self, folder: str, cost: float) -> str:
        """Reserve credits for a picture. Returns why not, in words; empty if they are reserved."""
        with self._lock:
            why = self._refusal(folder, self._price(cost))
            if not why:
                self._reserved[folder][cost] += 1
            return why

    def release(self, folder: str, cost: float, charged: float) -> None:
        """Release the reserved credits of a finished picture, and count what was charged instead."""
        with self._lock:
            self._reserved[folder][cost] -= 1
            self._spent[folder] += charged

    def refusal(self, folder: str, cost: float) -> str:
        """Return why a picture of a folder cannot be paid for now; empty if it can."""
        with self._lock:
            return self._refusal(folder, self._price(cost))

    def begin(self, folder: str, cost: float) -> Admission:
        """Decide whether a picture with reserved credits may be sent now; `ended` must follow then."""
        with self._lock:
            is_sure = cost in self._highest and cost not in self._surprising
            if self._sending[cost] and not is_sure:
                return Admission.LATER
            if self._refusal(folder, 0.0):
                return Admission.NOT
            self._sending[cost] += 1
            return Admission.NOW

    def ended(self, cost: float, price: float | None) -> None:
        """Record that an upload has ended.

        Args:
            cost: expected price.
            price: actual price; None if there was no result.
        """
        with self._lock:
            self._sending[cost] -= 1
            if price is None:
                return
            if price > self._price(cost) + _ROUNDING:
                self._surprising.add(cost)
            else:
                self._surprising.discard(cost)
            self._highest[cost] = max(price, self._highest.get(cost, 0.0))

    def price(self, cost: float) -> float:
        """Return what a picture counts that was or may be billed: never less than others of its kind."""
        with self._lock:
            return self._price(cost)

    def _price(self, cost: float) -> float:
        return max(cost, self._highest.get(cost, 0.0))

    def _under_way(self, folder: str) -> float:
        return sum(self._price(cost) * count for cost, count in self._reserved[folder].items())

    def _refusal(self, folder: str, cost: float) -> str:
        everything = sum(self._spent.values()) + sum(map(self._under_way, list(self._reserved)))
        why = refusal(cost=cost, limit=self._limit, spent=everything, whose="[hosted]")
        own = self._limits.get(folder)
        if why or own is None:
            return why
        spent = self._spent[folder] + self._under_way(folder)
        return refusal(cost=cost, limit=own, spent=spent, whose=f'"{folder}"')
