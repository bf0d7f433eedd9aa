"""One look at everything: what the journal knows, what the running daemon says, how much room is left.

Values, and how they are put together; it must not print, and touches no folder itself.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import local, rfc3339
from cutoutd.daemon import status_file
from cutoutd.jobs import IN_HAND, OPEN, JobState
from cutoutd.journal.commands import Commands
from cutoutd.journal.reader import Reader
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.state import running
from cutoutd.process import probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Folder, Settings

SCHEMA: Final = "cutoutd.status/1"

RATE_WINDOW_S: Final = 300
PACE_OF: Final = 500
"""So many of them at most are looked at for the pace."""

FAILED_OF: Final = 3
"""So many failed pictures are named; `cutoutd jobs` has all."""

MEDIAN_OF: Final = 101
"""So many of the last pictures: a median that follows a change of light or camera within a session."""

ROOM_S: Final = 2.0
"""For all outputs; one that does not answer costs the figure of those behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderView:
    """How one folder stands.

    Attributes:
        name, input, output: as configured.
        watching, why, note, links, unreadable, settling, held_up: as the running daemon says; empty without one.
        states: how many sources are in each state.
        doubtful: published, and may well be wrong.
        done_today: published since midnight.
        recent: published in the last minutes, those of `RATE_WINDOW_S`.
        per_minute: how many of them a minute of work gave; 0 if there were none.
        median_s: of work on one of the last pictures; None before the first.
        last: the last that was published.
        last_failed: some that failed last, and were not rejected by a person.
        free_bytes: where results go; None if it is not known.
        skipped: why pictures were not to be cut, and how many for each reason.
    """

    name: str
    input: str
    output: str
    watching: str | None
    why: str
    note: str
    links: int
    unreadable: int
    settling: int
    held_up: Sequence[Mapping[str, str]]
    states: Mapping[JobState, int]
    doubtful: int
    done_today: int
    recent: int
    per_minute: float
    median_s: float | None
    last: Job | None
    last_failed: Sequence[Job]
    free_bytes: int | None
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def at_work(self) -> int:
        """Pictures that a worker has, or that get their names."""
        return sum(self.states.get(state, 0) for state in IN_HAND)

    @property
    def queue(self) -> int:
        """Pictures that wait or are in work."""
        return sum(self.states.get(state, 0) for state in OPEN)

    @property
    def eta_s(self) -> float | None:
        """Seconds until all that waits is done, at the pace of the last minutes; None if that cannot be told."""
        left = self.queue - self.resting
        return 60 * left / self.per_minute if left and self.per_minute else None

    @property
    def waiting(self) -> int:
        """Pictures that wait for their turn, or for another try."""
        return self.queue - self.at_work

    @property
    def resting(self) -> int:
        """Of those that wait, pictures that are tried again at their time."""
        return self.states.get(JobState.RETRY, 0)

    @property
    def failed(self) -> int:
        """Pictures that were given up."""
        return self.states.get(JobState.FAILED, 0)

    @property
    def review(self) -> int:
        """Cutouts that wait for a person."""
        return self.states.get(JobState.REVIEW, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """How everything stands.

    Attributes:
        at_us: when it was looked at, UTC microseconds.
        running, pid, workers, worker: of the daemon.
        paused: it begins no new work, by a person's wish.
        rebuilt: the journal was rebuilt; when, from what, and why.
        state_dir: of the journal.
        folders: as configured.
        refused_configuration: why the running daemon goes on with an earlier configuration; empty if it does not.
        ended_companions: the processes beside it (`uploader`, `page`, `serve`) that have ended and do not come back.
    """

    at_us: int
    running: bool
    pid: int | None
    workers: int | None
    worker: Mapping[str, Any] | None
    paused: bool
    rebuilt: Mapping[str, str] | None
    state_dir: str
    folders: tuple[FolderView, ...]
    refused_configuration: str = ""
    ended_companions: tuple[str, ...] = ()


def room_of(places: Sequence[str], *, timeout_s: float = ROOM_S) -> dict[str, int | None]:
    """Bytes that are free in directories, as far as they answer in time."""
    distinct = list(dict.fromkeys(places))
    said = probe.run("cutoutd.overview.room", distinct, timeout_s=timeout_s).merged if distinct else {}
    return {place: said.get(str(number)) for number, place in enumerate(distinct)}


def look(settings: Settings, store: Store | None, clock: Clock, room: Mapping[str, int | None]) -> Overview:
    """Look once.

    Args:
        settings: which folders there are.
        store: the journal; None: there is none yet.
        clock: for today, and the rate.
        room: by `room_of`, for the outputs.
    """
    directory = settings.service.state_dir
    run = running(directory) if store is not None else None
    live = status_file.read(directory)
    if run is None or live.get("run") != run:
        live = {}  # a dead daemon's
    reader = Reader(store) if store is not None else None
    counts = reader.counts() if reader is not None else {}
    folders = [
        _view(
            folder,
            live.get("folders", {}).get(folder.name, {}),
            reader,
            counts.get(folder.name, {}),
            now_us=clock.now_us(),
            free_bytes=room.get(os.fspath(folder.output)),
        )
        for folder in settings.folder
    ]
    note = rebuilt(store) if store is not None else None
    return Overview(
        at_us=clock.now_us(),
        running=run is not None,
        pid=live.get("pid"),
        workers=live.get("workers"),
        worker=live.get("worker"),
        paused=store is not None and Commands(store, clock).is_paused(),
        rebuilt=None
        if note is None
        else {"at": rfc3339(note.at_us), "set_aside": note.aside, "why": note.cause},
        state_dir=str(directory),
        folders=tuple(folders),
        refused_configuration=str(live.get("refused_configuration") or ""),
        ended_companions=tuple(live.get("ended_companions") or ()),
    )


def _view(
    folder: Folder,
    said: Mapping[str, Any],
    reader: Reader | None,
    states: Mapping[JobState, int],
    *,
    now_us: int,
    free_bytes: int | None,
) -> FolderView:
    """One folder: what the running daemon says of it, and what the journal knows."""
    name, since_us = folder.name, now_us - RATE_WINDOW_S * 1_000_000
    seconds = reader.seconds(name, MEDIAN_OF) if reader is not None else []
    work = reader.work_since(name, since_us, PACE_OF) if reader is not None else []
    return FolderView(
        name=name,
        input=os.fspath(folder.input),
        output=os.fspath(folder.output),
        watching=said.get("watching"),
        why=said.get("why", ""),
        note=said.get("note", ""),
        links=said.get("links", 0),
        unreadable=said.get("unreadable", 0),
        settling=said.get("settling", 0),
        held_up=said.get("held_up", []),
        states=states,
        doubtful=reader.doubtful(name) if reader is not None else 0,
        done_today=reader.done_since(name, midnight_us(now_us)) if reader is not None else 0,
        recent=reader.done_since(name, since_us) if reader is not None else 0,
        per_minute=per_minute(work),
        median_s=statistics.median(seconds) if seconds else None,
        last=reader.last_done(name) if reader is not None else None,
        last_failed=reader.last_failed(name, FAILED_OF) if reader is not None else (),
        free_bytes=free_bytes,
        skipped=reader.skipped(name) if reader is not None else {},
    )


def midnight_us(now_us: int) -> int:
    """When this day began, where this machine is, in UTC microseconds."""
    here = local(now_us)
    return int(here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1_000_000)


GAP_S: Final = 3.0
"""Between two pictures of one stretch: a result gets its name, the next picture its worker."""


def per_minute(done: Iterable[tuple[int, float]]) -> float:
    """Pictures a minute of work.

    Args:
        done: of each picture, when it was published in UTC microseconds, and how many seconds work on it took; any order.

    Returns:
        0 if nothing was done.
    """
    spans = sorted((end_us / 1e6 - seconds, end_us / 1e6) for end_us, seconds in done)
    if not spans:
        return 0.0
    busy_s, (begin_s, end_s) = 0.0, spans[0]
    for next_begin_s, next_end_s in spans[1:]:
        if next_begin_s > end_s + GAP_S:
            busy_s += end_s - begin_s
            begin_s = next_begin_s
        end_s = max(end_s, next_end_s)
    busy_s += end_s - begin_s
    return 60 * len(spans) / busy_s if busy_s > 0 else 0.0
