"""A journal of an earlier version, taken over: a new file of today's schema with all its rows, the earlier one kept.

Rows go over by the names of tables and columns, so a later schema may add tables, columns with a default, states and
indices without a word here; what it renames is said here. Until the one rename at the end, the earlier file
has the name, so a crash in between repeats it all. It must not look at a hot folder.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from cutoutd.clock import moment
from cutoutd.errors import JournalError
from cutoutd.journal.store import JournalDamagedError, make, sync_names
from cutoutd.logs import get

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock

_NAMES: Final = 100  # kept within one second

_TABLES: Final = {"reservation": "name", "session": "run"}
"""What tables were called before version 5."""

_COLUMNS: Final = {
    "folder": {"read_only": "aside"},
    "job": {"cleanup_pending": "undisposed", "session": "run"},
}
"""What columns of a table of today were called before version 5."""

_LOOKS: Final = (
    "UPDATE published SET (size, mtime_ns) = (SELECT size, mtime_ns FROM job "
    "WHERE job.folder = published.folder AND job.path = published.path AND job.newest = 1 "
    "AND job.sha256 = published.sha256) WHERE size IS NULL"
)
"""An earlier version has not written down what a published version looks like; the newest row of its source says so."""


def upgrade(path: Path, clock: Clock) -> Path:
    """Take over the journal that lies there.

    Returns:
        Where the earlier file lies now.

    Raises:
        JournalDamagedError: it is not whole, or its rows do not fit.
        JournalError: the disk refuses.
    """
    version = _checked_version(path)
    kept = _free_name(path, version, clock.now_us())
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        try:
            _copy(path, kept)
        except (OSError, sqlite3.Error) as error:
            kept.unlink(missing_ok=True)
            raise JournalError(f"the earlier journal cannot be kept: {error}", path=path) from error
    try:
        sync_names(path.parent)
        make(path, fill=lambda connection: _pour(kept, connection))
    except (sqlite3.DatabaseError, OSError) as error:
        raise JournalDamagedError(f"it cannot be taken over: {error}", path=path) from error
    get().info("journal.upgraded", version=version, kept=str(kept))
    return kept


def _checked_version(path: Path) -> int:
    """Its version; also plays back what a crash left undone, so that the file alone is the whole journal."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise JournalDamagedError(f"SQLite says: {error}", path=path) from error
    if found != "ok":
        raise JournalDamagedError(f"SQLite finds: {found}", path=path)
    return version


def _copy(path: Path, kept: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(kept)) as target:
        source.backup(target)


def _pour(earlier: Path, connection: sqlite3.Connection) -> None:
    """Copy every row of every table that both have, in one transaction."""
    connection.execute("ATTACH DATABASE ? AS earlier", (os.fspath(earlier),))
    try:
        connection.execute("BEGIN IMMEDIATE")
        earlier_tables = _tables(connection, "earlier")
        for table in sorted(_tables(connection, "main")):
            before = table if table in earlier_tables else _TABLES.get(table)
            if before not in earlier_tables:
                continue
            there, renamed = _columns(connection, "earlier", before), _COLUMNS.get(table, {})
            columns = {
                one: one if one in there else renamed.get(one) for one in _columns(connection, "main", table)
            }
            shared = {one: old for one, old in sorted(columns.items()) if old in there}
            connection.execute(
                f"INSERT OR REPLACE INTO main.{table} ({', '.join(shared)}) "  # noqa: S608 -- a schema's names
                f"SELECT {', '.join(shared.values())} FROM earlier.{before}"
            )
        connection.execute(_LOOKS)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("DETACH DATABASE earlier")


def _tables(connection: sqlite3.Connection, schema: str) -> set[str]:
    rows = connection.execute(f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table'")  # noqa: S608 -- ours
    return {str(row[0]) for row in rows}


def _columns(connection: sqlite3.Connection, schema: str, table: str) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"PRAGMA {schema}.table_info({table})")}


def _free_name(path: Path, version: int, now_us: int) -> Path:
    at = f"{moment(now_us):%Y%m%dT%H%M%SZ}"
    names = (
        path.with_name(f"{path.stem}-v{version}-{at}{number or ''}{path.suffix}") for number in range(_NAMES)
    )
    return next(name for name in names if not os.path.lexists(name))
