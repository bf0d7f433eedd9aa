"""What a picture that could not be cut leaves in the output folder: ``failed/IMG_0001.jpg.error.json``.

Schema ``cutoutd.error/1``: schema, job, folder, source {path, [path_bytes], bytes, mtime, [mtime_ns], [sha256]}, code, title, cause, advice,
attempts, at. It is there as long as the failure stands. This module must not touch the original.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cutoutd.publish.digest import examine
from cutoutd.publish.document import (
    encode,
    microseconds,
    path_fields,
    read,
    rfc3339,
    time_fields,
    true_ns,
    true_path,
)
from cutoutd.publish.faults import NameRefusedError, TargetTakenError, storage_faults
from cutoutd.publish.naming import FAILED, MARK, RECORD_SUFFIX, failure_names
from cutoutd.publish.rename import rename_new, replace
from cutoutd.publish.writing import DEFAULT_PERMISSIONS, Permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cutoutd.jobs import Failure
    from cutoutd.publish.directories import Directories
    from cutoutd.publish.refusals import Refusals
    from cutoutd.publish.staging import Staging

SCHEMA = "cutoutd.error/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureFacts:
    """All that a failure's record says.

    Attributes:
        path: of the source in the folder's input, with ``/`` between parts.
        bytes, mtime_ns: the version of the source, as accepted.
        sha256: of the source, if it could be read.
        attempts: how often the job was begun.
        at_us: when it was given up, UTC microseconds.
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


def compose_failure(facts: FailureFacts) -> bytes:
    """Write the record of a failure, as JSON in UTF-8."""
    failure = facts.failure
    known = {} if facts.sha256 is None else {"sha256": facts.sha256}
    document = {
        "schema": SCHEMA,
        "job": facts.job,
        "folder": facts.folder,
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
    """What a failure's record on the disk says.

    Attributes:
        folder, path: the source.
        bytes, mtime_ns: the version of the source.
        failure: code, title, cause and advice, as JSON gave them.
        at_us: UTC microseconds; 0 if it does not say so in a way that can be read.
    """

    folder: str
    path: str
    bytes: int
    mtime_ns: int
    failure: Mapping[str, str]
    at_us: int


def read_failure(path: Path) -> FailureRecord | None:
    """Read a failure's record back; None if none is there, or it does not say which version failed.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    document = read(path, SCHEMA)
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
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


class Failures:
    """The records of failures in one folder's output.

    Args:
        folder: its name.
        output: its output folder, absolute.
        staging: of this run, in the output folder.
        directories: of this folder.
        refusals: tell an error of a name from one of the disk.
        permissions: whom records belong to.
        portable: no record gets a name that Windows refuses.
    """

    def __init__(
        self,
        *,
        folder: str,
        output: Path,
        staging: Staging,
        directories: Directories,
        refusals: Refusals,
        permissions: Permissions = DEFAULT_PERMISSIONS,
        portable: bool = False,
    ) -> None:
        self._folder = folder
        self._output = output
        self._staging = staging
        self._directories = directories
        self._refusals = refusals
        self._permissions = permissions
        self._portable = portable

    def publish(self, facts: FailureFacts) -> str:
        """Leave a failure's record, in place of an older one of the same source.

        Returns:
            Its path in the output folder.

        Raises:
            NameRefusedError: the disk takes none of its names, or they all are a stranger's.
            StorageError: it cannot be written.
            TargetTakenError: a stranger's file took its name in this instant; call again.
        """
        staged = self._staging.path(f"{facts.job}.error.json")
        refused: NameRefusedError | None = None
        with storage_faults(self._output):
            self._staging.write(staged.name, compose_failure(facts), self._permissions)
            for path in self._names(facts.path):
                try:
                    give = partial(self._give_name, staged, self._output / path, facts.path)
                    if self._refusals.attempt(give, self._output / path):
                        return path
                except NameRefusedError as error:
                    refused = error
            staged.unlink(missing_ok=True)
        raise refused or NameRefusedError(
            "the failure's record has no name: other files have all of them", path=self._output / path
        )

    def _names(self, source: str) -> tuple[str, ...]:
        return failure_names(self._folder, source, portable=self._portable)

    def _give_name(self, staged: Path, target: Path, source: str) -> bool:
        """Give a record its name; False if a stranger's file has it."""
        is_new = examine(target) is None
        if not is_new and not self._belongs(target, source):
            return False
        self._directories.make(target.parent, self._output)
        if is_new:
            try:
                rename_new(staged, target)
            except FileExistsError:
                raise TargetTakenError("another file took the name", path=target) from None
        else:
            replace(staged, target)
        self._directories.sync([(target.parent, self._output)])
        return True

    def present(self, may_concern: Callable[[str], bool]) -> Iterator[FailureRecord]:
        """The folder's records that are there, but for those that cannot be read.

        Args:
            may_concern: whether a record of this source would be of interest; others are not read, as far as their
                names tell.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        root = self._output / FAILED
        with storage_faults(self._output):
            for path in sorted(root.rglob(f"*{RECORD_SUFFIX}")):
                source = path.relative_to(root).as_posix().removesuffix(RECORD_SUFFIX)
                if MARK not in path.name and not may_concern(source):
                    continue
                with suppress(PermissionError):
                    record = read_failure(path)
                    if record is not None and record.folder == self._folder:
                        yield record

    def clear(self, source: str) -> bool:
        """Remove the record of a source that is no longer failed; whether there was one.

        Raises:
            StorageError: it cannot be removed.
        """
        cleared = False
        with storage_faults(self._output):
            for path in failure_names(self._folder, source):  # whatever the setting was when it was written
                target = self._output / path
                if self._belongs(target, source):
                    target.unlink(missing_ok=True)
                    self._directories.sync([(target.parent, self._output)])
                    cleared = True
        return cleared

    def _belongs(self, target: Path, source: str) -> bool:
        """Whether a record of this source has the name; none has one that the disk does not take."""
        try:
            document = read(target, SCHEMA)
        except OSError as error:
            if self._refusals.is_of_name(error):
                return False
            raise
        try:
            return (
                document is not None
                and document["folder"] == self._folder
                and true_path(document["source"]) == source
            )
        except (KeyError, TypeError, ValueError):
            return False
