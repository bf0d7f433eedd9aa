"""What the daemon does while it does it, as values: one stream of events for the terminal, the owner's hooks and the tests.

An event is told by calling an `EventSink`, which must return at once. Most come from the main thread;
`Accepted` and `FolderChanged` come from the folders' own threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The daemon is ready: so many folders, and so many workers that load the model."""

    folders: int
    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """So many more pictures wait."""

    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnded:
    """What became of one job.

    Attributes:
        job: its id.
        folder: the folder's name.
        path: of the source, relative to the folder's input.
        state: where it ended.
        outputs: absolute paths of what was published for it.
        why: for states other than DONE, and where a result is doubtful or was not published.
        advice: of a failure, what to do about it.
        record: of a failure, where it lies in the folder's output; empty if it could not be left yet.
        seconds: of work, where a worker did any.
        doubtful: it is published, and may well be wrong.
        note: what is to be said of the names of what was published.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueCounts:
    """What there is to do at a moment, as the journal has it; told again and again, also if it is the same.

    Attributes:
        waiting: pictures whose turn comes.
        in_work: pictures that a worker has, that are on their way, or that get their names.
        resting: pictures that are tried again later.
        is_paused: nothing new is begun, by a person's wish.
    """

    waiting: int
    in_work: int
    resting: int
    is_paused: bool

    @classmethod
    def of(cls, open_jobs: Mapping[JobState, int], *, is_paused: bool) -> QueueCounts:
        """Counts from the number of jobs in each state that is not over."""
        waiting, resting = open_jobs.get(JobState.QUEUED, 0), open_jobs.get(JobState.RETRY, 0)
        in_work = sum(open_jobs.values()) - waiting - resting
        return cls(waiting=waiting, in_work=in_work, resting=resting, is_paused=is_paused)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderChanged:
    """A folder stands by, is watched or polled, or goes on; the message is for a person."""

    folder: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmChanged:
    """Something needs the owner, or does not any more.

    Attributes:
        folder: its name; empty if it concerns all.
        kind: stable name of what it is.
        message: for a person.
        is_over: it is well again.
    """

    folder: str
    kind: str
    message: str
    is_over: bool = False


Event: TypeAlias = Started | Accepted | JobEnded | QueueCounts | FolderChanged | AlarmChanged

EventSink: TypeAlias = Callable[[Event], None]
"""Is told of each event; must return at once, from any thread."""
