"""The transitions of a job between its states; every transition is one transaction.

    queued ─▶ working ─▶ publishing ─▶ done | review
      ▲          ├──▶ unchanged | gone | failed
      ├─ retry ◀─┤
       └────── uploading ─▶ unknown          only in folders tagged for a hosted service

It decides nothing: whether a failure is tried again is decided by `cutoutd.faults.retry` and passed in.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from cutoutd.database import restored
from cutoutd.errors import FailureCode
from cutoutd.faults.retry import ALONE_AFTER, MAX_DELAY_S, MAX_INTERRUPTED
from cutoutd.jobs import Job, JobState, Wanted
from cutoutd.journal.recordings import differing_in_extension
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from cutoutd.clock import Clock
    from cutoutd.jobs import Origin
    from cutoutd.journal.store import Store

BY_MODEL: Final = "model:"
"""Prefix of a command's argument that names a model and means all jobs it cut."""

WITH_MODEL: Final = " model="
"""Separates a job's id from the model that is to cut it, in a command's argument."""

OVERDUE_S: Final = 60.0
"""A job that needs all memory comes last for so long after it was accepted, so that several of them follow one another."""

_QUARANTINED = {
    "code": FailureCode.LOST,
    "title": "The picture could not be processed",
    "cause": f"the daemon itself ended {MAX_INTERRUPTED} times while this picture was in work",
    "advice": "The original is untouched. `cutoutd retry` tries it again.",
}


def job_from_row(row: sqlite3.Row) -> Job:
    """Return a row of the table ``job`` as a value."""
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
        wanted=Wanted(row["wanted"]) if row["wanted"] in set(Wanted) else None,
        model=row["model"],
        options=row["options"],
        detail=decoded(row["detail"]),
    )


def decoded(text: str) -> dict[str, Any]:
    """Parse the detail of a row; empty if it was edited by hand and is not an object."""
    detail = json.loads(text)
    return detail if isinstance(detail, dict) else {}


