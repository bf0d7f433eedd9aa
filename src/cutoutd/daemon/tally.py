"""The result of a run, and whether it ends by itself: values for the supervisor and its caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.folder.status import PendingFile
    from cutoutd.jobs import Job


MAX_KNOWN: Final = 10_000
"""The most jobs whose ends are remembered, since a run may last for years."""

_COUNTED: Final = (JobState.DONE, JobState.REVIEW, JobState.FAILED, JobState.UNCHANGED)


@dataclass(slots=True)
class Tally:
    """How the pictures of this run ended: each counts once, as it ended last."""

    done: int = 0
    review: int = 0
    failed: int = 0
    unchanged: int = 0
    doubtful: int = 0
    _ends: dict[int, tuple[JobState, bool]] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return the figures by name."""
        return {name: getattr(self, name) for name in ("done", "review", "failed", "unchanged", "doubtful")}

    def add(self, job: int, state: JobState, *, doubtful: bool = False) -> None:
        """Count the end of a job; a doubtful one is counted as done as well.

        An earlier end of the same job, such as before a decision in review, is no longer counted, unless more than `MAX_KNOWN` jobs
        have ended since.
        """
        if (earlier := self._ends.pop(job, None)) is not None:
            self._count(*earlier, by=-1)
        if state not in _COUNTED:
            return
        self._count(state, doubtful, by=1)
        self._ends[job] = (state, doubtful)
        if len(self._ends) > MAX_KNOWN:
            del self._ends[next(iter(self._ends))]

    def _count(self, state: JobState, doubtful: bool, *, by: int) -> None:  # noqa: FBT001 -- as it is remembered
        self.doubtful += by * doubtful
        setattr(self, state.value, getattr(self, state.value) + by)


@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """A run that ends by itself.

    Attributes:
        timeout_s: seconds after which it ends in any case; None: no limit.
    """

    timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of a run.

    Attributes:
        tally: how its jobs ended.
        remaining: jobs that are not over, by folder.
        held_up: files that could not be taken yet, with the reason.
        closed: folders that could not be worked on, with the reason.
        cluster: why no picture of a folder can be sent to the cluster, by folder; empty: it can.
        uploads: why pictures that wait for the hosted service got no answer; empty: not known.
    """

    tally: Tally
    remaining: Mapping[str, list[Job]]
    held_up: Mapping[str, tuple[PendingFile, ...]]
    closed: Mapping[str, str]
    uploads: str = ""
    cluster: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed, nothing remains, and every folder could be looked at."""
        left = (*self.remaining.values(), *self.held_up.values(), self.closed)
        return not self.tally.failed and not any(left)
