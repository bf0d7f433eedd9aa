"""The rate limit of uploads: a token bucket per key, refilled within a minute."""

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
    """The remaining allowance of a rate limit.

    Attributes:
        limit: requests per minute.
        remaining: requests allowed now.
        reset_s: seconds until the bucket is full.
    """

    limit: int
    remaining: int
    reset_s: int

    @property
    def named(self) -> dict[str, int]:
        """Return the values for a reply."""
        return {"limit": self.limit, "remaining": self.remaining, "reset_s": self.reset_s}


class Rates:
    """The token buckets of all keys.

    Args:
        monotonic_s: monotonic clock, seconds.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, key: ApiKey) -> Allowance:
        """Take a token for a request.

        Raises:
            RefusedError: 429; the bucket is empty.
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
