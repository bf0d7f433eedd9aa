"""An SQLite file: one connection, one lock, and atomic transactions; and its SQL, by name.

Rollback journal and synchronous=EXTRA: with FULL, a power failure could restore the rollback file of a finished transaction,
and undo what was already promised; EXTRA syncs the directory as well. SQLite before 3.51.3 can corrupt a WAL database that has
two connections, and the commands of the command line are a second one. No auto-vacuum: pages that retention has freed are
reused, so the file keeps the size of its longest history, and the write lock is never held to move pages. This module knows
no table.
"""

from __future__ import annotations

import pkgutil
import re
import sqlite3
import threading
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from cutoutd.fs.tree import FileId, file_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from cutoutd.errors import CutoutdError

# SQLite's default of 2 MB would fill over days, and look like a leak; the system caches the file as well.
_CACHE_KIB: Final = 512

# SQLITE_CORRUPT and SQLITE_NOTADB: https://www.sqlite.org/rescode.html
_DAMAGE: Final = frozenset({11, 26})
_LOCKS: Final = frozenset({5, 6})  # SQLITE_BUSY and SQLITE_LOCKED
_MOVED: Final = 1032  # SQLITE_READONLY_DBMOVED: a later start would not find what is written now
_DAMAGED_SCHEMA: Final = ("no such table", "no such column", "Could not decode to UTF-8")

_HEAD: Final = re.compile(r"^-- (name|fragment): (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^ *--.*\n?", re.MULTILINE)
_MARK: Final = re.compile(r"\{(\w+)\}")

_LEAST: Final = -(1 << 63)
_GREATEST: Final = (1 << 63) - 1


class Queries:
    """The SQL statements in a package's files, each as an attribute; read at the first access.

    A line ``-- name: x`` begins a statement, or several with semicolons between them; ``-- fragment: x`` begins a part that
    replaces ``{x}`` in others. Other lines that begin with ``--`` are comments. The idea is aiosql's.

    Args:
        package: name of the package with the files.
        files: names of the files.
        sets: further replacements for ``{x}``: texts that become a list in parentheses, as after IN.
    """

    def __init__(self, package: str, *files: str, sets: Mapping[str, Collection[str]] | None = None) -> None:
        self._package = package
        self._files = files
        self._fragments = {
            name: f"({', '.join(repr(str(one)) for one in sorted(texts))})"
            for name, texts in (sets or {}).items()
        }

    def __getattr__(self, name: str) -> str:
        try:
            return self.statements[name]
        except KeyError:
            raise AttributeError(f"no statement {name!r} in {', '.join(self._files)}") from None

    @cached_property
    def statements(self) -> dict[str, str]:
        """All statements, by name."""
        found: dict[str, str] = {}
        for file in self._files:
            _, *parts = _HEAD.split(self._text(file))
            for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
                into = found if kind == "name" else self._fragments
                into[name] = _COMMENT.sub("", body).strip()
        return {name: self._fill(body) for name, body in found.items()}

    def script(self, file: str) -> str:
        """Return a whole file, such as a schema, with its fragments filled in."""
        return self._fill(self._text(file))

    def _text(self, file: str) -> str:
        return (pkgutil.get_data(self._package, file) or b"").decode()

    def _fill(self, body: str) -> str:
        while (filled := _MARK.sub(lambda mark: self._fragments[mark[1]], body)) != body:
            body = filled
        return body


