"""Sources whose path another picture has now, while their own may lie elsewhere: their results are kept for it.

Such a source gets a generation below 0, which no job has. It must not look at files.
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
        """A displaced source's results lie under private names now, until its picture turns up; its names are free.

        Args:
            job: whose path it had.
            one: the source.
            kept: its results, under those names.
            now_us: UTC microseconds.
        """
        with self._store.transaction():
            self._store.write(SQL.release_names, **of_source(job.folder, job.path, one.origin.generation))
            displaced = of_source(job.folder, job.path, self._give_way_within(job, one.origin.generation))
            for result in kept:
                self._store.write(
                    SQL.keep_output,
                    target=os.fsencode(result.path),
                    rendition=result.rendition,
                    review=result.review,
                    **displaced,
                )
            # The result of a picture that is gone stays, as that of any that vanished.
            self._store.write(SQL.set_kept, kept_us=now_us, returns=not one.is_later, **displaced)

    def unclaimed(self, folder: str, before_us: int | None) -> list[Kept]:
        """Displaced sources whose results are kept, and whose pictures have turned up nowhere.

        Args:
            folder: its name.
            before_us: displaced before this time, UTC microseconds; None: all, whatever is still to be read.
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
        """Whether any result is kept."""
        return self._store.row(SQL.kept, folder=folder) is not None

    def drop(self, folder: str, origin: Origin) -> None:
        """What was kept is gone."""
        with self._store.transaction():
            self._store.write(SQL.remove_source, **of_source(folder, origin.path, origin.generation))

    def give_back(
        self, folder: str, origin: Origin, results: Iterable[Published], claims: Iterable[bytes]
    ) -> None:
        """Kept results have names again; their picture may still turn up.

        Args:
            folder: its name.
            origin: their source.
            results: under these names; what is not among them was lost.
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

    def take_up(
        self, folder: str, version: Version, sha256: str, kept: Iterable[Published], now_us: int
    ) -> None:
        """Kept results that no row leads to are a source's again, as if it had just been displaced.

        Args:
            folder: its name.
            version: of the source.
            sha256: of its bytes.
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

    def leads_to(self, folder: str, path: str, kept: Collection[str]) -> bool:
        """Whether a row of a source that had a path leads to any of these private names."""
        rows = self._store.rows(SQL.kept_outputs, folder=folder, path=os.fsencode(path))
        return any(os.fsdecode(row["target"]) in kept for row in rows)

    def is_named(self, kept: str) -> bool:
        """Whether a row of any folder leads to a private name; reads all rows."""
        return self._store.row(SQL.output_by_target, target=os.fsencode(kept)) is not None

    def owner(self, folder: str, path: str, result: Published) -> Origin | None:
        """The source that had a path, and that a result is published for; None if there is none."""
        row = self._store.row(
            SQL.owner_of_output,
            folder=folder,
            path=os.fsencode(path),
            target=os.fsencode(result.path),
            sha256=result.sha256,
        )
        return None if row is None else Origin(path=path, generation=row["generation"])

    def give_way_within(self, job: Job) -> None:
        """An earlier version's results are no more the source's of a job, as another picture lies at its path now.

        Inside a transaction of the caller's. The results stay where they are, until their picture turns up.
        """
        row = self._store.row(SQL.published, **of_source(job.folder, job.path, job.generation))
        if row is not None and not row["gone"]:
            self._give_way_within(job, job.generation)

    def _give_way_within(self, job: Job, generation: int) -> int:
        """Give a source of a job's path a generation that no job has; returns it."""
        displaced = self._free_generation(job.folder, job.path)
        self._store.write(SQL.displace, displaced=displaced, **of_source(job.folder, job.path, generation))
        return displaced

    def _free_generation(self, folder: str, path: str) -> int:
        """Below 0 and below all that a path has."""
        lowest = self._store.number(SQL.lowest_generation, folder=folder, path=os.fsencode(path))
        return min(-1, lowest - 1)

    def _may_be_in_work(self, folder: str, path: str, size: int | None, mtime_ns: Any) -> bool:  # noqa: ANN401 -- as stored
        """Whether another file of this size and time is still to be read, or to get its result."""
        looks = {"folder": folder, "mtime_ns": mtime_ns, "size": size, "path": os.fsencode(path)}
        return any(
            self._store.row(sql, **looks) for sql in (SQL.queued_alike, SQL.active_alike, SQL.resting_alike)
        )
