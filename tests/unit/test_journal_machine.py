"""The journal under any order of events: no version is lost, and no source is in work twice."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cutoutd.faults.retry import MAX_DELAY_S, MAX_INTERRUPTED
from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.adopted import Adopted
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.store import FILE_NAME
from tests.conftest import FakeClock

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from cutoutd.jobs import Job

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- directories of our own are made in it
FOLDERS: Final = ("f", "g")
SOURCES: Final = ("a.jpg", "b.jpg")
ENDED: Final = frozenset(
    {
        JobState.DONE,
        JobState.REVIEW,
        JobState.FAILED,
        JobState.GONE,
        JobState.UNCHANGED,
        JobState.SKIPPED,
    }
)

ADOPTABLE: Final = frozenset({JobState.DONE, JobState.REVIEW, JobState.FAILED})

folders: SearchStrategy[str] = st.sampled_from(FOLDERS)
which: SearchStrategy[int] = st.integers(min_value=0, max_value=3)
versions: SearchStrategy[Version] = st.builds(
    Version,
    path=st.sampled_from(SOURCES),
    size=st.just(1),
    mtime_ns=st.integers(min_value=1, max_value=3),
    provisional=st.booleans(),
)


class JournalMachine(RuleBasedStateMachine):
    """Intake, supervisor, deliveries, commands and crashes in any order."""

    def __init__(self) -> None:
        super().__init__()
        # In memory, where there is such a place: thousands of syncs are not what is tested here.
        self.directory = tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
        self.clock = FakeClock()
        self.runs = 0
        self.configured = frozenset(FOLDERS)
        self.accepted = 0
        self.working: list[Job] = []
        self.publishing: list[Job] = []
        self.journal = self._opened()

    def _opened(self) -> Journal:
        """Open the journal with a new session."""
        self.runs += 1
        return Journal(Path(self.directory.name), session=f"run-{self.runs}", clock=self.clock)

    def _rows(self) -> list[dict[str, Any]]:
        """Return all rows of jobs."""
        return [dict(row) for row in self.journal.store.rows("SELECT * FROM job ORDER BY id")]

    def _in(self, state: JobState) -> list[Job]:
        """Return the jobs in a state."""
        return list(Reader(self.journal.store).jobs(state=state))

    # Intake.

    @rule(folder=folders, arrived=st.lists(versions, min_size=1, max_size=4))
    def arrive(self, folder: str, arrived: list[Version]) -> None:
        """Accept files that have settled."""
        for version in arrived:
            self._accept(folder, version)

    def _accept(self, folder: str, version: Version) -> None:
        """Accept one version, unless it is known."""
        sources = self.journal.sources
        if folder not in self.configured or sources.is_known(folder, version):
            return
        before = {row["id"]: row for row in self._rows()}
        (job,) = sources.accept(folder, [version])
        row = next(row for row in self._rows() if row["id"] == job)
        assert (row["state"], row["newest"]) == ("queued", 1)
        if job in before:  # it had vanished before its turn, and is there again
            same = ("state", "size", "mtime_ns")
            assert tuple(before[job][key] for key in same) == ("gone", version.size, version.mtime_ns)
        else:
            self.accepted += 1
        assert sources.is_known(folder, version)
        trusted = Version(path=version.path, size=version.size, mtime_ns=version.mtime_ns)
        assert sources.is_known(folder, trusted) is not version.provisional

    # Supervisor.

    @rule(folder=folders, count=st.integers(min_value=1, max_value=3), newest_first=st.booleans())
    def begin(self, folder: str, count: int, *, newest_first: bool) -> None:
        """Give idle workers the next jobs."""
        for _ in range(count):
            self._begin(folder, newest_first=newest_first)

    def _begin(self, folder: str, *, newest_first: bool) -> None:
        """Give a worker the next job."""
        job = self.journal.queue.next_in(folder, newest_first=newest_first)
        if job is None:
            waiting = [row for row in self._rows() if (row["folder"], row["state"]) == (folder, "queued")]
            busy = {one.path for one in (*self.working, *self.publishing) if one.folder == folder}
            assert all(os.fsdecode(row["path"]) in busy for row in waiting)
            return
        assert job.state is JobState.QUEUED
        self.journal.queue.claim(job)
        self.working.append(job)

    @precondition(lambda self: self.working)
    @rule(which=which, state=st.sampled_from([JobState.UNCHANGED, JobState.FAILED]))
    def end(self, which: int, state: JobState) -> None:
        """Finish a job without anything to publish."""
        job = _taken(self.working, which)
        self.journal.queue.finish(job.id, state, detail={})

    @precondition(lambda self: self.working)
    @rule(which=which)
    def vanish(self, which: int) -> None:
        """Finish a job whose source is missing or has changed."""
        job = _taken(self.working, which)
        newest = self._newest(job)
        self.journal.gone(job, "removed")
        # It is accepted again should it come back; a newer version stays known.
        if newest["id"] == job.id:
            assert not self.journal.sources.is_known(job.folder, job.version)
        elif (newest["size"], newest["mtime_ns"]) != (job.size, job.mtime_ns):
            known = Version(path=job.path, size=newest["size"], mtime_ns=newest["mtime_ns"], provisional=True)
            assert self.journal.sources.is_known(job.folder, known) is (newest["state"] != "gone")

    def _newest(self, job: Job) -> dict[str, Any]:
        """Return the row of the newest version of a job's source."""
        key = (job.folder, os.fsencode(job.path), 1)
        return next(row for row in self._rows() if (row["folder"], row["path"], row["newest"]) == key)

    @precondition(lambda self: self.working)
    @rule(which=which, delay_s=st.sampled_from([0.0, 2.0, 300.0]))
    def rest(self, which: int, delay_s: float) -> None:
        """Delay a job after a temporary failure."""
        self.journal.queue.delay(_taken(self.working, which).id, delay_s, detail={"failure": {}})

    @precondition(lambda self: self.working)
    @rule(which=which, alone=st.sampled_from([None, True]))
    def put_back(self, which: int, *, alone: bool | None) -> None:
        """Queue a job again whose worker died or which must run alone."""
        job = _taken(self.working, which)
        assert self.journal.queue.count_attempt(job.id) == job.attempts + 1
        self.journal.queue.put_back(job.id, alone=alone)

    @rule(seconds=st.sampled_from([1.0, 10.0, 400.0, -5000.0]))
    def time_passes(self, seconds: float) -> None:
        """Move the clock, also back; no delay may exceed the longest one."""
        self.clock.advance(seconds)
        self.journal.queue.queue_due()
        now_us = self.clock.now_us()
        longest_us = int(MAX_DELAY_S * 1_000_000) + 1_000_000
        assert all(now_us < job.not_before_us <= now_us + longest_us for job in self._in(JobState.RETRY))

    # Deliveries.

    @precondition(lambda self: self.working)
    @rule(which=which)
    def plan(self, which: int) -> None:
        """Write the plan of a job whose results are staged."""
        job = _taken(self.working, which)
        key = f"/out/{job.folder}/{job.path}".encode()
        assert self.journal.reservations.reserve(job.folder, job.path, [key])
        self.journal.begin_publishing(job, sha256=_sha256(job), claims=[key], detail={"plan": job.id})
        assert not self.journal.reservations.reserve("another", job.path, [key])
        self.publishing.append(job)

    @precondition(lambda self: self.publishing)
    @rule(which=which, state=st.sampled_from([JobState.DONE, JobState.REVIEW]))
    def publish(self, which: int, state: JobState) -> None:
        """Finish a job whose results have their final names."""
        job = _taken(self.publishing, which)
        result = Published(
            rendition=0, path=f"{job.path}.png", sha256=_sha256(job), review=state is JobState.REVIEW
        )
        self.journal.finish_publishing(job, state, sha256=_sha256(job), published=[result], detail={})
        assert self.journal.reservations.published_sha256(job.folder, job.path) == _sha256(job)
        assert result in self.journal.reservations.earlier(job.folder, job.path)

    @precondition(lambda self: self.publishing)
    @rule(which=which)
    def undo(self, which: int) -> None:
        """Queue a job again whose result was lost before publication."""
        self.journal.undo_publishing(_taken(self.publishing, which), published=[])

    @precondition(lambda self: self.publishing)
    @rule(which=which)
    def put_off(self, which: int) -> None:
        """Delay a job whose plan cannot be made again because the share is away."""
        self.journal.queue.delay(_taken(self.publishing, which).id, 15.0, detail={})

    # People.

    @precondition(lambda self: self.accepted > 2)  # else there is rarely anything to ask for
    @rule(which=st.none() | st.integers(min_value=1, max_value=8))
    def retry(self, which: int | None) -> None:
        """Run `cutoutd retry`."""
        before = {row["id"]: row for row in self._rows()}
        count = self.journal.queue.retry(which)
        changed = [row for row in self._rows() if row != before[row["id"]]]
        assert len(changed) == count
        for row in changed:
            assert (row["state"], row["newest"], row["forced"]) == ("queued", 1, 1)
            assert before[row["id"]]["state"] not in ("queued", "working", "publishing")

    # Other installations, and the passing of time.

    @rule(
        folder=folders,
        version=versions,
        state=st.sampled_from(sorted(ENDED & ADOPTABLE)),
        is_present=st.booleans(),
    )
    def adopt(self, folder: str, version: Version, state: JobState, *, is_present: bool) -> None:
        """Adopt a version from a sidecar or a failure record."""
        before = {row["id"]: row for row in self._rows()}
        in_hand = [*self.working, *self.publishing]
        busy = any((job.folder, job.path) == (folder, version.path) for job in in_hand)
        failed = state is JobState.FAILED
        result = Published(rendition=0, path=f"{version.path}.png", sha256="a" * 64, review=False)
        adopted = Adopted(
            version=Version(path=version.path, size=version.size, mtime_ns=version.mtime_ns),
            is_present=is_present,
            latest=not failed,
            state=state,
            sha256="b" * 64,
            at_us=self.clock.now_us(),
            published=() if failed else (result,),
            claims=(),
            detail={},
        )
        self.journal.sources.adopt(folder, [adopted])
        self.journal.sources.adopt(folder, [adopted])  # once more changes nothing
        after = {row["id"]: row for row in self._rows()}
        self.accepted += len(after) - len(before)
        assert 0 <= len(after) - len(before) <= 1
        assert all(after[job.id]["state"] == before[job.id]["state"] for job in in_hand)
        key = (folder, os.fsencode(version.path), 1)
        newest = [row for row in before.values() if (row["folder"], row["path"], row["newest"]) == key]
        # What ended here no earlier counts for more, and so does a person's wish.
        kept = any(row["forced"] or (row["finished_us"] or 0) >= adopted.at_us for row in newest)
        if is_present and not busy and not kept:
            # By a stat that could not be trusted, if it was accepted here by one: then the bytes are compared.
            assert self.journal.sources.is_known(folder, replace(adopted.version, provisional=True))
        if not is_present:
            assert after == before

    @rule(folder=folders, limit=st.integers(min_value=1, max_value=3))
    def trim(self, folder: str, limit: int) -> None:
        """Remove old versions, and check that nothing else is removed."""
        before = self._rows()
        count = self.journal.history.trim(folder, self.clock.now_us(), limit)
        left = {row["id"] for row in self._rows()}
        gone = [row for row in before if row["id"] not in left]
        assert len(gone) == count <= limit
        assert all(not row["newest"] and row["state"] in ENDED and row["folder"] == folder for row in gone)
        self.accepted -= count

    @rule(folder=folders, path=st.sampled_from(SOURCES))
    def forget(self, folder: str, path: str) -> None:
        """Forget a source, and check that all of its jobs are removed, or none while one has not ended."""
        key = (folder, os.fsencode(path))
        mine = [row for row in self._rows() if (row["folder"], row["path"]) == key]
        self.journal.history.forget(folder, [path])
        left = [row for row in self._rows() if (row["folder"], row["path"]) == key]
        over = all(row["state"] in ENDED for row in mine)
        assert left == ([] if over else mine)
        if mine and over:
            assert self.journal.reservations.published_sha256(folder, path) is None
            assert not self.journal.sources.is_known(
                folder, Version(path=path, size=1, mtime_ns=mine[-1]["mtime_ns"], provisional=True)
            )
        self.accepted -= len(mine) - len(left)

    @precondition(lambda self: self.accepted > 2)
    @rule(byte=st.integers(min_value=0, max_value=99))
    def lose(self, byte: int) -> None:
        """Damage the file, and check that a new journal is empty and reports the loss."""
        self.journal.close()
        path = Path(self.directory.name) / FILE_NAME
        raw = bytearray(path.read_bytes())
        raw[:100] = bytes([byte]) * 100
        path.write_bytes(raw)
        self.journal = self._opened()
        assert rebuilt(self.journal.store) is not None
        assert self._rows() == []
        self.accepted = 0
        self.working.clear()
        self.publishing.clear()

    # Starts after stops and crashes.

    @precondition(lambda self: self.working or self.publishing or self.configured != set(FOLDERS))
    @rule(configured=st.frozensets(folders, min_size=1))
    def restart(self, configured: frozenset[str]) -> None:
        """Reopen the journal with another process's session, perhaps for other folders."""
        self.journal.close()
        self.journal = self._opened()
        self.configured = configured
        left = {job.id: job for state in (JobState.WORKING, JobState.PUBLISHING) for job in self._in(state)}
        recovered = self.journal.queue.recover()
        assert all(job.detail == {"plan": job.id} for job in recovered)
        for row in self._rows():
            if row["id"] in left:
                assert row["interrupted"] == left[row["id"]].interrupted + 1
                quarantined = row["interrupted"] >= MAX_INTERRUPTED
                was = left[row["id"]].state
                goes_on = JobState.QUEUED if was is JobState.WORKING else JobState.PUBLISHING
                assert row["state"] == (JobState.FAILED if quarantined else goes_on)
        there = {job.id for job in self._in(JobState.PUBLISHING)}
        assert {job.id for job in recovered} == there
        self.publishing = [job for job in self.publishing if job.id in there]
        self.journal.queue.park(set(configured))
        self.working.clear()
        for row in self._rows():
            if row["newest"]:
                version = Version(
                    path=os.fsdecode(row["path"]), size=1, mtime_ns=row["mtime_ns"], provisional=True
                )
                known = self.journal.sources.is_known(row["folder"], version)
                assert known is (row["state"] != "gone")
        parked = {job.folder for job in self._in(JobState.PARKED)}
        waiting = {job.folder for state in (JobState.QUEUED, JobState.RETRY) for job in self._in(state)}
        assert not parked & configured
        assert waiting <= configured

    @invariant()
    def each_source_has_one_newest_version(self) -> None:
        """Check that the newest version is the one accepted last."""
        newest: dict[tuple[str, bytes], list[int]] = {}
        last: dict[tuple[str, bytes], int] = {}
        for row in self._rows():
            source = (row["folder"], row["path"])
            last[source] = row["id"]
            if row["newest"]:
                newest.setdefault(source, []).append(row["id"])
        assert newest == {source: [job] for source, job in last.items()}

    @invariant()
    def no_source_is_in_work_twice(self) -> None:
        """Check that results cannot overtake each other, and that only claimed jobs are in work."""
        working, publishing = self._in(JobState.WORKING), self._in(JobState.PUBLISHING)
        assert {job.id for job in working} == {job.id for job in self.working}
        assert {job.id for job in publishing} == {job.id for job in self.publishing}
        sources = [(job.folder, job.path) for job in (*working, *publishing)]
        assert len(sources) == len(set(sources))

    @invariant()
    def nothing_is_lost(self) -> None:
        """Check that every accepted version has its row, with a time only if it has ended."""
        rows = self._rows()
        assert len(rows) == self.accepted
        for row in rows:
            assert (row["finished_us"] is not None) is (row["state"] in ENDED)
            assert (row["session"] is not None) <= (row["state"] in ("working", "publishing"))

    def teardown(self) -> None:
        """Check that every job can still come to an end."""
        self.restart(frozenset(FOLDERS))
        while self.publishing:
            self.publish(0, JobState.DONE)
        self.time_passes(MAX_DELAY_S + 2)
        for folder in FOLDERS:
            while (job := self.journal.queue.next_in(folder, newest_first=False)) is not None:
                self.journal.queue.claim(job)
                self.journal.queue.finish(job.id, JobState.UNCHANGED, detail={})
        assert {row["state"] for row in self._rows()} <= ENDED
        self.journal.close()
        self.directory.cleanup()


def _taken(jobs: list[Job], which: int) -> Job:
    """Remove one of the jobs from the list, and return it."""
    return jobs.pop(which % len(jobs))


def _sha256(job: Job) -> str:
    """Return a text in the form of a digest, unique for each version."""
    return f"{job.mtime_ns:064x}"


JournalMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestJournal = JournalMachine.TestCase
