"""Ended jobs that webhooks are to be notified of, until the uploader has them; the row is written in the job's own transaction.

It must not know the webhooks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import JobState
from cutoutd.journal.queue import decoded
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cutoutd.journal.store import Store

_NUMBER: Final = "webhook-number"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedJob:
    """How one job ended.

    Attributes:
        id: id of the row.
        folder: name of the folder.
        job: id of the job.
        path: path of the source.
        state: DONE, REVIEW, FAILED or UNKNOWN.
        at_us: when it ended, UTC microseconds.
        sha256: SHA-256 of the source's bytes; None if no worker has read them.
        detail: the detail of the job's row at its end.
    """

    id: int
    folder: str
    job: int
    path: str
    state: JobState
    at_us: int
    sha256: str | None
    detail: Mapping[str, Any]


class EndedJobs:
    """The ended jobs that are not handed over yet; safe to share between threads.

    Args:
        store: the journal's file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def follow(self, folders: Collection[str], *, kept: Collection[str] = ()) -> None:
        """Record the jobs that end in these folders from now on; rows of other folders are removed.

        Args:
            folders: names of the folders.
            kept: names of other folders whose rows stay.

        Raises:
            JournalError: the disk refuses; nothing has changed.
        """
        before = {row["name"] for row in self._store.rows(SQL.telling_folders)}
        if before == set(folders):
            return
        with self._store.transaction():
            for name in before - set(folders):
                self._store.write(SQL.remove_telling_folder, name=name)
                if name not in kept:
                    self._store.write(SQL.forget_ended, folder=name)
            for name in set(folders) - before:
                self._store.write(SQL.add_telling_folder, name=name)

    def first(self, folder: str) -> EndedJob | None:
        """Return the first ended job of a folder that is not handed over; None if there is none."""
        row = self._store.row(SQL.next_ended, folder=folder)
        if row is None:
            return None
        return EndedJob(
            id=row["id"],
            folder=row["folder"],
            job=row["job"],
            path=os.fsdecode(row["path"]),
            state=JobState(row["state"]),
            at_us=row["at_us"],
            sha256=row["sha256"],
            detail=decoded(row["detail"]),
        )

    def count(self) -> int:
        """Return how many ended jobs are not handed over, over all folders."""
        return self._store.number(SQL.count_ended)

    @property
    def number(self) -> int:
        """The number of the next message to be handed over; numbers grow, and none is used twice."""
        return int(self._store.fact(_NUMBER) or "1")

    def handed_over(self, ended: EndedJob, number: int) -> None:
        """Remove an ended job that the uploader has.

        Raises:
            JournalError: the disk refuses; the job is handed over again, with the same number.
        """
        with self._store.transaction():
            self._store.write(SQL.remove_ended, id=ended.id)
            self._store.set_fact(_NUMBER, str(max(number, self.number) + 1))
