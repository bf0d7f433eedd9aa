"""Updates the sidecars of pictures of which only the metadata or times have changed, or what a person thinks of them.

Otherwise the picture would be unknown to a reader of the sidecars alone, after a lost journal or on another machine, and be cut
again. A crash before the journal is updated is harmless: the next start finds the sidecar up to date. This module must not decide
whether a picture is the published one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutoutd.publish import moves
from cutoutd.publish.digest import examine, has_bytes
from cutoutd.publish.document import encode, read
from cutoutd.publish.faults import ResultLostError, TargetTakenError, storage_faults
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.plan import Move
from cutoutd.publish.sidecar import SCHEMA, read_sidecar, with_source

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cutoutd.jobs import Job, Published
    from cutoutd.publish.places import Places
    from cutoutd.publish.sidecar import SidecarRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class SidecarUpdates:
    """Updates one folder's sidecars.

    Attributes:
        places: places of the folder.
    """

    places: Places

    def update(self, job: Job, sha256: str, *, known: Collection[str], shown: Sequence[Published]) -> bool:
        """Update the sidecar of a picture to its current version.

        A sidecar that is up to date is not written. One that is not ours, or whose results were changed since, stays.

        Args:
            job: the picture's version, which differs from the last published one in metadata and times only.
            sha256: SHA-256 of its bytes.
            known: SHA-256 values that the sidecar's source may have.
            shown: what is published for the picture.

        Returns:
            Whether it was written.

        Raises:
            StorageError: the disk or share fails.
        """
        with storage_faults(self.places.sidecars.root):
            return any(self._update(job, sha256, known, shown, sidecar_name(one.path)) for one in shown)

    def tell_doubt(self, job: Job, shown: Sequence[Published], *, doubtful: bool) -> bool:
        """Have the sidecar of a published picture say whether its result may be wrong, as a person decided in place.

        A sidecar that says so already is not written. One that is not ours, or whose results were changed since, stays.

        Args:
            job: the job.
            shown: what is published for the picture.
            doubtful: whether the result may be wrong.

        Returns:
            Whether it was written.

        Raises:
            StorageError: the disk or share fails.
        """
        with storage_faults(self.places.sidecars.root):
            return any(self._tell_doubt(job, shown, sidecar_name(one.path), doubtful) for one in shown)

    def _tell_doubt(self, job: Job, shown: Sequence[Published], name: str, doubtful: bool) -> bool:  # noqa: FBT001 -- as of the method above
        found = self._read(name)
        if found is None:
            return False
        record, document, sha256 = found
        quality = document.get("quality")
        if not self._is_of(record, job, {record.sha256}, shown) or not isinstance(quality, dict):
            return False
        if quality.get("doubtful") is doubtful:
            return False
        now = {**document, "quality": {**quality, "doubtful": doubtful}}
        return self._replace(job, name, now, replaces_sha256=sha256)

    def _read(self, name: str) -> tuple[SidecarRecord, dict[str, Any], str] | None:
        """Return a sidecar, its document and the SHA-256 of its bytes; None if there is none of ours."""
        with self.places.sidecars.find(name) as entry:
            # Hashed before it is read: the overwritten file must be the one that was read.
            before = examine(entry) if entry is not None else None
            if entry is None or before is None or before.sha256 is None:
                return None
            record, document = read_sidecar(entry), read(entry, SCHEMA)
        return None if record is None or document is None else (record, dict(document), before.sha256)

    def _update(
        self, job: Job, sha256: str, known: Collection[str], shown: Sequence[Published], name: str
    ) -> bool:
        found = self._read(name)
        if found is None:
            return False
        record, document, before_sha256 = found
        if not self._is_of(record, job, known, shown):
            return False
        if (record.bytes, record.mtime_ns, record.sha256) == (job.size, job.mtime_ns, sha256):
            return False
        now = with_source(document, path=job.path, size=job.size, mtime_ns=job.mtime_ns, sha256=sha256)
        return self._replace(job, name, now, replaces_sha256=before_sha256)

    def _is_of(
        self, record: SidecarRecord, job: Job, known: Collection[str], shown: Sequence[Published]
    ) -> bool:
        ours = {(one.path, one.sha256) for one in shown}
        return (
            record.path == job.path
            and record.sha256 in known
            and self.places.owns(record.folder, record.marker)
            and bool(record.outputs)
            and ours.issuperset(record.outputs.items())
            and all(self._has(path, wanted) for path, wanted in record.outputs.items())
        )

    def _has(self, path: str, sha256: str) -> bool:
        with self.places.output.find(path) as entry:
            return has_bytes(entry, sha256)

    def _replace(self, job: Job, name: str, document: dict[str, Any], *, replaces_sha256: str) -> bool:
        staged, target = f"{job.id}.json", self.places.sidecars.root / name
        written = self.places.sidecar_staging.write(
            staged, encode(document), self.places.access.while_staged(job.path)
        )
        move = Move(
            staged=os.fspath(self.places.sidecar_staging.path(staged)),
            target=os.fspath(target),
            root=os.fspath(self.places.sidecars.root),
            bytes=written.bytes,
            sha256=written.sha256,
            replaces_sha256=replaces_sha256,
        )
        try:
            moves.carry_out(move, self.places.access)
        except (TargetTakenError, ResultLostError):
            return False  # another program has written there a moment ago
        else:
            self.places.directories.sync(
                [(self.places.sidecars, self.places.sidecars.relative(target.parent))]
            )
            return True
        finally:
            with suppress(OSError):  # it is removed when the disk works again
                self.places.sidecar_staging.remove(staged)
