"""Read-only access to the journal: counts and pages.

Every result is read whole and at once, since an open cursor would block the daemon's commits.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutoutd.database import fits
from cutoutd.jobs import JobState
from cutoutd.journal.queue import job_from_row
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store

_PAGE = 500


class Reader:
    """Reads a journal that a daemon may be writing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def counts(self) -> dict[str, dict[JobState, int]]:
        """Return how many sources of each folder are in each state, by the newest version of each."""
        counts: dict[str, dict[JobState, int]] = {}
        for row in self._store.rows(SQL.counts):
            counts.setdefault(row["folder"], {})[JobState(row["state"])] = row["n"]
        return counts

    def count_waiting(self) -> dict[str, int]:
        """Return how many pictures of each folder are queued or wait for another try."""
        return {row["folder"]: int(row["n"]) for row in self._store.rows(SQL.waiting_by_folder)}

    def waiting_and_resting(self) -> tuple[int, int]:
        """Return how many pictures of all folders are queued, and how many wait for another try."""
        counts = {row["state"]: int(row["n"]) for row in self._store.rows(SQL.waiting_by_state)}
        return counts.get("queued", 0), counts.get("retry", 0)

    def done_since(self, folder: str, since_us: int) -> int:
        """Return how many of a folder's jobs were published since a time, UTC microseconds."""
        return self._store.number(SQL.count_published_since, folder=folder, since_us=since_us)

    def work_since(self, folder: str, since_us: int, limit: int) -> list[tuple[int, float]]:
        """Return, for the last jobs of a folder that were published since a time, when that was and how many seconds work took."""
        rows = self._store.rows(SQL.work_since, folder=folder, since_us=since_us, limit=limit)
        return [(row["finished_us"], float(row["s"])) for row in rows if isinstance(row["s"], int | float)]

    def doubtful(self, folder: str) -> int:
        """Return how many of a folder's published cutouts, by their newest version, may be wrong."""
        return self._store.number(SQL.count_doubtful, folder=folder)

    def originals_to_go(self, folder: str) -> int:
        """Return how many originals of a folder are still to be moved or deleted."""
        return self._store.number(SQL.count_originals_to_go, folder=folder)

    def skipped(self, folder: str) -> dict[str, int]:
        """Return the reasons why pictures of a folder were skipped, with the number for each, the most frequent first."""
        return {str(row["why"]): int(row["n"]) for row in self._store.rows(SQL.skipped, folder=folder)}

    def to_retry(self) -> int:
        """Return how many pictures have failed, without those that a person rejected."""
        return self._store.number(SQL.count_failed)

    def rejected(self, folder: str | None = None) -> int:
        """Return how many pictures of a folder, or of all, count as failed because a person rejected their cutouts."""
        return self._store.number(SQL.count_rejected, folder=folder)

    def seconds(self, folder: str, limit: int) -> list[float]:
        """Return how many seconds the last published pictures of a folder took, without those for which it is not known."""
        rows = self._store.rows(SQL.seconds, folder=folder, limit=limit)
        return [float(row["s"]) for row in rows if isinstance(row["s"], int | float)]

    def last_done(self, folder: str) -> Job | None:
        """Return the folder's last published job; None if there is none."""
        row = self._store.row(SQL.last_cut, folder=folder)
        return job_from_row(row) if row is not None else None

    def last_failed(self, folder: str, limit: int) -> list[Job]:
        """Return the folder's jobs that failed last, by their newest version, without those that a person rejected."""
        return [job_from_row(row) for row in self._store.rows(SQL.last_failed, folder=folder, limit=limit)]

    def newest_us(self) -> int | None:
        """Return the latest time among the newest rows of the journal, UTC microseconds; None if it has no rows."""
        return self._store.number(SQL.latest_us) or None

    def job(self, job: int) -> Job | None:
        """Return a job; None if there is none with this id, which may be any integer."""
        row = self._store.row(SQL.job, job=job) if fits(job) else None
        return job_from_row(row) if row is not None else None

    def newest(self, job: Job) -> int | None:
        """Return the id of the newest version of a job's source."""
        return self._store.number(SQL.newest_id, folder=job.folder, path=os.fsencode(job.path)) or None

    def jobs(self, *, state: JobState | None = None, folder: str | None = None) -> Iterator[Job]:
        """Return all jobs, oldest first."""
        return self._pages(SQL.page_of_jobs, state=state, folder=folder)

    def newest_jobs(self) -> Iterator[Job]:
        """Return the newest version of each source, oldest first."""
        return self._pages(SQL.page_of_newest)

    def sources_of(self, folder: str, result: str) -> set[tuple[str, int]]:
        """Return path and generation of the sources for which a result is published, whatever their jobs do now.

        Args:
            folder: name of the folder.
            result: path of the result, relative to the folder's output.
        """
        rows = self._store.rows(SQL.sources_of_result, folder=folder, target=os.fsencode(result))
        return {(os.fsdecode(row["path"]), row["generation"]) for row in rows}

    def remaining(self, folder: str) -> list[Job]:
        """Return the jobs that a folder still has to do."""
        return [job_from_row(row) for row in self._store.rows(SQL.remaining, folder=folder)]

    def _pages(self, sql: str, **named: object) -> Iterator[Job]:
        after = 0
        while True:
            rows = self._store.rows(sql, after=after, limit=_PAGE, **named)
            yield from (job_from_row(row) for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["id"]