class Database:
    """An open SQLite file; safe to share between threads.

    Args:
        path: path of the file; None: in memory, for a run that leaves nothing behind.
        create: whether to create a missing file.
        timeout_s: how long to wait for another connection's lock, in seconds.
        refused: error to raise if the disk refuses, which may pass.
        busy: error to raise if another program holds the file locked, which may pass; None: ``refused``.
        damaged: error to raise if the file is not a valid database. After that error in one thread, all threads get it: later
            writes could be lost, and reads could be wrong.
        is_guarded: whether it counts as damage if the file is replaced or removed; see `guard`.

    Attributes:
        lock: held while a thread uses the connection, and by code that needs that no thread does.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        create: bool,
        timeout_s: float,
        refused: type[CutoutdError],
        damaged: type[CutoutdError],
        busy: type[CutoutdError] | None = None,
        is_guarded: bool = False,
    ) -> None:
        self.path = path
        self._refused = refused
        self._busy = busy or refused
        self._damaged = damaged
        self.lock = threading.RLock()
        self._damage: CutoutdError | None = None
        self._was_refused = False
        self._guarded: dict[Path, FileId | None] = {}
        if is_guarded and path is not None:
            self.guard(path)
        with self.refusals():
            self._connection = connect(path, create=create, timeout_s=timeout_s)

    def prepare(self) -> None:
        """Set the pragmas for writing, which the file does not store."""
        self.pragma("journal_mode = DELETE")
        self.pragma("synchronous = EXTRA")
        self.pragma(f"cache_size = -{_CACHE_KIB}")
        # A transaction larger than the cache would be written out before its end, with two more syncs.
        self.pragma("cache_spill = OFF")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; commit at the end, roll back on any error. A nested transaction is part of the outer one.

        Raises:
            refused: nothing was written.
            damaged: the file is not a valid database.
        """
        with self.lock, self.refusals():
            is_part = self._connection.in_transaction
            if is_part:
                yield
                return
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
    def refusals(self) -> Iterator[None]:
        """Translate errors: a full disk or a locked file, which may pass, and damage, which does not."""
        if self._damage is not None:
            raise self._damage.again()
        self._check_guarded()
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if _is_damage(error):
                self._damage = self._damaged(f"SQLite says: {error}", path=self.path)
                raise self._damage from error
            if isinstance(error, sqlite3.OperationalError):
                self._was_refused = True
                refusal = self._busy if _primary_code(error) in _LOCKS else self._refused
                raise refusal(f"SQLite says: {error}", path=self.path) from error
            raise

    def guard(self, path: Path) -> None:
        """Treat it as damage if this file is removed, replaced or moved from now on.

        Args:
            path: path of the database itself, or of a file beside it without which it is worthless.
        """
        self._guarded[path] = _identity(path)

    def _check_guarded(self) -> None:
        """Check that the guarded files still have their names; otherwise, what is written would be lost.

        SQLite itself notices that only at a write, and not at all if the directory was renamed: it then cannot create its rollback
        file, which looks like a full disk.
        """
        for path, identity in self._guarded.items():
            try:
                is_there = _identity(path) == identity
            except OSError as error:
                self._was_refused = True
                raise self._refused(f"it cannot be read: {error.strerror}", path=path) from error
            if not is_there:
                self._damage = self._damaged(
                    "it was removed, replaced or moved while it was in use", path=path
                )
                raise self._damage

    def _execute(self, sql: str, positional: Sequence[Any], named: dict[str, Any]) -> sqlite3.Cursor:
        return self._connection.execute(sql, named or positional)

    def write(self, sql: str, positional: Sequence[Any] = (), /, **named: Any) -> int:  # noqa: ANN401 -- values of columns
        """Run a statement, or several, inside a transaction of the caller's; returns the rows that the last one changed."""
        changed = 0
        with self.lock, self.refusals():
            for one in sql.split(";") if ";" in sql else (sql,):
                changed = self._execute(one, positional, named).rowcount
        return changed

    def insert(self, sql: str, positional: Sequence[Any] = (), /, **named: Any) -> int:  # noqa: ANN401 -- values of columns
        """Run one INSERT inside a transaction of the caller's; returns the new row's id."""
        with self.lock, self.refusals():
            return int(self._execute(sql, positional, named).lastrowid or 0)

    def rows(self, sql: str, positional: Sequence[Any] = (), /, **named: Any) -> list[sqlite3.Row]:  # noqa: ANN401 -- values of columns
        """Return all rows at once, since an open cursor would block every commit."""
        with self.lock, self.refusals():
            return self._execute(sql, positional, named).fetchall()

    def row(self, sql: str, positional: Sequence[Any] = (), /, **named: Any) -> sqlite3.Row | None:  # noqa: ANN401 -- values of columns
        """Return the first row; None if there is none."""
        rows = self.rows(sql, positional, **named)
        return rows[0] if rows else None

    def number(self, sql: str, **named: Any) -> int:  # noqa: ANN401 -- values of columns
        """Return the first value of the first row, such as a count; 0 if there is none."""
        row = self.row(sql, **named)
        return int(row[0]) if row is not None and row[0] is not None else 0

    def run_script(self, script: str) -> None:
        """Run a script, which contains its own transactions."""
        with self.lock, self.refusals():
            self._connection.executescript(script)

    def pragma(self, words: str) -> Any:  # noqa: ANN401 -- each its own
        """Read or set one of SQLite's pragmas; returns its first value, or None."""
        row = self.row(f"PRAGMA {words}")
        return None if row is None else row[0]

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._connection.close()


def connect(path: Path | None, *, create: bool, timeout_s: float) -> sqlite3.Connection:
    """Open a file, or a database in memory; each statement is a transaction of its own unless one is begun.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    name = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}" if path is not None else ":memory:"
    connection = sqlite3.connect(
        name, uri=True, isolation_level=None, timeout=timeout_s, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection


def _identity(path: Path) -> FileId | None:
    """Return the identity of the file with a name; None: there is none.

    The file is not opened: closing a descriptor of it would release SQLite's locks.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return file_id(status)


def _is_damage(error: Exception) -> bool:
    if isinstance(error, UnicodeDecodeError):
        return True  # SQLite's own messages quote the file's contents
    is_moved = getattr(error, "sqlite_errorcode", None) == _MOVED
    return is_moved or _primary_code(error) in _DAMAGE or str(error).startswith(_DAMAGED_SCHEMA)


def _primary_code(error: Exception) -> int:
    """Return the kind of an SQLite error, without its details; 0: an error in decoding text, which has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def fits(number: int) -> bool:
    """Whether SQLite can store a number as an integer."""
    return _LEAST <= number <= _GREATEST


def stored(number: int) -> int | bytes:
    """Return an integer as it is stored: as an integer if it fits in 64 bits, else as a BLOB, which sorts after every number.

    A file's time in nanoseconds does not fit if it is before 1677 or after 2262.
    """
    if fits(number):
        return number
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def restored(value: int | bytes) -> int:
    """Return the integer from a value of `stored`."""
    return int.from_bytes(value, "big", signed=True) if isinstance(value, bytes) else int(value)
