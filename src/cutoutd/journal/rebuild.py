"""Upgrade of a journal that an earlier version wrote, and replacement of a damaged one.

The rows of an earlier version are copied by the names of tables and columns, so a later schema may add tables, columns with a
default, states and indices without any change here; what it renames is listed in `upgrade.sql`. The contents of a damaged
journal are found again in the folders: sources by a scan, results by their sidecars. Only facts that can do no harm are
taken from the damaged file. The old file stays beside the new one, which gets its name by one rename at the end: a crash
before that repeats everything. This module must not look at a hot folder.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.errors import JournalError
from cutoutd.fs.durable import sync_directory
from cutoutd.journal.commands import PAUSED, REBUILT
from cutoutd.journal.folders import FIRST_RUN, MOUNTS
from cutoutd.journal.store import SQL, JournalDamagedError, JournalOlderError, Store, free_name, make
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.clock import Clock

_EARLIER: Final = (
    "it does not have the last session of this state directory: an earlier journal was put back, or another one. "
    "What it does not know is taken over from the sidecars"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuilt:
    """The record that the journal had to be rebuilt, or that an earlier one was put back.

    Only the lost journal knew what a hosted folder had uploaded and may have been billed for, so nothing is uploaded until a
    person has looked: such folders wait for `cutoutd resume`. Local folders go on.

    Attributes:
        at_us: when, UTC microseconds.
        aside: name of the old file in the state directory; empty: an earlier journal was put back.
        cause: what was wrong with it.
    """

    at_us: int
    aside: str
    cause: str


def open_or_rebuild(path: Path, clock: Clock) -> Store:
    """Open the journal; upgrade or replace the file if need be.

    Raises:
        JournalNewerError: the file was written by a newer cutoutd.
        JournalError: the disk refuses.
    """
    try:
        try:
            return Store(path, create=True)
        except JournalOlderError:
            upgrade(path, clock)
            return Store(path, create=True)
    except JournalDamagedError as damage:
        aside = _replace(path, cause=damage.cause, now_us=clock.now_us())
        get().error("journal.rebuilt", why=damage.cause, set_aside=str(aside))
    return Store(path, create=True)


def rebuilt(store: Store) -> Rebuilt | None:
    """Return the record that this journal was rebuilt; None if it was not, or a person ran `cutoutd resume` since."""
    said = store.fact(REBUILT)
    return None if said is None else Rebuilt(**json.loads(said))


def put_back_within(store: Store, now_us: int) -> None:
    """Record, inside a transaction, that an earlier journal was put back: each of its folders has to adopt results."""
    if store.write(SQL.miss_results):
        store.set_fact(REBUILT, json.dumps(asdict(Rebuilt(at_us=now_us, aside="", cause=_EARLIER))))
        get().warning("journal.earlier", why=_EARLIER)


def _replace(path: Path, *, cause: str, now_us: int) -> Path:
    """Give the file another name and make a new journal; returns the old file's path."""
    aside = free_name(path, "damaged", now_us)
    note = Rebuilt(at_us=now_us, aside=aside.name, cause=cause)
    facts = {**_salvaged(path, now_us), REBUILT: json.dumps(asdict(note))}
    try:
        # Its rollback journal first: beside the new file, SQLite would play it back into that.
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}-journal").rename(f"{aside}-journal")
            sync_directory(path.parent)
        try:
            os.link(path, aside, follow_symlinks=False)
        except OSError:  # a directory, or a file system without hard links
            path.rename(aside)
        sync_directory(path.parent)
    except OSError as error:
        raise JournalError(f"the damaged journal cannot be set aside: {error.strerror}", path=path) from error
    # Until this rename the damaged file has the name, so a crash before it repeats everything.
    make(path, facts)
    return aside


def _salvaged(path: Path, now_us: int) -> dict[str, str]:
    """Return facts from the old file, as far as it can be read.

    These are when each folder began, which mounts its places were on, and whether work was paused.

    With ``existing = "skip"`` the first distinguishes what was there before from what still has to be cut.
    """
    facts: dict[str, str] = {}
    if not path.is_file():
        return facts  # SQLite would block at a FIFO
    with suppress(sqlite3.Error, OSError, ValueError):
        for name, first_run_us in _read(path, SQL.first_runs):
            if isinstance(first_run_us, int) and 0 < first_run_us <= now_us:
                facts[f"{FIRST_RUN}{name}"] = str(first_run_us)
    with suppress(sqlite3.Error, OSError, ValueError):
        for name, value in _read(path, SQL.facts):
            if name == PAUSED or str(name).startswith((FIRST_RUN, MOUNTS)):
                facts.setdefault(str(name), str(value))
    return facts


def _read(path: Path, sql: str) -> Iterator[tuple[object, object]]:
    # Immutable: SQLite takes no lock and plays nothing back into the file.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield from connection.execute(sql)


def upgrade(path: Path, clock: Clock) -> Path:
    """Replace the journal of an earlier version with one of this version, with all its rows.

    Returns:
        The path of the earlier file.

    Raises:
        JournalDamagedError: it is damaged, or its rows do not fit.
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
        make(path, fill=lambda connection: _copy_rows(kept, connection))
    except (sqlite3.DatabaseError, OSError) as error:
        raise JournalDamagedError(f"it cannot be taken over: {error}", path=path) from error
    get().info("journal.upgraded", version=version, kept=str(kept))
    return kept


def _checked_version(path: Path) -> int:
    """Return the schema version; also plays back what a crash left undone, so that the file alone is the whole journal."""
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


def _copy_rows(earlier: Path, connection: sqlite3.Connection) -> None:
    """Copy every row of every table that both journals have, in one transaction."""
    connection.execute("ATTACH DATABASE ? AS earlier", (os.fspath(earlier),))
    try:
        connection.execute("BEGIN IMMEDIATE")
        for (copy,) in connection.execute(SQL.copies_of_tables).fetchall():
            connection.execute(copy)
        connection.execute(SQL.keep_later_counters)
        connection.execute(SQL.fill_looks)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("DETACH DATABASE earlier")
