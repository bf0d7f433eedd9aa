"""The result of a run, and whether it ends by itself: values for the supervisor and its caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.folder.status import PendingFile
    from cutoutd.jobs import Job


MAX_FAILED: Final = 10_000
"""The most failed jobs that are remembered by their ids, since a run may last for years."""

_COUNTED: Final = (JobState.DONE, JobState.REVIEW, JobState.FAILED, JobState.UNCHANGED)


@dataclass(slots=True)
class Tally:
    """How the jobs of this run ended."""

    done: int = 0
    review: int = 0
    failed: int = 0
    unchanged: int = 0
    doubtful: int = 0
    _failed: dict[int, None] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return the figures by name."""
        return {name: getattr(self, name) for name in ("done", "review", "failed", "unchanged", "doubtful")}

    def add(self, job: int, state: JobState, *, doubtful: bool = False) -> None:
        """Count the end of a job; a doubtful one is counted as done as well.

        An earlier failure of the same job is no longer counted, unless more than `MAX_FAILED` jobs have failed since.
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
