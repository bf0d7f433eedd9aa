"""The record of a failed picture in the output folder: ``failed/IMG_0001.jpg.error.json``.

Schema ``cutoutd.error/1``: schema, job, folder, [folder_id], source {path, [path_bytes], bytes, mtime, [mtime_ns], [sha256]},
code, title, cause, advice, attempts, at. It exists as long as the failure holds. This module must not touch the original.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.clock import rfc3339
from cutoutd.errnos import NO_WAY
from cutoutd.publish.document import (
    encode,
    marker_of,
    microseconds,
    path_fields,
    read,
    time_fields,
    true_ns,
    true_path,
)
from cutoutd.publish.faults import NameRefusedError, TargetTakenError, storage_faults
from cutoutd.publish.naming import FAILED, MARK, RECORD_SUFFIX, failure_names
from cutoutd.publish.rename import rename_new
from cutoutd.publish.verified import PRIVATE, Removal, remove, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cutoutd.fs.tree import Entry, Tree
    from cutoutd.jobs import Failure
    from cutoutd.publish.places import Places

SCHEMA = "cutoutd.error/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureFacts:
    """The contents of a failure record.

    Attributes:
        path: path of the source in the folder's input, with ``/`` between parts.
        marker: UUID of the folder's marker; empty: it has none.
        bytes, mtime_ns: the version of the source, as accepted.
        sha256: SHA-256 of the source; None: it could not be read.
        attempts: number of times the job was started, this time included.
        at_us: when it failed, UTC microseconds.
    """

    job: int
    folder: str
    path: str
    bytes: int
    mtime_ns: int
    sha256: str | None
    failure: Failure
    attempts: int
    at_us: int
    marker: str = ""


def compose_failure(facts: FailureFacts) -> bytes:
    """Return a failure record as JSON in UTF-8."""
    failure = facts.failure
    known = {} if facts.sha256 is None else {"sha256": facts.sha256}
    document = {
        "schema": SCHEMA,
        "job": facts.job,
        "folder": facts.folder,
        **({"folder_id": facts.marker} if facts.marker else {}),
        "source": {
            **path_fields(facts.path),
            "bytes": facts.bytes,
            **time_fields("mtime", facts.mtime_ns),
            **known,
        },
        "code": failure.code,
        "title": failure.title,
        "cause": failure.cause,
        "advice": failure.advice,
        "attempts": facts.attempts,
        "at": rfc3339(facts.at_us),
    }
    return encode(document)


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRecord:
    """A failure record as read from the disk.

    Attributes:
        folder, path: name of the folder, and path of the source.
        marker: UUID of the folder's marker; empty: the record has none.
        bytes, mtime_ns: the version of the source.
        failure: code, title, cause and advice.
        at_us: when it failed, UTC microseconds; 0: the record has no valid time.
        sha256: SHA-256 of the source's bytes; empty: the record has none.
    """

    folder: str
    path: str
    bytes: int
    mtime_ns: int
    failure: Mapping[str, str]
    at_us: int
    marker: str = ""
    sha256: str = ""


def read_failure(entry: Entry) -> FailureRecord | None:
    """Read a failure record; returns None if there is none, or it does not identify the version that failed.

    Raises:
        OSError: the disk or share fails.
    """
    document = read(entry, SCHEMA)
    if document is None:
        return None
    try:
        source = document["source"]
        return FailureRecord(
            folder=str(document["folder"]),
            path=true_path(source),
            bytes=int(source["bytes"]),
            mtime_ns=true_ns(source, "mtime"),
            failure={key: str(document[key]) for key in ("code", "title", "cause", "advice")},
            at_us=microseconds(document.get("at")),
            marker=marker_of(document),
            sha256=str(source.get("sha256", "")),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """The failure records in one folder's output.

    Attributes:
        places: the folder's places.
    """

    places: Places

    def publish(self, facts: FailureFacts) -> str:
        """Write a failure record, in place of an older one of the same source.

        Returns:
            Its path in the output folder.

        Raises:
            NameRefusedError: the disk refuses all of its names, or other files have them.
            StorageError: it cannot be written.
            TargetTakenError: another file took its name at this moment; call again.
        """
        name = f"{facts.job}.error.json"
        refused: NameRefusedError | None = None
        with storage_faults(self.places.output.root):
            self.places.own.write(name, compose_failure(facts), self.places.access.while_staged(facts.path))
            for path in self._names(facts.path):
                try:
                    give = partial(self._give_name, name, path, facts.path)
                    if self.places.refusals.attempt(give, self.places.output.root / path):
                        return path
                except NameRefusedError as error:
                    refused = error
            self.places.own.remove(name)
        raise refused or NameRefusedError(
            "there is no free name for the record of the failure: other files have all of them",
            path=self.places.output.root / path,
        )

    def _names(self, source: str) -> tuple[str, ...]:
        return failure_names(self.places.identity.name, source, portable=self.places.portable)

    def _give_name(self, name: str, path: str, source: str) -> bool:
        """Give a record its name; returns False if another program's file has it."""
        directory, _, _ = path.rpartition("/")
        is_ours = partial(self._belongs, source=source)
        with self.places.output.find(path) as target:
            is_new = target is None or not target.exists()
            if not is_new and target is not None and not is_ours(target):
                return False
        self.places.directories.make(self.places.output, directory)
        with self.places.own.entry(name) as staged, self.places.output.entry(path) as target:
            self.places.access.fit(staged, target)
            try:
                if is_new:
                    rename_new(staged, target)
                is_named = is_new or replace(staged, target, is_ours)
            except FileExistsError:
                is_named = False
            if not is_named:
                raise TargetTakenError("another file took the name", path=target.path)
        self.places.directories.sync([(self.places.output, directory)])
        return True

    def present(self, may_concern: Callable[[str], bool]) -> Iterator[FailureRecord]:
        """Yield the folder's records, without unreadable ones.

        Args:
            may_concern: whether the record of a source is of interest; as far as names show the source, other records are not
                read.

        Raises:
            StorageError: the disk or share fails.
        """
        with storage_faults(self.places.output.root):
            for path in _records_below(self.places.output, FAILED):
                source = path.removeprefix(f"{FAILED}/").removesuffix(RECORD_SUFFIX)
                name = path.rpartition("/")[2]
                # The name shows no source if it was shortened, or if a removal was interrupted.
                if MARK not in name and not name.startswith(PRIVATE) and not may_concern(source):
                    continue
                with suppress(PermissionError), self.places.output.find(path) as entry:
                    record = read_failure(entry) if entry is not None else None
                    if record is not None and self.places.owns(record.folder, record.marker):
                        yield record

    def clear(self, source: str) -> bool:
        """Remove the record of a source that does not fail any more; returns whether there was one.

        Raises:
            StorageError: it cannot be removed.
        """
        cleared = False
        with storage_faults(self.places.output.root):
            # Under any setting with which it may have been written, and any name of the folder.
            names = (failure_names(name, source) for name in sorted(self.places.identity.names))
            for path in dict.fromkeys(itertools.chain.from_iterable(names)):
                if self._clear(path, source):
                    self.places.directories.sync([(self.places.output, path.rpartition("/")[0])])
                    cleared = True
        return cleared

    def _clear(self, path: str, source: str) -> bool:
        try:
            with self.places.output.find(path) as entry:
                is_ours = partial(self._belongs, source=source)
                return entry is not None and remove(entry, is_ours) is Removal.REMOVED
        except OSError as error:
            if self.places.refusals.is_of_name(error):
                return False  # the disk refuses this name, so there is no such record
            raise

    def _belongs(self, entry: Entry, source: str) -> bool:
        """Whether the record of this source has the name."""
        try:
            document = read(entry, SCHEMA)
        except OSError as error:
            if self.places.refusals.is_of_name(error):
                return False
            raise
        try:
            return (
                document is not None
                and self.places.owns(str(document["folder"]), marker_of(document))
                and true_path(document["source"]) == source
            )
        except (KeyError, TypeError, ValueError):
            return False


def _records_below(tree: Tree, root: str) -> Iterator[str]:
    """Yield the paths with a record's suffix; missing and unreadable directories are skipped."""
    waiting = [root]
    while waiting:
        below = waiting.pop()
        try:
            directories, others = tree.list(below)
        except OSError as error:
            if error.errno not in NO_WAY and not isinstance(error, PermissionError):
                raise
            if not tree.root.is_dir():
                raise
            continue
        waiting += [f"{below}/{name}" for name in reversed(directories)]
        yield from (f"{below}/{name}" for name in others if name.endswith(RECORD_SUFFIX))
