"""Deeds that the disk, the share or the journal refused, until they are tried again.

Used by one thread; it must not carry anything out itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutoutd.clock import Clock

Deed = Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rest:
    """One deed.

    Attributes:
        until_s: when it is tried again, in monotonic seconds.
        needs_staged: what is staged must stay for it.
    """

    until_s: float
    deed: Deed
    needs_staged: bool


class Resting:
    """The deeds of one delivery that rest.

    Args:
        clock: its monotonic side.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rests: list[_Rest] = []

    @property
    def needs_staged(self) -> bool:
        """Whether one of them needs what is staged."""
        return any(rest.needs_staged for rest in self._rests)

    @property
    def next_s(self) -> float | None:
        """When the next one is due, in monotonic seconds; None: there is none."""
        return min((rest.until_s for rest in self._rests), default=None)

    def add(self, deed: Deed, delay_s: float, *, needs_staged: bool) -> None:
        """Let a deed rest for a time."""
        until_s = self._clock.monotonic_s() + delay_s
        self._rests.append(_Rest(until_s=until_s, deed=deed, needs_staged=needs_staged))

    def take_due(self) -> Deed | None:
        """A deed whose rest is over, the one that began to rest first."""
        now_s = self._clock.monotonic_s()
        due = next((rest for rest in self._rests if rest.until_s <= now_s), None)
        if due is None:
            return None
        self._rests.remove(due)
        return due.deed
