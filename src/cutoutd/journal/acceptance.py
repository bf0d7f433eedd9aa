"""Which versions of which sources are accepted: the memory that keeps a file from being cut twice.

A version is known by path, size and modification time; a path's newest version alone counts, so that
A, then B, then A again under one name are three versions. It must not look at files.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.jobs import JobState
from cutoutd.journal.integers import restored, stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.clock import Clock
    from cutoutd.jobs import Published, Version
    from cutoutd.journal.store import Store

_PAGE: Final = 2000
_LOST: Final = (JobState.GONE, JobState.FAILED)

PAIR: Final = "pair"
"""In the detail of a version that was left out: the path, in hexadecimal digits, of the one that is cut instead."""

_IN_HAND: Final = frozenset({JobState.WORKING, JobState.PUBLISHING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """What a sidecar or failure record says was done, as far as it was found to be so.

    Attributes:
        version: of the source.
        stands: this version lies there now.
        latest: it is the last publication of its source that is known of.
        state: DONE, REVIEW or FAILED.
        sha256: of the source's bytes; None in a failure.
        at_us: when it was published or given up.
        published: results under their names.
        claims: keys of the names that are the source's from then on.
        detail: for the row.
    """

    version: Version
    stands: bool
    latest: bool
    state: JobState
    sha256: str | None
    at_us: int
    published: tuple[Published, ...]
    claims: tuple[bytes, ...]
    detail: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A source that may be a recording of the same shot as another.

    Attributes:
        path: of the source.
        known: a version of it was accepted, and did not vanish before its turn.
        stands: it was cut, or is to be, or was left out for yet another one: the shot is not lost.
        left_out: it was not cut itself.
    """

    path: str
    known: bool
    stands: bool
    left_out: bool


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

    def recordings(self, folder: str, path: str) -> list[Recorded]:
        """What is known of sources whose path differs in the extension only, this one included.

        Args:
            folder: the folder's name.
            path: of one of them.
        """
        stem, dot, _ = os.fsencode(path).rpartition(b".")
        if not dot:
            return []
        between = (folder, stem + b".", stem + b"/")  # the next byte after a dot is a slash
        published = {
            row["path"]
            for row in self._store.rows(
                "SELECT path FROM published WHERE folder = ? AND path > ? AND path < ?", between
            )
        }
        states = {
            row["path"]: row["state"]
            for row in self._store.rows(
                "SELECT path, state FROM job WHERE folder = ? AND path > ? AND path < ? AND newest = 1",
                between,
            )
        }
        # What a sidecar alone told of has no row: its original was moved away before this journal was made.
        return [
            Recorded(
                path=os.fsdecode(one),
                known=states.get(one, JobState.GONE) != JobState.GONE,
                stands=one in published or states[one] not in _LOST,
                left_out=one not in published and states[one] == JobState.SKIPPED,
            )
            for one in sorted(published | states.keys())
        ]

    def leave_out(self, folder: str, pairs: Iterable[tuple[Version, str]]) -> list[Version]:
        """Write down versions that are not cut, since another recording of the same shot is; all in one transaction.

        Args:
            folder: the folder's name.
            pairs: each version, and the source that is taken in its place.

        Returns:
            Those that were written down: where the other one has failed or vanished meanwhile, all is open again.
        """
        left_out = []
        with self._store.transaction():
            for version, partner in pairs:
                if any(one.path == partner and one.stands for one in self.recordings(folder, partner)):
                    detail = {
                        "why": f"the {partner.rpartition('.')[2]} of the same shot is cut",
                        PAIR: os.fsencode(partner).hex(),
                    }
                    self._insert(folder, version, JobState.SKIPPED, self._clock.now_us(), detail)
                    left_out.append(version)
        self._remember(folder, left_out)
        return left_out

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
        with self._store.transaction():
            jobs = [self._insert(folder, version, state, now, {}) for version in accepted]
        self._remember(folder, accepted)
        return jobs

    def forget(self, folder: str, version: Version) -> None:
        """A version vanished before its turn: should it come back, it is accepted again."""
        known = self._known(folder)
        with self._lock:
            if known.get(version.path, ())[:2] == (version.size, version.mtime_ns):
                del known[version.path]

    def drop(self, folder: str, paths: Iterable[str]) -> None:
        """Sources whose rows were removed."""
        known = self._known(folder)
        with self._lock:
            for path in paths:
                known.pop(path, None)

    def adopt(self, folder: str, adopted: Iterable[Adopted]) -> int:
        """Take over what was done without this journal's knowing, all in one transaction.

        What the journal has seen end later than that stays as it is, and so does what is in work.

        Returns:
            How many versions count as ended by it that did not before.
        """
        with self._store.transaction():
            count = sum(self._adopt(folder, one) for one in adopted)
        with self._lock:
            self._newest.pop(folder, None)  # read anew when it is asked for
        return count

    def _adopt(self, folder: str, one: Adopted) -> bool:
        path = os.fsencode(one.version.path)
        newest = self._store.row(
            "SELECT id, size, mtime_ns, state, forced, finished_us FROM job "
            "WHERE folder = ? AND path = ? AND newest = 1",
            (folder, path),
        )
        at_us = min(one.at_us, self._clock.now_us())  # another machine's clock, or anybody's word
        overtaken = newest is not None and (newest["finished_us"] or 0) >= at_us > 0
        self._own(folder, path, one, latest=one.latest and not overtaken)
        if not one.stands or overtaken:
            return False
        known = None if newest is None else (newest["size"], restored(newest["mtime_ns"]))
        if newest is None or known != (one.version.size, one.version.mtime_ns):
            if newest is not None and newest["state"] in _IN_HAND:
                return False
            self._retire(folder, path, self._clock.now_us())
            self._store.insert(
                "INSERT INTO job (folder, path, size, mtime_ns, state, accepted_us, finished_us, sha256, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    folder,
                    path,
                    one.version.size,
                    stored(one.version.mtime_ns),
                    one.state,
                    at_us,
                    at_us,
                    one.sha256,
                    json.dumps(one.detail),
                ),
            )
            return True
        # What a person has asked for is done even so.
        if newest["state"] in _IN_HAND or newest["forced"]:
            return False
        self._store.write(
            "UPDATE job SET state = ?, finished_us = ?, sha256 = ?, detail = ? WHERE id = ?",
            (one.state, at_us, one.sha256, json.dumps(one.detail), newest["id"]),
        )
        return newest["finished_us"] is None

    def _own(self, folder: str, path: bytes, one: Adopted, *, latest: bool) -> None:
        """Names and results of a source; of a publication that is not the last, only what no other one says."""
        for key in one.claims:
            self._store.write(
                "INSERT OR IGNORE INTO name (key, folder, path) VALUES (?, ?, ?)", (key, folder, path)
            )
        if one.sha256 is None:
            return
        verb = "REPLACE" if latest else "IGNORE"
        self._store.write(
            f"INSERT OR {verb} INTO published (folder, path, sha256) VALUES (?, ?, ?)",  # noqa: S608 -- a literal
            (folder, path, one.sha256),
        )
        for result in one.published:
            self._store.write(
                f"INSERT OR {verb} INTO output (folder, path, rendition, review, target, sha256)"  # noqa: S608 -- a literal
                " VALUES (?, ?, ?, ?, ?, ?)",
                (folder, path, result.rendition, result.review, os.fsencode(result.path), result.sha256),
            )

    def _insert(
        self, folder: str, version: Version, state: JobState, now_us: int, detail: dict[str, Any]
    ) -> int:
        path = os.fsencode(version.path)
        self._retire(folder, path, now_us)
        return self._store.insert(
            "INSERT INTO job (folder, path, size, mtime_ns, provisional, state, accepted_us, finished_us, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                folder,
                path,
                version.size,
                stored(version.mtime_ns),
                version.provisional,
                state,
                now_us,
                None if state is JobState.QUEUED else now_us,
                json.dumps(detail),
            ),
        )

    def _remember(self, folder: str, accepted: Iterable[Version]) -> None:
        known = self._known(folder)
        with self._lock:
            for version in accepted:
                known[version.path] = (version.size, version.mtime_ns, version.provisional)

    def _retire(self, folder: str, path: bytes, now_us: int) -> None:
        """The newest version of a source is so no longer; if it still waits, it is gone."""
        self._store.write(
            "UPDATE job SET state = 'gone', finished_us = ?, detail = ? "
            "WHERE folder = ? AND path = ? AND newest = 1 AND state IN ('queued', 'retry', 'parked')",
            (now_us, '{"why": "replaced by a newer version"}', folder, path),
        )
        self._store.write(
            "UPDATE job SET newest = 0 WHERE folder = ? AND path = ? AND newest = 1", (folder, path)
        )

    def _known(self, folder: str) -> dict[str, tuple[int, int, bool]]:
        with self._lock:
            if folder not in self._newest:
                self._newest[folder] = self._read(folder)
            return self._newest[folder]

    def _read(self, folder: str) -> dict[str, tuple[int, int, bool]]:
        """In pages: the rows of 100,000 sources at once would take more memory than what is kept of them."""
        known: dict[str, tuple[int, int, bool]] = {}
        after = b""
        while rows := self._store.rows(
            "SELECT path, size, mtime_ns, provisional, state FROM job "
            "WHERE folder = ? AND newest = 1 AND path > ? ORDER BY path LIMIT ?",
            (folder, after, _PAGE),
        ):
            known |= {
                os.fsdecode(row["path"]): (
                    row["size"],
                    restored(row["mtime_ns"]),
                    bool(row["provisional"]),
                )
                for row in rows
                if row["state"] != JobState.GONE
            }
            after = rows[-1]["path"]
        return known
