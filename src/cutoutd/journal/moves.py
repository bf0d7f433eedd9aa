"""Sources that were renamed or moved: a path that vanished, and a new one with the same bytes.

It only knows what is written down; whether a path is really gone is for others to see. It must not look at files.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import JobState, Origin
from cutoutd.journal.integers import stored
from cutoutd.journal.queue import job_from_row

if TYPE_CHECKING:
    from cutoutd.jobs import Job
    from cutoutd.journal.acceptance import Acceptance
    from cutoutd.journal.store import Store

MAX_ORIGINS: Final = 5000
"""So many vanished sources of one size are compared: pictures of some formats are all of the same size."""

_VANISHED: Final = (
    "FROM job AS j JOIN published AS p ON p.folder = j.folder AND p.path = j.path AND p.generation = j.generation "
    "WHERE j.folder = ? AND j.newest = 1 AND j.missing_us IS NOT NULL AND j.size = ? "
    "AND j.state IN ('done', 'unchanged', 'review') AND p.gone = 0"
)
_REJECTED: Final = (
    "FROM job WHERE folder = ? AND newest = 1 AND missing_us IS NOT NULL AND size = ? AND state = 'failed' "
    "AND sha256 IS NOT NULL AND json_extract(detail, '$.failure.code') = 'Rejected'"
)


class Moves:
    """The moves of pictures in the journal."""

    def __init__(self, store: Store, acceptance: Acceptance) -> None:
        self._store = store
        self._acceptance = acceptance

    def hashes(self, job: Job) -> tuple[str, ...]:
        """SHA-256 of vanished sources that a job's picture may be: those of its size, unless it has a result of its own."""
        if self._store.row(
            "SELECT 1 FROM published WHERE folder = ? AND path = ? AND generation = ?",
            (job.folder, os.fsencode(job.path), job.generation),
        ):
            return ()
        rows = self._store.rows(f"SELECT p.sha256 {_VANISHED} LIMIT ?", (job.folder, job.size, MAX_ORIGINS))
        rows += self._store.rows(f"SELECT sha256 {_REJECTED} LIMIT ?", (job.folder, job.size, MAX_ORIGINS))
        return tuple({str(row["sha256"]) for row in rows})

    def origin(self, job: Job, sha256: str) -> Origin | None:
        """The vanished source that has these bytes; None if there is none any more."""
        row = self._store.row(
            f"SELECT j.path, j.generation, j.state {_VANISHED} AND p.sha256 = ? ORDER BY j.path LIMIT 1",
            (job.folder, job.size, sha256),
        )
        if row is None:
            return None
        is_doubtful = row["state"] == JobState.REVIEW
        return Origin(path=os.fsdecode(row["path"]), generation=row["generation"], review=is_doubtful)

    def rejected(self, job: Job, sha256: str) -> Job | None:
        """The vanished source with these bytes whose result a person has rejected; None if there is none."""
        row = self._store.row(
            f"SELECT * {_REJECTED} AND sha256 = ? ORDER BY path LIMIT 1", (job.folder, job.size, sha256)
        )
        return None if row is None else job_from_row(row)

    def left_behind(self, job: Job) -> list[Job]:
        """Doubtful and failed sources that vanished, and that a job's picture may have been: of its size and time."""
        rows = self._store.rows(
            "SELECT * FROM job WHERE folder = ? AND newest = 1 AND missing_us IS NOT NULL AND size = ? "
            "AND mtime_ns = ? AND state IN ('review', 'failed') AND path <> ? LIMIT ?",
            (job.folder, job.size, stored(job.mtime_ns), os.fsencode(job.path), MAX_ORIGINS),
        )
        return [job_from_row(row) for row in rows]

    def close(self, job: Job, other: Job) -> None:
        """A doubtful or failed source is a job's now, and its entries are gone."""
        source = (other.folder, os.fsencode(other.path), other.generation)
        with self._store.transaction():
            for table in ("name", "output", "published"):
                self._store.write(
                    f"DELETE FROM {table} WHERE folder = ? AND path = ? AND generation = ? "  # noqa: S608 -- ours
                    "AND NOT EXISTS (SELECT 1 FROM output WHERE folder = ? AND path = ? AND generation = ? AND review = 0)",
                    (*source, *source),
                )
            self._store.write(
                "DELETE FROM output WHERE folder = ? AND path = ? AND generation = ? AND review = 1", source
            )
            self._store.write(
                "UPDATE job SET state = 'gone', undisposed = 0, detail = ? WHERE id = ?",
                (_moved_to(job), other.id),
            )
        self._acceptance.vacate(other.folder, other.path)

    def planned(self, job: Job) -> Origin | None:
        """Where a job's picture lay before, as its plan says; None if it was not moved."""
        row = self._store.row("SELECT detail FROM job WHERE id = ?", (job.id,))
        detail = json.loads(row["detail"]) if row is not None else {}
        found = detail.get("moved_from") if isinstance(detail, dict) else None
        if not isinstance(found, dict):
            return None
        return Origin(path=os.fsdecode(bytes.fromhex(found["path"])), generation=int(found["generation"]))

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

    def own_names_within(self, job: Job, origin: Origin) -> None:
        """All names of the earlier source are the job's source's, inside a transaction of the caller's."""
        for table in ("name", "output", "published"):
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
        self._end_within(job, origin)

    def end_within(self, job: Job, origin: Origin) -> None:
        """The results have followed: nothing is the earlier source's any more, inside a transaction of the caller's."""
        for table in ("name", "output", "published"):
            self._store.write(
                f"DELETE FROM {table} WHERE folder = ? AND path = ? AND generation = ?",  # noqa: S608 -- ours
                (job.folder, os.fsencode(origin.path), origin.generation),
            )
        self._end_within(job, origin)

    def take_names_within(self, job: Job, origin: Origin, keys: tuple[bytes, ...]) -> None:
        """Names that a plan needs and that are the earlier source's, inside a transaction of the caller's."""
        for key in keys:
            self._store.write(
                "UPDATE name SET path = ?, generation = ? WHERE key = ? AND folder = ? AND path = ? AND generation = ?",
                (
                    os.fsencode(job.path),
                    job.generation,
                    key,
                    job.folder,
                    os.fsencode(origin.path),
                    origin.generation,
                ),
            )

    def _end_within(self, job: Job, origin: Origin) -> None:
        self._store.write(
            "UPDATE job SET state = 'gone', detail = ? "
            "WHERE folder = ? AND path = ? AND newest = 1 AND state IN ('done', 'unchanged', 'review')",
            (_moved_to(job), job.folder, os.fsencode(origin.path)),
        )

    def over(self, job: Job, origin: Origin) -> None:
        """It is written down: should the picture come back to its earlier path, it is accepted there again."""
        self._acceptance.vacate(job.folder, origin.path)


def _moved_to(job: Job) -> str:
    return json.dumps({"why": f"moved to {os.fsencode(job.path).decode('utf-8', 'replace')}"})
