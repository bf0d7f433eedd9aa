"""Sidecars of pictures whose metadata or times alone have changed: they are made to name the picture as it is now.

Else nobody who knows the sidecars alone, after a lost journal or on another machine, knows the picture, and it is cut
again. A crash before the journal says so is harmless: the next start finds the sidecar as it should be. This module must
not decide whether a picture is the one that is published.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cutoutd.fs.tree import Tree
from cutoutd.publish import moves
from cutoutd.publish.digest import examine
from cutoutd.publish.document import encode, read
from cutoutd.publish.faults import ResultLostError, TargetTakenError, storage_faults
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.plan import Move
from cutoutd.publish.sidecar import SCHEMA, read_sidecar, with_source

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from cutoutd.jobs import Job, Published
    from cutoutd.publish.access import Access
    from cutoutd.publish.directories import Directories
    from cutoutd.publish.identity import FolderIdentity
    from cutoutd.publish.sidecar import SidecarRecord
    from cutoutd.publish.staging import Staging


class SidecarUpdates:
    """The updates of one folder's sidecars.

    Args:
        identity: the folder's.
        output: its output folder, absolute.
        sidecars: where sidecars lie, absolute.
        staging: of this run, on the sidecars' file system.
        directories: syncs.
        access: whom files belong to.
    """

    def __init__(
        self,
        *,
        identity: FolderIdentity,
        output: Path,
        sidecars: Path,
        staging: Staging,
        directories: Directories,
        access: Access,
    ) -> None:
        self._identity = identity
        self._output = Tree(output)
        self._root = sidecars
        self._sidecars = Tree(sidecars)
        self._staging = staging
        self._directories = directories
        self._access = access

    def update(self, job: Job, sha256: str, *, known: Collection[str], shown: Sequence[Published]) -> bool:
        """Have the sidecar of a picture name it as it is now.

        One that says so already is not written. One that is not ours, or whose results were changed since, stays.

        Args:
            job: the picture's version, which is that of the last publication but for metadata and times.
            sha256: of its bytes.
            known: SHA-256 of the bytes that the sidecar may name.
            shown: what is published for it.

        Returns:
            Whether it was written.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        with storage_faults(self._root):
            return any(self._update(job, sha256, known, shown, sidecar_name(one.path)) for one in shown)

    def _update(
        self, job: Job, sha256: str, known: Collection[str], shown: Sequence[Published], name: str
    ) -> bool:
        with self._sidecars.find(name) as entry:
            # Before it is read: what is written over must be what was read.
            before = examine(entry) if entry is not None else None
            if entry is None or before is None or before.sha256 is None:
                return False
            record, document = read_sidecar(entry), read(entry, SCHEMA)
        if record is None or document is None or not self._is_of(record, job, known, shown):
            return False
        if (record.bytes, record.mtime_ns, record.sha256) == (job.size, job.mtime_ns, sha256):
            return False
        now = with_source(document, path=job.path, size=job.size, mtime_ns=job.mtime_ns, sha256=sha256)
        return self._replace(job, name, now, replaces_sha256=before.sha256)

    def _is_of(
        self, record: SidecarRecord, job: Job, known: Collection[str], shown: Sequence[Published]
    ) -> bool:
        ours = {(one.path, one.sha256) for one in shown}
        return (
            record.path == job.path
            and record.sha256 in known
            and self._identity.owns(record.folder, record.marker)
            and bool(record.outputs)
            and ours.issuperset(record.outputs.items())
            and all(self._has(path, wanted) for path, wanted in record.outputs.items())
        )

    def _has(self, path: str, sha256: str) -> bool:
        with self._output.find(path) as entry:
            found = examine(entry) if entry is not None else None
        return found is not None and found.sha256 == sha256

    def _replace(self, job: Job, name: str, document: dict[str, Any], *, replaces_sha256: str) -> bool:
        staged, target = f"{job.id}.json", self._root / name
        written = self._staging.write(staged, encode(document), self._access.while_staged(job.path))
        move = Move(
            staged=os.fspath(self._staging.path(staged)),
            target=os.fspath(target),
            root=os.fspath(self._root),
            bytes=written.bytes,
            sha256=written.sha256,
            replaces_sha256=replaces_sha256,
        )
        try:
            moves.carry_out(move, self._access)
        except (TargetTakenError, ResultLostError):
            return False  # somebody has written there a moment ago
        else:
            self._directories.sync([(self._sidecars, self._sidecars.relative(target.parent))])
            return True
        finally:
            with suppress(OSError):  # the sweep finds it
                self._staging.remove(staged)
