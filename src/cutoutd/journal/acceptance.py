"""Which versions of which sources are accepted: the memory that keeps a file from being cut twice.

A version is known by path, size and modification time; a path's newest version alone counts, so that
A, then B, then A again under one name are three versions. It must not look at files.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.clock import Clock
    from cutoutd.jobs import Version
    from cutoutd.journal.store import Store


class Acceptance:
    """The accepted versions, with the newest of each source held in memory: scans ask for every file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._newest: dict[str, dict[str, tuple[int, int, bool]]] = {}
        self._lock = threading.Lock()

    def is_known(self, folder: str, version: Version) -> bool:
        """Whether this very version was accepted, and by a stat that could be trusted.

        A provisional acceptance is confirmed by a second one that is not: the worker compares the bytes.
        """
        known = self._known(folder).get(version.path)
        if known is None or known[:2] != (version.size, version.mtime_ns):
            return False
        return version.provisional or not known[2]

    def accept(
        self, folder: str, versions: Iterable[Version], *, state: JobState = JobState.QUEUED
    ) -> list[int]:
        """Write down new versions, all in one transaction; older ones that still wait are gone.

        Args:
            folder: the folder's name.
            versions: none of them known.
            state: QUEUED, or SKIPPED for what was there before the first start.

        Returns:
            The new jobs' ids.
        """
        now = self._clock.now_us()
        accepted = list(versions)
        finished = None if state is JobState.QUEUED else now
        jobs = []
        with self._store.transaction():
            for version in accepted:
                path = os.fsencode(version.path)
                self._store.write(
                    "UPDATE job SET state = 'gone', finished_us = ?, detail = ? "
                    "WHERE folder = ? AND path = ? AND newest = 1 AND state IN ('queued', 'retry', 'parked')",
                    (now, '{"why": "replaced by a newer version"}', folder, path),
                )
                self._store.write(
                    "UPDATE job SET newest = 0 WHERE folder = ? AND path = ? AND newest = 1", (folder, path)
                )
                jobs.append(
                    self._store.insert(
                        "INSERT INTO job (folder, path, size, mtime_ns, provisional, state, accepted_us, finished_us)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            folder,
                            path,
                            version.size,
                            version.mtime_ns,
                            version.provisional,
                            state,
                            now,
                            finished,
                        ),
                    )
                )
        known = self._known(folder)
        with self._lock:
            for version in accepted:
                known[version.path] = (version.size, version.mtime_ns, version.provisional)
        return jobs

    def forget(self, folder: str, version: Version) -> None:
        """A version vanished before its turn: should it come back, it is accepted again."""
        known = self._known(folder)
        with self._lock:
            if known.get(version.path, ())[:2] == (version.size, version.mtime_ns):
                del known[version.path]

    def _known(self, folder: str) -> dict[str, tuple[int, int, bool]]:
        with self._lock:
            if folder not in self._newest:
                rows = self._store.rows(
                    "SELECT path, size, mtime_ns, provisional FROM job "
                    "WHERE folder = ? AND newest = 1 AND state <> 'gone'",
                    (folder,),
                )
                self._newest[folder] = {
                    os.fsdecode(row["path"]): (row["size"], row["mtime_ns"], bool(row["provisional"]))
                    for row in rows
                }
            return self._newest[folder]
