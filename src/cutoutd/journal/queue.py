"""The way of a job through its states; every step is one transaction.

    queued ─▶ working ─▶ publishing ─▶ done | review
      ▲          ├──▶ unchanged | gone | failed
      ├─ retry ◀─┤
      └────── uploading ─▶ unknown          of tagged folders alone

It decides nothing: whether a failure is tried again is `cutoutd.faults.retry`'s answer, passed in.
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
"""Begins the argument of a command that names a model and means all that it cut."""

WITH_MODEL: Final = " model="
"""Stands between a job's number and the model that is to cut it."""

_QUARANTINED = {
    "code": FailureCode.LOST,
    "title": "The picture could not be processed",
    "cause": f"the daemon itself ended {MAX_INTERRUPTED} times while this picture was in work",
    "advice": "The original is untouched. `cutoutd retry` tries it again.",
}


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
        wanted=Wanted(row["wanted"]) if row["wanted"] in set(Wanted) else None,
        model=row["model"],
        options=row["options"],
        detail=decoded(row["detail"]),
    )


def decoded(text: str) -> dict[str, Any]:
    """What a row remembers; nothing, where it was edited by hand into what is no object."""
    detail = json.loads(text)
    return detail if isinstance(detail, dict) else {}


class Queue:
    """The jobs and their transitions, owned by one session of the daemon.

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
        sql = SQL.next_newest if newest_first else SQL.next_oldest
        for untried_only in (True, False) if untried_first else (False,):
            row = self._store.row(sql, folder=folder, answered_only=answered_only, untried_only=untried_only)
            if row is not None:
                return job_from_row(row)
        return None

    def claim(self, job: Job) -> None:
        """A worker gets it."""
        with self._store.transaction():
            self._store.write(SQL.claim, job=job.id, session=self._session)

    def plan(self, job: int, detail: Mapping[str, Any]) -> None:
        """Queue it again, with what is to be done about it next; see `cutoutd.offload.routing`."""
        with self._store.transaction():
            self._store.write(SQL.enqueue, job=job, detail=json.dumps(dict(detail)))

    def upload(self, job: int, detail: Mapping[str, Any]) -> None:
        """Its copy goes to the outbox; ``detail`` names the parcel."""
        with self._store.transaction():
            self._store.write(SQL.upload, job=job, detail=json.dumps(dict(detail)))

    def uploading(self, folder: str | None = None) -> list[Job]:
        """What is on its way to a hosted service and has no answer."""
        return self._jobs(SQL.uploading, folder=folder)

    def answered(self) -> list[Job]:
        """What has an answer of a hosted service and waits for a worker."""
        return self._jobs(SQL.answered_jobs)

    def count_queued(self, folder: str) -> int:
        """How many jobs of a folder wait for a worker."""
        return self._store.number(SQL.count_queued, folder=folder)

    def put_back(self, job: int, *, alone: bool | None = None) -> None:
        """It was not begun, or was stopped for a reason that is not its own.

        Args:
            job: the job.
            alone: whether it must run while no other does; None: as before.
        """
        with self._store.transaction():
            self.plan(job, {})
            if alone is not None:
                self._store.write(SQL.set_alone, job=job, alone=alone)

    def publish_within(self, job: int, *, sha256: str, detail: dict[str, Any]) -> None:
        """Its results are staged; ``detail`` says what will get which name. Inside a transaction of the caller's."""
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
        """It is over: ``state`` says how; ``cleanup_pending``, whether something is left to do about its original or record."""
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
        """A job whose results are being given their names; None if they are not."""
        row = self._store.row(SQL.publishing, job=job)
        return job_from_row(row) if row is not None else None

    def count_open(self) -> int:
        """How many jobs are still to be done, over all folders."""
        return self._store.number(SQL.count_open)

    def open_by_state(self) -> dict[JobState, int]:
        """How many jobs are still to be done, over all folders, by their states."""
        return {JobState(row["state"]): int(row["n"]) for row in self._store.rows(SQL.open_by_state)}

    def cleanup_pending(self, folder: str) -> list[Job]:
        """Jobs of a folder whose originals are still to be moved or deleted, or whose failures to be written down."""
        return self._jobs(SQL.cleanup_pending, folder=folder)

    def is_over(self, folder: str, path: str, *, after_us: int) -> bool:
        """Whether the newest version of a source came to a result after a moment, UTC microseconds."""
        row = self._store.row(SQL.is_over, folder=folder, path=os.fsencode(path), after_us=after_us)
        return row is not None

    def cleaned_up(self, job: int) -> None:
        """Its original was moved or deleted, or is not what was cut any more; or the record of its failure is written."""
        with self._store.transaction():
            self._store.write(SQL.clean_up, job=job)

    def doubt_within(self, job: int) -> None:
        """The next look at its source accepts it again, and a worker compares the bytes."""
        self._store.write(SQL.doubt_job, job=job)

    def inherit_options(self, job: Job, origin: Origin) -> str:
        """A picture was moved: what was asked of it where it lay before holds on; returns that."""
        where = {"folder": job.folder, "path": os.fsencode(origin.path), "generation": origin.generation}
        row = self._store.row(SQL.options_of_source, **where)
        if row is None or not row["options"]:
            return job.options
        with self._store.transaction():
            self._store.write(SQL.set_options, job=job.id, options=row["options"])
        return str(row["options"])

    def join_within(self, job: int, generation: int) -> None:
        """Its source is one that was at this path before."""
        self._store.write(SQL.join_source, job=job, generation=generation)

    def rest(self, job: int, delay_s: float, *, detail: dict[str, Any]) -> None:
        """A passing fault: another try after ``delay_s``."""
        not_before_us = self._clock.now_us() + int(delay_s * 1_000_000)
        with self._store.transaction():
            self._store.write(SQL.rest, job=job, not_before_us=not_before_us, detail=json.dumps(detail))

    def count_attempt(self, job: int) -> int:
        """A worker died over it while we lived; returns how many did by now."""
        with self._store.transaction():
            self._store.write(SQL.count_attempt, job=job)
        row = self._store.row(SQL.job, job=job)
        return int(row["attempts"]) if row is not None else 0

    def wake_rested(self) -> None:
        """Queue what has rested long enough; a clock that jumped back never makes it rest for longer."""
        now_us = self._clock.now_us()
        latest_us = now_us + int(MAX_DELAY_S * 1_000_000) + 1_000_000
        if self._store.row(SQL.is_any_due, now_us=now_us, latest_us=latest_us) is not None:
            with self._store.transaction():
                self._store.write(SQL.wake_due, now_us=now_us, latest_us=latest_us)

    def hurry(self, folder: str) -> None:
        """Queue what rests in a folder: its disk or share is well again."""
        if self._store.row(SQL.does_any_rest, folder=folder) is not None:
            with self._store.transaction():
                self._store.write(SQL.wake_folder, folder=folder)

    def recover(self) -> list[Job]:
        """Take over what an earlier session left in hand, and count its end for each; what has seen too many fails.

        Returns:
            The jobs whose results were being given their names: they are to be finished or undone.
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

    def set_down(self) -> None:
        """This session ends in order: what waits for its disk or share is not to blame for that."""
        with self._store.transaction():
            self._store.write(SQL.set_down, session=self._session)

    def park(self, configured: set[str]) -> None:
        """Park what belongs to folders that were taken out, and bring back what belongs to others."""
        names = {row["folder"] for row in self._store.rows(SQL.folders_with_jobs)}
        with self._store.transaction():
            for name in names:
                self._store.write(SQL.unpark if name in configured else SQL.park, folder=name)

    def retry(self, job: int | None, *, model: str = "") -> int:
        """Queue a job again by a person's wish, whatever became of it; None: every failed one that no person rejected.

        Args:
            job: its id.
            model: that it is to be cut by; empty: the folder's.

        Returns:
            How many were queued; 0 if it is unknown, in work, or a newer version took its place.
        """
        with self._store.transaction():
            if job is None:
                return self._store.write(SQL.retry_failed, model=model)
            return self._store.write(SQL.retry_job, job=job, model=model)

    def hold_rejected(self, job: int) -> bool:
        """Queue a rejected job, to be held back for review again; whether it is one."""
        with self._store.transaction():
            return self._store.write(SQL.hold_rejected, job=job) > 0

    def correct_within(self, job: int, wanted: Wanted | None, detail: Mapping[str, Any]) -> None:
        """Queue a job, as what is drawn over its cutout is other than it was; inside a transaction of the caller's."""
        self._store.write(SQL.cut_for_correction, job=job, wanted=wanted, detail=json.dumps(dict(detail)))

    def retry_asked(self, argument: str) -> int:
        """Queue again what a command names: a job's number, ``failed``, or ``model:NAME``.

        Returns:
            How many were queued.
        """
        if argument.startswith(BY_MODEL):
            with self._store.transaction():
                return self._store.write(SQL.retry_model, model=argument.removeprefix(BY_MODEL))
        number, _, model = argument.partition(WITH_MODEL)
        return self.retry(None if argument == "failed" else int(number), model=model)

    def _take_other_recording(self, job: int) -> None:
        """Queue what was left out because this one was to be cut, unless a version of it was."""
        row = self._store.row(SQL.unpublished_source, job=job)
        if row is not None and (between := differing_in_extension(row["path"])):
            self._store.write(
                SQL.take_other_recording, folder=row["folder"], pair=bytes(row["path"]).hex(), **between
            )

    def _jobs(self, sql: str, **named: Any) -> list[Job]:  # noqa: ANN401 -- values of columns
        return [job_from_row(row) for row in self._store.rows(sql, **named)]
