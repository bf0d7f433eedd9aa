"""The overview of all folders, from the journal, the running daemon's status, and the free disk space.

Values only; this module must not print, and touches no folder itself.
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
from cutoutd.journal.state_disk import trouble_of
from cutoutd.process import probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Job
    from cutoutd.journal.state_disk import StateDiskTrouble
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Folder, Settings

SCHEMA: Final = "cutoutd.status/1"

RATE_WINDOW_S: Final = 300
PACE_OF: Final = 500
"""The most pictures that are used for the pace."""

FAILED_OF: Final = 3
"""The most failed pictures that are named; `cutoutd jobs` lists all."""

MEDIAN_OF: Final = 101
"""The number of pictures for the median, which follows a change of light or camera within a session."""

ROOM_S: Final = 2.0
"""Time limit for all outputs; if one does not respond, those after it have no figure either."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderView:
    """The view of one folder.

    Attributes:
        name, input, output: as configured.
        watching, why, trouble, note, links, unreadable, settling, held_up: from the running daemon's status; empty without a daemon.
        states: number of sources in each state.
        doubtful: number of published cutouts that may be wrong.
        done_today: number published since midnight.
        recent: number published in the last `RATE_WINDOW_S`.
        per_minute: number of these per minute of work; 0: there were none.
        median_s: median time of the last pictures, in seconds; None: there were none.
        last: the job that was published last.
        rejected: number of the failed pictures whose cutouts a person rejected.
        last_failed: jobs that failed last, without those that a person rejected.
        free_bytes: free space where results go; None: not known.
        skipped: reasons why pictures were skipped, with the number for each.
        originals_to_go: number of originals that are still to be moved or deleted.
    """

    name: str
    input: str
    output: str
    watching: str | None
    why: str
    trouble: str | None
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
    rejected: int
    last_failed: Sequence[Job]
    free_bytes: int | None
    skipped: Mapping[str, int] = field(default_factory=dict)
    originals_to_go: int = 0

    @property
    def at_work(self) -> int:
        """Number of pictures that workers have, or that are being published."""
        return sum(self.states.get(state, 0) for state in IN_HAND)

    @property
    def queue(self) -> int:
        """Number of pictures that wait or are in work."""
        return sum(self.states.get(state, 0) for state in OPEN)

    @property
    def eta_s(self) -> float | None:
        """Seconds until the queue is done, at the pace of the last minutes; None: not known."""
        left = self.queue - self.resting
        return 60 * left / self.per_minute if left and self.per_minute else None

    @property
    def waiting(self) -> int:
        """Number of pictures that are queued, or wait for another try."""
        return self.queue - self.at_work

    @property
    def resting(self) -> int:
        """Number of the waiting pictures that are delayed before another try."""
        return self.states.get(JobState.RETRY, 0)

    @property
    def failed(self) -> int:
        """Number of failed pictures, with those whose cutouts a person rejected."""
        return self.states.get(JobState.FAILED, 0)

    @property
    def review(self) -> int:
        """Number of cutouts that wait for a person."""
        return self.states.get(JobState.REVIEW, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The view of everything.

    Attributes:
        at_us: when it was made, UTC microseconds.
        running, pid, workers, worker: facts of the daemon.
        paused: whether a person has paused new work.
        rebuilt: when and why the journal was rebuilt, and the old file's name; None: it was not.
        state_dir: the state directory.
        state_trouble: why the state directory cannot be written, and what to do; None: nothing is known of that.
        folders: views of the folders, as configured.
        refused_configuration: why the running daemon uses an earlier configuration; empty: it does not.
        ended_companions: companion processes (`uploader`, `cluster`, `page`, `serve`) that have ended and are not restarted.
        cluster_away: since when the cluster is away, and from when on pictures are cut here, UTC microseconds; None: it is not.
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
    cluster_away: Mapping[str, int] | None = None
    state_trouble: StateDiskTrouble | None = None


def room_of(places: Sequence[str], *, timeout_s: float = ROOM_S) -> dict[str, int | None]:
    """Return the free bytes of directories; None for those that do not respond in time."""
    distinct = list(dict.fromkeys(places))
    said = probe.run("cutoutd.overview.room", distinct, timeout_s=timeout_s).merged if distinct else {}
    return {place: said.get(str(number)) for number, place in enumerate(distinct)}


def summarise(
    settings: Settings, store: Store | None, clock: Clock, room: Mapping[str, int | None]
) -> Overview:
    """Return the overview.

    Args:
        settings: the configuration.
        store: the journal; None: there is none yet.
        clock: clock for the day and the rate.
        room: result of `room_of` for the outputs.
    """
    directory = settings.service.state_dir
    run = running(directory) if store is not None else None
    live = status_file.read(directory)
    if run is None or live.get("run") != run:
        live = {}  # of an ended daemon
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
        cluster_away=live.get("cluster"),
        state_trouble=trouble_of(directory, settings.service.min_free_disk_mb),
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
    """Return the view of one folder, from the running daemon's status and the journal."""
    name, since_us = folder.name, now_us - RATE_WINDOW_S * 1_000_000
    seconds = reader.seconds(name, MEDIAN_OF) if reader is not None else []
    work = reader.work_since(name, since_us, PACE_OF) if reader is not None else []
    return FolderView(
        name=name,
        input=os.fspath(folder.input),
        output=os.fspath(folder.output),
        watching=said.get("watching"),
        why=said.get("why", ""),
        trouble=said.get("trouble"),
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
        rejected=reader.rejected(name) if reader is not None else 0,
        last_failed=reader.last_failed(name, FAILED_OF) if reader is not None else (),
        free_bytes=free_bytes,
        skipped=reader.skipped(name) if reader is not None else {},
        originals_to_go=reader.originals_to_go(name) if reader is not None else 0,
    )


def midnight_us(now_us: int) -> int:
    """Return when the current day began in this machine's time zone, in UTC microseconds."""
    here = local(now_us)
    return int(here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1_000_000)


GAP_S: Final = 3.0
"""The longest pause between two pictures of one stretch of work: publication, and the start of the next picture."""


def per_minute(done: Iterable[tuple[int, float]]) -> float:
    """Return the number of pictures per minute of work.

    Args:
        done: for each picture, when it was published, UTC microseconds, and how many seconds it took; in any order.

    Returns:
        The number; 0 without pictures.
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
