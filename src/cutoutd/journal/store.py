"""The journal's file: one connection, one lock, transactions that are either whole or not there.

Rollback journal and synchronous=EXTRA: with FULL, a power cut could bring the rollback file of a finished
transaction back, and undo what was promised by then; EXTRA syncs the directory as well. SQLite before 3.51.3
can corrupt a WAL database that has two connections, and the commands of the command line are a second one. No
auto-vacuum: pages that retention has freed are used again, so the file stays at the size of its longest history,
and nothing ever holds the write lock to move pages about. It knows no table but its version; what to do about
damage is `cutoutd.journal.rebuild`'s.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import CutoutdError, JournalError, UsageError
from cutoutd.fs.tree import FileId, file_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA_VERSION = 5
FILE_NAME = "journal.sqlite"

# Another connection of ours holds its lock for milliseconds; a person's SQLite shell may hold it longer.
# Refused after this, what was to be written is written later; waiting longer would look like a loop that hangs.
_BUSY_TIMEOUT_S = 5.0


CHECK_S: Final = 3.0
"""How long the daemon looks for damage at its start: 100,000 jobs take a tenth of that, and it must be ready soon."""

# SQLite's own 2 MB would fill in the course of days, and look like a leak; the system caches the file as well.
_CACHE_KIB: Final = 512

_CHECK_STEPS: Final = 10_000  # of SQLite's own machine between two looks at the clock

# SQLITE_CORRUPT and SQLITE_NOTADB: https://www.sqlite.org/rescode.html
_DAMAGE: Final = frozenset({11, 26})
_MOVED: Final = 1032  # SQLITE_READONLY_DBMOVED: what is written now, no later start would find


class JournalDamagedError(CutoutdError):
    """The journal cannot be read as one."""

    title = "The journal is damaged"
    ends_daemon = True
    advice = (
        "Start the daemon again: it sets this file aside and makes a new one from the folders and their "
        "sidecars. What has its sidecar is not cut again."
    )


class JournalNewerError(UsageError):
    """The journal is whole, but this program does not know its tables."""

    title = "The journal is a newer cutoutd's"
    advice = "Install that version again, or name another directory in [service] state_dir."


class JournalOlderError(UsageError):
    """The journal is an earlier version's: the daemon takes it over at its start, see `cutoutd.journal.upgrade`."""

    title = "The journal is an earlier cutoutd's"
    advice = "Start the daemon: it takes the journal over, and keeps the earlier file beside it."