class Queue:
    """The jobs and their transitions, owned by one session of the daemon.

    Args:
        store: the journal's file.
        clock: clock for the times that are written.
        session: id of this session, which holds the state directory's lock.
    """

    def __init__(self, store: Store, clock: Clock, session: str) -> None:
        self._store = store
        self._clock = clock
        self._session = session

    def next_in(
        self, folder: str, *, newest_first: bool, answered_only: bool = False, untried_first: bool = False
    ) -> Job | None:
        """Return the next job of a folder.

        Jobs that must run alone come last, since the workers have to be idle first; one that needs all memory takes its turn once it has
        waited for ``OVERDUE_S``, since a busy folder always has others. A source whose earlier version is still in work has to
        wait: results of one source never overtake each other.
        """
        for untried_only in (True, False) if untried_first else (False,):
            chosen = {"folder": folder, "answered_only": answered_only, "untried_only": untried_only}
            row = self._store.row(SQL.next_newest if newest_first else SQL.next_oldest, **chosen)
            if row is not None:
                job = job_from_row(row)
                return job if job.alone else self._overdue_before(job, chosen, newest_first=newest_first)
        return None

    def _overdue_before(self, job: Job, chosen: Mapping[str, Any], *, newest_first: bool) -> Job:
        """Return the job that must run alone whose turn it is before another one, if it has waited for long; else the other one."""
        row = self._store.row(
            SQL.overdue_newest if newest_first else SQL.overdue_oldest,
            alone_after=ALONE_AFTER,
            since_us=self._clock.now_us() - int(OVERDUE_S * 1_000_000),
            **chosen,
        )
        if row is None:
            return job
        overdue = job_from_row(row)
        is_first = ((overdue.mtime_ns, overdue.id) < (job.mtime_ns, job.id)) is not newest_first
        return overdue if is_first else job

    def claim(self, job: Job) -> None:
        """Mark a job as being worked on by this session."""
        with self._store.transaction():
            self._store.write(SQL.claim, job=job.id, session=self._session)

    def plan(self, job: int, detail: Mapping[str, Any]) -> None:
        """Queue a job again, with what is to be done about it next in ``detail``; see `cutoutd.offload.routing`."""
        with self._store.transaction():
            self._store.write(SQL.enqueue, job=job, detail=json.dumps(dict(detail)))

    def upload(self, job: int, detail: Mapping[str, Any]) -> None:
        """Mark a job as uploading: its copy goes to the outbox, and ``detail`` names the parcel."""
        with self._store.transaction():
            self._store.write(SQL.upload, job=job, detail=json.dumps(dict(detail)))

    def uploading(self, folder: str | None = None) -> list[Job]:
        """Return the jobs that wait for the answer of a hosted service."""
        return self._jobs(SQL.uploading, folder=folder)

    def answered(self) -> list[Job]:
        """Return the queued jobs that have the answer of a hosted service."""
        return self._jobs(SQL.answered_jobs)

    def count_queued(self, folder: str) -> int:
        """Return how many jobs of a folder are queued."""
        return self._store.number(SQL.count_queued, folder=folder)

    def put_back(self, job: int, *, alone: bool | None = None) -> None:
        """Queue a job again that was not begun, or was stopped for a reason unrelated to it.

        Args:
            job: the job.
            alone: whether it must run while no other job does; None: as before.
        """
        with self._store.transaction():
            self.plan(job, {})
            if alone is not None:
                self._store.write(SQL.set_alone, job=job, alone=alone)

    def publish_within(self, job: int, *, sha256: str, detail: dict[str, Any]) -> None:
        """Mark a job as publishing, with the plan in ``detail``; inside a transaction of the caller's."""
        self._store.write(
            SQL.publish, job=job, session=self._session, sha256=sha256, detail=json.dumps(detail)
        )

    def finish(
        self,
        job: int,
        state: JobState,
        *,
        detail: dict[str, Any],
        sha256: str | None = None,
        cleanup_pending: bool = False,
    ) -> None:
        """End a job in ``state``; ``cleanup_pending``: its original is still to be moved or deleted, or its record to be written."""
        with self._store.transaction():
            self._store.write(
                SQL.finish,
                job=job,
                state=state,
                now_us=self._clock.now_us(),
                detail=json.dumps(detail),
                sha256=sha256,
                cleanup_pending=cleanup_pending,
            )
            if state in (JobState.GONE, JobState.FAILED):
                self._take_other_recording(job)

    def publishing(self, job: int) -> Job | None:
        """Return a job that is being published; None if it is not."""
        row = self._store.row(SQL.publishing, job=job)
        return job_from_row(row) if row is not None else None

    def count_open(self) -> int:
        """Return how many jobs are open, over all folders."""
        return self._store.number(SQL.count_open)

    def open_by_state(self) -> dict[JobState, int]:
        """Return how many jobs are open in each state, over all folders."""
        return {JobState(row["state"]): int(row["n"]) for row in self._store.rows(SQL.open_by_state)}

    def cleanup_pending(self, folder: str) -> list[Job]:
        """Return the jobs of a folder whose originals are still to be moved or deleted, or whose failures to be recorded."""
        return self._jobs(SQL.cleanup_pending, folder=folder)

    def is_over(self, folder: str, path: str, *, after_us: int) -> bool:
        """Whether the newest version of a source got a result after a time, UTC microseconds."""
        row = self._store.row(SQL.is_over, folder=folder, path=os.fsencode(path), after_us=after_us)
        return row is not None

    def cleaned_up(self, job: int) -> None:
        """Record that nothing is left to do about a job's original, or that the record of its failure is written."""
        with self._store.transaction():
            self._store.write(SQL.clean_up, job=job)

    def doubt_within(self, job: int) -> None:
        """Have the next scan accept a job's source again, so that a worker compares the bytes."""
        self._store.write(SQL.doubt_job, job=job)

    def inherit_options(self, job: Job, origin: Origin) -> str:
        """Copy the options of a moved picture from its earlier path to its job; returns the options that hold."""
        where = {"folder": job.folder, "path": os.fsencode(origin.path), "generation": origin.generation}
        row = self._store.row(SQL.options_of_source, **where)
        if row is None or not row["options"]:
            return job.options
        with self._store.transaction():
            self._store.write(SQL.set_options, job=job.id, options=row["options"])
        return str(row["options"])

    def join_within(self, job: int, generation: int) -> None:
        """Make a job a version of an earlier source of its path."""
        self._store.write(SQL.join_source, job=job, generation=generation)

    def delay(self, job: int, delay_s: float, *, detail: dict[str, Any]) -> None:
        """Let a job wait ``delay_s`` seconds before another try, after a temporary fault."""
        not_before_us = self._clock.now_us() + int(delay_s * 1_000_000)
        with self._store.transaction():
            self._store.write(SQL.delay, job=job, not_before_us=not_before_us, detail=json.dumps(detail))

    def count_attempt(self, job: int) -> int:
        """Count a worker's death over a job in this session; returns the count so far."""
        with self._store.transaction():
            self._store.write(SQL.count_attempt, job=job)
        row = self._store.row(SQL.job, job=job)
        return int(row["attempts"]) if row is not None else 0

    def queue_due(self) -> None:
        """Queue the jobs whose delay is over; a clock that was set back never makes them wait longer."""
        now_us = self._clock.now_us()
        latest_us = now_us + int(MAX_DELAY_S * 1_000_000) + 1_000_000
        if self._store.row(SQL.is_any_due, now_us=now_us, latest_us=latest_us) is not None:
            with self._store.transaction():
                self._store.write(SQL.wake_due, now_us=now_us, latest_us=latest_us)

    def queue_delayed(self, folder: str) -> None:
        """Queue the waiting jobs of a folder whose disk or share works again."""
        if self._store.row(SQL.does_any_rest, folder=folder) is not None:
            with self._store.transaction():
                self._store.write(SQL.wake_folder, folder=folder)

    def recover(self) -> list[Job]:
        """Take over the jobs that an earlier session left in work, and count its end for each; jobs with too many ends fail.

        Returns:
            The jobs that were being published: their plans are to be finished or undone.
        """
        with self._store.transaction():
            self._store.write(
                SQL.recover,
                session=self._session,
                now_us=self._clock.now_us(),
                alone_after=ALONE_AFTER,
                max_interrupted=MAX_INTERRUPTED,
                quarantined=json.dumps({"failure": _QUARANTINED}),
            )
        return self._jobs(SQL.publishing_jobs)

    def end_session(self) -> None:
        """Give up the jobs that are still being published at an orderly end, so that it does not count against them."""
        with self._store.transaction():
            self._store.write(SQL.end_session, session=self._session)

    def park(self, configured: set[str]) -> None:
        """Park the jobs of folders that are not configured, and queue the parked jobs of those that are."""
        names = {row["folder"] for row in self._store.rows(SQL.folders_with_jobs)}
        with self._store.transaction():
            for name in names:
                self._store.write(SQL.unpark if name in configured else SQL.park, folder=name)

    def retry(self, job: int | None, *, model: str = "") -> int:
        """Queue a job again on request, whatever its result; None: every failed job that no person rejected.

        Args:
            job: id of the job.
            model: name of the model that is to cut it; empty: the folder's.

        Returns:
            How many were queued; 0 if the job is unknown, in work, or replaced by a newer version.
        """
        with self._store.transaction():
            if job is None:
                return self._store.write(SQL.retry_failed, model=model)
            return self._store.write(SQL.retry_job, job=job, model=model)

    def hold_rejected(self, job: int) -> bool:
        """Queue a rejected job whose cutout is to be held back for review again; returns whether it was a rejected one."""
        with self._store.transaction():
            return self._store.write(SQL.hold_rejected, job=job) > 0

    def correct_within(self, job: int, wanted: Wanted | None, detail: Mapping[str, Any]) -> None:
        """Queue a job whose correction has changed, inside a transaction of the caller's."""
        self._store.write(SQL.cut_for_correction, job=job, wanted=wanted, detail=json.dumps(dict(detail)))

    def retry_asked(self, argument: str) -> int:
        """Queue the jobs that the argument of a command names: a job's id, ``failed``, or ``model:NAME``.

        Returns:
            How many were queued.
        """
        if argument.startswith(BY_MODEL):
            with self._store.transaction():
                return self._store.write(SQL.retry_model, model=argument.removeprefix(BY_MODEL))
        number, _, model = argument.partition(WITH_MODEL)
        return self.retry(None if argument == "failed" else int(number), model=model)

    def _take_other_recording(self, job: int) -> None:
        """Queue the recordings that were left out in favour of this job's source, unless any version of it was published."""
        row = self._store.row(SQL.unpublished_source, job=job)
        if row is not None and (between := differing_in_extension(row["path"])):
            self._store.write(
                SQL.take_other_recording, folder=row["folder"], pair=bytes(row["path"]).hex(), **between
            )

    def _jobs(self, sql: str, **named: Any) -> list[Job]:  # noqa: ANN401 -- values of columns
        return [job_from_row(row) for row in self._store.rows(sql, **named)]
