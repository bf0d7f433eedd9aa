"""What is over: its removal from the journal, a few rows at a time.

A version that another one has followed is history once it has ended. The newest version of a source is what
keeps the source from being cut again, so it goes only with the source itself. Which sources are there, and for
how long one must have been missing, is for others to say.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.clock import Clock
    from cutoutd.journal.sources import Sources
    from cutoutd.journal.store import Store

# Whatever is still to be done, and an original that is still to be moved or deleted, is never history.
_OVER = "state NOT IN ('queued', 'working', 'uploading', 'publishing', 'retry', 'parked', 'unknown') AND cleanup_pending = 0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The newest version of a source, ended long ago.

    Attributes:
        path: of the source.
        missing_us: since when it is known to be missing; None if it was there when last looked for.
    """

    path: str
    missing_us: int | None


class History:
    """The rows that may go; every step is one short transaction."""

    def __init__(self, store: Store, clock: Clock, sources: Sources) -> None:
        self._store = store
        self._clock = clock
        self._sources = sources

    def trim(self, folder: str, before_us: int, limit: int) -> int:
        """Remove versions that others have followed and that ended before a time; returns how many."""
        old = f"SELECT id FROM job WHERE newest = 0 AND folder = ? AND finished_us < ? AND {_OVER} LIMIT ?"  # noqa: S608 -- a literal
        bounds = (folder, before_us, limit)
        if self._store.row(old, bounds) is None:
            return 0
        with self._store.transaction():
            return self._store.write(f"DELETE FROM job WHERE id IN ({old})", bounds)  # noqa: S608 -- a literal

    def ended(self, folder: str, before_us: int, *, after: str, limit: int) -> tuple[list[Ended], str]:
        """Among the next sources by path, those whose newest version ended before a time.

        Args:
            folder: its name.
            before_us: the time.
            after: the path to go on after; empty to begin.
            limit: so many sources are looked at.

        Returns:
            What ended, and the path to go on after; empty at the end.
        """
        rows = self._store.rows(
            f"SELECT path, missing_us, finished_us < ? AND {_OVER} AS ended FROM job "  # noqa: S608 -- a literal
            "WHERE folder = ? AND newest = 1 AND path > ? ORDER BY path LIMIT ?",
            (before_us, folder, os.fsencode(after), limit),
        )
        found = [
            Ended(path=os.fsdecode(row["path"]), missing_us=row["missing_us"]) for row in rows if row["ended"]
        ]
        return found, os.fsdecode(rows[-1]["path"]) if len(rows) == limit else ""

    def note_missing(self, folder: str, paths: Iterable[str]) -> None:
        """Remember since when sources are missing."""
        self._mark(folder, paths, self._clock.now_us())

    def note_found(self, folder: str, paths: Iterable[str]) -> None:
        """They are there again."""
        self._mark(folder, paths, None)

    def forget(self, folder: str, paths: Iterable[str]) -> None:
        """Remove all that is known of sources that are no more; should one come back, it is a new one."""
        gone = []
        with self._store.transaction():
            for path in map(os.fsencode, paths):
                source = (folder, path)
                # In two halves, since there is an index for each.
                halves = [
                    f"FROM job WHERE folder = ? AND path = ? AND newest = {newest}" for newest in (1, 0)
                ]
                if any(self._store.row(f"SELECT 1 {half} AND NOT ({_OVER})", source) for half in halves):
                    continue
                for half in halves:
                    self._store.write(f"DELETE {half}", source)
                for table in ("output", "reservation", "published"):
                    # What is set aside has no other way to a name: it goes once its picture turned up, or it is back.
                    self._store.write(
                        f"DELETE FROM {table} WHERE folder = ? AND path = ? AND generation NOT IN "  # noqa: S608 -- ours
                        "(SELECT generation FROM published WHERE folder = ? AND path = ? AND kept_us IS NOT NULL)",
                        (*source, *source),
                    )
                gone.append(os.fsdecode(path))
        self._sources.drop(folder, gone)

    def _mark(self, folder: str, paths: Iterable[str], missing_us: int | None) -> None:
        with self._store.transaction():
            for path in paths:
                self._store.write(
                    "UPDATE job SET missing_us = ? WHERE folder = ? AND path = ? AND newest = 1",
                    (missing_us, folder, os.fsencode(path)),
                )
