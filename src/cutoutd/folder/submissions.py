"""Takes submissions into a folder: each file is renamed to a free name in the input, and accepted at once.

    posted -> its name recorded -> renamed, synced -> accepted, with its options | refused

If it is interrupted at any point, the next run continues: a file that is not in the incoming directory any more has the name
that was recorded. Owned by the folder's monitor thread, which takes submissions before it looks at anything else, so that no
scan finds one first. This module must not decode anything.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd import file_signatures
from cutoutd.errnos import NO_WAY
from cutoutd.faults.isolation import is_expected, report, unforeseen
from cutoutd.fs.tree import Tree, file_id, parent_of
from cutoutd.intake import incoming
from cutoutd.intake.scan import scan_file, seen_as
from cutoutd.jobs import Version
from cutoutd.logs import get
from cutoutd.publish.naming import fitted, numbered, split_name
from cutoutd.publish.rename import rename_new

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.folder.scope import FolderScope
    from cutoutd.fs.tree import Entry
    from cutoutd.intake.scan import ScannedFile
    from cutoutd.journal.submissions import Submission, Submissions

TIDY_S: Final = 600.0
"""Seconds between two removals of leftovers and old requests."""

_NAMES: Final = 10_000
"""The most names that are tried."""

_USUAL_EXTENSIONS: Final = ("jpg", "png", "tif", "webp")
"""Of a name that the folder takes, for a picture whose suggested name it does not take; its format is told by its content."""

_PLAIN: Final = "picture"
_SEPARATOR: Final = re.compile(r"[/\\]")
_READ: Final = os.O_RDONLY | os.O_NONBLOCK


class SubmissionIntake:
    """The submissions of one folder, while it is open.

    Args:
        scope: the folder.
        submissions: the submissions in the journal.
    """

    def __init__(self, scope: FolderScope, submissions: Submissions) -> None:
        self._scope = scope
        self._folder = scope.name
        self._sources = scope.sources
        self._submissions = submissions
        self._log = get(folder=scope.name)
        self._tidied_s: float | None = None

    def take(self) -> list[str]:
        """Take all open submissions; returns the paths of the accepted ones, relative to the input.

        Raises:
            OSError: the folder cannot be worked on now; the rest is taken later.
            StorageError: the journal cannot be written; likewise.
        """
        taken: list[str] = []
        while some := self._submissions.pending(self._folder):
            taken += filter(None, map(self._take_isolated, some))
        return taken

    def tidy(self) -> None:
        """Remove files of broken-off uploads and forget old requests, every `TIDY_S`.

        Raises:
            OSError: the folder cannot be worked on now.
            StorageError: the journal cannot be written.
        """
        now_s = self._scope.clock.monotonic_s()
        if self._tidied_s is not None and now_s - self._tidied_s < TIDY_S:
            return
        self._tidied_s = now_s
        in_use = self._submissions.spools_in_use(self._folder)
        for name in incoming.sweep(Path(self._scope.root), in_use, self._scope.boundary()):
            self._log.info("submission.swept", spool=name)
        self._submissions.forget_old()

    def _take_isolated(self, submission: Submission) -> str | None:
        """Take one submission; an error over it or its file refuses it alone. Returns its path; None: it is refused."""
        try:
            return self._take(submission)
        except OSError as error:
            Path(self._scope.root).stat()  # raises if the whole folder cannot be read
            found = self._submissions.find(submission.key)
            if found is not None and found.path is not None and not self._lies_in_spool(found):
                raise  # it has its name, which could not be synced to the disk
            self._refuse(submission, f"its file cannot be used: {error.strerror}")
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a submission", key=submission.key)
            self._refuse(submission, unforeseen(error).cause)
        return None

    def _take(self, submission: Submission) -> str | None:
        if not incoming.is_name(submission.spool):
            self._refuse(submission, "its file has an invalid name", is_file_ours=False)
            return None
        path = self._renamed_before(submission)
        if path is None:
            if why := self._why_no_picture(submission):
                self._refuse(submission, why)
                return None
            path = self._rename(submission)
        if path is None:
            self._refuse(submission, f"the folder takes no file with a name such as {submission.name!r}")
            return None
        return self._accept(submission, path)

    def _accept(self, submission: Submission, path: str) -> str | None:
        seen = scan_file(self._scope.root, path, self._scope.boundary())
        if seen is None:
            self._refuse(submission, "its file was taken away")
            return None
        version = Version(
            path=seen.path,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            stamp=seen.stamp if self._scope.has_stamps else None,
        )
        job = self._sources.accept_submitted(self._folder, version, submission)
        if job is None:
            return None
        self._log.debug("submission.accepted", job=job, path=path)
        return path

    def _renamed_before(self, submission: Submission) -> str | None:
        """Return the name that the file already got in an interrupted run; None: it has none."""
        if submission.path is None:
            return None
        spooled, named = self._look(incoming.path_of(submission.spool)), self._look(submission.path)
        if named is None:
            return None
        if spooled is None:
            return submission.path
        with self._entries(submission, submission.path) as (source, target):
            if file_id(source.lstat()) != file_id(target.lstat()):
                return None  # another program has used that name
            source.unlink()  # a rename in two steps has left both names
            source.sync_directory()
        return submission.path

    def _why_no_picture(self, submission: Submission) -> str:
        """Return why a file is not to be taken; empty: it may be a picture."""
        spool = incoming.path_of(submission.spool)
        if self._look(spool) is None:
            return "its file is not there any more"
        with parent_of(self._scope.root, spool, self._scope.boundary()) as (directory, name):
            descriptor = os.open(name, _READ | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                if seen_as(spool, os.fstat(descriptor)) is None:
                    return "its file is not there any more"
                head = os.read(descriptor, file_signatures.HEAD_BYTES)
            finally:
                os.close(descriptor)
        kind, seems = file_signatures.kind(head, submission.name), file_signatures.seems_to_be(head)
        # The name alone proves nothing: the program chose it.
        is_none = kind is file_signatures.FileKind.OTHER or (
            kind is not file_signatures.FileKind.PICTURE and seems is not None
        )
        if not is_none:
            return ""
        return f"it is not a picture, but {seems}" if seems else "it is not a picture"

    def _rename(self, submission: Submission) -> str | None:
        """Give the file a free name that no published picture had; returns it, or None if there is none."""
        for path in self._free_names(submission):
            if submission.path != path:
                self._submissions.name(submission.key, path)
            with self._entries(submission, path) as (source, target):
                try:
                    rename_new(source, target)
                except FileExistsError:
                    continue
                target.sync_directory()
                source.sync_directory()
            return path
        return None

    def _free_names(self, submission: Submission) -> Iterator[str]:
        if submission.path is not None:
            yield submission.path
        wanted = plain_name(submission.name)
        stem, kind = split_name(wanted)
        # What the folder takes goes by its rules alone; the program was told that its picture is accepted, whatever its name.
        bases = (
            wanted,
            f"{_PLAIN}.{kind}" if kind else _PLAIN,
            *(f"{one}.{usual}" for one in (stem or _PLAIN, _PLAIN) for usual in _USUAL_EXTENSIONS),
        )
        base = next((one for one in bases if self._scope.rules.takes_file(one)), None)
        if base is None:
            return
        for path in islice(numbered(base), _NAMES):
            is_free = not self._sources.has(self._folder, path) and self._look(path) is None
            if is_free and self._scope.rules.takes_file(path):
                yield path

    def _refuse(self, submission: Submission, why: str, *, is_file_ours: bool = True) -> None:
        """Record the refusal first: a file that is left over is removed later."""
        self._submissions.refuse(submission.key, why)
        self._log.warning("submission.refused", name=submission.name, why=why)
        if is_file_ours:
            incoming.discard(Path(self._scope.root), submission.spool, self._scope.boundary())

    def _lies_in_spool(self, submission: Submission) -> bool:
        return self._look(incoming.path_of(submission.spool)) is not None

    def _look(self, path: str) -> ScannedFile | None:
        try:
            return scan_file(self._scope.root, path, self._scope.boundary())
        except OSError as error:
            if error.errno in NO_WAY:
                return None
            raise

    @contextmanager
    def _entries(self, submission: Submission, path: str) -> Iterator[tuple[Entry, Entry]]:
        """Open the entries of the file in the incoming directory and under its name."""
        tree = Tree(Path(self._scope.root), self._scope.boundary())
        with tree.entry(incoming.path_of(submission.spool)) as source, tree.entry(path) as target:
            yield source, target


def plain_name(text: str) -> str:
    """Return a file name made from a submitted one: its last part, without unprintable characters, and not too long."""
    last = _SEPARATOR.split(text)[-1]
    name = "".join(character for character in last if character.isprintable()).strip().strip(".")
    stem, kind = split_name(name or _PLAIN)
    return fitted(stem, f".{kind}" if kind else "")
