"""What a run came to, and whether it ends by itself: values for the supervisor and for whoever starts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutoutd.jobs import JobState


@dataclass(slots=True)
class Tally:
    """What became of the jobs of this run."""

    done: int = 0
    review: int = 0
    failed: int = 0
    unchanged: int = 0
    doubtful: int = 0

    def add(self, state: JobState, *, doubtful: bool = False) -> None:
        """Count one end; a doubtful one is done as well."""
        self.doubtful += doubtful
        if state.value in self.__slots__:
            setattr(self, state.value, getattr(self, state.value) + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """A run that ends by itself.

    Attributes:
        timeout_s: after so long in any case.
    """

    timeout_s: float | None = None
