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

from cutoutd.database import restored, stored
from cutoutd.jobs import HAS_RESULT, WAITING, JobState
from cutoutd.journal.adopted import take_over
from cutoutd.journal.recordings import recordings
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cutoutd.clock import Clock
    from cutoutd.jobs import Version
    from cutoutd.journal.adopted import Adopted
    from cutoutd.journal.recordings import Recorded
    from cutoutd.journal.store import Store
    from cutoutd.journal.submissions import Submission

_PAGE: Final = 2000

PAIR: Final = "pair"
"""In the detail of a version that was left out: the path, in hexadecimal digits, of the one that is cut instead."""

_READ: Final = HAS_RESULT | {JobState.FAILED, JobState.SKIPPED}
_WAITS: Final = WAITING | {JobState.PARKED}


@dataclass(frozen=True, kw_only=True, slots=True)
class BytesRead:
    """What is known of the bytes of a version.

    Attributes:
        is_over: its job has ended, and may be compared with what lies there now.
        has_failed: without a result.
        sha256: of its bytes; None where they were not read whole.
        is_cleanup_pending: its original is still to be moved or deleted, or its failure to be written down.
    """

    is_over: bool
    has_failed: bool
    sha256: str | None
    is_cleanup_pending: bool


@dataclass(kw_only=True, slots=True)
class KnownVersion:
    """The newest version of a source, as it is held in memory.

    Attributes:
        size, mtime_ns, provisional, stamp: as in `Version`.
        scan: number of the last scan that came by it.
        missing_us: since when it was not there, UTC microseconds.
        is_open: it vanished before its turn, so should it come back, it is accepted again.
    """

    size: int
    mtime_ns: int
    provisional: bool
    stamp: int | None
    scan: int = 0
    missing_us: int | None = None
    is_open: bool = False


