"""Submissions: pictures that programs hand in, each accepted exactly once, under a key that the program chooses.

    posted -> named -> accepted | refused

The program writes the row and the command in one transaction, once the file is complete and on the disk; the folder's own
thread renames and accepts it (`cutoutd.folder.submissions`). This module must not touch a folder.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from cutoutd.job_options import JobOptions, JobOptionsError
from cutoutd.jobs import JobState
from cutoutd.journal.commands import Verb
from cutoutd.journal.store import SQL
from cutoutd.submission_refusals import SubmissionRefusal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

MAX_KEY: Final = 512
"""The most characters of a key."""

KEPT_S: Final = 86_400
"""How long a request is remembered after it was posted: the same key gets the same answer until then."""

AT_ONCE: Final = 100
"""How many requests are accepted before the folder is scanned again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A picture that a program hands in.

    Attributes:
        key: chosen by the program; a second request with the same key is the first one.
        folder: name of the folder.
        spool: name of its file; see `cutoutd.intake.incoming`.
        name: the name that it is to get in the input, if that is free.
        options: what is asked of the picture.
        digest: digest of the request, as the program computes it: the same key with another digest is another request.
        posted_us: when it was posted, UTC microseconds; 0: not yet.
        path: the path that it gets, relative to the input; None: not decided yet.
        job: id of its job; None: it is not accepted.
        refused: why it is refused, in words; None: it is not.
        refusal: which kind of refusal that is; None: it is not refused.
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
    refusal: SubmissionRefusal | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was accepted or refused."""
        return self.job is not None or self.refused is not None


class SubmissionState(NamedTuple):
    """What became of a request.

    Attributes:
        is_refused: whether it was refused.
        job: the state of its job; None: it is not accepted.
    """

    is_refused: bool
    job: JobState | None


class Submissions:
    """The submissions in the journal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def post(self, submission: Submission) -> Submission:
        """Post one picture; see `post_all`."""
        return self.post_all([submission])[0]

    def post_all(self, submissions: Sequence[Submission]) -> list[Submission]:
        """Post pictures whose files are complete and on the disk, in one transaction; from here on they cannot be lost.

        Args:
            submissions: the requests, without the fields that the journal fills in.

        Returns:
            For each, the request under its key: this one, or an earlier one, whose file is accepted instead.

        Raises:
            ValueError: a key is empty or too long.
            StorageError: the journal cannot be written.
        """
        if not all(0 < len(one.key) <= MAX_KEY for one in submissions):
            raise ValueError(f"a key has 1 to {MAX_KEY} characters")
        with self._store.transaction():
            return [self._post(one, self._clock.now_us()) for one in submissions]

    def _post(self, submission: Submission, now_us: int) -> Submission:
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
        """Return a request by its key; None if there is none, or it was forgotten."""
        row = self._store.row(SQL.submission, key=key)
        return None if row is None else _submission(row)

    def has(self, job: int) -> bool:
        """Whether a program submitted the picture of a job."""
        return self._store.row(SQL.is_submitted, job=job) is not None

    def states(self, keys: Collection[str]) -> dict[str, SubmissionState]:
        """Return the states of many requests, by key, in one statement; unknown keys are left out."""
        rows = self._store.rows(SQL.submission_states, keys=json.dumps(list(keys)))
        return {
            row["key"]: SubmissionState(bool(row["is_refused"]), row["state"] and JobState(row["state"]))
            for row in rows
        }

    def of_keys(self, keys: Collection[str]) -> dict[str, Submission]:
        """Return many requests by their keys; unknown keys are left out."""
        rows = self._store.rows(SQL.submissions, keys=json.dumps(list(keys)))
        return {row["key"]: _submission(row) for row in rows}

    def pending(self, folder: str, limit: int = AT_ONCE) -> list[Submission]:
        """Return the open requests of a folder, the oldest first."""
        rows = self._store.rows(SQL.pending_submissions, folder=folder, limit=limit)
        return [_submission(row) for row in rows]

    def spools_in_use(self, folder: str) -> frozenset[str]:
        """Return the names of the files of a folder's open requests."""
        return frozenset(str(row["spool"]) for row in self._store.rows(SQL.spools_in_use, folder=folder))

    def asked_backgrounds(self) -> frozenset[str]:
        """Return the backgrounds that jobs and requests ask for: colours, and pictures by their SHA-256."""
        rows = self._store.rows(SQL.asked_backgrounds)
        return frozenset(str(row["background"]) for row in rows if row["background"] is not None)

    def name(self, key: str, path: str) -> None:
        """Record which path a request's file is to get, before it is renamed."""
        with self._store.transaction():
            self._store.write(SQL.name_submission, key=key, path=os.fsencode(path))

    def refuse(self, key: str, refusal: SubmissionRefusal, why: str) -> None:
        """Refuse a request."""
        with self._store.transaction():
            self._store.write(SQL.refuse_submission, key=key, refusal=refusal, why=why)

    def forget_old(self) -> int:
        """Forget requests that ended and are old enough; returns how many."""
        with self._store.transaction():
            return self._store.write(
                SQL.forget_submissions, before_us=self._clock.now_us() - KEPT_S * 1_000_000
            )


def _submission(row: sqlite3.Row) -> Submission:
    try:
        options = JobOptions.parse(row["options"])
    except JobOptionsError:
        options = JobOptions()  # the row was edited by hand
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
        refusal=None if row["refused"] is None else _refusal(row["refusal"]),
    )


def _refusal(stored: str | None) -> SubmissionRefusal:
    """Return the kind of a refusal; one that was stored without it, or edited, has no better one."""
    return SubmissionRefusal(stored) if stored in set(SubmissionRefusal) else SubmissionRefusal.INTERNAL
