"""The journal's file: its schema and its statements, how it is made, and how it is opened.

It knows no table but its version; what to do about damage is `cutoutd.journal.rebuild`'s.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Final

from cutoutd import jobs
from cutoutd.clock import moment
from cutoutd.database import Database, Queries, connect
from cutoutd.errors import CutoutdError, FailureCode, JournalError, UsageError
from cutoutd.fs.durable import sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SCHEMA_VERSION = 8
FILE_NAME = "journal.sqlite"

SQL: Final = Queries(
    "cutoutd.journal",
    "queue.sql",
    "reader.sql",
    "sources.sql",
    "submissions.sql",
    "publications.sql",
    "daemon.sql",
    "listing.sql",
    "batches.sql",
    "elsewhere.sql",
    "ended.sql",
    "upgrade.sql",
    sets={
        "any": frozenset(jobs.JobState),
        "in_hand": jobs.IN_HAND,
        "active": jobs.ACTIVE,
        "waiting": jobs.WAITING,
        "open": jobs.OPEN,
        "resumed": jobs.RESUMED,
        "unfinished": jobs.UNFINISHED,
        "cut": jobs.CUT,
        "released": jobs.RELEASED,
        "has_result": jobs.HAS_RESULT,
        "without_result": jobs.WITHOUT_RESULT,
        "told": jobs.TOLD,
    },
)
"""Every statement that the journal's parts use; the sets of states are those of `cutoutd.jobs`."""

# Another connection of ours holds its lock for milliseconds; a person's SQLite shell may hold it longer.
# Refused after this, what was to be written is written later; waiting longer would look like a loop that hangs.
_BUSY_TIMEOUT_S = 5.0

CHECK_S: Final = 3.0
"""How long the daemon looks for damage at its start: 100,000 jobs take a tenth of that, and it must be ready soon."""

_NAMES: Final = 100  # of files that gave way within one second

_CHECK_STEPS: Final = 10_000  # of SQLite's own machine between two looks at the clock


class JournalDamagedError(CutoutdError):
    """The journal cannot be read as one."""

    code = FailureCode.JOURNAL_DAMAGED
    title = "The journal is damaged"
    ends_daemon = True
    advice = (
        "Start the daemon again: it sets this file aside and makes a new one from the folders and their "
        "sidecars. What has its sidecar is not cut again."
    )


class JournalNewerError(UsageError):
    """The journal is whole, but this program does not know its tables."""

    code = FailureCode.JOURNAL_NEWER
    title = "The journal is a newer cutoutd's"
    advice = "Install that version again, or name another directory in [service] state_dir."


class JournalOlderError(UsageError):
    """The journal is an earlier version's: the daemon takes it over at its start, see `cutoutd.journal.rebuild`."""

    code = FailureCode.JOURNAL_OLDER
    title = "The journal is an earlier cutoutd's"
    advice = "Start the daemon: it takes the journal over, and keeps the earlier file beside it."


