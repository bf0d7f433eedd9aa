"""What becomes of an original once its cutout is published: it is moved away or deleted, if its bytes are those cut.

This module must not be called before the journal says done. It never replaces a file, and removes nothing but
what was cut.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.durable import sync_directory
from cutoutd.publish.digest import examine
from cutoutd.publish.directories import Directories
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import numbered
from cutoutd.publish.rename import add_name, rename_new
from cutoutd.publish.staging import Staging, sweep
from cutoutd.publish.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.publish.writing import Sink

_COPY_BYTES = 1 << 20


class Outcome(Enum):
    """What became of an original."""

    MOVED = "moved"  # it lies in the folder for originals
    DELETED = "deleted"  # it was removed
    CHANGED = "changed"  # it is not what was cut any more, and was left alone
    GONE = "gone"  # somebody else took it away
    KEPT = "kept"  # it stays where it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Disposal:
    """What became of an original.

    Attributes:
        to: absolute path it was moved to.
    """

    outcome: Outcome
    to: Path | None = None


def delete_original(source: Path, sha256: str) -> Disposal:
    """Delete an original, if it still is what was cut.

    Args:
        source: absolute path.
        sha256: of the version that was cut, hex.

    Raises:
        StorageError: it cannot be read or deleted.
    """
    with storage_faults(source):
        unfit = _unfit(source, sha256)
        if unfit is None:
            source.unlink(missing_ok=True)
            sync_directory(source.parent)  # nobody would delete it again if a power cut brought it back
    return unfit or Disposal(outcome=Outcome.DELETED)


class Originals:
    """The folder that originals of one hot folder are moved to; used by one thread at a time.

    Args:
        directory: absolute; it must exist.
        run: the id of this run of the daemon.
    """

    def __init__(self, directory: Path, run: str) -> None:
        self._directory = directory
        self._staging = Staging(directory, run)
        self._directories = Directories()

    def move(self, source: Path, sha256: str, *, path: str, job: int) -> Disposal:
        """Move an original there, if it still is what was cut.

        Sub-folders are mirrored. A taken name is followed by ``a-2.jpg`` and so on; a file there with the very
        same bytes is taken for this one, moved before a crash. Across file systems it is copied, synced, and
        only then removed.

        Args:
            source: absolute path.
            sha256: of the version that was cut, hex.
            path: of the source in its input folder, with ``/`` between parts.
            job: the journal's id.

        Raises:
            StorageError: it cannot be read, moved or copied; the original is still there.
        """
        with storage_faults(self._directory):
            unfit = _unfit(source, sha256)
            if unfit is not None:
                return unfit
            parent = (self._directory / path).parent
            self._directories.make(parent, self._directory)
            target = self._free_or_same(path, sha256)
            if examine(target) is None:
                try:
                    add_name(source, target)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    if not self._copy(source, target, sha256, job):
                        return Disposal(outcome=Outcome.CHANGED)
            # On the disk under its new name before it loses the old one, where it still has that.
            self._directories.sync([(parent, self._directory)])
            disposal = delete_original(source, sha256)
            if disposal.outcome is Outcome.GONE:
                sync_directory(source.parent)
            elif disposal.outcome is Outcome.CHANGED and target.samefile(source):
                target.unlink()  # written to while it had both names: it is another version under both
                return disposal
        return Disposal(outcome=Outcome.MOVED, to=target)

    def sweep(self, dead: frozenset[str]) -> tuple[Path, ...]:
        """Remove what dead runs left of copies, and the staging directory if nothing is left in it.

        Args:
            dead: ids of the runs that are known to have ended.

        Returns:
            What was removed.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        with storage_faults(self._directory):
            removed = sweep(self._directory, is_dead=dead.__contains__, needed=())
            self._staging.close()
        return removed

    def _free_or_same(self, path: str, sha256: str) -> Path:
        targets = (self._directory / name for name in numbered(path))
        return next(
            target for target in targets if (found := examine(target)) is None or found.sha256 == sha256
        )

    def _copy(self, source: Path, target: Path, sha256: str, job: int) -> bool:
        """Copy to another file system; False, and no copy, if the bytes are not those any more."""
        self._staging.open()
        staged = self._staging.path(f"{job}.original")
        try:
            written = write_whole(staged, partial(_pour, source))
            if written.sha256 != sha256:
                return False
            shutil.copystat(source, staged)
            rename_new(staged, target)
        finally:
            staged.unlink(missing_ok=True)
        return True


def _pour(source: Path, sink: Sink) -> None:
    with source.open("rb") as file:
        while block := file.read(_COPY_BYTES):
            sink.write(block)


def _unfit(source: Path, sha256: str) -> Disposal | None:
    """Why an original is to be left alone; None if it is what was cut."""
    found = examine(source)
    if found is None:
        return Disposal(outcome=Outcome.GONE)
    if found.sha256 != sha256:
        return Disposal(outcome=Outcome.CHANGED)
    return None
