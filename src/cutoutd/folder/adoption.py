"""Adoption of earlier results that the journal does not know, from a folder's sidecars and failure records.

It happens at the first start of a folder: with a new state directory, after the journal was rebuilt, or when another machine
worked on the folder until now. A version that is there and has a record is done, and is not cut again. Runs in the folder's own
thread, since any access to a share may hang. It must not open results.

Anyone who can write in the output can make such records. A sidecar ends a version: deleting a result does not have it made
again either. A failure record does not end a version: the picture is tried once more, and may fail again. But a rejection by a
person still holds if its record has the SHA-256 of the source.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import IMPOSSIBLE_NAME
from cutoutd.faults.isolation import is_expected, one_by_one, report
from cutoutd.fs.tree import Tree
from cutoutd.intake.scan import scan_file
from cutoutd.jobs import Version
from cutoutd.journal.adopted import Adopted
from cutoutd.logs import get
from cutoutd.publish.digest import examine
from cutoutd.publish.original_file import restore_interrupted
from cutoutd.publish.places import FolderIdentity
from cutoutd.publish.records import Records
from cutoutd.settings.types import Originals

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.intake.rules import Rules
    from cutoutd.intake.scan import ScannedFile
    from cutoutd.journal.sources import Sources
    from cutoutd.publish.records import Record
    from cutoutd.settings.schema import Folder

BATCH: Final = 500
"""The most results that are written in one transaction."""

MAX_COMPARED_BYTES: Final = 1 << 30
"""The most bytes of rejected sources that are read to compare them; beyond it they are cut again."""


class Adoption:
    """The adoption of one folder's earlier results.

    Args:
        folder: settings of the folder.
        rules: rules for which names it takes.
        sources: the versions in the journal.
        identity: identity by which its records are recognised; None: by its name alone.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        rules: Rules,
        sources: Sources,
        identity: FolderIdentity | None = None,
    ) -> None:
        self._folder = folder
        self._identity = identity or FolderIdentity(folder.name)
        self._root = os.fspath(folder.input)
        self._rules = rules
        self._sources = sources
        self._log = get(folder=folder.name)
        self._ended: dict[str, int] = {}
        self._published: dict[str, int] = {}
        self._left_bytes = MAX_COMPARED_BYTES
        self._tried_again = 0

    def carry_out(self, proceeding: Callable[[], bool], *, is_first_start: bool = False) -> None:
        """Walk through the output once; may be called again.

        Args:
            proceeding: called after each portion; the walk ends if it returns False.
            is_first_start: whether the journal does not know the folder yet.

        Raises:
            OSError: the disk or share fails.
            StorageError: the journal cannot be written.
        """
        folder = self._folder
        if is_first_start:
            self._restore_originals()
        records = iter(
            Records(
                self._identity,
                output=folder.output,
                sidecar_dir=folder.sidecar_dir,
                renditions=folder.recipe().renditions,
            )
        )
        self._ended.clear()
        self._published.clear()
        self._left_bytes = MAX_COMPARED_BYTES
        self._tried_again = adopted = 0
        while batch := list(islice(records, BATCH)):
            taken: list[Adopted] = []
            one_by_one(batch, partial(self._take, taken), self._skip)
            adopted += self._adopt(taken)
            if not proceeding():
                return
        if adopted:
            self._log.info("folder.adopted", pictures=adopted)
        if self._tried_again:
            self._log.info("folder.failures-not-adopted", pictures=self._tried_again)

    def _take(self, taken: list[Adopted], record: Record) -> None:
        one = self._adopted(record)
        if one is not None:
            taken.append(one)

    def _adopt(self, taken: list[Adopted]) -> int:
        """Take over all results; if one of them raises an unforeseen error, all but that one."""
        try:
            return self._sources.adopt(self._folder.name, taken)
        except Exception as error:
            if is_expected(error):
                raise
        counts: list[int] = []
        one_by_one(
            taken,
            lambda one: counts.append(self._sources.adopt(self._folder.name, [one])),
            lambda one, error: report(self._log, error, over="a record", path=one.version.path),
        )
        return sum(counts)

    def _skip(self, record: Record, error: Exception) -> None:
        """Skip a record over which we fail: its source is cut."""
        if isinstance(error, OSError):
            raise error
        report(self._log, error, over="a record", path=record.path)

    def _restore_originals(self) -> None:
        """Restore originals whose removal was begun by a daemon with another journal.

        Raises:
            OSError: the disk or share fails.
        """
        if restored := restore_interrupted(Tree(self._folder.input), self._rules.enters_directory):
            self._log.warning("originals.restored", paths=restored)

    def _adopted(self, record: Record) -> Adopted | None:
        """Return what to adopt from a record; of several records of a path, the latest counts."""
        if not self._rules.takes_file(record.path):
            return None
        state, detail = record.outcome()
        there = self._scan_file(record)
        is_this = there is not None and (there.size, there.mtime_ns) == (record.size, record.mtime_ns)
        if record.sha256 is None or (
            record.failure is not None and not self._is_rejected(record, is_this=is_this)
        ):
            self._tried_again += is_this
            return None
        return Adopted(
            version=Version(path=record.path, size=record.size, mtime_ns=record.mtime_ns),
            is_present=is_this and _is_later(record, self._ended),
            latest=record.failure is None and _is_later(record, self._published),
            # Where originals are moved or deleted, a file in the place of one is another picture.
            gone=there is None or (not is_this and self._folder.originals is not Originals.KEEP),
            state=state,
            sha256=record.sha256,
            image_sha256=record.image_sha256,
            at_us=record.at_us,
            published=record.published,
            claims=record.claims,
            detail=detail,
            correction=record.correction,
            options=record.options.text(),
        )

    def _is_rejected(self, record: Record, *, is_this: bool) -> bool:
        """Whether the record is a rejection of the picture that is there now.

        Raises:
            OSError: the disk or share fails.
        """
        if not (is_this and record.is_rejection) or record.size > self._left_bytes:
            return False
        self._left_bytes -= record.size
        with Tree(self._folder.input).entry(record.path) as entry:
            found = examine(entry)
        return found is not None and found.sha256 == record.sha256

    def _scan_file(self, record: Record) -> ScannedFile | None:
        try:
            return scan_file(self._root, record.path)
        except OSError as error:
            if error.errno in IMPOSSIBLE_NAME:
                return None
            raise


def _is_later(record: Record, times: dict[str, int]) -> bool:
    if record.at_us < times.get(record.path, -1):
        return False
    times[record.path] = record.at_us
    return True
