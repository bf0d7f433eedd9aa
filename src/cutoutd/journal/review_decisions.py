"""What a person decided about doubtful results, from the command until it is carried out: it survives a crash.

It stands in the job's own row, which stays in review until then. It carries nothing out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from cutoutd.journal.queue import job_from_row

if TYPE_CHECKING:
    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store


class ReviewDecision(StrEnum):
    """What a person can decide."""

    ACCEPT = "accept"  # it is published under its own name
    REJECT = "reject"  # the picture counts as failed


class ReviewDecisions:
    """The decisions in the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, job: int, decision: ReviewDecision) -> Job | None:
        """Write a decision down.

        Returns:
            The job; None if it is not in review any more, or a newer version took its place.
        """
        with self._store.transaction():
            changed = self._store.write(
                "UPDATE job SET detail = json_remove(json_set(detail, '$.decision', ?), '$.refused') "
                "WHERE id = ? AND newest = 1 AND state = 'review'",
                (decision, job),
            )
        return self.pending_one(job) if changed else None

    def pending_one(self, job: int) -> Job | None:
        """A job that waits for its decision to be carried out; None if it does not, or not any more."""
        row = self._store.row(
            "SELECT * FROM job WHERE id = ? AND newest = 1 AND state = 'review' "
            "AND json_extract(detail, '$.decision') IS NOT NULL",
            (job,),
        )
        return job_from_row(row) if row is not None else None

    def pending(self, folder: str) -> list[Job]:
        """A folder's jobs that wait for theirs."""
        rows = self._store.rows(
            "SELECT * FROM job WHERE state = 'review' AND folder = ? AND newest = 1 "
            "AND json_extract(detail, '$.decision') IS NOT NULL ORDER BY id",
            (folder,),
        )
        return [job_from_row(row) for row in rows]

    def refuse(self, job: int, why: str) -> None:
        """A decision could not be carried out: it is for the person to decide anew."""
        with self._store.transaction():
            self._store.write(
                "UPDATE job SET detail = json_set(json_remove(detail, '$.decision'), '$.refused', ?) "
                "WHERE id = ? AND state = 'review'",
                (why, job),
            )
