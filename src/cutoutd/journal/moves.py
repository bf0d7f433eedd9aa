"""Moved sources: a path that vanished or has another picture now, and a new path with the same bytes.

It knows only what the journal has; whether a file is really gone is checked by the caller. It must not look at files.
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
"""The most SHA-256 that a worker gets; where there may be more, it returns that of its picture, which is then looked up."""

MAX_LEFT: Final = 5000
"""The most rows of doubtful and failed pictures with the same size and time that are looked at together."""

_MAX_ORIGINS: Final = 4
"""The most places of one picture that are looked at: the original of a copy is still there, and is read to find that out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """The pictures that a job's picture may be, if it was moved.

    Attributes:
        sha256s: SHA-256 of published pictures.
        are_all: whether there are no others.
    """

    sha256s: tuple[str, ...] = ()
    are_all: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A source whose result a person has rejected.

    Attributes:
        job: the job of its version.
        vanished: whether no file is known to be at its path; else another picture may be there.
    """

    job: Job
    vanished: bool


class PictureMoves:
    """The moves of pictures in the journal."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._sources = sources

    def candidates(self, job: Job) -> Candidates:
        """Return the pictures that a job's may be: of its size, and vanished, displaced, or with its modification time."""
        looks = _looks(job)
        found = [
            self._store.rows(sql, limit=MAX_CANDIDATES + 1, **looks)
            for sql in (
                SQL.vanished_candidates,
                SQL.rejected_candidates,
                SQL.alike_candidates,
                SQL.displaced_candidates,  # last, since the delivery's thread may displace one of the others meanwhile
            )
        ]
        return Candidates(
            sha256s=tuple(sorted({str(row["sha256"]) for rows in found for row in rows})),
            are_all=all(len(rows) <= MAX_CANDIDATES for rows in found),
        )

    def origins(self, job: Job, sha256: str) -> list[Origin]:
        """Return where a picture with these bytes was before, the likeliest first; whether it is still there is not checked."""
        looks = _looks(job)
        found = (
            Origin(path=os.fsdecode(row["path"]), generation=row["generation"], review=bool(row["review"]))
            for sql in (SQL.displaced_origins, SQL.vanished_origins, SQL.alike_origins)
            for row in self._store.rows(sql, sha256=sha256, limit=_MAX_ORIGINS, **looks)
        )
        return list(dict.fromkeys(found))

    def rejected(self, job: Job, sha256: str) -> list[Rejected]:
        """Return the rejected sources with these bytes at other paths, the likeliest first."""
        rows = self._store.rows(SQL.rejected_sources, sha256=sha256, limit=_MAX_ORIGINS, **_looks(job))
        return [Rejected(job=job_from_row(row), vanished=bool(row["vanished"])) for row in rows]

    def end_rejected(self, job: Job, other: Job) -> None:
        """End the rejected job of a moved picture, whose rejection ``job`` takes over; another picture has its path now."""
        with self._store.transaction():
            self._store.write(SQL.end_rejected, detail=_moved_to(job), job=other.id)
        self._sources.forget(other.folder, other.version)

    def left_behind(self, job: Job) -> list[Job]:
        """Return doubtful and failed jobs that ``job``'s picture may have been: their sources vanished, with its size and time."""
        rows = self._store.rows(SQL.left_behind, limit=MAX_LEFT, **_looks(job))
        return [job_from_row(row) for row in rows]

    def close(self, job: Job, other: Job) -> None:
        """End a doubtful or failed job whose picture ``job`` has now, and remove its entries."""
        source = of_source(other.folder, other.path, other.generation)
        with self._store.transaction():
            self._store.write(SQL.close_source, detail=_moved_to(job), job=other.id, **source)
        self._sources.vacate(other.folder, other.path)

    def planned(self, job: Job) -> Origin | None:
        """Return where a job's picture was before, according to its plan; None if it was not moved."""
        return self.planned_move(job)[0]

    def planned_move(self, job: Job) -> tuple[Origin | None, str | None]:
        """Return what `detail` put into a job's plan, as far as it still holds.

        Returns:
            Where the picture was before, None if it was not moved; and the SHA-256 of its data without its metadata, None if
            it is not known.
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
        """Return the part of a plan that `planned_move` reads."""
        row = self._store.row(SQL.published, **of_source(job.folder, origin.path, origin.generation))
        return {
            "moved_from": {"path": os.fsencode(origin.path).hex(), "generation": origin.generation},
            "image_sha256": None if row is None else row["image_sha256"],
        }

    def given(self, job: Job) -> tuple[str, ...]:
        """Return the names that a job's plan gives its results, relative to the folder's output."""
        row, detail = self._plan(job)
        plan = json.loads(detail["plan"]) if row is not None else {"published": []}
        return tuple(str(one["path"]) for one in plan["published"])

    def own_names_within(self, job: Job, origin: Origin) -> Version | None:
        """Give all names of the earlier source to the job's source, inside a transaction of the caller's.

        Returns:
            The version at the earlier path, to be passed to `forget_moved`; None if that path has a later version.
        """
        self._store.write(
            SQL.move_source,
            mtime_ns=stored(job.mtime_ns),
            **_from(origin),
            **of_source(job.folder, job.path, job.generation),
        )
        return self._end_within(job, origin)

    def end_within(self, job: Job, origin: Origin) -> Version | None:
        """Remove the earlier source, whose results have moved along, inside a transaction of the caller's.

        Returns:
            The version at the earlier path, to be passed to `forget_moved`; None if that path has a later version.
        """
        here = of_source(job.folder, job.path, job.generation)
        self._store.write(SQL.move_corrections, **_from(origin), **here)
        self._store.write(SQL.remove_source, **of_source(job.folder, origin.path, origin.generation))
        return self._end_within(job, origin)

    def take_names_within(self, job: Job, origin: Origin, keys: tuple[bytes, ...]) -> None:
        """Take over the names that a plan needs and the earlier source has, inside a transaction of the caller's."""
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

    def forget_moved(self, job: Job, version: Version) -> None:
        """Forget the version at the earlier path, once the move is committed: a picture that comes back there is accepted again."""
        self._sources.forget(job.folder, version)


def _moved_to(job: Job) -> str:
    return json.dumps({"why": f"moved to {os.fsencode(job.path).decode('utf-8', 'replace')}"})


def _looks(job: Job) -> dict[str, Any]:
    """Return a job's picture as parameters of the statements that look for pictures like it."""
    source = of_source(job.folder, job.path, job.generation)
    return source | {"size": job.size, "mtime_ns": stored(job.mtime_ns)}


def _from(origin: Origin) -> dict[str, Any]:
    return {"from_path": os.fsencode(origin.path), "from_generation": origin.generation}
