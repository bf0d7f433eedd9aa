"""A journal of the present version under a later one: upgraded completely, with a copy, and repeated after a crash."""

# ruff: noqa: SLF001 -- a later program's schema can only come in where it is read

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal import rebuild as rebuild_module
from cutoutd.journal import store as store_module
from cutoutd.journal.commands import Verb
from cutoutd.journal.folders import FolderMemory
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.store import FILE_NAME, JournalOlderError, Store
from cutoutd.lease.marker import create
from tests.integration.parts import states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import FakeClock

SCHEMAS = Path(__file__).parents[1] / "unit"
TODAY = store_module.SCHEMA_VERSION
ODD = os.fsdecode(b"caf\xe9\n.jpg")
LATER = {
    "'unknown', ": "'unknown', 'lent', ",
    "cleanup_pending INTEGER": "egress TEXT NOT NULL DEFAULT 'none',\n    cleanup_pending INTEGER",
    "CREATE TABLE session (": "CREATE TABLE upload (id INTEGER PRIMARY KEY);\nCREATE TABLE session (",
}


@pytest.fixture
def earlier(tmp_path: Path, clock: FakeClock) -> Path:
    """A state directory with rows in every table."""
    journal = Journal(tmp_path, session="r" * 32, clock=clock)
    journal.sessions.begin()
    done, _ = journal.sources.accept(
        "shop", [Version(path=ODD, size=1, mtime_ns=2), Version(path="b.jpg", size=1, mtime_ns=2)]
    )
    job = Reader(journal.store).job(done)
    assert job is not None
    published = (Published(rendition=0, path="x.png", sha256="a" * 64, review=False),)
    journal.begin_publishing(job, sha256="s", claims=[b"/out/x.png"], detail={"plan": "{}"})
    journal.finish_publishing(job, JobState.DONE, sha256="s", published=published, detail={"model": "m"})
    (tmp_path / "in").mkdir()
    mark = create(os.fspath(tmp_path / "in"), "0" * 8)
    journal.folders.remember("shop", FolderMemory(input="/in", marker=mark, device=1, read_only=False))
    journal.commands.post(Verb.RETRY, "2")
    journal.commands.set_paused(paused=True)
    journal.close()
    return tmp_path


