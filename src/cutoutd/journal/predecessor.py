"""What another state directory of this user knows of a folder: that of `cutoutd run --input --output`, most often.

Read alone, by a connection of its own that cannot write: a daemon may be working on it. What cannot be read says nothing.
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
"""Versions of sources that are over: path in the input, bytes, mtime_ns."""


def kept_marker(directory: Path, place: str) -> str:
    """UUID of a read-only input, which has no marker file and so only its journal knows it.

    Args:
        directory: the other state directory; it may be missing.
        place: the input, absolute.

    Returns:
        Empty if it is not known.
    """
    rows = _rows(directory, SQL.folder_at, input=os.fsencode(place))
    # The other one may be an earlier version's still.
    kept = [row["marker"] for row in rows if row["read_only" if "read_only" in row.keys() else "aside"]]  # noqa: SIM118 -- a row iterates over its values
    return str(kept[0]) if len(kept) == 1 else ""


def finished(directory: Path, place: str) -> Finished:
    """What was cut of an input.

    Args:
        directory: the other state directory; it may be missing.
        place: the input, absolute.
    """
    rows = _rows(directory, SQL.versions_with_result, input=os.fsencode(place))
    return frozenset((os.fsdecode(path), int(size), int(mtime_ns)) for path, size, mtime_ns in rows)


def known(directory: Path, folders: frozenset[str]) -> Finished:
    """All versions that a journal knows of folders and that are over, well or badly: none of them is cut by a start.

    Those that are still open are not among them: a start goes on with them.

    Args:
        directory: a state directory; it may be missing.
        folders: names.
    """
    return frozenset(
        (os.fsdecode(path), int(size), int(mtime_ns))
        for name in folders
        for path, size, mtime_ns in _rows(directory, SQL.versions_not_resumed, folder=name)
    )


def names(directory: Path, place: str, marker: str | None) -> frozenset[str]:
    """What a journal calls a folder: by its marker, or without one by its place."""
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
