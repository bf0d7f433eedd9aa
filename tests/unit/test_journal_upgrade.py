"""A journal of an earlier version is converted to the current schema, and nothing in it is lost."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.jobs import JobState
from cutoutd.journal.commands import Verb
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.store import FILE_NAME, SCHEMA_VERSION, JournalOlderError, Store

if TYPE_CHECKING:
    from tests.conftest import FakeClock

_SCHEMAS = {
    version: Path(__file__).with_name(f"journal_schema_{version}.sql").read_text(encoding="utf-8")
    for version in (1, 2, 3, 4, 5, 6, 7, 8, 9)
}
_RENAMED_IN = 5
_NAMES = (b"a.jpg", b"sub/b.tif", b"not-utf8-\xff.png")


@pytest.fixture(params=sorted(_SCHEMAS))
def version(request: pytest.FixtureRequest) -> int:
    """The number of an earlier schema."""
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture
def earlier(tmp_path: Path, version: int) -> Path:
    """The path of a journal of an earlier schema with three jobs, a name, a command and a fact."""
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"BEGIN;{_SCHEMAS[version]}PRAGMA user_version = {version};COMMIT;")
        connection.executemany(
            "INSERT INTO job (folder, path, size, mtime_ns, state, accepted_us) VALUES ('f', ?, 1, 2, ?, 3)",
            zip(_NAMES, ("done", "queued", "failed"), strict=True),
        )
        names = "name" if version < _RENAMED_IN else "reservation"
        connection.execute(f"INSERT INTO {names} (key, folder, path) VALUES (x'00ff', 'f', x'61')")  # noqa: S608 -- ours
        connection.execute("INSERT INTO command (verb, argument, posted_us) VALUES ('retry', '3', 4)")
        connection.execute("INSERT INTO fact VALUES ('paused', '1')")
        connection.commit()
    return path


def test_all_rows_are_there_afterwards(earlier: Path, clock: FakeClock) -> None:
    """States, names that are not UTF-8 and facts are kept; the new states can be written."""
    journal = Journal(earlier.parent, session="r", clock=clock)
    try:
        jobs = list(Reader(journal.store).jobs())
        assert [os.fsencode(job.path) for job in jobs] == list(_NAMES)
        assert [job.state for job in jobs] == [JobState.DONE, JobState.QUEUED, JobState.FAILED]
        assert journal.commands.is_paused()
        (command,) = journal.commands.pending()
        assert (command.verb, command.argument) == ("retry", "3")
        journal.commands.refuse(command, "no such job")
        assert journal.commands.pending() == []
        assert journal.commands.answer(command.id) == "no such job"
        journal.queue.upload(jobs[1].id, {"parcel": "x"})
        assert [job.id for job in journal.queue.uploading()] == [jobs[1].id]
    finally:
        journal.close()


def test_the_earlier_file_is_kept(earlier: Path, version: int, clock: FakeClock) -> None:
    """Unchanged, under a name with its version."""
    before = earlier.read_bytes()
    Journal(earlier.parent, session="r", clock=clock).close()
    (kept,) = earlier.parent.glob(f"journal-v{version}-*.sqlite")
    assert kept.read_bytes() == before
    with closing(sqlite3.connect(earlier)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION


def test_a_journal_is_upgraded_once(earlier: Path, clock: FakeClock) -> None:
    """The second start changes nothing."""
    Journal(earlier.parent, session="r", clock=clock).close()
    there = {path.name: path.stat().st_ino for path in earlier.parent.iterdir()}
    Journal(earlier.parent, session="s", clock=clock).close()
    assert {path.name: path.stat().st_ino for path in earlier.parent.iterdir()} == there


def test_a_command_leaves_the_upgrade_to_the_daemon(earlier: Path) -> None:
    """The error must not look like damage."""
    with pytest.raises(JournalOlderError, match="Start the daemon"):
        Store(earlier)


def test_no_command_gets_the_number_of_an_earlier_one(tmp_path: Path, clock: FakeClock) -> None:
    """Also not after an upgrade. Before, whoever asked again what became of a command was told of another one."""
    journal = Journal(tmp_path, session="r", clock=clock)
    try:
        first = journal.commands.post(Verb.RETRY, "1", "a request")
        journal.commands.done(journal.commands.pending()[0])
        second = journal.commands.post(Verb.RETRY, "2")
        journal.commands.refuse(journal.commands.pending()[0], "no such job")
        assert journal.commands.post(Verb.RETRY, "1", "a request") == first
        assert journal.commands.answer(first) == ""
        last = journal.commands.post(Verb.RETRY, "3")
        for command in journal.commands.pending():
            journal.commands.done(command)
    finally:
        journal.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    journal = Journal(tmp_path, session="s", clock=clock)
    try:
        assert first < second < last < journal.commands.post(Verb.RETRY, "4")
    finally:
        journal.close()
