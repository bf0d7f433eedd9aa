"""What the journal of another state directory of this user knows of a folder, most often that of `cutoutd run --input --output`.

It is read through a connection that cannot write, since a daemon may be using it. What cannot be read counts as unknown.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from cutoutd.journal.store import FILE_NAME, SQL

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S: Final = 1.0
Finished = frozenset[tuple[str, int, int]]
"""Versions of sources: path relative to the input, size in bytes, mtime_ns."""


def kept_marker(directory: Path, place: str) -> str:
    """Return the UUID of a read-only input, which has no marker file and is known to its journal alone.

    Args:
        directory: the other state directory; it may be missing.
        place: absolute path of the input.

    Returns:
        The UUID; empty if it is not known.
    """
    rows = _rows(directory, SQL.folder_at, input=os.fsencode(place))
    # The other journal may still be of an earlier version.
    kept = [row["marker"] for row in rows if row["read_only" if "read_only" in row.keys() else "aside"]]  # noqa: SIM118 -- a row iterates over its values
    return str(kept[0]) if len(kept) == 1 else ""


def finished(directory: Path, place: str) -> Finished:
    """Return the versions of an input that have a result.

    Args:
        directory: the other state directory; it may be missing.
        place: absolute path of the input.
    """
    rows = _rows(directory, SQL.versions_with_result, input=os.fsencode(place))
    return frozenset((os.fsdecode(path), int(size), int(mtime_ns)) for path, size, mtime_ns in rows)


def known(directory: Path, folders: frozenset[str]) -> Finished:
    """Return all versions of folders that a journal knows and that a start would not cut, because they have ended.

    Versions that are still open are left out: a start continues with them.

    Args:
        directory: a state directory; it may be missing.
        folders: names of the folders.
    """
    return frozenset(
        (os.fsdecode(path), int(size), int(mtime_ns))
        for name in folders
        for path, size, mtime_ns in _rows(directory, SQL.versions_not_resumed, folder=name)
    )


def asked_again(directory: Path) -> int:
    """Return how many requests to cut pictures again wait for the next start; 0 if the state directory is missing."""
    return sum(int(row["n"]) for row in _rows(directory, SQL.count_asked_again))


def names(directory: Path, place: str, marker: str | None) -> frozenset[str]:
    """Return the names that a journal has for a folder, by its marker, or without a marker by its path."""
    rows = (
        _rows(directory, SQL.names_of_marker, marker=marker)
        if marker
        else _rows(directory, SQL.names_at, input=os.fsencode(place))
    )
    return frozenset(str(name) for (name,) in rows)


def _rows(directory: Path, query: str, **values: object) -> list[sqlite3.Row]:
    path = directory / FILE_NAME
    with suppress(OSError, sqlite3.Error, ValueError):
        if path.stat().st_uid != os.geteuid():
            return []
        uri = f"{path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()
    return []
