"""Sources that were renamed or moved: a path that vanished or has another picture now, and a new one with the same bytes.

It only knows what is written down; whether a path is really gone is for others to see. It must not look at files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.database import restored, stored
from cutoutd.jobs import Origin, Version
from cutoutd.journal.queue import decoded, job_from_row
from cutoutd.journal.reservations import of_source
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    import sqlite3

    from cutoutd.jobs import Job
    from cutoutd.journal.sources import Sources
    from cutoutd.journal.store import Store

MAX_CANDIDATES: Final = 64
"""So many SHA-256 are given to a worker; where there may be more, it says which its picture has, and that is looked up."""

MAX_LEFT: Final = 5000
"""So many entries of doubtful and failed pictures that look alike are seen to at once."""

_MAX_ORIGINS: Final = 4
"""So many places of one picture are looked at: a copy's original is still there, and is read to see that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """What a picture may be that lay elsewhere before.

    Attributes:
        sha256s: of published pictures.
        are_all: there are no others.
    """

    sha256s: tuple[str, ...] = ()
    are_all: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A source whose result a person has rejected.

    Attributes:
        job: of its version.
        vanished: nothing is known to lie at its path; else another picture may.
    """

    job: Job
    vanished: bool


class PictureMoves:
    """The moves of pictures in the journal."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._sources = sources

    def candidates(self, job: Job) -> Candidates:
        """What a job's picture may be: one of its size that vanished, gave way to another, or has its time as well."""
        looks = _looks(job)
        found = [
            self._store.rows(sql, limit=MAX_CANDIDATES + 1, **looks)
            for sql in (
                SQL.vanished_candidates,
                SQL.rejected_candidates,
                SQL.alike_candidates,
                SQL.displaced_candidates,  # the last: the delivery's thread displaces one of the others meanwhile
            )
        ]
        return Candidates(
            sha256s=tuple(sorted({str(row["sha256"]) for rows in found for row in rows})),
            are_all=all(len(rows) <= MAX_CANDIDATES for rows in found),
        )

    def origins(self, job: Job, sha256: str) -> list[Origin]:
        """Where a picture with these bytes lay before, the likeliest first; whether it still lies there is not known."""
        looks = _looks(job)
        found = (
            Origin(path=os.fsdecode(row["path"]), generation=row["generation"], review=bool(row["review"]))
            for sql in (SQL.displaced_origins, SQL.vanished_origins, SQL.alike_origins)
            for row in self._store.rows(sql, sha256=sha256, limit=_MAX_ORIGINS, **looks)
        )
        return list(dict.fromkeys(found))

    def rejected(self, job: Job, sha256: str) -> list[Rejected]:
        """Sources with these bytes that lay elsewhere, and whose results a person has rejected, the likeliest first."""
        rows = self._store.rows(SQL.rejected_sources, sha256=sha256, limit=_MAX_ORIGINS, **_looks(job))
        return [Rejected(job=job_from_row(row), vanished=bool(row["vanished"])) for row in rows]

    def end_rejected(self, job: Job, other: Job) -> None:
        """A rejection is a job's now; another picture has the path of the source that it was of."""
        with self._store.transaction():
            self._store.write(SQL.end_rejected, detail=_moved_to(job), job=other.id)
        self._sources.forget(other.folder, other.version)

    def left_behind(self, job: Job) -> list[Job]:
        """Doubtful and failed sources that vanished, and that a job's picture may have been: of its size and time."""
        rows = self._store.rows(SQL.left_behind, limit=MAX_LEFT, **_looks(job))
        return [job_from_row(row) for row in rows]

    def close(self, job: Job, other: Job) -> None:
        """A doubtful or failed source is a job's now, and its entries are gone."""
        source = of_source(other.folder, other.path, other.generation)
        with self._store.transaction():
            self._store.write(SQL.close_source, detail=_moved_to(job), job=other.id, **source)
        self._sources.vacate(other.folder, other.path)

    def planned(self, job: Job) -> Origin | None:
        """Where a job's picture lay before, as its plan says; None if it was not moved."""
        return self.planned_move(job)[0]

    def planned_move(self, job: Job) -> tuple[Origin | None, str | None]:
        """What `detail` has put into a job's plan, as far as it still holds.

        Returns:
            Where the picture lay before; None if it was not moved. And the SHA-256 of its data apart from its metadata,
            where that is known.
        """
        row, detail = self._plan(job)
        image_sha256, found = detail.get("image_sha256"), detail.get("moved_from")
        known = image_sha256 if isinstance(image_sha256, str) else None
        if row is None or not isinstance(found, dict):
            return None, known
        still = self._store.row(
            SQL.origin_of_plan,
            folder=job.folder,
            path=bytes.fromhex(found["path"]),
            sha256=row["sha256"],
            generation=int(found["generation"]),
        )
        if still is None:
            return None, known
        return Origin(path=os.fsdecode(still["path"]), generation=still["generation"]), known

    def detail(self, job: Job, origin: Origin) -> dict[str, object]:
        """For a plan's row: what `planned_move` reads."""
        row = self._store.row(SQL.published, **of_source(job.folder, origin.path, origin.generation))
        return {
            "moved_from": {"path": os.fsencode(origin.path).hex(), "generation": origin.generation},
            "image_sha256": None if row is None else row["image_sha256"],
        }

    def given(self, job: Job) -> tuple[str, ...]:
        """The names that a job's plan gives its results, in the folder's output."""
        row, detail = self._plan(job)
        plan = json.loads(detail["plan"]) if row is not None else {"published": []}
        return tuple(str(one["path"]) for one in plan["published"])

    def own_names_within(self, job: Job, origin: Origin) -> Version | None:
        """All names of the earlier source are the job's source's, inside a transaction of the caller's.

        Returns:
            For `over`: the version at the earlier path whose result it was; None if that path has a later one.
        """
        self._store.write(
            SQL.move_source,
            mtime_ns=stored(job.mtime_ns),
            **_from(origin),
            **of_source(job.folder, job.path, job.generation),
        )
        return self._end_within(job, origin)

    def end_within(self, job: Job, origin: Origin) -> Version | None:
        """The results have followed: nothing is the earlier source's any more, inside a transaction of the caller's.

        Returns:
            For `over`: the version at the earlier path whose result it was; None if that path has a later one.
        """
        here = of_source(job.folder, job.path, job.generation)
        self._store.write(SQL.move_corrections, **_from(origin), **here)
        self._store.write(SQL.remove_source, **of_source(job.folder, origin.path, origin.generation))
        return self._end_within(job, origin)

    def take_names_within(self, job: Job, origin: Origin, keys: tuple[bytes, ...]) -> None:
        """Names that a plan needs and that are the earlier source's, inside a transaction of the caller's."""
        for key in keys:
            self._store.write(
                SQL.take_name,
                key=key,
                **_from(origin),
                **of_source(job.folder, job.path, job.generation),
            )

    def _end_within(self, job: Job, origin: Origin) -> Version | None:
        source = of_source(job.folder, origin.path, origin.generation)
        row = self._store.row(SQL.version_that_moved, **source)
        if row is None:
            return None
        self._store.write(SQL.end_moved, detail=_moved_to(job), **source)
        return Version(path=origin.path, size=row["size"], mtime_ns=restored(row["mtime_ns"]))

    def _plan(self, job: Job) -> tuple[sqlite3.Row | None, dict[str, Any]]:
        row = self._store.row(SQL.plan_of_job, job=job.id)
        return row, {} if row is None else decoded(row["detail"])

    def over(self, job: Job, version: Version) -> None:
        """It is written down: should the picture come back to its earlier path, it is accepted there again."""
        self._sources.forget(job.folder, version)


def _moved_to(job: Job) -> str:
    return json.dumps({"why": f"moved to {os.fsencode(job.path).decode('utf-8', 'replace')}"})


def _looks(job: Job) -> dict[str, Any]:
    """A job's picture, as statements name it that look for one like it."""
    source = of_source(job.folder, job.path, job.generation)
    return source | {"size": job.size, "mtime_ns": stored(job.mtime_ns)}


def _from(origin: Origin) -> dict[str, Any]:
    return {"from_path": os.fsencode(origin.path), "from_generation": origin.generation}
