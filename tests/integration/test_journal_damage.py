"""A damaged journal is noticed, kept, and replaced by one that is rebuilt from the folders."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import UsageError
from cutoutd.jobs import Version
from cutoutd.journal import store as store_module
from cutoutd.journal.commands import Commands
from cutoutd.journal.journal import Journal
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.store import FILE_NAME, JournalDamagedError, JournalNewerError, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import FakeClock

PAGE = 4096
SEED = 20261124


def fill(directory: Path, clock: FakeClock, *, jobs: int = 400) -> Path:
    """Make a journal with rows in every table: half of the jobs are done, half wait."""
    journal = Journal(directory, session="run-1", clock=clock)
    write = journal.store.write
    with journal.store.transaction():
        for n in range(jobs):
            source = ("f", f"shoot/{n:05d}.jpg".encode())
            state, ended = ("done", clock.now_us()) if n < jobs // 2 else ("queued", None)
            write(
                "INSERT INTO job (folder, path, size, mtime_ns, state, accepted_us, finished_us) "
                "VALUES (?, ?, 1, ?, ?, 1, ?)",
                (*source, n, state, ended),
            )
            if ended is not None:
                write(
                    "INSERT INTO reservation (key, folder, path) VALUES (?, ?, ?)",
                    (f"/out/{n}.png".encode(), *source),
                )
                write(
                    "INSERT INTO output VALUES (?, ?, 0, 0, 0, ?, ?)",
                    (*source, f"{n}.png".encode(), "o" * 64),
                )
                write("INSERT INTO published (folder, path, sha256) VALUES (?, ?, ?)", (*source, "s" * 64))
        write(
            "INSERT INTO folder VALUES ('f', x'2f696e', 'm', 1, 2, 0, ?)",
            (clock.now_us(),),
        )
        write("INSERT INTO fact VALUES ('paused', '1')")
        write("INSERT INTO session VALUES ('run-1', 1)")
    journal.close()
    return directory / FILE_NAME


def _truncate(share: float) -> Callable[[Path], object]:
    """Return a function that keeps this share of the file."""
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def _put(at: int, content: bytes) -> Callable[[Path], object]:
    """Return a function that overwrites bytes at a position."""

    def damage(path: Path) -> None:
        raw = bytearray(path.read_bytes())
        raw[at : at + len(content)] = content
        path.write_bytes(raw)

    return damage


def _in_every_page(path: Path) -> None:
    """Change the first byte of every page but the first."""
    raw = bytearray(path.read_bytes())
    for page in range(1, len(raw) // PAGE):
        raw[page * PAGE] ^= 0xFF
    path.write_bytes(raw)


def _directory(path: Path) -> None:
    """Replace the file by a directory."""
    path.unlink()
    path.mkdir()
    (path / "precious").write_bytes(b"x")


def _version(number: int) -> Callable[[Path], object]:
    """Return a function that sets the schema's version."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {number}")

    return damage


