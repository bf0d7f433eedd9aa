"""Lists of pictures for people, by the newest version of each source: counted, filtered, sorted, one page at a time.

Every result is read whole and at once, since an open cursor would block the daemon's commits. This module writes nothing.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import JobState
from cutoutd.journal.queue import job_from_row
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from cutoutd.jobs import Job, Reason
    from cutoutd.journal.store import Store

MANY: Final = 5_000
"""From this many pictures on, a list by name is read in index order instead of being sorted."""


_NO_END: Final = 2**63 - 1


class Mark(IntEnum):
    """What distinguishes a job from others in the same state."""

    PLAIN = 0
    DOUBTFUL = 1  # its cutout is held back, or is published and may be wrong
    REJECTED = 2  # it has failed because a person rejected its cutout


class Sort(StrEnum):
    """The order of a list."""

    NEWEST = "newest"  # by when the job ended, or was accepted
    OLDEST = "oldest"
    SCORE = "score"  # the lowest first; jobs without a score last
    DOUBT = "doubt"  # doubtful ones first, and among them the lowest score
    NAME = "name"  # by folder and path


@dataclass(frozen=True, kw_only=True, slots=True)
class JobGroup:
    """The jobs of a folder with the same state and mark, which are listed together.

    Attributes:
        folder: name of the folder.
        state, mark: those of the jobs.
    """

    folder: str
    state: JobState
    mark: Mark


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which pictures a list contains.

    Attributes:
        kinds: the groups of jobs.
        reason: a reason that the cutout must have; None: any.
        score_below: an upper bound of the score; None: any score.
        name: text that the path must contain, ASCII letters in either case; empty: any path.
    """

    kinds: tuple[JobGroup, ...]
    reason: Reason | None = None
    score_below: float | None = None
    name: str = ""

    @property
    def is_narrowed(self) -> bool:
        """Whether the selection has more conditions than its groups."""
        return self.reason is not None or self.score_below is not None or bool(self.name)

    @property
    def named(self) -> dict[str, Any]:
        """The selection as parameters of the SQL statements."""
        return {
            "kinds": json.dumps([(kind.folder, kind.state, kind.mark) for kind in self.kinds]),
            "reason": self.reason,
            "score_below": self.score_below,
            "name": f"%{_escape(self.name)}%" if self.name else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedOutput:
    """A published result under its name.

    Attributes:
        rendition: index into the folder's renditions.
        target: path in the folder's output, bytes as in the file system.
        sha256: SHA-256 of the file, hex.
    """

    rendition: int
    target: bytes
    sha256: str


class Listing:
    """Lists from a journal that a daemon may be writing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def kinds(self) -> dict[JobGroup, int]:
        """Return how many pictures each group has."""
        return {
            JobGroup(folder=row["folder"], state=JobState(row["state"]), mark=Mark(row["mark"])): int(
                row["n"]
            )
            for row in self._store.rows(SQL.kinds_of_jobs)
        }

    def page(
        self, selection: Selection, sort: Sort, *, counts: Mapping[JobGroup, int], offset: int, limit: int
    ) -> tuple[int, list[int]]:
        """Return one page of a list.

        Args:
            selection: which pictures.
            sort: the order.
            counts: the current result of `kinds`.
            offset: number of pictures before the page.
            limit: the most pictures on the page.

        Returns:
            How many pictures the list has, and the ids of the jobs on the page.
        """
        if selection.is_narrowed:
            found = self.numbers(selection, sort)
            return len(found), found[offset : offset + limit]
        total = sum(counts.get(kind, 0) for kind in selection.kinds)
        if offset >= total:
            return total, []
        if sort in (Sort.NEWEST, Sort.OLDEST):
            return total, self._merge(selection.kinds, sort, offset=offset, limit=limit)
        is_walked = sort is Sort.NAME and total > MANY
        sql = SQL.walked_by_name if is_walked else _statement(sort)
        named = {"kinds": selection.named["kinds"]} if is_walked else selection.named
        return total, [row["id"] for row in self._store.rows(sql, **named, limit=limit, offset=offset)]

    def numbers(self, selection: Selection, sort: Sort, *, limit: int = -1) -> list[int]:
        """Return the ids of all jobs of a list, in its order."""
        sql = _statement(sort)
        return [row["id"] for row in self._store.rows(sql, **selection.named, limit=limit, offset=0)]

    def jobs(self, numbers: Sequence[int]) -> list[Job]:
        """Return the jobs with these ids, in their order; ids without a job are left out."""
        rows = self._store.rows(SQL.jobs_by_number, jobs=json.dumps(numbers))
        found = {row["id"]: job_from_row(row) for row in rows}
        return [found[number] for number in numbers if number in found]

    def outputs(self, numbers: Collection[int]) -> dict[int, list[ListedOutput]]:
        """Return what each of these jobs has published, or holds back while in review; overlays are left out."""
        found: dict[int, list[ListedOutput]] = {}
        for row in self._store.rows(SQL.outputs_of_jobs, jobs=json.dumps(list(numbers))):
            found.setdefault(row["job"], []).append(
                ListedOutput(rendition=row["rendition"], target=bytes(row["target"]), sha256=row["sha256"])
            )
        return found

    def first_results(self, numbers: Sequence[int]) -> dict[int, str]:
        """Return the SHA-256 of the first result of each job, which shows whether a person's view is current; jobs without one are left out."""
        rows = self._store.rows(SQL.first_outputs_of_jobs, jobs=json.dumps(numbers))
        return {row["job"]: row["sha256"] for row in rows if row["sha256"] is not None}

    def pending_verbs(self, numbers: Collection[int]) -> dict[int, str]:
        """Return the last pending command about each of these jobs, as its verb."""
        rows = self._store.rows(SQL.asked_about, jobs=json.dumps(list(numbers)))
        return {int(row["argument"]): str(row["verb"]) for row in rows}

    def pending_decisions(self, numbers: Collection[int]) -> dict[tuple[int, str], str]:
        """Return the last decision that was not undone, carried out or not, by job and SHA-256 of the result that was seen."""
        rows = self._store.rows(SQL.last_decisions, jobs=json.dumps(list(numbers)))
        return {(row["job"], row["seen"]): str(row["verb"]) for row in rows}

    def earlier(self, job: Job, limit: int) -> list[Job]:
        """Return earlier versions of a job's source, the newest first."""
        path = job.path.encode("utf-8", "surrogateescape")
        rows = self._store.rows(SQL.versions_of_source, folder=job.folder, path=path, limit=limit)
        return [job_from_row(row) for row in rows]

    def minutes(self, folder: str, since_us: int, *, failed: bool) -> dict[int, int]:
        """Return how many pictures of a folder were cut, or failed, by minute since a time; minutes without any are left out."""
        sql = SQL.minutes_of_failed if failed else SQL.minutes_of_cut
        return {row["minute"]: row["n"] for row in self._store.rows(sql, folder=folder, since_us=since_us)}

    def ended(
        self, folder: str, since_us: int, until_us: int = _NO_END, *, limit: int
    ) -> list[tuple[int, int]]:
        """Return the ids of a folder's jobs that were cut or failed, and when, UTC microseconds; the newest first.

        Args:
            folder: name of the folder.
            since_us: time after which they ended.
            until_us: time until which they ended.
            limit: the most ids.
        """
        named = {"folder": folder, "since_us": since_us, "until_us": until_us, "limit": limit}
        found = [
            (row["at_us"], row["id"])
            for sql in (SQL.cut_since, SQL.failed_since)
            for row in self._store.rows(sql, **named)
        ]
        return [(number, at_us) for at_us, number in sorted(found, reverse=True)[:limit]]

    def ended_us(self, folder: str) -> int:
        """Return when a folder's last picture was cut or failed, UTC microseconds; 0: never."""
        return self._store.number(SQL.last_ended_us, folder=folder)

    def _merge(self, kinds: Sequence[JobGroup], sort: Sort, *, offset: int, limit: int) -> list[int]:
        """Return a page ordered by time: each group has its own index, and they are merged."""
        is_newest = sort is Sort.NEWEST
        sql = SQL.newest_of_kind if is_newest else SQL.oldest_of_kind
        streams = [self._of_kind(sql, kind, offset + limit) for kind in kinds]
        merged = heapq.merge(*streams, key=itemgetter(0, 1), reverse=is_newest)
        return [number for _, number in islice(merged, offset, offset + limit)]

    def _of_kind(self, sql: str, kind: JobGroup, limit: int) -> Iterator[tuple[int, int]]:
        rows = self._store.rows(sql, folder=kind.folder, state=kind.state, mark=int(kind.mark), limit=limit)
        return ((row["at_us"], row["id"]) for row in rows)


def _statement(sort: Sort) -> str:
    return {
        Sort.NEWEST: SQL.listed_newest,
        Sort.OLDEST: SQL.listed_oldest,
        Sort.SCORE: SQL.listed_by_score,
        Sort.DOUBT: SQL.listed_by_doubt,
        Sort.NAME: SQL.listed_by_name,
    }[sort]


def _escape(name: str) -> str:
    return name.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
