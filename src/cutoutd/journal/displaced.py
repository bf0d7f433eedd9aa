"""Sources whose path another picture has now, while their own may lie elsewhere: their results are kept for it.

Such a source gets a generation below 0, which no job has. It must not look at files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import Origin
from cutoutd.journal.integers import stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cutoutd.jobs import Job, Published, Version
    from cutoutd.journal.store import Store

TABLES: Final = ("reservation", "output", "published")
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A source whose results lie under private names.

    Attributes:
        origin: the source.
        returns: they get a name again if its picture turns up nowhere; else they go.
    """

    origin: Origin
    returns: bool


class DisplacedSources:
    """The displaced sources in the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def at_path_of(self, job: Job) -> list[Displaced]:
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
                f"DELETE FROM reservation {OF_SOURCE}",  # noqa: S608 -- ours
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
                f"UPDATE published SET kept_us = ?, returns = ? {OF_SOURCE}",  # noqa: S608 -- ours
                # The result of a picture that is gone stays, as that of any that vanished.
                (now_us, not one.is_later, job.folder, path, aside),
            )

    def unclaimed(self, folder: str, before_us: int | None) -> list[Kept]:
        """Sources whose results were set aside, and whose pictures have turned up nowhere.

        Args:
            folder: its name.
            before_us: set aside before this time, UTC microseconds; None: all, whatever is still to be read.
        """
        rows = self._store.rows(
            "SELECT path, generation, size, mtime_ns, kept_us, returns FROM published INDEXED BY published_displaced "
            "WHERE folder = ? AND generation < 0 AND kept_us IS NOT NULL",
            (folder,),
        )
        return [
            Kept(
                origin=Origin(path=os.fsdecode(row["path"]), generation=row["generation"]),
                returns=bool(row["returns"]),
            )
            for row in rows
            if before_us is None
            or (
                row["kept_us"] < before_us
                and not self._may_be_in_work(folder, "", row["size"], row["mtime_ns"])
            )
        ]

    def has_kept(self, folder: str) -> bool:
        """Whether any result is set aside."""
        return bool(
            self._store.row(
                "SELECT 1 FROM published INDEXED BY published_displaced "
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

    def give_back(
        self, folder: str, origin: Origin, results: Iterable[Published], claims: Iterable[bytes]
    ) -> None:
        """Results that were set aside have names again; their picture may still turn up.

        Args:
            folder: its name.
            origin: their source.
            results: under these names; what is not among them was lost.
            claims: keys of the names.
        """
        source = (folder, os.fsencode(origin.path), origin.generation)
        with self._store.transaction():
            self._store.write(f"DELETE FROM output {OF_SOURCE}", source)  # noqa: S608 -- ours
            for key in claims:
                self._store.write(
                    "INSERT INTO reservation (key, folder, path, generation) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (key) DO NOTHING",
                    (key, *source),
                )
            self._insert_outputs(source, results)
            self._store.write(
                f"UPDATE published SET kept_us = NULL, returns = 0 {OF_SOURCE}",  # noqa: S608 -- ours
                source,
            )

    def take_up(
        self, folder: str, version: Version, sha256: str, kept: Iterable[Published], now_us: int
    ) -> None:
        """Kept results that no row leads to are a source's again, as if they had just been set aside.

        Args:
            folder: its name.
            version: of the source.
            sha256: of its bytes.
            kept: the results, under their private names.
            now_us: UTC microseconds.
        """
        source = (folder, os.fsencode(version.path), self._free_generation(folder, version.path))
        with self._store.transaction():
            self._store.write(
                "INSERT INTO published (folder, path, generation, sha256, published_us, size, mtime_ns, kept_us, "
                "returns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (*source, sha256, now_us, version.size, stored(version.mtime_ns), now_us),
            )
            self._insert_outputs(source, kept)

    def leads_to(self, folder: str, path: str, kept: Collection[str]) -> bool:
        """Whether a row of a source that had a path leads to any of these private names."""
        rows = self._store.rows(
            "SELECT target FROM output WHERE folder = ? AND path = ? AND generation < 0",
            (folder, os.fsencode(path)),
        )
        return any(os.fsdecode(row["target"]) in kept for row in rows)

    def is_named(self, kept: str) -> bool:
        """Whether a row of any folder leads to a private name; reads all rows."""
        row = self._store.row("SELECT 1 FROM output WHERE target = ? LIMIT 1", (os.fsencode(kept),))
        return row is not None

    def owner(self, folder: str, path: str, result: Published) -> Origin | None:
        """The source that had a path, and that a result is published for; None if there is none."""
        row = self._store.row(
            "SELECT generation FROM output WHERE folder = ? AND path = ? AND generation >= 0 AND target = ? "
            "AND sha256 = ?",
            (folder, os.fsencode(path), os.fsencode(result.path), result.sha256),
        )
        return None if row is None else Origin(path=path, generation=row["generation"])

    def _insert_outputs(self, source: tuple[str, bytes, int], results: Iterable[Published]) -> None:
        for one in results:
            self._store.write(
                "INSERT OR REPLACE INTO output (folder, path, generation, rendition, review, target, sha256) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*source, one.rendition, one.review, os.fsencode(one.path), one.sha256),
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
        aside = self._free_generation(job.folder, job.path)
        for table in TABLES:
            self._store.write(
                f"UPDATE {table} SET generation = ? {OF_SOURCE}",  # noqa: S608 -- ours
                (aside, job.folder, path, generation),
            )
        return aside

    def _free_generation(self, folder: str, path: str) -> int:
        """Below 0 and below all that a path has."""
        row = self._store.row(
            "SELECT MIN(generation) AS least FROM published WHERE folder = ? AND path = ?",
            (folder, os.fsencode(path)),
        )
        least = row["least"] if row is not None else None
        return min(-1, (least or 0) - 1)

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
