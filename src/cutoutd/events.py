"""The daemon's events as values: one stream for the terminal, the owner's hooks and the tests.

An event is passed to an `EventSink`, which must return at once. Most come from the main thread; `Accepted` and `FolderChanged`
come from the folders' own threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The daemon is ready, with this many folders, and this many workers that load the model."""

    folders: int
    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """This many more pictures wait."""

    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnded:
    """The end of one job.

    Attributes:
        job: id of the job.
        folder: name of the folder.
        path: path of the source, relative to the folder's input.
        state: its state.
        outputs: absolute paths of what was published for it.
        why: the reason, for states other than DONE, and if a result is doubtful or was not published.
        advice: for a failure, what to do about it.
        record: for a failure, path of its record in the folder's output; empty: it could not be written yet.
        seconds: a worker's time on it; 0: none.
        doubtful: whether it is published and may be wrong.
        note: remarks about the names of what was published.
    """

    job: int
    folder: str
    path: str
    state: JobState
    outputs: tuple[str, ...] = ()
    why: str = ""
    advice: str = ""
    record: str = ""
    seconds: float = 0.0
    doubtful: bool = False
    note: str = ""

    @classmethod
    def of(cls, job: Job, state: JobState, why: str = "", advice: str = "") -> JobEnded:
        """Return the end of a job from its row, in a state that the row may not have yet."""
        return cls(job=job.id, folder=job.folder, path=job.path, state=state, why=why, advice=advice)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueCounts:
    """The queue at a moment, from the journal; emitted repeatedly, even if it is the same.

    Attributes:
        waiting: number of queued pictures.
        in_work: number of pictures that are being cut, uploaded or published.
        resting: number of pictures that are tried again later.
        is_paused: whether a person has paused new work.
    """

    waiting: int
    in_work: int
    resting: int
    is_paused: bool

    @classmethod
    def of(cls, open_jobs: Mapping[JobState, int], *, is_paused: bool) -> QueueCounts:
        """Return the counts from the number of jobs in each open state."""
        waiting, resting = open_jobs.get(JobState.QUEUED, 0), open_jobs.get(JobState.RETRY, 0)
        in_work = sum(open_jobs.values()) - waiting - resting
        return cls(waiting=waiting, in_work=in_work, resting=resting, is_paused=is_paused)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderChanged:
    """A folder's state has changed.

    Attributes:
        folder: name of the folder.
        is_open: whether it may be worked on now.
        message: text for a person.
    """

    folder: str
    is_open: bool
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmChanged:
    """Something needs the owner, or no longer does.

    Attributes:
        folder: name of the folder; empty: all folders.
        kind: stable name of the condition.
        message: text for a person.
        is_over: whether the condition has ended.
    """

    folder: str
    kind: str
    message: str
    is_over: bool = False


Event: TypeAlias = Started | Accepted | JobEnded | QueueCounts | FolderChanged | AlarmChanged

EventSink: TypeAlias = Callable[[Event], None]
"""Receives each event; must return at once, and may be called from any thread."""
