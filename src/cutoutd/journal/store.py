"""The journal's file: one connection, one lock, transactions that are either whole or not there.

Rollback journal and synchronous=FULL: SQLite before 3.51.3 can corrupt a WAL database that has two
connections, and the commands of the command line are a second one. It knows no table but its version.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

from cutoutd.errors import CutoutdError, JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SCHEMA_VERSION = 1
FILE_NAME = "journal.sqlite"

# Another connection of ours holds its lock for milliseconds; a person's SQLite shell may hold it longer.
_BUSY_TIMEOUT_S = 15.0


class JournalDamagedError(CutoutdError):
    """The journal cannot be read as one."""

    title = "The journal is damaged"
    advice = (
        "Stop the daemon and move this file aside; the next start makes a new one. "
        "Pictures that were cut already are cut again then, under new names."
    )


class Store:
    """An open journal file; safe to share between threads.

    Args:
        path: the file; None: in memory, for a run that leaves nothing behind.
        create: make it, with its tables, if it is not there: the daemon's right alone.

    Raises:
        JournalDamagedError: the file is not a journal, or one of a newer cutoutd.
    """

    def __init__(self, path: Path | None, *, create: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
            if path is not None
            else ":memory:",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_TIMEOUT_S,
            check_same_thread=False,
        )
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare(create=create)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise JournalError(f"the journal cannot be opened: {error}", path=path) from error
            raise JournalDamagedError(f"SQLite says: {error}", path=path) from error

    def _prepare(self, *, create: bool) -> None:
        self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.execute("PRAGMA synchronous = FULL")
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version == SCHEMA_VERSION:
            return
        if version != 0 or not create:
            raise JournalDamagedError(
                f"its schema has version {version}, this cutoutd knows {SCHEMA_VERSION}", path=self.path
            )
        schema = resources.files("cutoutd.journal").joinpath("schema.sql").read_text(encoding="utf-8")
        self._connection.executescript(
            f"BEGIN IMMEDIATE;{schema}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; commit at the end, roll back on any error.

        Raises:
            JournalError: the disk is full, or another program holds the file; nothing was written.
        """
        with self._lock, self._refusals():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # After some faults SQLite has rolled back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Tell a disk that is full or a file that is locked from a fault of ours: it may pass."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise JournalError(f"the journal cannot be used: {error}", path=self.path) from error

    def write(self, sql: str, arguments: Sequence[Any] = ()) -> int:
        """Run one statement inside a transaction of the caller's; returns the rows it changed."""
        with self._lock, self._refusals():
            return self._connection.execute(sql, arguments).rowcount

    def insert(self, sql: str, arguments: Sequence[Any]) -> int:
        """Run one INSERT inside a transaction of the caller's; returns the new row's id."""
        with self._lock, self._refusals():
            return int(self._connection.execute(sql, arguments).lastrowid or 0)

    def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows at once: an open cursor would block every commit."""
        with self._lock, self._refusals():
            return self._connection.execute(sql, arguments).fetchall()

    def row(self, sql: str, arguments: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row, or None."""
        rows = self.rows(sql, arguments)
        return rows[0] if rows else None

    def data_version(self) -> int:
        """Changes whenever another connection has committed."""
        with self._lock, self._refusals():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
