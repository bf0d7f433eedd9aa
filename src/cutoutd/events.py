"""Who wants to hear what the daemon does while it does it: the log, and a person at a terminal.

Values and a Protocol; the command line brings the implementation that draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cutoutd.jobs import JobState


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
class Progress:
    """What there is to do at a moment, as the journal has it.

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


class Listener(Protocol):
    """Is told what happens; must return at once. ``accepted`` may come from any thread."""

    @property
    def wants_progress(self) -> bool:
        """Whether somebody looks who wants to be told `progress`; to find it out costs a look into the journal."""

    def progress(self, progress: Progress) -> None:
        """What there is to do now; told again and again, also if it is the same."""

    def started(self, folders: int, workers: int) -> None:
        """The daemon is ready."""

    def accepted(self, count: int) -> None:
        """So many more pictures wait."""

    def result(self, result: JobEnded) -> None:
        """A job has ended."""

    def attention(self, folder: str, message: str) -> None:
        """A folder's status changed: it stands by, is polled, or goes on."""
