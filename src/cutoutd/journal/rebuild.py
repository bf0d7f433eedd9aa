"""A journal that is not one of today's: of an earlier version, taken over; or damaged, and made anew.

An earlier version's rows go over by the names of tables and columns, so a later schema may add tables, columns with a
default, states and indices without a word here; what it renames stands in `upgrade.sql`. What was in a damaged one is
found again in the folders: sources by their scan, results by their sidecars; nothing in it is trusted but what can do
no harm. The earlier file stays beside the new one, and has the name until the one rename at the end: a crash in between
repeats it all. It must not look at a hot folder.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cutoutd.errors import JournalError
from cutoutd.fs.durable import sync_directory
from cutoutd.journal.commands import PAUSED, REBUILT
from cutoutd.journal.folders import FIRST_RUN
from cutoutd.journal.store import SQL, JournalDamagedError, JournalOlderError, Store, free_name, make
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.clock import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuilt:
    """That the journal had to be rebuilt.

    What a hosted folder had uploaded and may have been billed for stood in the old one alone, so nothing may
    be uploaded until a person has looked: such folders wait for `resume`. Local ones go on.

    Attributes:
        at_us: when, UTC microseconds.
        aside: the name under which the old file lies in the state directory.
        cause: what was wrong with it.
    """

    at_us: int
    aside: str
    cause: str


def open_or_rebuild(path: Path, clock: Clock) -> Store:
    """The journal, whatever state its file is in.

    Raises:
        JournalNewerError: it is whole, but a newer cutoutd's.
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
    """Whether this journal was made anew since a person last said `resume`."""
    said = store.fact(REBUILT)
    return None if said is None else Rebuilt(**json.loads(said))


def _replace(path: Path, *, cause: str, now_us: int) -> Path:
    """Give the file another name and make a new one; returns where the old one lies now."""
    aside = free_name(path, "damaged", now_us)
    note = Rebuilt(at_us=now_us, aside=aside.name, cause=cause)
    facts = {**_salvaged(path, now_us), REBUILT: json.dumps(asdict(note))}
    try:
        # Its rollback journal first: found beside the new file, it would be played back into that.
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
    # Until this one rename the damaged file has the name, so a crash in between repeats all this.
    make(path, facts)
    return aside


def _salvaged(path: Path, now_us: int) -> dict[str, str]:
    """Facts from the old file, as far as it can be read: when each folder began, and whether work was paused.

    With ``existing = "skip"`` the first tells what was there before from what still waits to be cut.
    """
    facts: dict[str, str] = {}
    if not path.is_file():
        return facts  # SQLite would wait at a FIFO for ever
    with suppress(sqlite3.Error, OSError, ValueError):
        for name, first_run_us in _read(path, SQL.first_runs):
            if isinstance(first_run_us, int) and 0 < first_run_us <= now_us:
                facts[f"{FIRST_RUN}{name}"] = str(first_run_us)
    with suppress(sqlite3.Error, OSError, ValueError):
        for name, value in _read(path, SQL.facts):
            if name == PAUSED or str(name).startswith(FIRST_RUN):
                facts.setdefault(str(name), str(value))
    return facts


def _read(path: Path, sql: str) -> Iterator[tuple[object, object]]:
    # Immutable: as it lies there, with no lock taken and nothing played back into it.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield from connection.execute(sql)


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
        make(path, fill=lambda connection: _copy_rows(kept, connection))
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


def _copy_rows(earlier: Path, connection: sqlite3.Connection) -> None:
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