class Store(Database):
    """An open journal file; safe to share between threads.

    Args:
        path: the file; None: in memory, for a run that leaves nothing behind.
        create: make it, with its tables, if it is not there, and see that it is whole: the daemon's right alone.

    Raises:
        JournalDamagedError: the file is not a journal.
        JournalNewerError: it is one of a newer cutoutd.
        JournalOlderError: it is one of an earlier cutoutd.
        JournalError: the disk refuses it.
    """

    def __init__(self, path: Path | None, *, create: bool = False) -> None:
        if path is not None:
            if create and not os.path.lexists(path):
                make(path)
            _check_file(path)
        super().__init__(
            path,
            create=False,
            timeout_s=_BUSY_TIMEOUT_S,
            refused=JournalError,
            damaged=JournalDamagedError,
            is_guarded=True,
        )
        try:
            self.prepare()
            with self.refusals():
                self._check(check_whole=create)
        except BaseException:
            self._connection.close()
            raise

    def _check(self, *, check_whole: bool) -> None:
        if self.path is None:
            self.run_script(_script())
        version = int(self.pragma("user_version"))
        if version > SCHEMA_VERSION and _tables(self._connection) not in (frozenset(), _known_tables()):
            raise JournalNewerError(
                f"its schema has version {version}, this cutoutd knows {SCHEMA_VERSION}", path=self.path
            )
        if 0 < version < SCHEMA_VERSION:
            raise JournalOlderError(
                f"its schema has version {version}, this cutoutd has {SCHEMA_VERSION}", path=self.path
            )
        if version != SCHEMA_VERSION or (check_whole and _tables(self._connection) != _known_tables()):
            raise JournalDamagedError("its tables are not those of a journal", path=self.path)
        if check_whole and (found := _fault(self._connection)):
            raise JournalDamagedError(f"SQLite finds: {found}", path=self.path)

    def see_that_it_can_be_written(self) -> None:
        """Write something down, if what was to be written last was refused.

        Raises:
            JournalError: it is still refused.
            JournalDamagedError: the file is no journal any more.
        """
        if self._was_refused:
            with self.transaction():
                self.set_fact("written", "")

    def fact(self, name: str) -> str | None:
        """One of the things that the journal knows beside its rows; None if it does not."""
        row = self.row(SQL.fact, name=name)
        return None if row is None else str(row["value"])

    def set_fact(self, name: str, value: str | None) -> None:
        """Write one down, inside a transaction of the caller's; None: forget it."""
        if value is None:
            self.write(SQL.remove_fact, name=name)
        else:
            self.write(SQL.set_fact, name=name, value=value)

    def data_version(self) -> int:
        """Changes whenever another connection has committed."""
        return int(self.pragma("data_version"))


def make(
    path: Path,
    facts: Mapping[str, str] | None = None,
    fill: Callable[[sqlite3.Connection], None] | None = None,
) -> None:
    """Make a new journal, under its name only once it is whole; whatever had the name is replaced.

    Args:
        path: the file.
        facts: what it knows from the beginning.
        fill: puts more into it, before it has its name.

    Raises:
        JournalError: the disk refuses.
    """
    draft, hot = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}-journal")
    try:
        # SQLite would play what another file of that name left back into this one.
        for leftover in (draft, draft.with_name(f"{draft.name}-journal"), hot):
            leftover.unlink(missing_ok=True)
        with closing(connect(draft, create=True, timeout_s=_BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_script())
            connection.executemany(
                SQL.set_fact, [{"name": name, "value": value} for name, value in (facts or {}).items()]
            )
            if fill is not None:
                fill(connection)
        draft.replace(path)
        sync_directory(path.parent)
    except (OSError, sqlite3.OperationalError) as error:
        raise JournalError(f"the journal cannot be made: {error}", path=path) from error


def free_name(path: Path, kind: str, now_us: int) -> Path:
    """A name beside the journal that nothing has, for a file that gives way to another.

    Args:
        path: the journal.
        kind: what the file is.
        now_us: UTC microseconds.
    """
    at = f"{moment(now_us):%Y%m%dT%H%M%SZ}"
    names = (
        path.with_name(f"{path.stem}-{kind}-{at}{number or ''}{path.suffix}") for number in range(_NAMES)
    )
    return next(name for name in names if not os.path.lexists(name))


def _check_file(path: Path) -> None:
    """See that it is a file with something in it; that there is none at all is SQLite's to say."""
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise JournalDamagedError("this is not a file", path=path)
    if path.is_file() and path.stat().st_size == 0:
        # SQLite takes it for a new database.
        raise JournalDamagedError("the file is empty", path=path)


def _schema() -> str:
    return SQL.script("schema.sql")


@cache
def _script() -> str:
    return f"BEGIN IMMEDIATE;{_schema()}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;"


@cache
def _known_tables() -> frozenset[tuple[str, str]]:
    with closing(connect(None, create=True, timeout_s=_BUSY_TIMEOUT_S)) as connection:
        connection.executescript(_script())
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Tables and indices, each with the statement that makes it."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return frozenset((str(name), str(sql)) for name, sql in rows)


def _fault(connection: sqlite3.Connection) -> str:
    """The first thing that is wrong with the file, or nothing if nothing is, as far as time allows."""
    end_s = time.monotonic() + CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _CHECK_STEPS)
    try:
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return ""  # a very large journal: what is wrong beyond this shows when it is read
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return "" if found == "ok" else found
