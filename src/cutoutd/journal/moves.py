"""Sources that were renamed or moved: a path that vanished or has another picture now, and a new one with the same bytes.

It only knows what is written down; whether a path is really gone is for others to see. It must not look at files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import Origin
from cutoutd.journal.displaced import OF_SOURCE, TABLES
from cutoutd.journal.integers import stored
from cutoutd.journal.queue import job_from_row

if TYPE_CHECKING:
    from cutoutd.jobs import Job
    from cutoutd.journal.sources import Sources
    from cutoutd.journal.store import Store

MAX_CANDIDATES: Final = 64
"""So many SHA-256 are given to a worker; where there may be more, it says which its picture has, and that is looked up."""

MAX_LEFT: Final = 5000
"""So many entries of doubtful and failed pictures that look alike are seen to at once."""

_MAX_ORIGINS: Final = 4
"""So many places of one picture are looked at: a copy's original is still there, and is read to see that."""

_VANISHED: Final = (
    "FROM job AS j JOIN published AS p ON p.folder = j.folder AND p.path = j.path AND p.generation = j.generation "
    "WHERE j.folder = ? AND j.newest = 1 AND j.missing_us IS NOT NULL "
    "AND j.state IN ('done', 'unchanged', 'review') AND p.gone = 0"
)
_REJECTED: Final = (
    "FROM job INDEXED BY job_rejected WHERE folder = ? AND size = ? AND state = 'failed' "
    "AND sha256 IS NOT NULL AND json_extract(detail, '$.failure.code') = 'Rejected' AND path <> ?"
)
_HAS_LATER: Final = " OR ".join(  # written out, as the partial indexes are
    "EXISTS (SELECT 1 FROM job AS later WHERE later.folder = job.folder AND later.path = job.path "  # noqa: S608 -- 0 or 1
    f"AND later.newest = {newest} AND later.id > job.id AND later.sha256 = job.sha256)"
    for newest in (1, 0)
)
_LOOKS_ALIKE: Final = (
    "FROM published WHERE folder = ? AND size = ? AND mtime_ns = ? AND generation >= 0 AND gone = 0 "
    "AND NOT (path = ? AND generation = ?)"
)
_ASIDE: Final = "FROM published WHERE folder = ? AND size = ? AND generation < 0 AND gone = 0"
_IS_DOUBTFUL: Final = (
    "(SELECT COUNT(*) > 0 AND MIN(o.review) = 1 FROM output AS o "
    "WHERE o.folder = published.folder AND o.path = published.path AND o.generation = published.generation)"
)


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


