"""Which names belong to which source, and what is published for it.

A name belongs to a source, over all folders, from before its first publication on; a later version of the same source
replaces the earlier one under it. A source is identified by folder, path and generation: once it is gone, another file at
its path is another source. This module must not look at the files themselves.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.database import stored
from cutoutd.job_detail import HOSTED
from cutoutd.jobs import JobState, Published
from cutoutd.journal.queue import decoded
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from cutoutd.jobs import Job, Origin
    from cutoutd.journal.store import Store


_LASTING: Final = ("outputs", "skipped", "doubtful", "score", "corrected", HOSTED)
"""Keys of a job's detail that hold for the picture as long as its cutout does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LastPublished:
    """The last publication at a path.

    Attributes:
        sha256: SHA-256 of the source's bytes, hex.
        generation: generation of the source.
        image_sha256: SHA-256 of the picture's data without its metadata; None if it is not known.
    """

    sha256: str
    generation: int
    image_sha256: str | None


class Reservations:
    """The names in the journal; shared by the threads of all folders."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        # Reserved for a plan that is not written yet.
        self._pending: dict[bytes, tuple[str, str, int]] = {}

    def reserve(
        self,
        folder: str,
        path: str,
        keys: Sequence[bytes],
        *,
        generation: int = 0,
        origin: Origin | None = None,
    ) -> bool:
        """Reserve names for a source until its plan is written; all of them or none.

        Args:
            folder: name of the source's folder.
            path: path of the source.
            keys: absolute paths, NFC and casefolded.
            generation: generation of the source.
            origin: where the picture was before; it may use the names of that source as well.

        Returns:
            False if another source has one of them.
        """
        with self._lock:
            source = (folder, path, generation)
            before = None if origin is None else (folder, origin.path, origin.generation)
            if any(self._owner(key) not in (None, source, before) for key in keys):
                return False
            self._pending.update(dict.fromkeys(keys, source))
            return True

    def keep_within(self, folder: str, path: str, keys: Iterable[bytes], *, generation: int = 0) -> None:
        """Write the names of a plan, inside the transaction that writes the plan."""
        for key in keys:
            self._store.write(SQL.reserve, key=key, **of_source(folder, path, generation))

    def release(self, folder: str, path: str) -> None:
        """Drop the reservations of a source whose plan is written or abandoned."""
        with self._lock:
            self._pending = {
                key: owner for key, owner in self._pending.items() if owner[:2] != (folder, path)
            }

    def earlier(self, folder: str, path: str, generation: int = 0) -> tuple[Published, ...]:
        """Return what is published for a source."""
        rows = self._store.rows(SQL.outputs, **of_source(folder, path, generation))
        return tuple(
            Published(
                rendition=row["rendition"],
                path=os.fsdecode(row["target"]),
                sha256=row["sha256"],
                review=bool(row["review"]),
            )
            for row in rows
        )

    def is_result(self, sha256: str) -> bool:
        """Whether a result with this SHA-256 is published, in any folder."""
        return self._store.row(SQL.is_result, sha256=sha256) is not None

    def was_left_out(self, folder: str, sha256: str) -> bool:
        """Whether a file with this SHA-256 was left out of a folder as a result, and is not at its path any more."""
        return self._store.row(SQL.was_left_out, folder=folder, sha256=sha256) is not None

    def last_result(self, folder: str, path: str, *, generation: int | None = None) -> dict[str, Any]:
        """Return the lasting part of the last result at a path: its outputs, and whether one was skipped or is doubtful.

        Args:
            folder: name of the folder.
            path: path of the picture.
            generation: generation of the source whose results count; None: any source that had the path.

        Returns:
            The part of the job's detail that holds for the picture as long as its cutout does; empty if no cutout is published,
            or only one that waits in review.
        """
        row = self._last_result(folder, path, generation)
        if row is None or row["state"] == JobState.REVIEW:
            return {}
        return _lasting(json.loads(row["detail"]))

    def result_kept(self, job: Job) -> dict[str, Any]:
        """Return the lasting part of the result that a job has while it is cut again, as from `last_result`."""
        # From the row: what a worker was given has its plan in place of that.
        row = self._store.row(SQL.job, job=job.id)
        former = {} if row is None else decoded(row["detail"]).get("former")
        if isinstance(former, dict) and former:
            return _lasting(former)
        return self.last_result(job.folder, job.path, generation=job.generation)

    def last_review(self, folder: str, path: str, *, generation: int) -> dict[str, Any]:
        """Return the detail of the last result of a source, if that waits in review; else empty."""
        row = self._last_result(folder, path, generation)
        if row is None or row["state"] != JobState.REVIEW:
            return {}
        detail: dict[str, Any] = json.loads(row["detail"])
        return detail

    def _last_result(self, folder: str, path: str, generation: int | None) -> sqlite3.Row | None:
        source = of_source(folder, path, generation)
        return self._store.row(SQL.last_result_of_newest, **source) or self._store.row(
            SQL.last_result_of_older, **source
        )

    def of_others(self, job: Job) -> tuple[str, ...]:
        """Return the names of what is published for other sources that had a job's path before."""
        rows = self._store.rows(
            SQL.outputs_of_earlier, folder=job.folder, path=os.fsencode(job.path), last=job.generation - 1
        )
        return tuple(os.fsdecode(row["target"]) for row in rows)

    def published_sha256(self, folder: str, path: str) -> str | None:
        """Return the SHA-256 of the bytes at this path whose cutout is published now; None if there is none."""
        last = self.last_published(folder, path)
        return None if last is None else last.sha256

    def last_published(self, folder: str, path: str) -> LastPublished | None:
        """Return the last publication of any source that had this path; None if there is none."""
        row = self._store.row(SQL.last_published, folder=folder, path=os.fsencode(path))
        if row is None:
            return None
        return LastPublished(
            sha256=row["sha256"], generation=row["generation"], image_sha256=row["image_sha256"]
        )

    def known(self, job: Job) -> frozenset[str]:
        """Return the SHA-256 of the published bytes of a job's own source; empty if nothing is published for it."""
        row = self._store.row(SQL.published, **of_source(job.folder, job.path, job.generation))
        return frozenset((str(row["sha256"]),) if row is not None else ())

    def record_within(
        self,
        folder: str,
        path: str,
        *,
        generation: int = 0,
        source_sha256: str | None,
        image_sha256: str | None = None,
        published: Iterable[Published],
        looks: tuple[int, int] | None = None,
        now_us: int | None = None,
    ) -> None:
        """Record the results that have their names, inside a transaction of the caller's.

        Args:
            folder: name of the source's folder.
            path: path of the source.
            generation: generation of the source.
            source_sha256: SHA-256 of its bytes, if the publication is complete.
            image_sha256: SHA-256 of its data without metadata; None: what is known stays, if the bytes do.
            published: the results that have their names.
            looks: size in bytes and modification time in ns of the version, if the publication is complete.
            now_us: UTC microseconds.
        """
        source = of_source(folder, path, generation)
        if source_sha256 is not None:
            size, mtime_ns = looks if looks is not None else (None, None)
            self._store.write(
                SQL.record_publication,
                sha256=source_sha256,
                image_sha256=image_sha256,
                now_us=now_us,
                size=size,
                mtime_ns=None if mtime_ns is None else stored(mtime_ns),
                **source,
            )
        for one in published:
            put_output(self._store, SQL.put_output, source, one)

    def forget_doubtful_within(self, folder: str, path: str, *, generation: int = 0) -> None:
        """Forget a source's results in review, inside a transaction of the caller's."""
        self._store.write(SQL.forget_doubtful, **of_source(folder, path, generation))

    def forget_recalled_within(self, folder: str, path: str, *, generation: int = 0) -> None:
        """Forget a source's published results, leaving those in review, inside a transaction of the caller's."""
        self._store.write(SQL.forget_recalled, **of_source(folder, path, generation))

    def is_gone(self, job: Job) -> bool:
        """Whether we moved or deleted the original of a job's source."""
        row = self._store.row(SQL.published, **of_source(job.folder, job.path, job.generation))
        return row is not None and bool(row["gone"])

    def forget_published_within(self, folder: str, path: str, *, generation: int = 0) -> None:
        """Forget what is published for a source, so that the same bytes are cut again; inside a transaction of the caller's."""
        self._store.write(SQL.forget_publication, **of_source(folder, path, generation))

    def note_gone_within(self, folder: str, path: str, *, generation: int) -> None:
        """Record that we moved or deleted a source's original: a file that appears at its path is another source."""
        self._store.write(SQL.set_gone, gone=True, **of_source(folder, path, generation))

    def note_bytes_within(self, job: Job, sha256: str, *, generation: int) -> None:
        """Record the current bytes, size and time of a published picture of which at most the metadata has changed."""
        self._store.write(
            SQL.set_published_bytes,
            sha256=sha256,
            size=job.size,
            mtime_ns=stored(job.mtime_ns),
            **of_source(job.folder, job.path, generation),
        )

    def note_back_within(self, folder: str, path: str, *, generation: int) -> None:
        """Record that the same bytes of a source that was gone are at its path again."""
        self._store.write(SQL.set_gone, gone=False, **of_source(folder, path, generation))

    def _owner(self, key: bytes) -> tuple[str, str, int] | None:
        if key in self._pending:
            return self._pending[key]
        row = self._store.row(SQL.owner_of_name, key=key)
        return (row["folder"], os.fsdecode(row["path"]), row["generation"]) if row is not None else None


def of_source(folder: str, path: str, generation: int | None) -> dict[str, Any]:
    """Return a source as parameters of the statements; a generation of None stands for all sources that had the path."""
    return {"folder": folder, "path": os.fsencode(path), "generation": generation}


def put_output(store: Store, sql: str, source: Mapping[str, Any], one: Published) -> None:
    """Write one result of a source under its name, inside a transaction of the caller's."""
    store.write(
        sql,
        rendition=one.rendition,
        review=one.review,
        target=os.fsencode(one.path),
        sha256=one.sha256,
        **source,
    )


def _lasting(detail: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: detail[key] for key in _LASTING if key in detail}
    is_explained = "why" in detail and not kept.keys().isdisjoint(("doubtful", "skipped"))
    return kept | ({"why": detail["why"]} if is_explained else {})
