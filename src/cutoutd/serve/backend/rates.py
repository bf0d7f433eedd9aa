"""How many pictures a key may hand in: a bucket of tokens for each, which fills up within a minute."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.serve.keys import ApiKey

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What is left of a rate.

    Attributes:
        limit: requests a minute.
        remaining: that may come now.
        reset_s: seconds until all of them may again.
    """

    limit: int
    remaining: int
    reset_s: int

    @property
    def named(self) -> dict[str, int]:
        """For a reply."""
        return {"limit": self.limit, "remaining": self.remaining, "reset_s": self.reset_s}


class Rates:
    """The buckets of all keys.

    Args:
        monotonic_s: the time.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, key: ApiKey) -> Allowance:
        """Count a request.

        Raises:
            RefusedError: 429; there were too many.
        """
        with self._lock:
            now_s = self._monotonic_s()
            level, since_s = self._levels.get(key.id, (float(key.per_minute), now_s))
            per_s = key.per_minute / _MINUTE_S
            level = min(float(key.per_minute), level + (now_s - since_s) * per_s)
            is_over = level < 1
            self._levels[key.id] = (level if is_over else level - 1, now_s)
            left = self._levels[key.id][0]
        reset_s = math.ceil((key.per_minute - left) / per_s)
        if is_over:
            raise RefusedError(
                429,
                "rate",
                f"This key may hand in {key.per_minute} pictures a minute. Try again in a moment.",
                limit=key.per_minute,
                remaining=0,
                reset_s=reset_s,
                retry_after_s=max(1, math.ceil((1 - left) / per_s)),
            )
        return Allowance(limit=key.per_minute, remaining=int(left), reset_s=reset_s)