class Moves:
    """The moves of pictures in the journal."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._sources = sources

    def candidates(self, job: Job) -> Candidates:
        """What a job's picture may be: one of its size that vanished, gave way to another, or has its time as well."""
        path = os.fsencode(job.path)
        found = [
            self._store.rows(f"SELECT {sha256} {rows} LIMIT {MAX_CANDIDATES + 1}", arguments)
            for sha256, rows, arguments in (
                ("p.sha256", f"{_VANISHED} AND j.size = ?", (job.folder, job.size)),
                ("sha256", _REJECTED, (job.folder, job.size, path)),
                ("sha256", _ASIDE, (job.folder, job.size)),
                # A rename keeps the time. Its earlier path may have another file by now that was not accepted yet.
                (
                    "sha256",
                    _LOOKS_ALIKE,
                    (job.folder, job.size, stored(job.mtime_ns), path, job.generation),
                ),
            )
        ]
        return Candidates(
            sha256s=tuple(sorted({str(row["sha256"]) for rows in found for row in rows})),
            are_all=all(len(rows) <= MAX_CANDIDATES for rows in found),
        )

    def origins(self, job: Job, sha256: str) -> list[Origin]:
        """Where a picture with these bytes lay before, the likeliest first; whether it still lies there is not known."""
        path = os.fsencode(job.path)
        doubtful = f"{_IS_DOUBTFUL} AS review"
        rows = [
            *self._store.rows(
                f"SELECT path, generation, {doubtful} {_ASIDE} AND sha256 = ? LIMIT ?",
                (job.folder, job.size, sha256, _MAX_ORIGINS),
            ),
            *self._store.rows(
                f"SELECT j.path, j.generation, j.state = 'review' AS review {_VANISHED} AND j.sha256 = ? "
                "AND p.sha256 = j.sha256 LIMIT ?",
                (job.folder, sha256, _MAX_ORIGINS),
            ),
            *self._store.rows(
                f"SELECT path, generation, {doubtful} {_LOOKS_ALIKE} AND sha256 = ? LIMIT ?",
                (
                    job.folder,
                    job.size,
                    stored(job.mtime_ns),
                    path,
                    job.generation,
                    sha256,
                    _MAX_ORIGINS,
                ),
            ),
        ]
        found = (
            Origin(path=os.fsdecode(row["path"]), generation=row["generation"], review=bool(row["review"]))
            for row in rows
        )
        return list(dict.fromkeys(found))

    def rejected(self, job: Job, sha256: str) -> list[Rejected]:
        """Sources with these bytes that lay elsewhere, and whose results a person has rejected, the likeliest first."""
        rows = self._store.rows(
            f"SELECT *, newest = 1 AND missing_us IS NOT NULL AS vanished {_REJECTED} AND sha256 = ? "
            f"AND NOT ({_HAS_LATER}) ORDER BY vanished DESC, path LIMIT ?",
            (job.folder, job.size, os.fsencode(job.path), sha256, _MAX_ORIGINS),
        )
        return [Rejected(job=job_from_row(row), vanished=bool(row["vanished"])) for row in rows]

    def end_rejected(self, job: Job, other: Job) -> None:
        """A rejection is a job's now; another picture has the path of the source that it was of."""
        with self._store.transaction():
            self._store.write(
                "UPDATE job SET state = 'gone', cleanup_pending = 0, detail = ? WHERE id = ? AND state = 'failed'",
                (_moved_to(job), other.id),
            )
        self._sources.forget(other.folder, other.version)

    def left_behind(self, job: Job) -> list[Job]:
        """Doubtful and failed sources that vanished, and that a job's picture may have been: of its size and time."""
        rows = self._store.rows(
            "SELECT * FROM job WHERE folder = ? AND newest = 1 AND missing_us IS NOT NULL AND size = ? "
            "AND mtime_ns = ? AND state IN ('review', 'failed') AND path <> ? LIMIT ?",
            (job.folder, job.size, stored(job.mtime_ns), os.fsencode(job.path), MAX_LEFT),
        )
        return [job_from_row(row) for row in rows]

    def close(self, job: Job, other: Job) -> None:
        """A doubtful or failed source is a job's now, and its entries are gone."""
        source = (other.folder, os.fsencode(other.path), other.generation)
        with self._store.transaction():
            for table in TABLES:
                self._store.write(
                    f"DELETE FROM {table} WHERE folder = ? AND path = ? AND generation = ? "  # noqa: S608 -- ours
                    "AND NOT EXISTS (SELECT 1 FROM output WHERE folder = ? AND path = ? AND generation = ? AND review = 0)",
                    (*source, *source),
                )
            self._store.write(
                "DELETE FROM output WHERE folder = ? AND path = ? AND generation = ? AND review = 1", source
            )
            self._store.write(
                "UPDATE job SET state = 'gone', cleanup_pending = 0, detail = ? WHERE id = ?",
                (_moved_to(job), other.id),
            )
        self._sources.vacate(other.folder, other.path)

    def planned(self, job: Job) -> Origin | None:
        """Where a job's picture lay before, as its plan says; None if it was not moved."""
        row = self._store.row("SELECT detail, sha256 FROM job WHERE id = ?", (job.id,))
        detail = json.loads(row["detail"]) if row is not None else {}
        found = detail.get("moved_from") if isinstance(detail, dict) else None
        if row is None or not isinstance(found, dict):
            return None
        # While the plan waited, another picture may have come to that path, and this one's result may have been set aside.
        still = self._store.row(
            "SELECT path, generation FROM published WHERE folder = ? AND path = ? AND sha256 = ? "
            "AND (generation = ? OR generation < 0) ORDER BY generation DESC LIMIT 1",
            (job.folder, bytes.fromhex(found["path"]), row["sha256"], int(found["generation"])),
        )
        return (
            None if still is None else Origin(path=os.fsdecode(still["path"]), generation=still["generation"])
        )

    def image_sha256(self, job: Job) -> str | None:
        """Of the picture's data apart from its metadata, as a plan's row says; None where it does not."""
        row = self._store.row("SELECT detail FROM job WHERE id = ?", (job.id,))
        detail = json.loads(row["detail"]) if row is not None else {}
        found = detail.get("image_sha256") if isinstance(detail, dict) else None
        return found if isinstance(found, str) else None

    def detail(self, job: Job, origin: Origin) -> dict[str, object]:
        """For a plan's row: what `planned` and `image_sha256` read."""
        row = self._store.row(
            "SELECT image_sha256 FROM published WHERE folder = ? AND path = ? AND generation = ?",
            (job.folder, os.fsencode(origin.path), origin.generation),
        )
        return {
            "moved_from": {"path": os.fsencode(origin.path).hex(), "generation": origin.generation},
            "image_sha256": None if row is None else row["image_sha256"],
        }

    def given(self, job: Job) -> tuple[str, ...]:
        """The names that a job's plan gives its results, in the folder's output."""
        row = self._store.row("SELECT detail FROM job WHERE id = ?", (job.id,))
        plan = json.loads(json.loads(row["detail"])["plan"]) if row is not None else {"published": []}
        return tuple(str(one["path"]) for one in plan["published"])

    def own_names_within(self, job: Job, origin: Origin) -> bool:
        """All names of the earlier source are the job's source's, inside a transaction of the caller's.

        Returns:
            Whether the earlier path has no picture any more.
        """
        for table in TABLES:
            self._store.write(
                f"UPDATE OR REPLACE {table} SET path = ?, generation = ? "  # noqa: S608 -- ours
                "WHERE folder = ? AND path = ? AND generation = ?",
                (
                    os.fsencode(job.path),
                    job.generation,
                    job.folder,
                    os.fsencode(origin.path),
                    origin.generation,
                ),
            )
        self._store.write(
            f"UPDATE published SET mtime_ns = ?, kept_us = NULL, returns = 0 {OF_SOURCE}",  # noqa: S608 -- ours
            (stored(job.mtime_ns), job.folder, os.fsencode(job.path), job.generation),
        )
        return self._end_within(job, origin)

    def end_within(self, job: Job, origin: Origin) -> bool:
        """The results have followed: nothing is the earlier source's any more, inside a transaction of the caller's.

        Returns:
            Whether the earlier path has no picture any more.
        """
        for table in TABLES:
            self._store.write(
                f"DELETE FROM {table} WHERE folder = ? AND path = ? AND generation = ?",  # noqa: S608 -- ours
                (job.folder, os.fsencode(origin.path), origin.generation),
            )
        return self._end_within(job, origin)

    def take_names_within(self, job: Job, origin: Origin, keys: tuple[bytes, ...]) -> None:
        """Names that a plan needs and that are the earlier source's, inside a transaction of the caller's."""
        for key in keys:
            self._store.write(
                "UPDATE reservation SET path = ?, generation = ? WHERE key = ? AND folder = ? AND path = ? AND generation = ?",
                (
                    os.fsencode(job.path),
                    job.generation,
                    key,
                    job.folder,
                    os.fsencode(origin.path),
                    origin.generation,
                ),
            )

    def _end_within(self, job: Job, origin: Origin) -> bool:
        changed = self._store.write(
            "UPDATE job SET state = 'gone', detail = ? WHERE folder = ? AND path = ? AND newest = 1 "
            "AND generation = ? AND missing_us IS NOT NULL AND state IN ('done', 'unchanged', 'review')",
            (_moved_to(job), job.folder, os.fsencode(origin.path), origin.generation),
        )
        return changed > 0

    def over(self, job: Job, origin: Origin) -> None:
        """It is written down: should the picture come back to its earlier path, it is accepted there again."""
        self._sources.vacate(job.folder, origin.path)


def _moved_to(job: Job) -> str:
    return json.dumps({"why": f"moved to {os.fsencode(job.path).decode('utf-8', 'replace')}"})
