"""Removal of ended rows from the journal, a few at a time.

A version that a newer one has replaced is history once it has ended. The newest version of a source keeps the source
from being cut again, so it is removed only with the source itself. Which sources exist, and how long a source must
have been missing, is decided by the caller.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.clock import Clock
    from cutoutd.journal.sources import Sources
    from cutoutd.journal.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The newest version of a source, if it ended before a given time.

    Attributes:
        path: path of the source.
        missing_us: since when the source is known to be missing, UTC microseconds; None if it was there at the last scan.
    """

    path: str
    missing_us: int | None


class History:
    """The rows that may be removed; every step is one short transaction."""

    def __init__(self, store: Store, clock: Clock, sources: Sources) -> None:
        self._store = store
        self._clock = clock
        self._sources = sources

    def trim(self, folder: str, before_us: int, limit: int) -> int:
        """Remove replaced versions that ended before a time, UTC microseconds, at most ``limit``; returns how many."""
        bounds = {"folder": folder, "before_us": before_us, "limit": limit}
        if self._store.row(SQL.find_trimmed, **bounds) is None:
            return 0
        with self._store.transaction():
            return self._store.write(SQL.trim, **bounds)

    def ended(self, folder: str, before_us: int, *, after: str, limit: int) -> tuple[list[Ended], str]:
        """Return, among the next sources by path, those whose newest version ended before a time.

        Args:
            folder: name of the folder.
            before_us: the time, UTC microseconds.
            after: path to continue after; empty to begin.
            limit: number of sources to look at.

        Returns:
            The ended versions, and the path to continue after; empty at the end.
        """
        rows = self._store.rows(
            SQL.page_of_ended, folder=folder, before_us=before_us, after=os.fsencode(after), limit=limit
        )
        found = [
            Ended(path=os.fsdecode(row["path"]), missing_us=row["missing_us"]) for row in rows if row["ended"]
        ]
        return found, os.fsdecode(rows[-1]["path"]) if len(rows) == limit else ""

    def note_missing(self, folder: str, paths: Iterable[str]) -> None:
        """Record that sources are missing since now."""
        self._mark(folder, paths, self._clock.now_us())

    def note_found(self, folder: str, paths: Iterable[str]) -> None:
        """Record that sources are there again."""
        self._mark(folder, paths, None)

    def forget(self, folder: str, paths: Iterable[str]) -> None:
        """Remove all that is known of sources that are gone; a file that comes back is a new source."""
        gone, unfinished = [], (SQL.is_newest_unfinished, SQL.is_any_older_unfinished)
        with self._store.transaction():
            for path in map(os.fsencode, paths):
                source = {"folder": folder, "path": path}
                if any(self._store.row(sql, **source) for sql in unfinished):
                    continue
                self._store.write(SQL.forget_source, **source)
                gone.append(os.fsdecode(path))
        self._sources.drop(folder, gone)

    def _mark(self, folder: str, paths: Iterable[str], missing_us: int | None) -> None:
        with self._store.transaction():
            for path in paths:
                self._store.write(
                    SQL.set_missing, missing_us=missing_us, folder=folder, path=os.fsencode(path)
                )
