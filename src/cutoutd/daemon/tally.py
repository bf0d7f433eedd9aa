"""What a run came to, and whether it ends by itself: values for the supervisor and for whoever starts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.folder.status import PendingFile
    from cutoutd.jobs import Job


MAX_FAILED: Final = 10_000
"""So many of those that failed are known by their numbers: a run may last for years."""

_COUNTED: Final = (JobState.DONE, JobState.REVIEW, JobState.FAILED, JobState.UNCHANGED)


@dataclass(slots=True)
class Tally:
    """What became of the jobs of this run."""

    done: int = 0
    review: int = 0
    failed: int = 0
    unchanged: int = 0
    doubtful: int = 0
    _failed: dict[int, None] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """The figures, each by its name."""
        return {name: getattr(self, name) for name in ("done", "review", "failed", "unchanged", "doubtful")}

    def add(self, job: int, state: JobState, *, doubtful: bool = False) -> None:
        """Count one end; a doubtful one is done as well.

        A failure of before, which was tried again, does not count; one that more than `MAX_FAILED` came after still does.
        """
        if job in self._failed:
            del self._failed[job]
            self.failed -= 1
        if state is JobState.FAILED:
            self._failed[job] = None
            if len(self._failed) > MAX_FAILED:
                del self._failed[next(iter(self._failed))]
        self.doubtful += doubtful
        if state in _COUNTED:
            setattr(self, state.value, getattr(self, state.value) + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """A run that ends by itself.

    Attributes:
        timeout_s: after so long in any case.
    """

    timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        tally: what became of its jobs.
        remaining: jobs that are not over, by folder.
        held_up: files that could not be taken yet, and why.
        closed: folders that could not be worked on, and why.
        uploads: why pictures that wait for the hosted service got no answer; empty if that is not known.
    """

    tally: Tally
    remaining: Mapping[str, list[Job]]
    held_up: Mapping[str, tuple[PendingFile, ...]]
    closed: Mapping[str, str]
    uploads: str = ""

    @property
    def is_clean(self) -> bool:
        """Nothing failed, nothing remains, and every folder could be looked at."""
        left = (*self.remaining.values(), *self.held_up.values(), self.closed)
        return not self.tally.failed and not any(left)