def _statement(sql: str) -> Callable[[Path], object]:
    """Return damage that a flipped bit in a row, or another program, may cause."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = 1")
            connection.execute(sql)
            connection.commit()

    return damage


def _flipped_detail(path: Path) -> None:
    """Change the file itself: where an index reads the column, SQLite refuses to write such a row."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE job SET detail = ? WHERE id = 7", ('{"flipped": true}',))
        connection.commit()
    raw = path.read_bytes()
    assert b'{"flipped": true}' in raw
    path.write_bytes(raw.replace(b'{"flipped": true}', b'!"flipped": true}'))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": _truncate(0),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "cut after a page": lambda path: path.write_bytes(path.read_bytes()[:PAGE]),
    "cut in half": _truncate(0.5),
    "cut near the end": _truncate(0.99),
    "no header": _put(0, b"\0" * 100),
    "another magic": _put(0, b"X"),
    "page size of nonsense": _put(16, b"\x12\x34"),
    "schema page overwritten": _put(100, b"\xff" * 2000),
    "first pages zeroed": _put(PAGE, b"\0" * PAGE * 4),
    "a byte of every page": _in_every_page,
    "garbage": lambda path: path.write_bytes(random.Random(SEED).randbytes(100_000)),  # noqa: S311 -- not secret
    "text": lambda path: path.write_bytes(b"not a database " * 1000),
    "a directory": _directory,
    "no version": _version(0),
    "a version from a flipped bit": _version(1 + (1 << 24)),
    "no table": _statement("DROP TABLE output"),
    "no index": _statement("DROP INDEX job_queued"),
    "a state that is none": _statement("UPDATE job SET state = 'dome' WHERE id = 7"),
    "detail that is not JSON": _flipped_detail,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_at_the_start_and_set_aside(tmp_path: Path, clock: FakeClock, damage: str) -> None:
    """The old file stays, under a name with the time; the new one works, and records that it is new."""
    path = fill(tmp_path, clock)
    DAMAGES[damage](path)
    before = path.read_bytes() if path.is_file() else None
    journal = Journal(tmp_path, session="run-2", clock=clock)
    note = rebuilt(journal.store)
    assert note is not None
    assert note.at_us == clock.now_us()
    aside = tmp_path / note.aside
    assert aside.name == "journal-damaged-20231114T221320Z.sqlite"
    if before is None:
        assert (aside / "precious").read_bytes() == b"x"
    else:
        assert aside.read_bytes() == before
    assert journal.store.rows("SELECT * FROM job") == []
    (job,) = journal.sources.accept("f", [Version(path="a.jpg", size=1, mtime_ns=1)])
    journal.close()
    again = Journal(tmp_path, session="run-3", clock=clock)
    assert [row["id"] for row in again.store.rows("SELECT id FROM job")] == [job]
    assert rebuilt(again.store) == note
    again.close()


def test_bytes_flipped_anywhere_are_noticed_or_do_no_harm(tmp_path: Path, clock: FakeClock) -> None:
    """Whichever byte it is, the daemon starts, and what it then reads is usable."""
    whole = fill(tmp_path, clock, jobs=60).read_bytes()
    path = tmp_path / FILE_NAME
    draw = random.Random(SEED)  # noqa: S311 -- not secret
    noticed = 0
    for _ in range(60):
        raw = bytearray(whole)
        for _ in range(draw.choice([1, 1, 8, 64])):
            raw[draw.randrange(len(raw))] ^= draw.randrange(1, 256)
        path.write_bytes(raw)
        journal = Journal(tmp_path, session="run-2", clock=clock)
        noticed += rebuilt(journal.store) is not None
        journal.queue.recover()
        journal.queue.park({"f"})
        journal.sources.is_known("f", Version(path="a.jpg", size=1, mtime_ns=1))
        journal.queue.next_in("f", newest_first=False)
        journal.close()
        for aside in tmp_path.glob("journal-damaged*"):
            aside.unlink()
    assert noticed > 20


def test_the_rollback_journal_of_another_file_is_not_applied(tmp_path: Path, clock: FakeClock) -> None:
    """A rollback journal that is garbage, beside an intact file and beside none."""
    path = fill(tmp_path, clock)
    hot = path.with_name(f"{FILE_NAME}-journal")
    hot.write_bytes(random.Random(SEED).randbytes(50_000))  # noqa: S311 -- not secret
    journal = Journal(tmp_path, session="run-2", clock=clock)
    assert rebuilt(journal.store) is None
    assert len(journal.store.rows("SELECT 1 FROM job")) == 400
    journal.close()
    path.unlink()
    hot.write_bytes(random.Random(SEED).randbytes(50_000))  # noqa: S311 -- not secret
    journal = Journal(tmp_path, session="run-3", clock=clock)
    assert journal.store.rows("SELECT 1 FROM job") == []
    journal.close()


