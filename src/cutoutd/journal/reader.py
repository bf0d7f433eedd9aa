"""The journal for those who only look: counts and pages.

Every answer is read whole and at once, since an open cursor would hold up the daemon's commits.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutoutd.jobs import JobState
from cutoutd.journal.integers import fits
from cutoutd.journal.queue import job_from_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store

_PAGE = 500


class Reader:
    """Looks into a journal that a daemon may be writing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def counts(self) -> dict[str, dict[JobState, int]]:
        """How many sources of each folder are in each state, by the newest version of each."""
        counts: dict[str, dict[JobState, int]] = {}
        for row in self._store.rows(
            "SELECT folder, state, COUNT(*) AS n FROM job WHERE newest = 1 GROUP BY state, folder"
        ):
            counts.setdefault(row["folder"], {})[JobState(row["state"])] = row["n"]
        return counts

    def waiting(self) -> dict[str, int]:
        """How many pictures wait in each folder, for their turn or for another try."""
        rows = self._store.rows(
            "SELECT folder, COUNT(*) AS n FROM job WHERE state IN ('queued', 'retry') GROUP BY folder"
        )
        return {row["folder"]: int(row["n"]) for row in rows}

    def waiting_and_resting(self) -> tuple[int, int]:
        """How many pictures of all folders wait for their turn, and how many are tried again at their time."""
        rows = self._store.rows(
            "SELECT state, COUNT(*) AS n FROM job WHERE state IN ('queued', 'retry') GROUP BY state"
        )
        counts = {row["state"]: int(row["n"]) for row in rows}
        return counts.get("queued", 0), counts.get("retry", 0)

    def done_since(self, folder: str, since_us: int) -> int:
        """How many of a folder's jobs were published since a time: its rate."""
        row = self._store.row(
            "SELECT COUNT(*) AS n FROM job WHERE state IN ('done', 'review') AND folder = ? AND finished_us >= ?",
            (folder, since_us),
        )
        return int(row["n"]) if row is not None else 0

    def work_since(self, folder: str, since_us: int, limit: int) -> list[tuple[int, float]]:
        """Of the last jobs of a folder that were published since a time: when, and how many seconds work took."""
        rows = self._store.rows(
            "SELECT finished_us, json_extract(detail, '$.seconds') AS s FROM job "
            "WHERE state IN ('done', 'review') AND folder = ? AND finished_us >= ? ORDER BY finished_us DESC LIMIT ?",
            (folder, since_us, limit),
        )
        return [(row["finished_us"], float(row["s"])) for row in rows if isinstance(row["s"], int | float)]

    def doubtful(self, folder: str) -> int:
        """How many of a folder's published cutouts, by their newest version, may well be wrong."""
        row = self._store.row(
            "SELECT COUNT(*) AS n FROM job WHERE newest = 1 AND state IN ('done', 'unchanged') AND folder = ? "
            "AND json_extract(detail, '$.doubtful') IS NOT NULL",
            (folder,),
        )
        return int(row["n"]) if row is not None else 0

    def skipped(self, folder: str) -> dict[str, int]:
        """Why pictures of a folder were not to be cut, and how many for each reason; the commonest first."""
        rows = self._store.rows(
            "SELECT COALESCE(json_extract(detail, '$.why'), '') AS why, COUNT(*) AS n FROM job "
            "WHERE newest = 1 AND state = 'skipped' AND folder = ? GROUP BY why ORDER BY n DESC",
            (folder,),
        )
        return {str(row["why"]): int(row["n"]) for row in rows}

    def to_retry(self) -> int:
        """How many pictures have failed, but for those that a person rejected."""
        row = self._store.row(
            "SELECT COUNT(*) AS n FROM job WHERE newest = 1 AND state = 'failed' "
            "AND COALESCE(json_extract(detail, '$.failure.code'), '') <> 'Rejected'"
        )
        return int(row["n"]) if row is not None else 0

    def seconds(self, folder: str, limit: int) -> list[float]:
        """How long work on the last published pictures of a folder took, as far as that is known."""
        rows = self._store.rows(
            "SELECT json_extract(detail, '$.seconds') AS s FROM job WHERE state IN ('done', 'review') AND folder = ? "
            "ORDER BY finished_us DESC LIMIT ?",
            (folder, limit),
        )
        return [float(row["s"]) for row in rows if isinstance(row["s"], int | float)]

    def last_done(self, folder: str) -> Job | None:
        """The folder's last published job."""
        row = self._store.row(
            "SELECT * FROM job WHERE state IN ('done', 'review') AND folder = ? ORDER BY finished_us DESC LIMIT 1",
            (folder,),
        )
        return job_from_row(row) if row is not None else None

    def last_failed(self, folder: str, limit: int) -> list[Job]:
        """The folder's pictures that failed last, by their newest version, but for those that a person rejected."""
        rows = self._store.rows(
            "SELECT * FROM job WHERE newest = 1 AND state = 'failed' AND folder = ? "
            "AND COALESCE(json_extract(detail, '$.failure.code'), '') <> 'Rejected' ORDER BY finished_us DESC LIMIT ?",
            (folder, limit),
        )
        return [job_from_row(row) for row in rows]

    def newest_us(self) -> int | None:
        """The latest time in the journal, by its last rows; None if it has none."""
        row = self._store.row(
            "SELECT MAX(MAX(accepted_us, COALESCE(finished_us, 0))) AS us "
            "FROM (SELECT accepted_us, finished_us FROM job ORDER BY id DESC LIMIT 1000)"
        )
        return int(row["us"]) if row is not None and row["us"] is not None else None

    def job(self, job: int) -> Job | None:
        """One job; None if there is none of this number, which may be any."""
        if not fits(job):
            return None
        row = self._store.row("SELECT * FROM job WHERE id = ?", (job,))
        return job_from_row(row) if row is not None else None

    def newest(self, job: Job) -> int | None:
        """The id of the newest version of a job's source."""
        row = self._store.row(
            "SELECT id FROM job WHERE folder = ? AND path = ? AND newest = 1",
            (job.folder, os.fsencode(job.path)),
        )
        return int(row["id"]) if row is not None else None

    def jobs(self, *, state: JobState | None = None, folder: str | None = None) -> Iterator[Job]:
        """All jobs, oldest first, in pages."""
        after = 0
        while True:
            rows = self._store.rows(
                "SELECT * FROM job WHERE id > ? AND (? IS NULL OR state = ?) AND (? IS NULL OR folder = ?) "
                "ORDER BY id LIMIT ?",
                (after, state, state, folder, folder, _PAGE),
            )
            yield from (job_from_row(row) for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["id"]

    def newest_jobs(self) -> Iterator[Job]:
        """The newest version of each source, oldest first, in pages."""
        after = 0
        while True:
            rows = self._store.rows(
                "SELECT * FROM job WHERE id > ? AND newest = 1 ORDER BY id LIMIT ?", (after, _PAGE)
            )
            yield from (job_from_row(row) for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["id"]

    def remaining(self, folder: str) -> list[Job]:
        """What a folder still has to do."""
        rows = self._store.rows(
            "SELECT * FROM job WHERE folder = ? "
            "AND (state IN ('queued', 'working', 'uploading', 'publishing', 'retry') "
            "OR (state = 'unknown' AND newest = 1)) ORDER BY id",
            (folder,),
        )
        return [job_from_row(row) for row in rows]
