"""Whether a picture may be paid for: what was spent, what is under way, and what it would cost, against the limits.

It must not know how anything is sent, nor read the ledger: it is told.
"""

from __future__ import annotations

import threading
from collections import defaultdict
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


class Budget:
    """The limits of a configuration, and what is used of them today; safe to share between threads.

    Args:
        settings: with the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.hosted.max_credits_per_day
        self._limits = {folder.name: folder.max_credits_per_day for folder in settings.folder}
        self._lock = threading.Lock()
        self._under_way: dict[str, float] = defaultdict(float)
        self._spent: dict[str, float] = defaultdict(float)

    def know(self, spent: Mapping[str, float]) -> None:
        """What is over today, by folder, as the ledger has it."""
        with self._lock:
            self._spent = defaultdict(float, spent)

    def reserve(self, folder: str, cost: float) -> str:
        """Set credits aside for a picture; returns why not, in words, or nothing if they are."""
        with self._lock:
            why = self._refusal(folder, cost)
            if not why:
                self._under_way[folder] += cost
            return why

    def release(self, folder: str, cost: float, charged: float) -> None:
        """A picture is over: what it was charged takes the place of what was set aside."""
        with self._lock:
            self._under_way[folder] -= cost
            self._spent[folder] += charged

    def refusal(self, folder: str, cost: float) -> str:
        """Why a picture of a folder may not be paid for now; empty if it may."""
        with self._lock:
            return self._refusal(folder, cost)

    def _refusal(self, folder: str, cost: float) -> str:
        everything = sum(self._spent.values()) + sum(self._under_way.values())
        why = refusal(cost=cost, limit=self._limit, spent=everything, whose="[hosted]")
        own = self._limits.get(folder)
        if why or own is None:
            return why
        spent = self._spent[folder] + self._under_way[folder]
        return refusal(cost=cost, limit=own, spent=spent, whose=f'"{folder}"')
