"""What the journal knows of the recordings of a shot: sources whose paths differ in the extension only.

It must not look at files, nor decide which recording is cut.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import JobState
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    import sqlite3

    from cutoutd.journal.store import Store

_LOST: Final = (JobState.GONE, JobState.FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A source that may be a recording of the same shot as another.

    Attributes:
        path: of the source.
        known: a version of it was accepted, and did not vanish before its turn.
        stands: it was cut, or is to be, or was left out for yet another one: the shot is not lost.
        left_out: it was not cut itself.
        until_us: when it was cut or left out, UTC microseconds, if it is not there any more: what comes later is of
            another shot. None: it is there, or is still to be cut.
    """

    path: str
    known: bool
    stands: bool
    left_out: bool
    until_us: int | None = None


def differing_in_extension(path: bytes) -> dict[str, bytes]:
    """Between which paths those lie that differ from one in the extension only; nothing if it has none."""
    stem, dot, _ = path.rpartition(b".")
    return (
        {"after": stem + b".", "before": stem + b"/"} if dot else {}
    )  # the next byte after a dot is a slash


def recordings(store: Store, folder: str, path: str) -> list[Recorded]:
    """What is known of sources whose path differs in the extension only, this one included.

    Of the sources that had one path, one after the other, the last counts.

    Args:
        store: the journal's file.
        folder: the folder's name.
        path: of one of them.
    """
    between = differing_in_extension(os.fsencode(path))
    if not between:
        return []
    rows = store.rows(SQL.published_recordings, folder=folder, **between)
    published = {row["path"]: row for row in sorted(rows, key=_generation)}
    jobs = {row["path"]: row for row in store.rows(SQL.recordings, folder=folder, **between)}
    # What a sidecar alone told of has no row: its original was moved away before this journal was made.
    return [
        _recorded(one, jobs.get(one), published.get(one)) for one in sorted(published.keys() | jobs.keys())
    ]


def _recorded(path: bytes, job: sqlite3.Row | None, published: sqlite3.Row | None) -> Recorded:
    if job is not None and published is not None and published["generation"] < job["generation"]:
        published = None  # that of an earlier source of this path
    state = JobState.GONE if job is None else JobState(job["state"])
    return Recorded(
        path=os.fsdecode(path),
        known=state is not JobState.GONE,
        stands=published is not None or state not in _LOST,
        left_out=published is None and state is JobState.SKIPPED,
        until_us=_until_us(job, published),
    )


def _until_us(job: sqlite3.Row | None, published: sqlite3.Row | None) -> int | None:
    is_away = published is not None and published["gone"]
    finished_us = None
    if job is not None:
        is_away = is_away or job["missing_us"] is not None
        finished_us = job["finished_us"]
        if finished_us is None:
            return None
    if not is_away:
        return None
    # An earlier version of cutoutd has not written down when.
    return int((published["published_us"] if published is not None else None) or finished_us or 0)


def _generation(row: sqlite3.Row) -> int:
    return int(row["generation"])
