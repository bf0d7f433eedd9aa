"""What the journal knows of the recordings of a shot: sources whose paths differ only in the extension.

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
    """A source that may be a recording of the same shot as another one.

    Attributes:
        path: path of the source.
        known: whether a version of it was accepted, and did not vanish before its turn.
        is_covered: whether it was cut, is to be cut, or was left out for yet another recording: the shot is not lost.
        left_out: whether it was not cut itself.
        until_us: when it was cut or left out, UTC microseconds, if it is not there any more: a later file belongs to another
            shot. None: it is there, or is still to be cut.
    """

    path: str
    known: bool
    is_covered: bool
    left_out: bool
    until_us: int | None = None


def differing_in_extension(path: bytes) -> dict[str, bytes]:
    """Return the bounds of the paths that differ from one only in the extension; empty if it has none."""
    stem, dot, _ = path.rpartition(b".")
    # The next byte after a dot is a slash.
    return {"after": stem + b".", "before": stem + b"/"} if dot else {}


def recordings(store: Store, folder: str, path: str) -> list[Recorded]:
    """Return what is known of all sources whose path differs only in the extension from one, that one included.

    Of several sources that had the same path, the last one counts.

    Args:
        store: the journal's file.
        folder: name of the folder.
        path: path of one of the sources.
    """
    between = differing_in_extension(os.fsencode(path))
    if not between:
        return []
    rows = store.rows(SQL.published_recordings, folder=folder, **between)
    published = {row["path"]: row for row in sorted(rows, key=_generation)}
    jobs = {row["path"]: row for row in store.rows(SQL.recordings, folder=folder, **between)}
    # A source known from a sidecar alone has no row: its original was moved away before this journal was made.
    return [
        _recorded_of(one, jobs.get(one), published.get(one)) for one in sorted(published.keys() | jobs.keys())
    ]


def _recorded_of(path: bytes, job: sqlite3.Row | None, published: sqlite3.Row | None) -> Recorded:
    if job is not None and published is not None and published["generation"] < job["generation"]:
        published = None  # of an earlier source of this path
    state = JobState.GONE if job is None else JobState(job["state"])
    is_result = job is not None and bool(job["is_result"])  # of a shot, and no recording of it
    return Recorded(
        path=os.fsdecode(path),
        known=state is not JobState.GONE,
        is_covered=published is not None or not (is_result or state in _LOST),
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
    # Earlier versions of cutoutd did not store the time.
    return int((published["published_us"] if published is not None else None) or finished_us or 0)


def _generation(row: sqlite3.Row) -> int:
    return int(row["generation"])
