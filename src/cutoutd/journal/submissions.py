"""Pictures that programs hand in, as the journal keeps them: each is taken exactly once, by a key that its program chooses.

    posted -> named -> accepted | refused

Whoever hands one in writes the row and the command in one transaction, once the file is whole and on the disk; the folder's
own thread renames it and accepts it (`cutoutd.folder.submissions`). It must not touch a folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.job_options import JobOptions, JobOptionsError
from cutoutd.journal.commands import Verb
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    import sqlite3

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

MAX_KEY: Final = 512
"""Characters of a key."""

KEPT_S: Final = 86_400
"""So long the end of a request is remembered, from when it was posted: who asks again gets the same answer."""

AT_ONCE: Final = 100
"""So many are taken before the folder is looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A picture that is handed in.

    Attributes:
        key: chosen by whoever hands it in; a second request with it is the first one.
        folder: name of the folder.
        spool: name of its file, see `cutoutd.intake.incoming`.
        name: that it is to have in the input, if that is free.
        options: what is asked of it.
        digest: of the request, as whoever hands it in counts that: another digest with the same key is another request.
        posted_us: when, UTC microseconds; 0: not yet.
        path: that it gets, relative to the input; None: that is not decided.
        job: its job's id once it is accepted; None: it is not.
        refused: why it is not taken; None: it is, or may be.
    """

    key: str
    folder: str
    spool: str
    name: str
    options: JobOptions
    digest: str = ""
    posted_us: int = 0
    path: str | None = None
    job: int | None = None
    refused: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was accepted or refused."""
        return self.job is not None or self.refused is not None


class Submissions:
    """The requests in the journal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def post(self, submission: Submission) -> Submission:
        """Hand in a picture whose file is whole and on the disk; from here on it is not lost.

        Args:
            submission: with what is known before.

        Returns:
            The request that holds under its key: this one, or an earlier one, whose file alone is taken.

        Raises:
            ValueError: the key is empty or too long.
            StorageError: the journal cannot be written.
        """
        if not 0 < len(submission.key) <= MAX_KEY:
            raise ValueError(f"a key has 1 to {MAX_KEY} characters")
        with self._store.transaction():
            now_us = self._clock.now_us()
            is_new = self._store.write(
                SQL.post_submission,
                key=submission.key,
                folder=submission.folder,
                spool=submission.spool,
                name=submission.name,
                options=submission.options.text(),
                digest=submission.digest,
                now_us=now_us,
            )
            if is_new:
                self._store.insert(SQL.post_command, verb=Verb.SUBMIT, argument=submission.key, now_us=now_us)
            row = self._store.row(SQL.submission, key=submission.key)
        assert row is not None  # noqa: S101 -- written in this transaction, or there before
        return _submission(row)

    def find(self, key: str) -> Submission | None:
        """A request by its key; None if there is none, or its end was forgotten."""
        row = self._store.row(SQL.submission, key=key)
        return None if row is None else _submission(row)

    def pending(self, folder: str, limit: int = AT_ONCE) -> list[Submission]:
        """Those of a folder that are not over, the oldest first."""
        rows = self._store.rows(SQL.pending_submissions, folder=folder, limit=limit)
        return [_submission(row) for row in rows]

    def spools_in_use(self, folder: str) -> frozenset[str]:
        """Names of the files that requests of a folder wait with."""
        return frozenset(str(row["spool"]) for row in self._store.rows(SQL.spools_in_use, folder=folder))

    def asked_backgrounds(self) -> frozenset[str]:
        """What jobs and requests want behind their subjects: colours, and pictures by their SHA-256."""
        rows = self._store.rows(SQL.asked_backgrounds)
        return frozenset(str(row["background"]) for row in rows if row["background"] is not None)

    def name(self, key: str, path: str) -> None:
        """Write down which name a request's file is to get, before it gets it."""
        with self._store.transaction():
            self._store.write(SQL.name_submission, key=key, path=os.fsencode(path))

    def refuse(self, key: str, why: str) -> None:
        """It is not taken."""
        with self._store.transaction():
            self._store.write(SQL.refuse_submission, key=key, why=why)

    def forget_old(self) -> int:
        """Forget those that are over and old enough; returns how many."""
        with self._store.transaction():
            return self._store.write(
                SQL.forget_submissions, before_us=self._clock.now_us() - KEPT_S * 1_000_000
            )


def _submission(row: sqlite3.Row) -> Submission:
    try:
        options = JobOptions.parse(row["options"])
    except JobOptionsError:
        options = JobOptions()  # edited by hand into what is none
    return Submission(
        key=row["key"],
        folder=row["folder"],
        spool=row["spool"],
        name=row["name"],
        options=options,
        digest=row["digest"],
        posted_us=row["posted_us"],
        path=None if row["path"] is None else os.fsdecode(row["path"]),
        job=row["job"],
        refused=row["refused"],
    )
