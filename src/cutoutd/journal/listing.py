"""Lists of pictures for people, by the newest version of each source: counted, filtered, sorted, a page at a time.

Every answer is read whole and at once, since an open cursor would hold up the daemon's commits. It writes nothing.
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
"""From so many pictures on, they are read in the order of their names instead of being sorted."""


class Mark(IntEnum):
    """What sets a job apart from others in its state."""

    PLAIN = 0
    DOUBTFUL = 1  # its cutout is held back, or published and may well be wrong
    REJECTED = 2  # it has failed since a person rejected its cutout


class Sort(StrEnum):
    """The order of a list."""

    NEWEST = "newest"  # by when it ended, or was accepted
    OLDEST = "oldest"
    SCORE = "score"  # the lowest first; those without one last
    DOUBT = "doubt"  # the doubtful ones first, and of them the lowest score
    NAME = "name"  # by folder and path


@dataclass(frozen=True, kw_only=True, slots=True)
class JobGroup:
    """Jobs that are listed together.

    Attributes:
        folder: its name.
        state, mark: of the job.
    """

    folder: str
    state: JobState
    mark: Mark


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which pictures a list has.

    Attributes:
        kinds: those of these.
        reason: to look for it in the cutout; None: whatever there is.
        score_below: with such a score; None: whatever it is.
        name: that their path has this in it, whatever the case of ASCII letters; empty: whatever it is.
    """

    kinds: tuple[JobGroup, ...]
    reason: Reason | None = None
    score_below: float | None = None
    name: str = ""

    @property
    def is_narrowed(self) -> bool:
        """Whether more than kinds are asked for."""
        return self.reason is not None or self.score_below is not None or bool(self.name)

    @property
    def named(self) -> dict[str, Any]:
        """For the statements."""
        return {
            "kinds": json.dumps([(kind.folder, kind.state, kind.mark) for kind in self.kinds]),
            "reason": self.reason,
            "score_below": self.score_below,
            "name": f"%{_escaped(self.name)}%" if self.name else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedOutput:
    """A result under its name.

    Attributes:
        rendition: index into the folder's renditions.
        target: path in the folder's output, bytes as in the file system.
        sha256: hex.
    """

    rendition: int
    target: bytes
    sha256: str


class Listing:
    """Lists out of a journal that a daemon may be writing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def kinds(self) -> dict[JobGroup, int]:
        """How many pictures there are of each kind."""
        return {
            JobGroup(folder=row["folder"], state=JobState(row["state"]), mark=Mark(row["mark"])): int(
                row["n"]
            )
            for row in self._store.rows(SQL.kinds_of_jobs)
        }

    def page(
        self, selection: Selection, sort: Sort, *, counts: Mapping[JobGroup, int], offset: int, limit: int
    ) -> tuple[int, list[int]]:
        """A page of a list.

        Args:
            selection: which pictures.
            sort: their order.
            counts: of `kinds`, as they are now.
            offset: how many come before the page.
            limit: how many it has at most.

        Returns:
            How many pictures there are, and the numbers of those on the page.
        """
        if selection.is_narrowed:
            found = self.numbers(selection, sort)
            return len(found), found[offset : offset + limit]
        total = sum(counts.get(kind, 0) for kind in selection.kinds)
        if offset >= total:
            return total, []
        if sort in (Sort.NEWEST, Sort.OLDEST):
            return total, self._merged(selection.kinds, sort, offset=offset, limit=limit)
        is_walked = sort is Sort.NAME and total > MANY
        sql = SQL.walked_by_name if is_walked else _statement(sort)
        named = {"kinds": selection.named["kinds"]} if is_walked else selection.named
        return total, [row["id"] for row in self._store.rows(sql, **named, limit=limit, offset=offset)]

    def numbers(self, selection: Selection, sort: Sort, *, limit: int = -1) -> list[int]:
        """All numbers of a list, in its order."""
        sql = _statement(sort)
        return [row["id"] for row in self._store.rows(sql, **selection.named, limit=limit, offset=0)]

    def jobs(self, numbers: Sequence[int]) -> list[Job]:
        """The jobs of some numbers, in their order, as far as there are any."""
        rows = self._store.rows(SQL.jobs_by_number, jobs=json.dumps(numbers))
        found = {row["id"]: job_from_row(row) for row in rows}
        return [found[number] for number in numbers if number in found]

    def outputs(self, numbers: Collection[int]) -> dict[int, list[ListedOutput]]:
        """What each of some jobs has published, or holds back while it is in review; overlays are left out."""
        found: dict[int, list[ListedOutput]] = {}
        for row in self._store.rows(SQL.outputs_of_jobs, jobs=json.dumps(list(numbers))):
            found.setdefault(row["job"], []).append(
                ListedOutput(rendition=row["rendition"], target=bytes(row["target"]), sha256=row["sha256"])
            )
        return found

    def seen(self, numbers: Sequence[int]) -> dict[int, str]:
        """The SHA-256 of the first result of each job, which says whether it is still what a person saw; as far as there is one."""
        rows = self._store.rows(SQL.first_outputs_of_jobs, jobs=json.dumps(numbers))
        return {row["job"]: row["sha256"] for row in rows if row["sha256"] is not None}

    def asked(self, numbers: Collection[int]) -> dict[int, str]:
        """What people have asked about jobs and the daemon has not seen to yet: the last verb."""
        rows = self._store.rows(SQL.asked_about, jobs=json.dumps(list(numbers)))
        return {int(row["argument"]): str(row["verb"]) for row in rows}

    def decided(self, numbers: Collection[int]) -> dict[tuple[int, str], str]:
        """What people last decided about jobs and what they saw of each, carried out or not, as far as it was not taken back."""
        rows = self._store.rows(SQL.last_decisions, jobs=json.dumps(list(numbers)))
        return {(row["job"], row["seen"]): str(row["verb"]) for row in rows}

    def earlier(self, job: Job, limit: int) -> list[Job]:
        """Earlier versions of a job's source, the last first."""
        path = job.path.encode("utf-8", "surrogateescape")
        rows = self._store.rows(SQL.versions_of_source, folder=job.folder, path=path, limit=limit)
        return [job_from_row(row) for row in rows]

    def minutes(self, folder: str, since_us: int, *, failed: bool) -> dict[int, int]:
        """How many pictures of a folder were cut, or failed, in each minute since a moment; those with none are left out."""
        sql = SQL.minutes_of_failed if failed else SQL.minutes_of_cut
        return {row["minute"]: row["n"] for row in self._store.rows(sql, folder=folder, since_us=since_us)}

    def ended(self, folder: str, since_us: int, *, limit: int) -> list[tuple[int, int]]:
        """The last pictures of a folder that were cut, or have failed, since a moment, and when, UTC microseconds; the last first."""
        named = {"folder": folder, "since_us": since_us, "limit": limit}
        found = [
            (row["at_us"], row["id"])
            for sql in (SQL.cut_since, SQL.failed_since)
            for row in self._store.rows(sql, **named)
        ]
        return [(number, at_us) for at_us, number in sorted(found, reverse=True)[:limit]]

    def ended_us(self, folder: str) -> int:
        """When the last picture of a folder was cut, or has failed, UTC microseconds; 0: none has."""
        return self._store.number(SQL.last_ended_us, folder=folder)

    def _merged(self, kinds: Sequence[JobGroup], sort: Sort, *, offset: int, limit: int) -> list[int]:
        """By time: each kind has its index, and they are merged."""
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


def _escaped(name: str) -> str:
    return name.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