def test_the_rollback_journal_goes_with_the_file_it_belongs_to(tmp_path: Path, clock: FakeClock) -> None:
    """Otherwise SQLite would apply it to the new one."""
    path = fill(tmp_path, clock)
    _directory(path)
    path.with_name(f"{FILE_NAME}-journal").write_bytes(b"hot")
    journal = Journal(tmp_path, session="run-2", clock=clock)
    note = rebuilt(journal.store)
    assert note is not None
    assert (tmp_path / f"{note.aside}-journal").read_bytes() == b"hot"
    assert not (tmp_path / f"{FILE_NAME}-journal").exists()
    journal.close()


def test_readable_and_harmless_rows_are_kept(tmp_path: Path, clock: FakeClock) -> None:
    """That work was paused, and since when the folder is known."""
    path = fill(tmp_path, clock)
    _statement("UPDATE job SET state = 'dome' WHERE id = 7")(path)
    began_us = clock.now_us()
    clock.advance(1000)
    journal = Journal(tmp_path, session="run-2", clock=clock)
    assert journal.commands.is_paused()
    assert journal.folders.recall("f") is None
    assert journal.folders.first_run_us("f") == began_us
    journal.close()


def test_a_persons_resume_ends_the_notice(tmp_path: Path, clock: FakeClock) -> None:
    """A pause does not end the notice."""
    fill(tmp_path, clock).write_bytes(b"garbage" * 1000)
    journal = Journal(tmp_path, session="run-2", clock=clock)
    commands = Commands(journal.store, clock)
    commands.set_paused(paused=True)
    assert rebuilt(journal.store) is not None
    commands.set_paused(paused=False)
    assert rebuilt(journal.store) is None
    journal.close()


def test_a_second_damage_is_set_aside_beside_the_first(tmp_path: Path, clock: FakeClock) -> None:
    """Nothing set aside is ever replaced."""
    for content in (b"first" * 1000, b"second" * 1000):
        (tmp_path / FILE_NAME).write_bytes(content)
        Journal(tmp_path, session="run", clock=clock).close()
    kept = {path.read_bytes() for path in tmp_path.glob("journal-damaged-*.sqlite")}
    assert kept == {b"first" * 1000, b"second" * 1000}


def test_a_newer_cutoutds_journal_is_refused_and_unchanged(tmp_path: Path, clock: FakeClock) -> None:
    """The journal is intact; another version can read it."""
    path = fill(tmp_path, clock)
    _statement("ALTER TABLE job ADD COLUMN novelty")(path)
    _version(store_module.SCHEMA_VERSION + 1)(path)
    before = path.read_bytes()
    with pytest.raises(JournalNewerError) as refused:
        Journal(tmp_path, session="run-2", clock=clock)
    assert isinstance(refused.value, UsageError)
    assert path.read_bytes() == before


def test_damage_met_by_one_thread_ends_the_use_of_the_file(tmp_path: Path, clock: FakeClock) -> None:
    """Later writes may be lost; the supervisor's next poll of commands raises the error."""
    path = fill(tmp_path, clock)
    store = Store(path)
    _in_every_page(path)
    with pytest.raises(JournalDamagedError):
        store.rows("SELECT * FROM job ORDER BY id")
    for use in (store.data_version, lambda: store.rows("SELECT 1"), lambda: store.write("SELECT 1")):
        with pytest.raises(JournalDamagedError):
            use()
    store.close()


def test_a_very_large_journal_does_not_hold_up_the_start(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check ends at its time limit, and the journal is used."""
    path = fill(tmp_path, clock, jobs=1000)
    monkeypatch.setattr(store_module, "CHECK_S", -1.0)
    _statement("UPDATE job SET state = 'dome' WHERE id = 999")(path)
    store = Store(path, create=True)
    assert len(store.rows("SELECT 1 FROM job")) == 1000
    store.close()
