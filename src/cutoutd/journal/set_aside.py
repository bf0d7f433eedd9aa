"""Sources whose path another picture has now, while their own may lie elsewhere: their results are kept for it.

Such a source gets a generation below 0, which no job has. It must not look at files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.jobs import Job, Published
    from cutoutd.journal.store import Store

TABLES: Final = ("name", "output", "published")
"""What is known of a source beside its jobs."""

OF_SOURCE: Final = "WHERE folder = ? AND path = ? AND generation = ?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Displaced:
    """A source whose path another picture has now.

    Attributes:
        origin: the source.
        is_later: the other picture counts as a later version of it, and is to take its place.
        may_lie_elsewhere: a file that looks like it is still to be read.
    """

    origin: Origin
    is_later: bool
    may_lie_elsewhere: bool


class SetAside:
    """The displaced sources in the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def displaced(self, job: Job) -> list[Displaced]:
        """Sources with results that had a job's path before, and that of its own source's earlier version."""
        rows = self._store.rows(
            "SELECT generation, size, mtime_ns FROM published WHERE folder = ? AND path = ? "
            "AND generation BETWEEN 0 AND ? AND gone = 0",
            (job.folder, os.fsencode(job.path), job.generation),
        )
        return [
            Displaced(
                origin=Origin(path=job.path, generation=row["generation"]),
                is_later=row["generation"] == job.generation,
                may_lie_elsewhere=self._may_be_in_work(job.folder, job.path, row["size"], row["mtime_ns"]),
            )
            for row in rows
        ]

    def put(self, job: Job, one: Displaced, kept: Iterable[Published], now_us: int) -> None:
        """A displaced source's results lie under private names now, until its picture turns up; its names are free.

        Args:
            job: whose path it had.
            one: the source.
            kept: its results, under those names.
            now_us: UTC microseconds.
        """
        path = os.fsencode(job.path)
        with self._store.transaction():
            self._store.write(
                f"DELETE FROM name {OF_SOURCE}",  # noqa: S608 -- ours
                (job.folder, path, one.origin.generation),
            )
            aside = self._give_way_within(job, one.origin.generation)
            for result in kept:
                self._store.write(
                    f"UPDATE output SET target = ? {OF_SOURCE} AND rendition = ? AND review = ?",  # noqa: S608 -- ours
                    (
                        os.fsencode(result.path),
                        job.folder,
                        path,
                        aside,
                        result.rendition,
                        result.review,
                    ),
                )
            self._store.write(
                f"UPDATE published SET kept_us = ? {OF_SOURCE}",  # noqa: S608 -- ours
                # The result of a picture that is gone stays, as that of any that vanished.
                (now_us if one.is_later else None, job.folder, path, aside),
            )

    def unclaimed(self, folder: str, before_us: int) -> list[Origin]:
        """Sources whose results were set aside before a time, and whose pictures have turned up nowhere."""
        rows = self._store.rows(
            "SELECT path, generation, size, mtime_ns FROM published INDEXED BY published_aside "
            "WHERE folder = ? AND generation < 0 AND kept_us < ?",
            (folder, before_us),
        )
        return [
            Origin(path=os.fsdecode(row["path"]), generation=row["generation"])
            for row in rows
            if not self._may_be_in_work(folder, "", row["size"], row["mtime_ns"])
        ]

    def has_kept(self, folder: str) -> bool:
        """Whether any result is set aside that goes if its picture turns up nowhere."""
        return bool(
            self._store.row(
                "SELECT 1 FROM published INDEXED BY published_aside "
                "WHERE folder = ? AND generation < 0 AND kept_us IS NOT NULL",
                (folder,),
            )
        )

    def drop(self, folder: str, origin: Origin) -> None:
        """What was set aside is gone."""
        with self._store.transaction():
            for table in TABLES:
                self._store.write(
                    f"DELETE FROM {table} {OF_SOURCE}",  # noqa: S608 -- ours
                    (folder, os.fsencode(origin.path), origin.generation),
                )

    def give_way_within(self, job: Job) -> None:
        """An earlier version's results are no more the source's of a job, as another picture lies at its path now.

        Inside a transaction of the caller's. The results stay where they are, until their picture turns up.
        """
        path = os.fsencode(job.path)
        if self._store.row(
            f"SELECT 1 FROM published {OF_SOURCE} AND gone = 0",  # noqa: S608 -- ours
            (job.folder, path, job.generation),
        ):
            self._give_way_within(job, job.generation)

    def _give_way_within(self, job: Job, generation: int) -> int:
        """Give a source of a job's path a generation that no job has; returns it."""
        path = os.fsencode(job.path)
        least = self._store.row(
            "SELECT MIN(generation) AS least FROM published WHERE folder = ? AND path = ?", (job.folder, path)
        )
        aside = min(-1, (least["least"] if least is not None else 0) - 1)
        for table in TABLES:
            self._store.write(
                f"UPDATE {table} SET generation = ? {OF_SOURCE}",  # noqa: S608 -- ours
                (aside, job.folder, path, generation),
            )
        return aside

    def _may_be_in_work(self, folder: str, path: str, size: int | None, mtime_ns: Any) -> bool:  # noqa: ANN401 -- as stored
        """Whether another file of this size and time is still to be read, or to get its result."""
        looks = (folder, mtime_ns, size, os.fsencode(path))
        return any(
            self._store.row(
                f"SELECT 1 FROM job WHERE folder = ? AND mtime_ns = ? AND size = ? AND path <> ? AND {which} LIMIT 1",  # noqa: S608 -- ours
                looks,
            )
            for which in (  # written out, as the partial indexes are
                "state = 'queued' AND alone IN (0, 1)",
                "state IN ('working', 'uploading', 'publishing')",
                "state = 'retry'",
            )
        )