@pytest.fixture
def later(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: ARG001 -- made before
    """Turns this program into a later version: with another state, column and table."""
    schema = store_module._schema()
    for before, after in LATER.items():
        assert before in schema
        schema = schema.replace(before, after)
    monkeypatch.setattr(store_module, "_schema", lambda: schema)
    monkeypatch.setattr(store_module, "SCHEMA_VERSION", store_module.SCHEMA_VERSION + 1)
    for cached in (store_module._script, store_module._known_tables):
        cached.cache_clear()
    yield
    for cached in (store_module._script, store_module._known_tables):
        cached.cache_clear()


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of the present tables, by the present columns."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("folder", "job", "reservation", "output", "published", "command", "session", "fact")
        return {
            table: [
                tuple(value for key, value in zip(row.keys(), row, strict=True) if key != "egress")
                for row in _all(connection, table)
            ]
            for table in tables
        }


def _all(connection: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    """Return all rows of a table."""
    connection.row_factory = sqlite3.Row
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608 -- names of ours


def journal_copies(directory: Path) -> list[Path]:
    """Return the copies of earlier journals."""
    return sorted(directory.glob(f"journal-v{TODAY}-*.sqlite"))


@pytest.mark.usefixtures("later")
def test_an_earlier_journal_is_taken_over_whole_and_kept(earlier: Path, clock: FakeClock) -> None:
    """Every row of every table, with names that are not text; nothing counts as damaged."""
    before = rows(earlier / FILE_NAME)
    assert all(before.values())
    journal = Journal(earlier, session="n" * 32, clock=clock)
    assert rebuilt(journal.store) is None
    assert states(journal) == {ODD: JobState.DONE, "b.jpg": JobState.QUEUED}
    assert journal.reservations.published_sha256("shop", ODD) == "s"
    assert journal.commands.is_paused()
    assert journal.store.row("SELECT DISTINCT egress FROM job")["egress"] == "none"  # type: ignore[index]
    assert journal.sources.is_known("shop", Version(path=ODD, size=1, mtime_ns=2))
    journal.close()
    (copy,) = journal_copies(earlier)
    assert rows(earlier / FILE_NAME) == rows(copy) == before
    Journal(earlier, session="n" * 32, clock=clock).close()
    assert len(journal_copies(earlier)) == 1


@pytest.mark.usefixtures("later")
def test_a_command_before_the_first_start_gives_advice(earlier: Path) -> None:
    """The command upgrades nothing itself: a daemon of the earlier version may be running."""
    with pytest.raises(JournalOlderError, match="Start the daemon"):
        Store(earlier / FILE_NAME)
    assert journal_copies(earlier) == []


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("where", ["_copy_rows", "make"])
def test_a_crash_amid_an_upgrade_leaves_the_earlier_journal(
    earlier: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The next start does the whole upgrade."""
    before = rows(earlier / FILE_NAME)
    real = getattr(rebuild_module, where)

    def dies(*arguments: object, **more: object) -> None:
        if where == "_copy_rows":
            real(*arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rebuild_module, where, dies)
        with pytest.raises(KeyboardInterrupt):
            Journal(earlier, session="n" * 32, clock=clock)
    assert rows(earlier / FILE_NAME) == before
    Journal(earlier, session="n" * 32, clock=clock).close()
    assert rows(earlier / FILE_NAME) == before


@pytest.mark.usefixtures("later")
def test_an_earlier_journal_that_is_damaged_is_set_aside_like_any_other(
    earlier: Path, clock: FakeClock
) -> None:
    """Its content cannot be trusted."""
    path = earlier / FILE_NAME
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    journal = Journal(earlier, session="n" * 32, clock=clock)
    assert rebuilt(journal.store) is not None
    journal.close()
    assert list(earlier.glob("journal-damaged-*"))


def test_a_journal_of_version_2_is_taken_over_with_all_that_it_knows(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Every source becomes the first generation of its path, with its names, results and version."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        old.executescript((SCHEMAS / "journal_schema_2.sql").read_text(encoding="utf-8"))
        old.execute("PRAGMA user_version = 2")
        old.execute(
            "INSERT INTO job (folder, path, size, mtime_ns, state, accepted_us, finished_us, sha256)"
            " VALUES ('shop', ?, 1, 2, 'done', 3, 4, 's')",
            (os.fsencode(ODD),),
        )
        old.execute("INSERT INTO name VALUES (?, 'shop', ?)", (b"/out/x.png", os.fsencode(ODD)))
        old.execute("INSERT INTO output VALUES ('shop', ?, 0, 0, ?, 'o')", (os.fsencode(ODD), b"x.png"))
        old.execute("INSERT INTO published VALUES ('shop', ?, 's')", (os.fsencode(ODD),))
        old.commit()
    journal = Journal(tmp_path, session="n" * 32, clock=clock)
    assert journal.sources.is_known("shop", Version(path=ODD, size=1, mtime_ns=2))
    assert journal.reservations.published_sha256("shop", ODD) == "s"
    assert [one.path for one in journal.reservations.earlier("shop", ODD)] == ["x.png"]
    assert journal.reservations.reserve("shop", ODD, [b"/out/x.png"])
    assert not journal.reservations.reserve("shop", ODD, [b"/out/x.png"], generation=1)
    assert {job.generation for job in Reader(journal.store).jobs()} == {0}
    # A renamed picture is known by what its published version looks like, which was not written down.
    looks = journal.store.row("SELECT size, mtime_ns FROM published")
    assert looks is not None
    assert tuple(looks) == (1, 2)
    journal.close()


EVERYTHING: dict[str, dict[str, object]] = {
    "folder": {"name": "shop", "input": b"/in", "marker": "m", "device": 1, "aside": 1, "first_run_us": 5},
    "label": {"marker": "m", "name": "earlier"},
    "job": {
        "folder": "shop", "path": os.fsencode(ODD), "generation": 2, "size": 1, "mtime_ns": 2, "stamp": 3, "newest": 1,
        "state": "publishing", "run": "r", "attempts": 1, "interrupted": 2, "tries": 3, "alone": 1, "accepted_us": 4,
        "not_before_us": 5, "finished_us": 6, "sha256": "s", "undisposed": 1, "missing_us": 7, "detail": '{"why": "w"}',
    },
    "name": {"key": b"/out/\xff.png", "folder": "shop", "path": os.fsencode(ODD), "generation": 2},
    "output": {
        "folder": "shop", "path": os.fsencode(ODD), "generation": 2, "rendition": 1, "review": 1, "target": b"\xff.png",
        "sha256": "o",
    },
    "published": {
        "folder": "shop", "path": os.fsencode(ODD), "generation": 2, "sha256": "s", "image_sha256": "i", "gone": 1,
        "published_us": 8, "size": 1, "mtime_ns": 2, "kept_us": 9, "returns": 1,
    },
    "command": {"verb": "retry", "argument": "1", "posted_us": 10, "refused": "no"},
    "run": {"id": "r", "started_us": 11},
    "fact": {"name": "paused", "value": "1"},
}  # fmt: skip
"""A row of every table of version 4, with a value in every column that could be forgotten."""

RENAMED = {"name": "reservation", "run": "session", "undisposed": "cleanup_pending", "aside": "read_only"}


def renamed(table: str, row: dict[str, object]) -> dict[str, object]:
    """Return a row with the present names of its columns."""
    kept_keys = {"name"} if table in ("folder", "label", "fact") else set()
    return {key if key in kept_keys else RENAMED.get(key, key): value for key, value in row.items()}


EVERYTHING_OF_5 = {RENAMED.get(table, table): renamed(table, row) for table, row in EVERYTHING.items()}


@pytest.mark.parametrize("version", [2, 4, 5])
def test_every_column_of_every_table_is_taken_over_whatever_it_is_called_now(
    tmp_path: Path, clock: FakeClock, version: int
) -> None:
    """Renamed tables and columns lose nothing, and no row counts as new."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        old.executescript((SCHEMAS / f"journal_schema_{version}.sql").read_text(encoding="utf-8"))
        old.execute(f"PRAGMA user_version = {version}")
        known: dict[str, dict[str, object]] = {}
        for table, row in (EVERYTHING if version < 5 else EVERYTHING_OF_5).items():
            there = {str(one[1]) for one in old.execute(f"PRAGMA table_info({table})")}
            if there:
                known[table] = {key: value for key, value in row.items() if key in there}
                marks = ", ".join("?" * len(known[table]))
                columns = ", ".join(known[table])
                old.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(known[table].values()))  # noqa: S608 -- ours
        old.commit()
    assert len(known) == len(EVERYTHING) - (version == 2)
    rebuild_module.upgrade(tmp_path / FILE_NAME, clock)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as new:
        for table, row in known.items():
            (after,) = _all(new, RENAMED.get(table, table))
            expected = renamed(table, row)
            assert {key: after[key] for key in expected} == expected
