"""The journal's file: its schema and statements, and how it is made and opened.

It knows no table but the schema version and facts; damage is handled by `cutoutd.journal.rebuild`.
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
from cutoutd.errors import CutoutdError, FailureCode, JournalBusyError, JournalError, UsageError
from cutoutd.fs.durable import sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SCHEMA_VERSION = 11
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
    "requests.sql",
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
        "reported": jobs.REPORTED,
    },
)
"""All statements of the journal's parts; the sets of states are those of `cutoutd.jobs`."""

# Another connection of ours locks the file for milliseconds; a person's SQLite shell may do so for longer.
# After this time a write is refused and made later; waiting longer would look like a loop that hangs.
_BUSY_TIMEOUT_S = 5.0

CHECK_S: Final = 3.0
"""How long the daemon checks for damage at its start: 100,000 jobs take a tenth of that, and it must be ready soon."""

_NAMES: Final = 100  # of files that were set aside within one second

_CHECK_STEPS: Final = 10_000  # instructions of SQLite's virtual machine between two looks at the clock


class JournalDamagedError(CutoutdError):
    """The file cannot be read as a journal."""

    code = FailureCode.JOURNAL_DAMAGED
    title = "The journal is damaged"
    ends_daemon = True
    advice = (
        "Start the daemon again: it sets this file aside and makes a new one from the folders and their "
        "sidecars; if there is a sound journal in its place, such as a backup, it uses that, and takes what that one does "
        "not know from the sidecars. Pictures that have a sidecar are not cut again."
    )


class JournalNewerError(UsageError):
    """The journal is whole, but this program does not know its tables."""

    code = FailureCode.JOURNAL_NEWER
    title = "The journal was written by a newer cutoutd"
    advice = "Install that version again, or name another directory in [service] state_dir."


class JournalOlderError(UsageError):
    """The journal is of an earlier version; the daemon upgrades it at its start, see `cutoutd.journal.rebuild`."""

    code = FailureCode.JOURNAL_OLDER
    title = "The journal was written by an earlier cutoutd"
    advice = "Start the daemon: it converts the journal, and keeps the earlier file beside it."


class Store(Database):
    """An open journal file; safe to share between threads.

    Args:
        path: the file; None: in memory, for a run that leaves nothing behind.
        create: make the file if it is missing, and check it for damage; only the daemon may do so.

    Raises:
        JournalDamagedError: the file is not a journal.
        JournalNewerError: the file was written by a newer cutoutd.
        JournalOlderError: the file was written by an earlier cutoutd.
        JournalError: the disk refuses.
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
            busy=JournalBusyError,
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

    def check_writable(self) -> None:
        """Check that the file can be written, if the last write was refused.

        Raises:
            JournalError: the write is still refused.
            JournalDamagedError: the file is not a journal any more.
        """
        if self._was_refused:
            with self.transaction():
                self.set_fact("written", "")

    def fact(self, name: str) -> str | None:
        """Return the value of a fact, stored beside the rows; None if there is none."""
        row = self.row(SQL.fact, name=name)
        return None if row is None else str(row["value"])

    def set_fact(self, name: str, value: str | None) -> None:
        """Store a fact, inside a transaction of the caller's; None removes it."""
        if value is None:
            self.write(SQL.remove_fact, name=name)
        else:
            self.write(SQL.set_fact, name=name, value=value)

    def data_version(self) -> int:
        """Return SQLite's data_version, which changes whenever another connection has committed."""
        return int(self.pragma("data_version"))


def make(
    path: Path,
    facts: Mapping[str, str] | None = None,
    fill: Callable[[sqlite3.Connection], None] | None = None,
) -> None:
    """Make a new journal, which gets its name only once it is complete; a file of that name is replaced.

    Args:
        path: the file.
        facts: facts to store in it.
        fill: function that writes more into it, before it gets its name.

    Raises:
        JournalError: the disk refuses.
    """
    draft, hot = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}-journal")
    try:
        # SQLite would play back the rollback journal of another file of that name into this one.
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
    """Return a free name beside the journal, for a file that is set aside.

    Args:
        path: the journal.
        kind: what the file is, as a part of the name.
        now_us: UTC microseconds.
    """
    at = f"{moment(now_us):%Y%m%dT%H%M%SZ}"
    names = (
        path.with_name(f"{path.stem}-{kind}-{at}{number or ''}{path.suffix}") for number in range(_NAMES)
    )
    return next(name for name in names if not os.path.lexists(name))


def _check_file(path: Path) -> None:
    """Refuse a path that is not a regular file, or an empty file; a missing file is left to SQLite to report."""
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise JournalDamagedError("this is not a file", path=path)
    if path.is_file() and path.stat().st_size == 0:
        # SQLite would take it for a new database.
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
    """Return the first damage that SQLite finds within the time limit; empty if it finds none."""
    end_s = time.monotonic() + CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _CHECK_STEPS)
    try:
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return ""  # a very large journal: damage beyond this point shows when it is read
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return "" if found == "ok" else found
