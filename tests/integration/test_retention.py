"""The journal forgets old jobs, but nothing that prevents a file from being cut again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from cutoutd.folder import retention as retention_module
from cutoutd.folder.retention import STEP_S, Retention
from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock

DAY_S = 86_400.0
KEEP_DAYS = 10
FOLDER = "f"


class Archive:
    """A folder whose journal has old jobs."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root = root / "in"
        self.root.mkdir()
        self.clock = clock
        self.journal = Journal(None, session="r", clock=clock)
        self.retention = Retention(
            FOLDER, root=self.root, history=self.journal.history, keep_days=KEEP_DAYS, clock=clock
        )

    def cut(self, name: str, mtime_ns: int = 1) -> Version:
        """Record a version of a source as done."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        version = Version(path=name, size=1, mtime_ns=mtime_ns)
        self.journal.sources.accept(FOLDER, [version])
        job = self.journal.queue.next_in(FOLDER, newest_first=False)
        assert job is not None
        self.journal.queue.claim(job)
        result = Published(rendition=0, path=f"{name}.png", sha256="o" * 64, review=False)
        self.journal.begin_publishing(job, sha256="s" * 64, claims=[f"/out/{name}".encode()], detail={})
        self.journal.finish_publishing(job, JobState.DONE, sha256="s" * 64, published=[result], detail={})
        return version

    def pass_days(self, days: float) -> None:
        """Advance the time, and run the retention once."""
        self.clock.advance(days * DAY_S)
        self.retention.step()

    def rows(self) -> list[tuple[str, int]]:
        """Return path and time of each job that the journal still has."""
        return [(job.path, job.mtime_ns) for job in Reader(self.journal.store).jobs()]

    def traces(self) -> int:
        """Return the number of rows in all tables about sources."""
        tables = ("job", "reservation", "output", "published")
        counts = [self.journal.store.row(f"SELECT COUNT(*) FROM {table}") for table in tables]  # noqa: S608 -- ours
        return sum(int(row[0]) for row in counts if row is not None)


@pytest.fixture
def archive(tmp_path: Path, clock: FakeClock) -> Iterator[Archive]:
    """A folder for one test."""
    created = Archive(tmp_path, clock)
    yield created
    created.journal.close()


def test_a_version_that_has_a_successor_is_removed_when_it_is_old(archive: Archive) -> None:
    """The newest version stays, however old, as long as its source exists."""
    archive.cut("a.jpg", 1)
    newest = archive.cut("a.jpg", 2)
    archive.pass_days(KEEP_DAYS - 1)
    assert archive.rows() == [("a.jpg", 1), ("a.jpg", 2)]
    for _ in range(3):
        archive.pass_days(KEEP_DAYS + 1)
    assert archive.rows() == [("a.jpg", 2)]
    assert archive.journal.sources.is_known(FOLDER, newest)


def test_a_vanished_source_is_removed_after_the_retention_time(archive: Archive) -> None:
    """With everything that is known of it."""
    version = archive.cut("sub/a.jpg")
    (archive.root / "sub/a.jpg").unlink()
    archive.pass_days(KEEP_DAYS + 1)  # noticed
    archive.pass_days(KEEP_DAYS - 1)
    assert archive.journal.sources.is_known(FOLDER, version)
    archive.pass_days(2)
    assert archive.traces() == 0
    assert not archive.journal.sources.is_known(FOLDER, version)


def test_a_share_that_looked_empty_for_a_while_has_lost_nothing(archive: Archive) -> None:
    """Files that return are known, and a later absence counts from its start."""
    version = archive.cut("sub/a.jpg")
    shutil.move(archive.root / "sub", archive.root.parent / "away")
    archive.pass_days(KEEP_DAYS + 1)
    shutil.move(archive.root.parent / "away", archive.root / "sub")
    archive.pass_days(1)
    shutil.move(archive.root / "sub", archive.root.parent / "away")
    archive.pass_days(KEEP_DAYS - 2)
    archive.pass_days(KEEP_DAYS - 2)
    assert archive.journal.sources.is_known(FOLDER, version)


def test_unfinished_jobs_are_never_forgotten(archive: Archive) -> None:
    """Waiting, delayed, or with an original that is still to be moved."""
    waiting, resting = (Version(path=name, size=1, mtime_ns=1) for name in ("w.jpg", "r.jpg"))
    _, rest = archive.journal.sources.accept(FOLDER, [waiting, resting])
    archive.journal.queue.delay(rest, 1.0, detail={})
    (pending,) = archive.journal.sources.accept(FOLDER, [Version(path="u.jpg", size=1, mtime_ns=1)])
    archive.journal.queue.finish(pending, JobState.DONE, detail={}, cleanup_pending=True)
    for _ in range(4):
        archive.pass_days(KEEP_DAYS + 1)
    assert len(archive.rows()) == 3


def test_a_file_that_cannot_be_checked_is_not_missing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that returns errors says nothing about its files."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    version = archive.cut("a.jpg")
    (archive.root / "a.jpg").unlink()
    monkeypatch.setattr(retention_module, "scan_file", fail)
    for _ in range(4):
        archive.pass_days(KEEP_DAYS + 1)
    assert archive.journal.sources.is_known(FOLDER, version)


def test_retention_works_in_small_steps_through_all_sources(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the write lock is never held for long; every source has its turn."""
    monkeypatch.setattr(retention_module, "STEP", 2)
    for n in range(5):
        archive.cut(f"{n}.jpg", 1)
        archive.cut(f"{n}.jpg", 2)
        (archive.root / f"{n}.jpg").unlink()
    left = []
    archive.clock.advance((KEEP_DAYS + 1) * DAY_S)
    for _ in range(3):
        archive.clock.advance(STEP_S)
        archive.retention.step()
        archive.retention.step()  # it is not time yet
        left.append(len(archive.rows()))
    assert left == [8, 6, 5]
    archive.clock.advance((KEEP_DAYS + 1) * DAY_S)
    for _ in range(4):
        archive.clock.advance(STEP_S)
        archive.retention.step()
    assert archive.traces() == 0


def test_the_file_does_not_grow_with_what_was_forgotten(tmp_path: Path, clock: FakeClock) -> None:
    """Freed pages are used again."""
    journal = Journal(tmp_path, session="r", clock=clock)
    sizes = []
    for generation in range(4):
        there = [Version(path=f"{n}.jpg", size=1, mtime_ns=generation) for n in range(2000)]
        jobs = journal.sources.accept(FOLDER, there)
        with journal.store.transaction():
            journal.store.write("UPDATE job SET state = 'done', finished_us = 1 WHERE id >= ?", (jobs[0],))
        while journal.history.trim(FOLDER, clock.now_us(), 500):
            pass
        sizes.append((tmp_path / "journal.sqlite").stat().st_size)
    assert sizes[-1] < 1.1 * sizes[1]
    journal.close()
