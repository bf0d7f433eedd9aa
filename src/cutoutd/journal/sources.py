"""The accepted versions of sources, which keep a file from being cut twice.

A version is identified by path, size and modification time. Only the newest version of a path counts, so that A, then B, then
A again under one name are three versions. This module must not look at files.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from cutoutd.database import restored, stored
from cutoutd.jobs import HAS_RESULT, WAITING, JobState
from cutoutd.journal.adopted import take_over
from cutoutd.journal.recordings import recordings
from cutoutd.journal.store import SQL
from cutoutd.journal.vanished import revive
from cutoutd.journal.versions import BytesRead, KnownVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Job, Version
    from cutoutd.journal.adopted import Adopted
    from cutoutd.journal.recordings import Recorded
    from cutoutd.journal.store import Store
    from cutoutd.journal.submissions import Submission

_PAGE: Final = 2000

PAIR: Final = "pair"
"""Key of a skipped version's detail: the path, in hexadecimal digits, of the recording that is cut instead."""

_READ: Final = HAS_RESULT | {JobState.FAILED, JobState.SKIPPED}
_WAITS: Final = WAITING | {JobState.PARKED}


class Sources:
    """The accepted versions; the newest of each source is held in memory, since a scan looks up every file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._newest: dict[str, dict[str, KnownVersion]] = {}
        self._scans: dict[str, int] = {}
        self._drops = 0  # of what is held in memory: what was read before the last one may be out of date
        self._lock = threading.Lock()

    def now_us(self) -> int:
        """UTC microseconds."""
        return self._clock.now_us()

    def is_known(self, folder: str, version: Version) -> bool:
        """Whether this version was accepted, on the basis of a stat that could be trusted.

        A provisional acceptance is confirmed by a second one that is not provisional: a worker then compares the bytes.
        """
        known = self._known(folder).get(version.path)
        if known is None:
            return False
        known.scan = self._scans.get(folder, 0)
        if known.is_open or (known.size, known.mtime_ns) != (version.size, version.mtime_ns):
            return False
        return version.provisional or not known.provisional

    def begin_scan(self, folder: str) -> None:
        """Begin to record which sources a scan finds; `unseen` returns the others."""
        self._scans[folder] = self._scans.get(folder, 0) + 1

    def saw(self, folder: str, path: str) -> None:
        """Record that the scan found a source, whether or not it has changed."""
        known = self._known(folder).get(path)
        if known is not None:
            known.scan = self._scans.get(folder, 0)

    def unseen(self, folder: str) -> list[str]:
        """Return the sources that the last scan did not find, and that are not known to be missing."""
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
        """Return since when a source is known to be missing, UTC microseconds; None if it is not."""
        known = self._known(folder).get(path)
        return None if known is None else known.missing_us

    def note_places(self, folder: str, places: Mapping[str, int | None]) -> None:
        """Record since when sources are missing, UTC microseconds, or, with None, that they are there again.

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
        """Return the stamp of the newest version of a source, as of when its bytes were read."""
        known = self._known(folder).get(path)
        return None if known is None else known.stamp

    def note_stamps(self, folder: str, stamps: Mapping[str, int]) -> None:
        """Record the stamps of sources whose bytes are those that were read, whatever else has changed."""
        with self._store.transaction():
            for path, stamp in stamps.items():
                self._store.write(SQL.set_stamp, stamp=stamp, folder=folder, path=os.fsencode(path))
        known = self._known(folder)
        with self._lock:
            for path, stamp in stamps.items():
                if path in known:
                    known[path].stamp = stamp

    def bytes_read(self, folder: str, version: Version) -> BytesRead:
        """Return what is known of the bytes of the newest version of a source."""
        row = self._store.row(SQL.newest_version, folder=folder, path=os.fsencode(version.path))
        state = JobState(row["state"]) if row is not None else JobState.GONE
        return BytesRead(
            is_over=state in _READ,
            has_failed=state is JobState.FAILED,
            sha256=row["sha256"] if row else None,
            is_cleanup_pending=row is not None and bool(row["cleanup_pending"]),
        )

    def had_bytes(self, job: Job, sha256: str) -> bool:
        """Whether another version of a job's source, or a published one, is known to have these bytes."""
        about = {"folder": job.folder, "path": os.fsencode(job.path)}
        return bool(self._store.number(SQL.had_bytes, sha256=sha256, job=job.id, **about))

    def published_us(self, folder: str, path: str) -> int | None:
        """Return when the newest version of a source was accepted, UTC microseconds, if its result is published; else None."""
        return self._store.number(SQL.released_us, folder=folder, path=os.fsencode(path)) or None

    def is_put_away(self, folder: str, path: str) -> bool:
        """Whether we moved or deleted the last original at a path, once its result was published."""
        row = self._store.row(SQL.last_published, folder=folder, path=os.fsencode(path))
        return row is not None and bool(row["gone"])

    def doubt_for_good(self, folder: str, version: Version) -> None:
        """As `doubt`, and stored in the journal."""
        with self._store.transaction():
            self._store.write(SQL.doubt_newest, folder=folder, path=os.fsencode(version.path))
        self.doubt(folder, version)

    def doubt(self, folder: str, version: Version) -> None:
        """Have a version accepted again at the next scan, since its bytes may differ from those that were read."""
        known = self._known(folder)
        with self._lock:
            one = known.get(version.path)
            if one is not None and (one.size, one.mtime_ns) == (version.size, version.mtime_ns):
                one.provisional = True

    def recordings(self, folder: str, path: str) -> list[Recorded]:
        """Return what is known of all sources whose path differs only in the extension from one, that one included."""
        return recordings(self._store, folder, path)

    def was_seen(self, folder: str, version: Version) -> bool:
        """Whether a version looks like the newest of its source, even if the stat could not be trusted."""
        known = self._known(folder).get(version.path)
        looks = (version.size, version.mtime_ns)
        if known is None or known.is_open or known.missing_us is not None:
            return False
        return (known.size, known.mtime_ns) == looks

    def leave_out(self, folder: str, pairs: Iterable[tuple[Version, str]]) -> list[Version]:
        """Record versions that are skipped because another recording of the same shot is cut; all in one transaction.

        Args:
            folder: name of the folder.
            pairs: each version, and the path of the source that is cut instead.

        Returns:
            The versions that were recorded; not those whose partner has failed or vanished meanwhile.
        """
        left_out = []
        with self._store.transaction():
            for version, partner in pairs:
                if any(one.path == partner and one.is_covered for one in self.recordings(folder, partner)):
                    detail = {
                        "why": f"the {partner.rpartition('.')[2]} of the same shot is cut",
                        PAIR: os.fsencode(partner).hex(),
                    }
                    self._insert(folder, version, JobState.SKIPPED, self._clock.now_us(), detail)
                    left_out.append(version)
        self._remember(folder, left_out)
        return left_out

    def accept(
        self,
        folder: str,
        versions: Iterable[Version],
        *,
        state: JobState = JobState.QUEUED,
        detail: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Write new versions, all in one transaction; older versions that still wait are gone.

        Args:
            folder: name of the folder.
            versions: the versions; none of them is known.
            state: QUEUED, or SKIPPED for files that are not to be cut.
            detail: the reason, if they are skipped, as `cutoutd.job_detail.JobResult` reads it.

        Returns:
            The jobs' ids; a file that had vanished before its turn has the job that it had.
        """
        now = self._clock.now_us()
        accepted = list(versions)
        with self._store.transaction():
            jobs = [
                (revive(self._store, folder, version) if state is JobState.QUEUED else None)
                or self._insert(folder, version, state, now, dict(detail or {}))
                for version in accepted
            ]
        self._remember(folder, accepted)
        return jobs

    def accept_submitted(
        self,
        folder: str,
        submitted: Sequence[tuple[Version, Submission]],
        names: Mapping[str, str],
    ) -> list[int | None]:
        """Write the jobs of pictures that programs submitted, with their options, and end their requests, in one transaction.

        Args:
            folder: name of the folder.
            submitted: each picture under its final name, and its request.
            names: the paths that the files of other requests are to get, by their keys, recorded before these are renamed.

        Returns:
            The new jobs' ids; None for a request that is over already.
        """
        now_us = self._clock.now_us()
        with self._store.transaction():
            jobs = [
                self._insert_submitted(folder, version, submission, now_us)
                for version, submission in submitted
            ]
            for key, path in names.items():
                self._store.write(SQL.name_submission, key=key, path=os.fsencode(path))
        accepted = [version for job, (version, _) in zip(jobs, submitted, strict=True) if job is not None]
        self._remember(folder, accepted)
        return jobs

    def _insert_submitted(
        self, folder: str, version: Version, submission: Submission, now_us: int
    ) -> int | None:
        row = self._store.row(SQL.submission, key=submission.key)
        if row is None or row["job"] is not None or row["refused"] is not None:
            return None
        job = self._insert(folder, version, JobState.QUEUED, now_us, {})
        self._store.write(SQL.take_submission, job=job, key=submission.key, options=submission.options.text())
        return job

    def forget(self, folder: str, version: Version) -> None:
        """Forget a version that vanished before its turn: a file that comes back is accepted again."""
        known = self._known(folder)
        with self._lock:
            one = known.get(version.path)
            if one is not None and (one.size, one.mtime_ns) == (version.size, version.mtime_ns):
                one.is_open = True

    def reread(self, folders: Iterable[str]) -> None:
        """Drop what is held in memory for these names, which are other folders' now; it is read again when needed."""
        # Of no other folder: during a scan of it, all its sources would then count as missing.
        with self._lock:
            for folder in folders:
                self._newest.pop(folder, None)
            self._drops += 1

    def vacate(self, folder: str, path: str) -> None:
        """Record that the picture of a path lies elsewhere now; a file that comes back is accepted again."""
        known = self._known(folder).get(path)
        if known is not None:
            known.is_open = True

    def drop(self, folder: str, paths: Iterable[str]) -> None:
        """Drop sources whose rows were removed."""
        known = self._known(folder)
        with self._lock:
            for path in paths:
                known.pop(path, None)

    def adopt(self, folder: str, adopted: Iterable[Adopted]) -> int:
        """Take over results that sidecars and failure records describe but this journal does not know, in one transaction.

        A result that ended later according to the journal stays as it is, and so does one in work.

        Returns:
            How many versions count as ended now that did not before.
        """
        with self._store.transaction():
            count = sum(
                take_over(self._store, folder, one, now_us=self._clock.now_us(), retire=self._retire)
                for one in adopted
            )
        self.reread([folder])
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
        """Make the newest version of a source an older one; if it still waits, it is gone.

        Returns:
            The generation of the version that replaces it: the same, unless the source was gone before.
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
        while True:
            with self._lock:
                known, drops = self._newest.get(folder), self._drops
            if known is not None:
                return known
            # Not under the lock: whoever is in a transaction may wait for it, and reading waits for the transaction.
            read = self._read(folder)
            with self._lock:
                if drops == self._drops:
                    return self._newest.setdefault(folder, read)

    def _read(self, folder: str) -> dict[str, KnownVersion]:
        """Read the newest versions in pages: all rows of 100,000 sources at once would take more memory than what is kept."""
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
