"""A journal of an earlier version, taken over: a new file of today's schema with all its rows, the earlier one kept.

Rows go over by the names of tables and columns, so a later schema may add tables, columns with a default, states and
indices without a word here; what it renames stands in `upgrade.sql`. Until the one rename at the end, the earlier file
has the name, so a crash in between repeats it all. It must not look at a hot folder.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from cutoutd.errors import JournalError
from cutoutd.fs.durable import sync_directory
from cutoutd.journal.store import SQL, JournalDamagedError, free_name, make
from cutoutd.logs import get

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock


def upgrade(path: Path, clock: Clock) -> Path:
    """Take over the journal that lies there.

    Returns:
        Where the earlier file lies now.

    Raises:
        JournalDamagedError: it is not whole, or its rows do not fit.
        JournalError: the disk refuses.
    """
    version = _checked_version(path)
    kept = free_name(path, f"v{version}", clock.now_us())
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        try:
            _copy(path, kept)
        except (OSError, sqlite3.Error) as error:
            kept.unlink(missing_ok=True)
            raise JournalError(f"the earlier journal cannot be kept: {error}", path=path) from error
    try:
        sync_directory(path.parent)
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
        for (copy,) in connection.execute(SQL.copies_of_tables).fetchall():
            connection.execute(copy)
        connection.execute(SQL.fill_looks)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("DETACH DATABASE earlier")