class Sources:
    """The accepted versions, with the newest of each source held in memory: scans ask for every file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._newest: dict[str, dict[str, KnownVersion]] = {}
        self._scans: dict[str, int] = {}
        self._lock = threading.Lock()

    def now_us(self) -> int:
        """UTC microseconds."""
        return self._clock.now_us()

    def is_known(self, folder: str, version: Version) -> bool:
        """Whether this very version was accepted, and by a stat that could be trusted.

        A provisional acceptance is confirmed by a second one that is not: the worker compares the bytes.
        """
        known = self._known(folder).get(version.path)
        if known is None:
            return False
        known.scan = self._scans.get(folder, 0)
        if known.is_open or (known.size, known.mtime_ns) != (version.size, version.mtime_ns):
            return False
        return version.provisional or not known.provisional

    def begin_scan(self, folder: str) -> None:
        """From now on it is noted which sources a scan comes by; `unseen` has the others."""
        self._scans[folder] = self._scans.get(folder, 0) + 1

    def saw(self, folder: str, path: str) -> None:
        """A scan came by a source, whatever it looks like now."""
        known = self._known(folder).get(path)
        if known is not None:
            known.scan = self._scans.get(folder, 0)

    def unseen(self, folder: str) -> list[str]:
        """Sources that the last scan did not come by, and that are not known to be missing."""
        number = self._scans.get(folder, 0)
        return [
            path
            for path, known in self._known(folder).items()
            if known.scan != number and known.missing_us is None
        ]

    def has(self, folder: str, path: str) -> bool:
        """Whether a source is known, and not known to be missing."""
        known = self._known(folder).get(path)
        return known is not None and known.missing_us is None

    def missing_us(self, folder: str, path: str) -> int | None:
        """Since when a source is known to be missing, UTC microseconds."""
        known = self._known(folder).get(path)
        return None if known is None else known.missing_us

    def note_places(self, folder: str, places: Mapping[str, int | None]) -> None:
        """Write down since when sources are missing, UTC microseconds, or that they are there again.

        Once a source is missing, a file that is accepted at its path is another source.
        """
        if not places:
            return
        with self._store.transaction():
            for path, missing_us in places.items():
                self._store.write(
                    SQL.set_missing, missing_us=missing_us, folder=folder, path=os.fsencode(path)
                )
        known = self._known(folder)
        with self._lock:
            for path, missing_us in places.items():
                if path in known:
                    known[path].missing_us = missing_us

    def stamp(self, folder: str, path: str) -> int | None:
        """The stamp of the newest version of a source, as it was when its bytes were read."""
        known = self._known(folder).get(path)
        return None if known is None else known.stamp

    def note_stamps(self, folder: str, stamps: Mapping[str, int]) -> None:
        """The bytes of these sources are those that were read, whatever has changed besides."""
        with self._store.transaction():
            for path, stamp in stamps.items():
                self._store.write(SQL.set_stamp, stamp=stamp, folder=folder, path=os.fsencode(path))
        known = self._known(folder)
        with self._lock:
            for path, stamp in stamps.items():
                if path in known:
                    known[path].stamp = stamp

    def bytes_read(self, folder: str, version: Version) -> BytesRead:
        """What is known of the bytes of the newest version of a source."""
        row = self._store.row(SQL.newest_version, folder=folder, path=os.fsencode(version.path))
        state = JobState(row["state"]) if row is not None else JobState.GONE
        return BytesRead(
            is_over=state in _READ,
            has_failed=state is JobState.FAILED,
            sha256=row["sha256"] if row else None,
            is_cleanup_pending=row is not None and bool(row["cleanup_pending"]),
        )

    def published_us(self, folder: str, path: str) -> int | None:
        """When the newest version of a source was accepted, UTC microseconds, if its result is published; else None."""
        return self._store.number(SQL.released_us, folder=folder, path=os.fsencode(path)) or None

    def is_put_away(self, folder: str, path: str) -> bool:
        """Whether we have moved or deleted the last original that lay at a path, once its result was published."""
        row = self._store.row(SQL.last_published, folder=folder, path=os.fsencode(path))
        return row is not None and bool(row["gone"])

    def doubt_for_good(self, folder: str, version: Version) -> None:
        """As `doubt`, and written down."""
        with self._store.transaction():
            self._store.write(SQL.doubt_newest, folder=folder, path=os.fsencode(version.path))
        self.doubt(folder, version)

    def doubt(self, folder: str, version: Version) -> None:
        """The bytes of a version may be others than those that were read: it is accepted again when it is looked at."""
        known = self._known(folder)
        with self._lock:
            one = known.get(version.path)
            if one is not None and (one.size, one.mtime_ns) == (version.size, version.mtime_ns):
                one.provisional = True

    def recordings(self, folder: str, path: str) -> list[Recorded]:
        """What is known of sources whose path differs in the extension only, this one included."""
        return recordings(self._store, folder, path)

    def was_seen(self, folder: str, version: Version) -> bool:
        """Whether a version looks like the newest of its source, however far that could be trusted."""
        known = self._known(folder).get(version.path)
        looks = (version.size, version.mtime_ns)
        if known is None or known.is_open or known.missing_us is not None:
            return False
        return (known.size, known.mtime_ns) == looks

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
        self, folder: str, versions: Iterable[Version], *, state: JobState = JobState.QUEUED, why: str = ""
    ) -> list[int]:
        """Write down new versions, all in one transaction; older ones that still wait are gone.

        Args:
            folder: the folder's name.
            versions: none of them known.
            state: QUEUED, or SKIPPED for what was there before the first start.
            why: of what is skipped.

        Returns:
            The new jobs' ids.
        """
        now = self._clock.now_us()
        accepted = list(versions)
        detail = {"why": why} if why else {}
        with self._store.transaction():
            jobs = [self._insert(folder, version, state, now, detail) for version in accepted]
        self._remember(folder, accepted)
        return jobs

    def accept_submitted(self, folder: str, version: Version, submission: Submission) -> int | None:
        """Write down a picture that a program handed in, with what it asks, in one transaction with the end of its request.

        Args:
            folder: the folder's name.
            version: the picture under its name.
            submission: the request.

        Returns:
            The new job's id; None if the request is over already.
        """
        with self._store.transaction():
            row = self._store.row(SQL.submission, key=submission.key)
            if row is None or row["job"] is not None or row["refused"] is not None:
                return None
            job = self._insert(folder, version, JobState.QUEUED, self._clock.now_us(), {})
            self._store.write(
                SQL.take_submission, job=job, key=submission.key, options=submission.options.text()
            )
        self._remember(folder, [version])
        return job

    def forget(self, folder: str, version: Version) -> None:
        """A version vanished before its turn: should it come back, it is accepted again."""
        known = self._known(folder)
        with self._lock:
            one = known.get(version.path)
            if one is not None and (one.size, one.mtime_ns) == (version.size, version.mtime_ns):
                one.is_open = True

    def reread(self, folders: Iterable[str]) -> None:
        """These names are other folders' now: what is held in memory of them is read anew when it is asked for."""
        # Of no other folder, since a scan of it may be under way, which would then find all sources missing.
        with self._lock:
            for folder in folders:
                self._newest.pop(folder, None)

    def vacate(self, folder: str, path: str) -> None:
        """The picture of a path lies elsewhere now; should it come back, it is accepted again."""
        known = self._known(folder).get(path)
        if known is not None:
            known.is_open = True

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
            count = sum(
                take_over(self._store, folder, one, now_us=self._clock.now_us(), retire=self._retire)
                for one in adopted
            )
        with self._lock:
            self._newest.pop(folder, None)  # read anew when it is asked for
        return count

    def _insert(
        self, folder: str, version: Version, state: JobState, now_us: int, detail: dict[str, Any]
    ) -> int:
        path = os.fsencode(version.path)
        generation = self._retire(folder, path, now_us)
        return self._store.insert(
            SQL.insert_job,
            folder=folder,
            path=path,
            generation=generation,
            size=version.size,
            mtime_ns=stored(version.mtime_ns),
            stamp=version.stamp,
            provisional=version.provisional,
            state=state,
            accepted_us=now_us,
            finished_us=None if state is JobState.QUEUED else now_us,
            sha256=None,
            detail=json.dumps(detail),
        )

    def _remember(self, folder: str, accepted: Iterable[Version]) -> None:
        known, scan = self._known(folder), self._scans.get(folder, 0)
        with self._lock:
            for version in accepted:
                known[version.path] = KnownVersion(
                    size=version.size,
                    mtime_ns=version.mtime_ns,
                    provisional=version.provisional,
                    stamp=version.stamp,
                    scan=scan,
                )

    def _retire(self, folder: str, path: bytes, now_us: int) -> int:
        """The newest version of a source is so no longer; if it still waits, it is gone.

        Returns:
            The generation of the version that takes its place: the same, unless the source was gone before.
        """
        newest = self._store.row(SQL.newest_version, folder=folder, path=path)
        published = self._store.row(SQL.last_published, folder=folder, path=path)
        generation, gone = (published["generation"], published["gone"]) if published is not None else (0, 0)
        if newest is not None:
            if newest["generation"] > generation:
                generation, gone = newest["generation"], 0
            gone = gone or newest["missing_us"] is not None
            if newest["state"] in _WAITS:
                self._store.write(SQL.replace_waiting, now_us=now_us, job=newest["id"])
            self._store.write(SQL.make_older, job=newest["id"])
        return int(generation) + 1 if gone else int(generation)

    def _known(self, folder: str) -> dict[str, KnownVersion]:
        with self._lock:
            if folder not in self._newest:
                self._newest[folder] = self._read(folder)
            return self._newest[folder]

    def _read(self, folder: str) -> dict[str, KnownVersion]:
        """In pages: the rows of 100,000 sources at once would take more memory than what is kept of them."""
        known: dict[str, KnownVersion] = {}
        after = b""
        while rows := self._store.rows(SQL.page_of_versions, folder=folder, after=after, limit=_PAGE):
            known |= {
                os.fsdecode(row["path"]): KnownVersion(
                    size=row["size"],
                    mtime_ns=restored(row["mtime_ns"]),
                    provisional=bool(row["provisional"]),
                    stamp=row["stamp"],
                    missing_us=row["missing_us"],
                    is_open=row["state"] == JobState.GONE,
                )
                for row in rows
            }
            after = rows[-1]["path"]
        return known
