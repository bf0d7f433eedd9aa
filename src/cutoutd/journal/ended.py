"""Ends of jobs that are to be told to webhooks, until they are handed over; an end is written in the job's own transaction.

It must not know whom they are told to.
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
        id: of the row.
        folder: its name.
        job: its id.
        path: of the source.
        state: DONE, REVIEW, FAILED or UNKNOWN.
        at_us: UTC microseconds.
        sha256: of the source's bytes; None if no worker has read them.
        detail: what the job's row remembered then.
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
    """What ended and is not handed over; safe to share between threads.

    Args:
        store: the journal's file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def follow(self, folders: Collection[str], *, kept: Collection[str] = ()) -> None:
        """Write down from now on what ends in these folders; what is left of others is forgotten.

        Args:
            folders: their names.
            kept: names of others of which nothing is forgotten.

        Raises:
            JournalError: the disk refuses; it is as before.
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
        """What ended first in a folder, of what is not handed over."""
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
        """How many are not handed over, over all folders."""
        return self._store.number(SQL.count_ended)

    @property
    def number(self) -> int:
        """That of the next one to be handed over: they grow, and are not used again once one was handed over."""
        return int(self._store.fact(_NUMBER) or "1")

    def handed_over(self, ended: EndedJob, number: int) -> None:
        """It is with the uploader, and takes nobody's time here any more.

        Raises:
            JournalError: the disk refuses; it is to be handed over again then, with the same number.
        """
        with self._store.transaction():
            self._store.write(SQL.remove_ended, id=ended.id)
            self._store.set_fact(_NUMBER, str(max(number, self.number) + 1))