class Store:
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
        self.path = path
        self._lock = threading.RLock()
        self._damage: JournalDamagedError | None = None
        self._was_refused = False
        if path is not None and create and not os.path.lexists(path):
            make(path)
        self._there: dict[Path, tuple[int, int] | None] = {}
        if path is not None:
            self.guard(path)
        self._connection = _connect(path)
        try:
            self._prepare(check=create)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, *, check: bool) -> None:
        with self._refusals():
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("PRAGMA synchronous = EXTRA")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            # A transaction larger than the cache would be written out before its end, with two more syncs.
            self._connection.execute("PRAGMA cache_spill = OFF")
            if self.path is None:
                self._connection.executescript(_script())
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA_VERSION and _tables(self._connection) not in (frozenset(), _known_tables()):
                raise JournalNewerError(
                    f"its schema has version {version}, this cutoutd knows {SCHEMA_VERSION}", path=self.path
                )
            if 0 < version < SCHEMA_VERSION:
                raise JournalOlderError(
                    f"its schema has version {version}, this cutoutd has {SCHEMA_VERSION}", path=self.path
                )
            if version != SCHEMA_VERSION or (check and _tables(self._connection) != _known_tables()):
                raise JournalDamagedError("its tables are not those of a journal", path=self.path)
            if check and (found := _fault(self._connection)):
                raise JournalDamagedError(f"SQLite finds: {found}", path=self.path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; commit at the end, roll back on any error.

        Raises:
            JournalError: the disk is full, or another program holds the file; nothing was written.
            JournalDamagedError: the file is no journal any more.
        """
        with self._lock, self._refusals():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
                self._was_refused = False
            except BaseException:
                # After some faults SQLite has rolled back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Tell a disk that is full or a file that is locked, which may pass, from damage, which does not.

        Damage that one thread has met ends the use of the file for all: what is written after it may be lost,
        and what is read may be wrong.
        """
        if self._damage is not None:
            raise self._damage
        self._see_that_it_is_there()
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if _is_damage(error):
                self._damage = JournalDamagedError(f"SQLite says: {error}", path=self.path)
                raise self._damage from error
            if isinstance(error, sqlite3.OperationalError):
                self._was_refused = True
                raise JournalError(f"the journal cannot be used: {error}", path=self.path) from error
            raise

    def guard(self, path: Path) -> None:
        """Take it for damage if this file is removed, replaced or moved from now on.

        Args:
            path: the journal itself, or a file beside it that it is worth nothing without.
        """
        self._there[path] = _identity(path)

    def _see_that_it_is_there(self) -> None:
        """A file that lost its name, or a directory that did, keeps what is written for nobody.

        SQLite itself says so only at a write, and where the directory was renamed not at all: it finds no place for its
        rollback file then, which looks like a full disk.
        """
        for path, identity in self._there.items():
            try:
                is_there = _identity(path) == identity
            except OSError as error:
                self._was_refused = True
                raise JournalError(f"it cannot be looked at: {error.strerror}", path=path) from error
            if not is_there:
                self._damage = JournalDamagedError(
                    "it was removed, replaced or moved while it was in use", path=path
                )
                raise self._damage

    def see_that_it_can_be_written(self) -> None:
        """Write something down, if what was to be written last was refused.

        Raises:
            JournalError: it is still refused.
            JournalDamagedError: the file is no journal any more.
        """
        if self._was_refused:
            with self.transaction():
                self.write("INSERT OR REPLACE INTO fact (name, value) VALUES ('written', '')")

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
        with closing(_connect(draft, create=True)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_script())
            connection.executemany("INSERT INTO fact (name, value) VALUES (?, ?)", (facts or {}).items())
            if fill is not None:
                fill(connection)
        draft.replace(path)
        sync_names(path.parent)
    except (OSError, sqlite3.OperationalError) as error:
        raise JournalError(f"the journal cannot be made: {error}", path=path) from error


def sync_names(directory: Path) -> None:
    """See the names in the state directory onto the disk.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path | None, *, create: bool = False) -> sqlite3.Connection:
    if path is not None and os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise JournalDamagedError("this is not a file", path=path)
    if path is not None and not create and path.is_file() and path.stat().st_size == 0:
        # SQLite takes it for a new database.
        raise JournalDamagedError("the file is empty", path=path)
    name = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}" if path is not None else ":memory:"
    try:
        connection = sqlite3.connect(
            name, uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False
        )
    except sqlite3.OperationalError as error:
        raise JournalError(f"the journal cannot be opened: {error}", path=path) from error
    connection.row_factory = sqlite3.Row
    return connection


def _identity(path: Path) -> FileId | None:
    """Of the file that has the name; None: nothing has it.

    No descriptor of our own is opened for it: closing one would end SQLite's locks on the file.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return file_id(status)


def _schema() -> str:
    return resources.files("cutoutd.journal").joinpath("schema.sql").read_text(encoding="utf-8")


@cache
def _script() -> str:
    return f"BEGIN IMMEDIATE;{_schema()}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;"


@cache
def _known_tables() -> frozenset[tuple[str, str]]:
    with closing(_connect(None)) as connection:
        connection.executescript(_script())
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Tables and indices, each with the statement that makes it."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return frozenset((str(name), str(sql)) for name, sql in rows)


def _is_damage(error: Exception) -> bool:
    if isinstance(error, UnicodeDecodeError):
        return True  # even SQLite's own words quote what is there
    # The low byte is the kind, the others say more of it. Text that is none has no code at all.
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code == _MOVED or code & 0xFF in _DAMAGE or str(error).startswith("Could not decode to UTF-8")


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
