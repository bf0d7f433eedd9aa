"""A journal of an earlier cutoutd: copied into today's tables, and the old file kept beside the new one.

Only whole journals are brought here; what is damaged is `cutoutd.journal.rebuild`'s. It must not look at a folder.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from cutoutd.errors import JournalError
from cutoutd.journal.store import SCHEMA_VERSION, make, sync_names
from cutoutd.logs import get

if TYPE_CHECKING:
    from pathlib import Path

OLDEST: Final = 1
"""The first schema that was ever in use."""


def upgrade(path: Path) -> None:
    """Bring a journal to today's schema, if it has an earlier one; else leave it as it is.

    The rename of the new file is the one step that counts: a crash before it leaves the old one in force.

    Args:
        path: the file; it may be missing or no journal at all.

    Raises:
        JournalError: the disk refuses; the old file is as it was.
    """
    try:
        version = _version(path)
        if version is None or not OLDEST <= version < SCHEMA_VERSION:
            return
        backup = path.with_name(f"{path.stem}-schema-{version}{path.suffix}")
        draft = path.with_name(f"{path.stem}-upgrade{path.suffix}")
        make(draft)
        _copy(path, draft)
        backup.unlink(missing_ok=True)  # of an upgrade that a crash cut short
        _keep(path, backup)
        draft.replace(path)
        sync_names(path.parent)
    except sqlite3.OperationalError as error:
        raise JournalError(f"the journal cannot be brought to today's form: {error}", path=path) from error
    except sqlite3.DatabaseError:
        return  # damaged: opening it says so
    except OSError as error:
        raise JournalError(
            f"the journal cannot be brought to today's form: {error.strerror}", path=path
        ) from error
    get().info("journal.upgraded", schema=SCHEMA_VERSION, earlier=version, backup=str(backup))


def _keep(path: Path, backup: Path) -> None:
    try:
        os.link(path, backup)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, backup)


def _version(path: Path) -> int | None:
    if not path.is_file() or path.stat().st_size == 0:
        return None
    # Not read-only: what a crash left half done is undone at the first look.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _copy(source: Path, target: Path) -> None:
    """Fill the tables of the new file; columns the old one lacks keep their defaults."""
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("ATTACH ? AS earlier", (os.fspath(source),))
        connection.execute("BEGIN IMMEDIATE")
        tables = connection.execute("SELECT name FROM earlier.sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            described = connection.execute("SELECT name FROM pragma_table_info(?, 'earlier')", (table,))
            columns = ", ".join(str(row[0]) for row in described)
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM earlier.{table}")  # noqa: S608 -- names of our own schema
        connection.execute("COMMIT")
