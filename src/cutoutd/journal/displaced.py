"""Displaced sources: another picture has their path now, while their own may lie elsewhere. Their results are kept for it.

A displaced source gets a generation below 0, which no job has. This module must not look at files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutoutd.database import stored
from cutoutd.jobs import Origin
from cutoutd.journal.reservations import of_source, put_output
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cutoutd.jobs import Job, Published, Version
    from cutoutd.journal.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Displaced:
    """A source whose path another picture has now.

    Attributes:
        origin: the source.
        is_later: whether the other picture counts as a later version of the source, and replaces it.
        may_lie_elsewhere: whether a file that looks like the source's picture is still to be read.
    """

    origin: Origin
    is_later: bool
    may_lie_elsewhere: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A displaced source whose results are kept under private names.

    Attributes:
        origin: the source.
        returns: whether the results get a name again if the picture is not found anywhere; else they are deleted.
    """

    origin: Origin
    returns: bool


class DisplacedSources:
    """The displaced sources in the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def at_path_of(self, job: Job) -> list[Displaced]:
        """Return the sources with results that had a job's path before, and the earlier version of the job's own source."""
        rows = self._store.rows(
            SQL.publications_at_path, folder=job.folder, path=os.fsencode(job.path), last=job.generation
        )
        return [
            Displaced(
                origin=Origin(path=job.path, generation=row["generation"]),
                is_later=row["generation"] == job.generation,
                may_lie_elsewhere=self._may_be_in_work(job.folder, job.path, row["size"], row["mtime_ns"]),
            )
            for row in rows
        ]

    def displace(self, job: Job, one: Displaced, kept: Iterable[Published], now_us: int) -> None:
        """Record that a displaced source's results have private names, and free its names.

        Args:
            job: the job whose path the source had.
            one: the displaced source.
            kept: its results, under their private names.
            now_us: UTC microseconds.
        """
        with self._store.transaction():
            self._store.write(SQL.release_names, **of_source(job.folder, job.path, one.origin.generation))
            displaced = of_source(job.folder, job.path, self._displace_within(job, one.origin.generation))
            for result in kept:
                self._store.write(
                    SQL.keep_output,
                    target=os.fsencode(result.path),
                    rendition=result.rendition,
                    review=result.review,
                    **displaced,
                )
            # The result of a picture that is gone stays, like that of any vanished picture.
            self._store.write(SQL.set_kept, kept_us=now_us, returns=not one.is_later, **displaced)

    def unclaimed(self, folder: str, before_us: int | None) -> list[Kept]:
        """Return displaced sources whose results are kept and whose pictures have not been found again.

        Args:
            folder: name of the folder.
            before_us: only sources displaced before this time, UTC microseconds, and that no file still to be read may be; None: all.
        """
        rows = self._store.rows(SQL.kept, folder=folder)
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
        """Whether a folder has any kept result."""
        return self._store.row(SQL.kept, folder=folder) is not None

    def drop(self, folder: str, origin: Origin) -> None:
        """Remove a displaced source whose kept results are gone."""
        with self._store.transaction():
            self._store.write(SQL.remove_source, **of_source(folder, origin.path, origin.generation))

    def give_back(
        self, folder: str, origin: Origin, results: Iterable[Published], claims: Iterable[bytes]
    ) -> None:
        """Record that kept results have names again; their picture may still be found.

        Args:
            folder: name of the folder.
            origin: the source of the results.
            results: the results under their new names; a result that is not among them was lost.
            claims: keys of the names.
        """
        source = of_source(folder, origin.path, origin.generation)
        with self._store.transaction():
            self._store.write(SQL.remove_outputs, **source)
            for key in claims:
                self._store.write(SQL.reserve, key=key, **source)
            for one in results:
                put_output(self._store, SQL.put_output, source, one)
            self._store.write(SQL.set_kept, kept_us=None, returns=False, **source)

    def record_kept(
        self, folder: str, version: Version, sha256: str, kept: Iterable[Published], now_us: int
    ) -> None:
        """Record kept results that have no row, as those of a source that was displaced just now.

        Args:
            folder: name of the folder.
            version: the version of the source.
            sha256: SHA-256 of its bytes.
            kept: the results, under their private names.
            now_us: UTC microseconds.
        """
        source = of_source(folder, version.path, self._free_generation(folder, version.path))
        with self._store.transaction():
            self._store.write(
                SQL.insert_kept,
                sha256=sha256,
                now_us=now_us,
                size=version.size,
                mtime_ns=stored(version.mtime_ns),
                **source,
            )
            for one in kept:
                put_output(self._store, SQL.put_output, source, one)

    def has_kept_name(self, folder: str, path: str, kept: Collection[str]) -> bool:
        """Whether a displaced source of this path has any of these private names."""
        rows = self._store.rows(SQL.kept_outputs, folder=folder, path=os.fsencode(path))
        return any(os.fsdecode(row["target"]) in kept for row in rows)

    def is_named(self, kept: str) -> bool:
        """Whether any folder's rows contain a private name; reads all rows."""
        return self._store.row(SQL.output_by_target, target=os.fsencode(kept)) is not None

    def owner(self, folder: str, path: str, result: Published) -> Origin | None:
        """Return the source of this path for which a result is published; None if there is none."""
        row = self._store.row(
            SQL.owner_of_output,
            folder=folder,
            path=os.fsencode(path),
            target=os.fsencode(result.path),
            sha256=result.sha256,
        )
        return None if row is None else Origin(path=path, generation=row["generation"])

    def displace_earlier_within(self, job: Job) -> None:
        """Displace the earlier version of a job's source, since another picture lies at its path now.

        Inside a transaction of the caller's. The results stay where they are until their picture is found.
        """
        row = self._store.row(SQL.published, **of_source(job.folder, job.path, job.generation))
        if row is not None and not row["gone"]:
            self._displace_within(job, job.generation)

    def _displace_within(self, job: Job, generation: int) -> int:
        """Give a source of a job's path a generation that no job has; returns the generation."""
        displaced = self._free_generation(job.folder, job.path)
        self._store.write(SQL.displace, displaced=displaced, **of_source(job.folder, job.path, generation))
        return displaced

    def _free_generation(self, folder: str, path: str) -> int:
        """Return a generation below 0 and below all others of a path."""
        lowest = self._store.number(SQL.lowest_generation, folder=folder, path=os.fsencode(path))
        return min(-1, lowest - 1)

    def _may_be_in_work(self, folder: str, path: str, size: int | None, mtime_ns: Any) -> bool:  # noqa: ANN401 -- as stored
        """Whether another file of this size and modification time is queued, in work, or waits for another try."""
        looks = {"folder": folder, "mtime_ns": mtime_ns, "size": size, "path": os.fsencode(path)}
        return any(
            self._store.row(sql, **looks) for sql in (SQL.queued_alike, SQL.active_alike, SQL.resting_alike)
        )
