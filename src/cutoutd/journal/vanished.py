"""Jobs whose files vanished before their turn, and are there again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutoutd.database import stored
from cutoutd.jobs import JobState
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from cutoutd.jobs import Version
    from cutoutd.journal.store import Store


def revive(store: Store, folder: str, version: Version) -> int | None:
    """Queue the job again whose file had vanished before its turn, inside a transaction of the caller's.

    It keeps what was asked of it, and the program that handed it in learns what becomes of it.

    Returns:
        Its id; None: there is none, or this is another file.
    """
    path = os.fsencode(version.path)
    newest = store.row(SQL.newest_version, folder=folder, path=path)
    looks = (version.size, stored(version.mtime_ns))
    if newest is None or newest["state"] != JobState.GONE or (newest["size"], newest["mtime_ns"]) != looks:
        return None
    published = store.row(SQL.last_published, folder=folder, path=path)
    if published is not None and published["generation"] >= newest["generation"]:
        return None  # a result is under its path: whether this is the same source is decided as for any other
    job = int(newest["id"])
    store.write(SQL.revive, job=job, stamp=version.stamp, provisional=version.provisional)
    return job
