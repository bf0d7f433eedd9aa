"""Whether a picture may be paid for: what was spent, what is under way, and what it would cost, against the limits.

It must not know how anything is sent, nor read the ledger: it is told.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.settings.schema import Settings

_ROUNDING: Final = 1e-9


def refusal(*, cost: float, limit: float, spent: float, whose: str) -> str:
    """Why a picture may not be paid for, in words; empty if it may.

    Args:
        cost: credits it is expected to cost; 0 for a server that charges nothing.
        limit: credits a day.
        spent: credits of today, with those that are under way.
        whose: limit it is.
    """
    if not cost and not spent:
        return ""  # a server that charges nothing needs no budget, as long as it does not
    if spent + cost <= limit + _ROUNDING:
        return ""
    if not limit and not spent:
        return f"{whose} allows no credits: max_credits_per_day is 0"
    return (
        f"{whose} allows {limit:g} credits a day, {spent:g} are spent or under way, and this takes {cost:g}"
    )


class Admission(Enum):
    """Whether a picture that has credits set aside may be sent."""

    NOW = auto()  # it is under way from here on
    LATER = auto()  # another finds out what it costs
    NOT = auto()  # prices have turned out higher: what is set aside for it is too little


class Budget:
    """The limits of a configuration, and what is used of them today; safe to share between threads.

    What is under way counts at the highest price that was seen for the like. As long as none was seen, and after one
    that was higher than expected, one picture of a kind is sent at a time, so that a wrong expectation costs one
    picture more than the limit at most.

    Args:
        settings: with the limits.
        prices: the highest price that was seen lately, by the price that was expected.
    """

    def __init__(self, settings: Settings, prices: Mapping[float, float]) -> None:
        self._limit = settings.hosted.max_credits_per_day
        self._limits = {folder.name: folder.max_credits_per_day for folder in settings.folder}
        self._lock = threading.Lock()
        self._set_aside: dict[str, Counter[float]] = defaultdict(Counter)
        self._spent: dict[str, float] = defaultdict(float)
        self._highest = dict(prices)
        self._surprising: set[float] = set()
        self._sending: Counter[float] = Counter()

    def know(self, spent: Mapping[str, float]) -> None:
        """What is over today, by folder, as the ledger has it."""
        with self._lock:
            self._spent = defaultdict(float, spent)

    def reserve(self, folder: str, cost: float) -> str:
        """Set credits aside for a picture; returns why not, in words, or nothing if they are."""
        with self._lock:
            why = self._refusal(folder, self._price(cost))
            if not why:
                self._set_aside[folder][cost] += 1
            return why

    def release(self, folder: str, cost: float, charged: float) -> None:
        """A picture is over: what it was charged takes the place of what was set aside."""
        with self._lock:
            self._set_aside[folder][cost] -= 1
            self._spent[folder] += charged

    def refusal(self, folder: str, cost: float) -> str:
        """Why a picture of a folder may not be paid for now; empty if it may."""
        with self._lock:
            return self._refusal(folder, self._price(cost))

    def begin(self, folder: str, cost: float) -> Admission:
        """Whether a picture that has credits set aside may be sent now; then `ended` is to follow."""
        with self._lock:
            is_sure = cost in self._highest and cost not in self._surprising
            if self._sending[cost] and not is_sure:
                return Admission.LATER
            if self._refusal(folder, 0.0):
                return Admission.NOT
            self._sending[cost] += 1
            return Admission.NOW

    def ended(self, cost: float, price: float | None) -> None:
        """A picture was sent, or not.

        Args:
            cost: that was expected.
            price: what it cost; None if nothing came of it.
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
        """What a picture counts that may have been billed, or will be: never less than the like did."""
        with self._lock:
            return self._price(cost)

    def _price(self, cost: float) -> float:
        return max(cost, self._highest.get(cost, 0.0))

    def _under_way(self, folder: str) -> float:
        return sum(self._price(cost) * count for cost, count in self._set_aside[folder].items())

    def _refusal(self, folder: str, cost: float) -> str:
        everything = sum(self._spent.values()) + sum(map(self._under_way, list(self._set_aside)))
        why = refusal(cost=cost, limit=self._limit, spent=everything, whose="[hosted]")
        own = self._limits.get(folder)
        if why or own is None:
            return why
        spent = self._spent[folder] + self._under_way(folder)
        return refusal(cost=cost, limit=own, spent=spent, whose=f'"{folder}"')
