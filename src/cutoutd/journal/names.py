"""Which names belong to which source, and what we published for it.

A name belongs to a source from before its first publication on, over all folders; a later version of
the same source takes its place. It must not look at the files themselves.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from cutoutd.jobs import Published

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cutoutd.journal.store import Store


class Names:
    """The names in the journal; shared by the threads of all folders."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        # Reserved by a plan that is being made and is not written down yet.
        self._pending: dict[bytes, tuple[str, str]] = {}

    def reserve(self, folder: str, path: str, keys: Sequence[bytes]) -> bool:
        """Keep names for a source until its plan is written down; all of them or none.

        Args:
            folder: the source's folder,
            path: and its path there.
            keys: absolute paths, NFC and casefolded.

        Returns:
            False if another source has one of them.
        """
        with self._lock:
            if any(self._owner(key) not in (None, (folder, path)) for key in keys):
                return False
            self._pending.update(dict.fromkeys(keys, (folder, path)))
            return True

    def keep_within(self, folder: str, path: str, keys: Iterable[bytes]) -> None:
        """Write the names of a plan down, inside the transaction that writes down the plan."""
        for key in keys:
            self._store.write(
                "INSERT INTO name (key, folder, path) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (key, folder, os.fsencode(path)),
            )

    def release(self, folder: str, path: str) -> None:
        """The source's plan is written down, or given up."""
        with self._lock:
            self._pending = {key: owner for key, owner in self._pending.items() if owner != (folder, path)}

    def earlier(self, folder: str, path: str) -> tuple[Published, ...]:
        """What is published for a source."""
        rows = self._store.rows(
            "SELECT rendition, review, target, sha256 FROM output WHERE folder = ? AND path = ?",
            (folder, os.fsencode(path)),
        )
        return tuple(
            Published(
                rendition=row["rendition"],
                path=os.fsdecode(row["target"]),
                sha256=row["sha256"],
                review=bool(row["review"]),
            )
            for row in rows
        )

    def published_sha256(self, folder: str, path: str) -> str | None:
        """SHA-256 of the source's bytes whose cutout is published now."""
        row = self._store.row(
            "SELECT sha256 FROM published WHERE folder = ? AND path = ?", (folder, os.fsencode(path))
        )
        return str(row["sha256"]) if row is not None else None

    def record_within(
        self, folder: str, path: str, *, source_sha256: str | None, published: Iterable[Published]
    ) -> None:
        """Remember what has its name, inside a transaction of the caller's.

        Args:
            folder: the source's folder,
            path: and its path there.
            source_sha256: of its bytes, if the publication is complete.
            published: the results that have their names.
        """
        if source_sha256 is not None:
            self._store.write(
                "INSERT INTO published (folder, path, sha256) VALUES (?, ?, ?) "
                "ON CONFLICT (folder, path) DO UPDATE SET sha256 = excluded.sha256",
                (folder, os.fsencode(path), source_sha256),
            )
        for one in published:
            self._store.write(
                "INSERT INTO output (folder, path, rendition, review, target, sha256) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (folder, path, rendition, review) DO UPDATE SET "
                "target = excluded.target, sha256 = excluded.sha256",
                (folder, os.fsencode(path), one.rendition, one.review, os.fsencode(one.path), one.sha256),
            )

    def forget_doubtful_within(self, folder: str, path: str) -> None:
        """Nothing is published as doubtful for a source any more, inside a transaction of the caller's."""
        self._store.write(
            "DELETE FROM output WHERE folder = ? AND path = ? AND review = 1", (folder, os.fsencode(path))
        )

    def forget_published_within(self, folder: str, path: str) -> None:
        """The same bytes are to be cut again should they come, inside a transaction of the caller's."""
        self._store.write("DELETE FROM published WHERE folder = ? AND path = ?", (folder, os.fsencode(path)))

    def _owner(self, key: bytes) -> tuple[str, str] | None:
        if key in self._pending:
            return self._pending[key]
        row = self._store.row("SELECT folder, path FROM name WHERE key = ?", (key,))
        return (row["folder"], os.fsdecode(row["path"])) if row is not None else None
