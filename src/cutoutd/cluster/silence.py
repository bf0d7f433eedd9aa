"""Notices when the scheduler or a machine has become silent, as after a cut cable, where nothing reports that the other side is gone.

Without it TCP would take half a minute to notice, and Dask as long to take a machine for gone; `fallback_after_s` would begin only
then. Times are in monotonic seconds of this process. The scheduler's clock is compared with itself alone. Nothing is closed here: who
answers again counts as never having been away.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.cluster.machines import RemoteMachine

ASK_S: Final = 2.0
"""Seconds between an answer of the scheduler and the next question, while there is something to send. Otherwise it is not asked, and an
earlier silence means nothing."""

LEAST_S: Final = 4.0
MOST_S: Final = 10.0
"""Bounds of the time after which silence counts. A machine reports every half second, with two hundred machines every two seconds; one
that is overloaded may be late by a few."""


def tolerated_s(fallback_after_s: float) -> float:
    """Return how long a scheduler or a machine may be silent until it counts as away."""
    return min(MOST_S, max(LEAST_S, fallback_after_s))


@dataclass(kw_only=True, slots=True)
class Silence:
    """How long scheduler and machines have been silent.

    Attributes:
        tolerated_s: from `tolerated_s`.
        answered_s: time of the scheduler's last answer; None: it has not answered since it was connected.
        asked_s: time of the question that it has not answered yet; None: there is none.
    """

    tolerated_s: float
    answered_s: float | None = None
    asked_s: float | None = None
    _seen: dict[str, tuple[float, float]] = field(default_factory=dict)

    def asked(self, now_s: float) -> None:
        """Note that the scheduler was asked."""
        self.asked_s = now_s

    def answered(self, machines: Iterable[RemoteMachine], now_s: float) -> list[RemoteMachine]:
        """Note that the scheduler has answered.

        Args:
            machines: the machines that it has named.
            now_s: the time.

        Returns:
            The machines, with the time for which each has been silent if that is too long.
        """
        earliest_s = now_s if self.answered_s is None else self.answered_s
        self.answered_s, self.asked_s = now_s, None
        before = self._seen
        self._seen = {}
        found = []
        for one in machines:
            seen, since_s = before.get(one.address, (one.seen, now_s))
            if one.seen != seen:  # since the last answer; when, the scheduler's clock says
                since_s = min(now_s, max(earliest_s, since_s + one.seen - seen))
            self._seen[one.address] = (one.seen, since_s)
            silent_s = now_s - since_s
            found.append(replace(one, silent_s=silent_s if silent_s > self.tolerated_s else 0.0))
        return found

    def of_scheduler(self, now_s: float) -> float:
        """Return for how long the scheduler has been silent, in seconds; 0 if it has answered each question."""
        if self.asked_s is None:
            return 0.0
        return now_s - max(self.answered_s or 0.0, self.asked_s - ASK_S)

    def is_too_long(self, now_s: float) -> bool:
        """Return whether the scheduler has left a question unanswered for too long."""
        return self.of_scheduler(now_s) > self.tolerated_s
