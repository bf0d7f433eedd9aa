"""The way of a job through its states; every step is one transaction.

    queued ─▶ working ─▶ publishing ─▶ done | review
      ▲          ├──▶ unchanged | gone | failed
      ├─ retry ◀─┤
      └────── uploading ─▶ unknown          of tagged folders alone

It decides nothing: whether a failure is tried again is `cutoutd.retry`'s answer, passed in.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import Job, JobState
from cutoutd.journal.integers import restored
from cutoutd.journal.sources import PAIR
from cutoutd.retry import ALONE_AFTER, MAX_DELAY_S, MAX_INTERRUPTED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

BY_MODEL: Final = "model:"
"""Begins the argument of a command that names a model and means all that it cut."""

_AFRESH: Final = (
    "state = 'queued', forced = 1, attempts = 0, interrupted = 0, tries = 0, not_before_us = 0, "
    "finished_us = NULL"
)

_TAKEN_OVER: Final = ""  # in the place of a dead run's id, within one transaction

_QUARANTINED = {
    "code": "Lost",
    "title": "The picture could not be processed",
    "cause": f"the daemon itself ended {MAX_INTERRUPTED} times while this picture was in work",
    "advice": "The original is untouched. `cutoutd retry` tries it again.",
}


# What is to be done about a job a person asks for again: what may have been billed is then sent once more.
_PLAN_OF_RETRY = (
    "CASE WHEN state = 'unknown' OR json_extract(detail, '$.failure.code') = 'Reply' "
    "THEN '{\"again\": true}' ELSE '{}' END"
)
_ANSWERED = " AND json_extract(detail, '$.reply') IS NOT NULL"


def job_from_row(row: sqlite3.Row) -> Job:
    """A row of the table ``job`` as a value."""
    return Job(
        id=row["id"],
        folder=row["folder"],
        path=os.fsdecode(row["path"]),
        generation=row["generation"],
        size=row["size"],
        mtime_ns=restored(row["mtime_ns"]),
        state=JobState(row["state"]),
        forced=bool(row["forced"]),
        attempts=row["attempts"],
        interrupted=row["interrupted"],
        tries=row["tries"],
        alone=bool(row["alone"]),
        accepted_us=row["accepted_us"],
        not_before_us=row["not_before_us"],
        finished_us=row["finished_us"],
        sha256=row["sha256"],
        detail=_detail(row["detail"]),
    )


def _detail(text: str) -> dict[str, Any]:
    """What a row remembers; nothing, where it was edited by hand into what is no object."""
    detail = json.loads(text)
    return detail if isinstance(detail, dict) else {}


class Queue:
    """The jobs and their transitions, owned by one run of the daemon.

    Args:
        store: the journal's file.
        clock: for the times written down.
        session: id of this process, which holds the state directory's lock file.
    """

    def __init__(self, store: Store, clock: Clock, session: str) -> None:
        self._store = store
        self._clock = clock
        self._session = session

    def next_in(
        self, folder: str, *, newest_first: bool, answered_only: bool = False, untried_first: bool = False
    ) -> Job | None:
        """The job of a folder whose turn it is; jobs that must run alone come last.

        A source whose earlier version is still in work has to wait: results of one source never overtake.
        """
        direction = "DESC" if newest_first else "ASC"
        answered = _ANSWERED if answered_only else ""
        rows = (
            self._store.row(
                "SELECT * FROM job AS j WHERE folder = ? AND state = 'queued' AND NOT EXISTS ("  # noqa: S608 -- literals
                " SELECT 1 FROM job AS b WHERE b.folder = j.folder AND b.path = j.path"
                " AND b.state IN ('working', 'uploading', 'publishing'))"
                f"{answered}{tried} ORDER BY alone, mtime_ns {direction}, id {direction} LIMIT 1",
                (folder,),
            )
            for tried in ((" AND tries = 0", "") if untried_first else ("",))
        )
        return next((job_from_row(row) for row in rows if row is not None), None)

    def claim(self, job: Job) -> None:
        """A worker gets it."""
        with self._store.transaction():
            self._update(job.id, JobState.WORKING, session=self._session)

    def plan(self, job: int, detail: Mapping[str, Any]) -> None:
        """Queue it again, with what is to be done about it next; see `cutoutd.offload.routing`."""
        with self._store.transaction():
            self.plan_within(job, detail)

    def plan_within(self, job: int, detail: Mapping[str, Any]) -> None:
        """As `plan`, inside a transaction of the caller's."""
        self._update(job, JobState.QUEUED, session=None, detail=dict(detail))

    def upload(self, job: int, detail: Mapping[str, Any]) -> None:
        """Its copy goes to the outbox; ``detail`` names the parcel."""
        with self._store.transaction():
            self._update(job, JobState.UPLOADING, session=None, detail=dict(detail))

    def uploading(self, folder: str | None = None) -> list[Job]:
        """What is on its way to a hosted service and has no answer."""
        rows = self._store.rows(
            "SELECT * FROM job WHERE state = 'uploading' AND (? IS NULL OR folder = ?) ORDER BY id",
            (folder, folder),
        )
        return [job_from_row(row) for row in rows]

    def answered(self) -> list[Job]:
        """What has an answer of a hosted service and waits for a worker."""
        rows = self._store.rows(f"SELECT * FROM job WHERE state = 'queued'{_ANSWERED}")  # noqa: S608 -- a literal
        return [job_from_row(row) for row in rows]

    def count_queued(self, folder: str) -> int:
        """How many jobs of a folder wait for a worker."""
        row = self._store.row(
            "SELECT COUNT(*) AS n FROM job WHERE folder = ? AND state = 'queued'", (folder,)
        )
        return int(row["n"]) if row is not None else 0

    def put_back(self, job: int, *, alone: bool | None = None) -> None:
        """It was not begun, or was stopped for a reason that is not its own.

        Args:
            job: the job.
            alone: whether it must run while no other does; None: as before.
        """
        with self._store.transaction():
            self.put_back_within(job)
            if alone is not None:
                self._store.write("UPDATE job SET alone = ? WHERE id = ?", (alone, job))

    def put_back_within(self, job: int) -> None:
        """As `put_back`, inside a transaction of the caller's."""
        self._update(job, JobState.QUEUED, session=None, detail={})

    def publish_within(self, job: int, *, sha256: str, detail: dict[str, Any]) -> None:
        """Its results are staged; ``detail`` says what will get which name. Inside a transaction of the caller's."""
        self._update(job, JobState.PUBLISHING, session=self._session, sha256=sha256, detail=detail)

    def finish(
        self,
        job: int,
        state: JobState,
        *,
        detail: dict[str, Any],
        sha256: str | None = None,
        cleanup_pending: bool = False,
    ) -> None:
        """It is over: ``state`` says how; ``cleanup_pending``, whether something is left to do about its original or record."""
        with self._store.transaction():
            self.finish_within(job, state, detail=detail, sha256=sha256, cleanup_pending=cleanup_pending)

    def finish_within(
        self,
        job: int,
        state: JobState,
        *,
        detail: dict[str, Any],
        sha256: str | None = None,
        cleanup_pending: bool = False,
    ) -> None:
        """As `finish`, inside a transaction of the caller's."""
        changes: dict[str, Any] = {
            "session": None,
            "finished_us": self._clock.now_us(),
            "detail": detail,
            "forced": 0,
            "cleanup_pending": cleanup_pending,
        }
        if sha256 is not None:
            changes["sha256"] = sha256
        self._update(job, state, **changes)
        if state in (JobState.GONE, JobState.FAILED):
            self._take_other_recording(job)

    def publishing(self, job: int) -> Job | None:
        """A job whose results are being given their names; None if they are not."""
        row = self._store.row("SELECT * FROM job WHERE id = ? AND state = 'publishing'", (job,))
        return job_from_row(row) if row is not None else None

    def count_open(self) -> int:
        """How many jobs are still to be done, over all folders."""
        row = self._store.row(
            "SELECT COUNT(*) AS n FROM job "
            "WHERE state IN ('queued', 'working', 'uploading', 'publishing', 'retry')"
        )
        return int(row["n"]) if row is not None else 0

    def open_by_state(self) -> dict[JobState, int]:
        """How many jobs are still to be done, over all folders, by their states."""
        rows = self._store.rows(
            "SELECT state, COUNT(*) AS n FROM job "
            "WHERE state IN ('queued', 'working', 'uploading', 'publishing', 'retry') GROUP BY state"
        )
        return {JobState(row["state"]): int(row["n"]) for row in rows}

    def cleanup_pending(self, folder: str) -> list[Job]:
        """Jobs of a folder whose originals are still to be moved or deleted, or whose failures to be written down."""
        rows = self._store.rows(
            "SELECT * FROM job WHERE folder = ? AND cleanup_pending = 1 "
            "AND (state IN ('done', 'unchanged') OR (state = 'failed' AND newest = 1)) ORDER BY id",
            (folder,),
        )
        return [job_from_row(row) for row in rows]

    def is_over(self, folder: str, path: str, *, after_us: int) -> bool:
        """Whether the newest version of a source came to a result after a moment, UTC microseconds."""
        found = self._store.row(
            "SELECT 1 FROM job WHERE folder = ? AND path = ? AND newest = 1 "
            "AND state IN ('done', 'unchanged', 'review') AND finished_us > ?",
            (folder, os.fsencode(path), after_us),
        )
        return found is not None

    def cleaned_up(self, job: int) -> None:
        """Its original was moved or deleted, or is not what was cut any more; or the record of its failure is written."""
        with self._store.transaction():
            self.cleaned_up_within(job)

    def cleaned_up_within(self, job: int) -> None:
        """As `cleaned_up`, inside a transaction of the caller's."""
        self._store.write("UPDATE job SET cleanup_pending = 0 WHERE id = ?", (job,))

    def doubt_within(self, job: int) -> None:
        """The next look at its source accepts it again, and a worker compares the bytes."""
        self._store.write("UPDATE job SET provisional = 1 WHERE id = ?", (job,))

    def join_within(self, job: int, generation: int) -> None:
        """Its source is one that was at this path before."""
        self._store.write("UPDATE job SET generation = ? WHERE id = ?", (generation, job))

    def rest(self, job: int, delay_s: float, *, detail: dict[str, Any]) -> None:
        """A passing fault: another try after ``delay_s``."""
        not_before = self._clock.now_us() + int(delay_s * 1_000_000)
        with self._store.transaction():
            self._store.write("UPDATE job SET tries = tries + 1 WHERE id = ?", (job,))
            self._update(job, JobState.RETRY, session=None, not_before_us=not_before, detail=detail)

    def count_attempt(self, job: int) -> int:
        """A worker died over it while we lived; returns how many did by now."""
        with self._store.transaction():
            self._store.write("UPDATE job SET attempts = attempts + 1 WHERE id = ?", (job,))
        row = self._store.row("SELECT attempts FROM job WHERE id = ?", (job,))
        return int(row["attempts"]) if row is not None else 0

    def wake_rested(self) -> None:
        """Queue what has rested long enough; a clock that jumped back never makes it rest for longer."""
        now = self._clock.now_us()
        due = "state = 'retry' AND (not_before_us <= ? OR not_before_us > ?)"
        bounds = (now, now + int(MAX_DELAY_S * 1_000_000) + 1_000_000)
        if self._store.row(f"SELECT 1 FROM job WHERE {due} LIMIT 1", bounds) is not None:  # noqa: S608 -- a literal
            with self._store.transaction():
                self._store.write(f"UPDATE job SET state = 'queued' WHERE {due}", bounds)  # noqa: S608 -- a literal

    def hurry(self, folder: str) -> None:
        """Queue what rests in a folder: its disk or share is well again."""
        resting = "state = 'retry' AND folder = ?"
        if self._store.row(f"SELECT 1 FROM job WHERE {resting} LIMIT 1", (folder,)) is not None:  # noqa: S608 -- a literal
            with self._store.transaction():
                self._store.write(f"UPDATE job SET state = 'queued' WHERE {resting}", (folder,))  # noqa: S608 -- a literal

    def recover(self) -> list[Job]:
        """Take over what an earlier run left in hand, and count its end for each; what has seen too many fails.

        Returns:
            The jobs whose results were being given their names: they are to be finished or undone.
        """
        with self._store.transaction():
            self._store.write(
                "UPDATE job SET interrupted = interrupted + 1, session = ?, alone = MAX(alone, interrupted + 1 >= ?) "
                "WHERE state IN ('working', 'publishing') AND session IS NOT NULL AND session IS NOT ?",
                (_TAKEN_OVER, ALONE_AFTER, self._session),
            )
            self._store.write(
                # Its record is written once its folder is there.
                "UPDATE job SET state = 'failed', session = NULL, finished_us = ?, detail = ?, cleanup_pending = 1 "
                "WHERE state IN ('working', 'publishing') AND session = ? AND interrupted >= ?",
                (self._clock.now_us(), json.dumps({"failure": _QUARANTINED}), _TAKEN_OVER, MAX_INTERRUPTED),
            )
            self._store.write(
                "UPDATE job SET state = 'queued', session = NULL, detail = '{}' WHERE state = 'working' AND session = ?",
                (_TAKEN_OVER,),
            )
            self._store.write(
                "UPDATE job SET session = ? WHERE state = 'publishing' AND session IS NOT ?",
                (self._session, self._session),
            )
        return [job_from_row(row) for row in self._store.rows("SELECT * FROM job WHERE state = 'publishing'")]

    def set_down(self) -> None:
        """This run ends in order: what waits for its disk or share is not to blame for that."""
        with self._store.transaction():
            self._store.write(
                "UPDATE job SET session = NULL WHERE state = 'publishing' AND session = ?", (self._session,)
            )

    def park(self, configured: set[str]) -> None:
        """Set aside what belongs to folders that were taken out, and bring back what belongs to others."""
        names = {row["folder"] for row in self._store.rows("SELECT DISTINCT folder FROM job")}
        with self._store.transaction():
            for name in names:
                moves = (
                    [("parked", "queued")]
                    if name in configured
                    else [("queued", "parked"), ("retry", "parked"), ("uploading", "parked")]
                )
                for before, after in moves:
                    self._store.write(
                        "UPDATE job SET state = ? WHERE folder = ? AND state = ?", (after, name, before)
                    )

    def retry(self, job: int | None) -> int:
        """Queue a job again by a person's wish, whatever became of it; None: every failed one that no person rejected.

        Returns:
            How many were queued; 0 if it is unknown, in work, or a newer version took its place.
        """
        which = (
            "id = ? AND state NOT IN ('working', 'uploading', 'publishing', 'queued')"
            if job is not None
            else "state = 'failed' AND COALESCE(json_extract(detail, '$.failure.code'), '') <> 'Rejected'"
        )
        with self._store.transaction():
            return self._store.write(
                f"UPDATE job SET {_AFRESH}, detail = {_PLAN_OF_RETRY} WHERE newest = 1 AND {which}",  # noqa: S608 -- a literal
                (job,) if job is not None else (),
            )

    def retry_asked(self, argument: str) -> int:
        """Queue again what a command names: a job's number, ``failed``, or ``model:NAME``.

        Returns:
            How many were queued.
        """
        if argument.startswith(BY_MODEL):
            return self._retry_model(argument.removeprefix(BY_MODEL))
        return self.retry(None if argument == "failed" else int(argument))

    def _take_other_recording(self, job: int) -> None:
        """Queue what was left out because this one was to be cut, unless a version of it was."""
        row = self._store.row(
            "SELECT folder, path FROM job AS j WHERE id = ? AND NOT EXISTS ("
            " SELECT 1 FROM published AS p"
            " WHERE p.folder = j.folder AND p.path = j.path AND p.generation = j.generation)",
            (job,),
        )
        stem, dot, _ = bytes(row["path"]).rpartition(b".") if row is not None else (b"", b"", b"")
        if row is not None and dot:
            self._store.write(
                "UPDATE job SET state = 'queued', finished_us = NULL, detail = '{}' WHERE folder = ? AND path > ? "  # noqa: S608 -- a literal
                f"AND path < ? AND newest = 1 AND state = 'skipped' AND json_extract(detail, '$.{PAIR}') = ?",
                # Their paths differ in the extension only, and the next byte after a dot is a slash.
                (row["folder"], stem + b".", stem + b"/", bytes(row["path"]).hex()),
            )

    def _retry_model(self, name: str) -> int:
        """Queue again every picture whose published cutout a model made."""
        with self._store.transaction():
            return self._store.write(
                f"UPDATE job SET {_AFRESH}, detail = '{{}}' WHERE newest = 1 AND state IN ('done', 'review') "  # noqa: S608 -- a literal
                "AND json_extract(detail, '$.model') = ?",
                (name,),
            )

    def _update(self, job: int, state: JobState, **changes: Any) -> None:  # noqa: ANN401 -- column values
        if "detail" in changes:
            changes["detail"] = json.dumps(changes["detail"])
        columns = ", ".join(f"{name} = ?" for name in ("state", *changes))
        self._store.write(f"UPDATE job SET {columns} WHERE id = ?", (state, *changes.values(), job))  # noqa: S608 -- our own names
