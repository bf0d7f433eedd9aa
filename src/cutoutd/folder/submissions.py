"""Takes submissions into a folder: each file is renamed to a free name in the input, and accepted at once.

    posted -> its name recorded -> renamed, synced -> accepted, with its options | refused

Those that wait share each step: one transaction, one sync of each directory. If it is interrupted at any point, the next run
continues: a file that is not in the incoming directory any more has the name that was recorded. A submission whose file meets
an error of the disk or the system is tried again, with back-off. Owned by the folder's monitor thread, which takes submissions
before it looks at anything else, so that no scan finds one first. This module must not decode anything.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from cutoutd.errnos import IMPOSSIBLE_NAME, NO_WAY
from cutoutd.faults.backoff import Backoff
from cutoutd.faults.isolation import is_expected, report, unforeseen
from cutoutd.file_signatures import HEAD_BYTES
from cutoutd.fs.tree import Tree, file_id, parent_of
from cutoutd.intake import incoming
from cutoutd.intake.scan import scan_file, seen_as
from cutoutd.jobs import Version
from cutoutd.journal.submissions import AT_ONCE
from cutoutd.logs import get
from cutoutd.publish.naming import fitted, numbered, split_name
from cutoutd.publish.rename import rename_new
from cutoutd.submission_refusals import GONE, INVALID, UNUSABLE, SubmissionRefusal, why_no_picture
from cutoutd.submitted_names import fitting_name, no_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from cutoutd.folder.scope import FolderScope
    from cutoutd.fs.tree import Entry
    from cutoutd.intake.scan import ScannedFile
    from cutoutd.journal.submissions import Submission, Submissions

TIDY_S: Final = 600.0
"""Seconds between two removals of leftovers and old requests."""

_NUMBERED: Final = 1_000
"""So many pictures with one name get numbers; the next ones get digits of their own, however many there are."""

_OF_THE_FILE: Final = IMPOSSIBLE_NAME | NO_WAY | {errno.EISDIR}
"""Errors that the same file would meet again. Others, such as a full disk or too many open files, pass."""

MISSING_S: Final = 3 * 86_400
"""How long after it was posted a submission waits for its file: another directory may be mounted in the folder's place."""

_READ: Final = os.O_RDONLY | os.O_NONBLOCK


Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedFile:
    """A submission and the name that it gets.

    Attributes:
        submission: the submission.
        path: path of its file, relative to the input.
        is_renamed: whether the file has that name already.
    """

    submission: Submission
    path: str
    is_renamed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RenamedFile:
    """A submission whose file has its name on the disk.

    Attributes:
        submission: the submission.
        version: the file.
    """

    submission: Submission
    version: Version


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
        self._delayed: dict[str, Backoff] = {}

    @property
    def some_are_delayed(self) -> bool:
        """Whether some submissions are to be tried again."""
        return bool(self._delayed)

    def take(self) -> list[str]:
        """Take all open submissions but those that are delayed; returns the paths of the accepted ones, relative to the input.

        Each round names all that wait now, and accepts those that the last round renamed, in one transaction.

        Raises:
            OSError: the folder cannot be worked on now; the rest is taken later.
            StorageError: the journal cannot be written; likewise.
        """
        taken: list[str] = []
        renamed: list[RenamedFile] = []
        occupied: set[str] = set()
        while True:
            now_s = self._scope.clock.monotonic_s()
            delayed = {key for key, backoff in self._delayed.items() if now_s < backoff.until_s}
            asked = delayed | {one.submission.key for one in renamed}
            some = self._submissions.pending(self._folder, limit=AT_ONCE + len(asked))
            waiting = [one for one in some if one.key not in asked]
            if not waiting and not renamed:
                return taken
            named = self._named(waiting, occupied)
            taken += self._written(renamed, named)
            renamed = self._renamed(named, occupied)

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

    def _isolated(self, submission: Submission, action: Callable[[], Value | None]) -> Value | None:
        """Do something about one submission; an error over it or its file delays or refuses it alone."""
        try:
            return action()
        except OSError as error:
            Path(self._scope.root).stat()  # raises if the whole folder cannot be read
            if error.errno not in _OF_THE_FILE:
                self._delay(submission, error.strerror or "")
                return None
            found = self._submissions.find(submission.key)
            if found is not None and found.path is not None and not self._is_in_spool(found):
                raise  # it has its name, and is looked at again
            self._refuse(submission, SubmissionRefusal.UNUSABLE, f"{UNUSABLE}: {error.strerror}")
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a submission", key=submission.key)
            self._refuse(submission, SubmissionRefusal.INTERNAL, unforeseen(error).cause)
        return None

    def _missing(self, submission: Submission) -> None:
        """Wait for a file that is not there, and refuse its submission in the end."""
        if self._scope.clock.now_us() - submission.posted_us < MISSING_S * 1_000_000:
            self._delay(submission, GONE)
        else:
            self._refuse(submission, SubmissionRefusal.GONE, GONE)

    def _delay(self, submission: Submission, why: str) -> None:
        """Have a submission tried again later: the program was told that its picture is accepted."""
        backoff = self._delayed.setdefault(submission.key, Backoff())
        if not backoff.failures:
            self._log.warning("submission.delayed", name=submission.name, why=why)
        backoff.failed(self._scope.clock.monotonic_s())

    def _named(self, waiting: Iterable[Submission], occupied: AbstractSet[str]) -> list[NamedFile]:
        """Choose a name for each submission, none of them twice; those that cannot be taken are refused."""
        chosen: dict[str, NamedFile] = {}
        for submission in waiting:
            choose = partial(self._choose, submission, occupied | chosen.keys())
            if (named := self._isolated(submission, choose)) is not None:
                chosen[named.path] = named
        return list(chosen.values())

    def _choose(self, submission: Submission, occupied: AbstractSet[str]) -> NamedFile | None:
        if not incoming.is_name(submission.spool):
            self._refuse(submission, SubmissionRefusal.UNUSABLE, INVALID, is_file_ours=False)
            return None
        if self._was_renamed(submission):
            return NamedFile(submission=submission, path=submission.path or "", is_renamed=True)
        if self._scan_file(incoming.path_of(submission.spool)) is None:
            self._missing(submission)
            return None
        if refusal := self._refusal(submission):
            self._refuse(submission, *refusal)
            return None
        path = next(
            (one for one in self._names(submission) if one not in occupied and self._is_free(one)), None
        )
        if path is None:
            self._refuse(submission, SubmissionRefusal.NAME, no_name(submission.name))
            return None
        return NamedFile(submission=submission, path=path)

    def _written(self, renamed: Sequence[RenamedFile], named: Sequence[NamedFile]) -> list[str]:
        """Write acceptances and names, all at once; one by one, if an unforeseen error over one of them prevents that.

        Returns:
            The accepted paths.
        """
        fresh = [one for one in named if one.path != one.submission.path]
        try:
            return self._accept(renamed, fresh)
        except Exception as error:
            if is_expected(error):
                raise
        taken: list[str] = []
        for file in renamed:
            taken += self._isolated(file.submission, partial(self._accept, [file], [])) or []
        for one in fresh:
            self._isolated(one.submission, partial(self._accept, [], [one]))
        return taken

    def _accept(self, renamed: Sequence[RenamedFile], named: Sequence[NamedFile]) -> list[str]:
        if not renamed and not named:
            return []
        jobs = self._sources.accept_submitted(
            self._folder,
            [(one.version, one.submission) for one in renamed],
            {one.submission.key: one.path for one in named},
        )
        accepted = [
            (job, one.version.path) for job, one in zip(jobs, renamed, strict=True) if job is not None
        ]
        for one in renamed:
            self._delayed.pop(one.submission.key, None)
        for job, path in accepted:
            self._log.debug("submission.accepted", job=job, path=path)
        return [path for _, path in accepted]

    def _renamed(self, named: Sequence[NamedFile], occupied: set[str]) -> list[RenamedFile]:
        """Rename files to the names that were recorded, and sync both directories.

        Args:
            named: the files and their names.
            occupied: gets the names that turn out to be taken; their files are named again in the next round.
        """
        moved = []
        for one in named:
            if one.is_renamed or self._isolated(one.submission, partial(self._rename, one)):
                moved.append(one)
            else:
                occupied.add(one.path)
        if moved:
            # Also for those that an earlier run renamed: it may have ended before it synced them.
            tree = Tree(Path(self._scope.root), self._scope.boundary())
            tree.sync("")
            with suppress(FileNotFoundError):
                tree.sync(incoming.DIRECTORY)
        found = [self._isolated(one.submission, partial(self._seen, one)) for one in moved]
        return [one for one in found if one is not None]

    def _seen(self, named: NamedFile) -> RenamedFile | None:
        seen = scan_file(self._scope.root, named.path, self._scope.boundary())
        if seen is None:
            self._missing(named.submission)
            return None
        version = Version(
            path=seen.path,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            stamp=seen.stamp if self._scope.has_stamps else None,
        )
        return RenamedFile(submission=named.submission, version=version)

    def _was_renamed(self, submission: Submission) -> bool:
        """Whether the file already got its name in an interrupted run."""
        if submission.path is None or self._sources.has(self._folder, submission.path):
            return False  # a file of that name that was accepted is another one
        spooled, named = self._scan_file(incoming.path_of(submission.spool)), self._scan_file(submission.path)
        if named is None:
            return False
        if spooled is None:
            return True
        with self._entries(submission, submission.path) as (source, target):
            if file_id(source.lstat()) != file_id(target.lstat()):
                return False  # another program has used that name
            source.unlink()  # a rename in two steps has left both names
        return True

    def _refusal(self, submission: Submission) -> tuple[SubmissionRefusal, str] | None:
        """Return why a file is not to be taken; None: it may be a picture."""
        spool = incoming.path_of(submission.spool)
        with parent_of(self._scope.root, spool, self._scope.boundary()) as (directory, name):
            descriptor = os.open(name, _READ | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                if seen_as(spool, os.fstat(descriptor)) is None:
                    return SubmissionRefusal.GONE, GONE
                head = os.read(descriptor, HEAD_BYTES)
            finally:
                os.close(descriptor)
        why = why_no_picture(head, submission.name)
        return (SubmissionRefusal.NO_PICTURE, why) if why else None

    def _rename(self, named: NamedFile) -> bool:
        """Give a file its name; returns False if that is taken."""
        with self._entries(named.submission, named.path) as (source, target):
            try:
                rename_new(source, target)
            except FileExistsError:
                return False
        return True

    def _names(self, submission: Submission) -> Iterator[str]:
        if submission.path is not None:
            yield submission.path
        base = fitting_name(self._scope.rules, submission.name)
        if base is not None:
            yield from islice(numbered(base), _NUMBERED)
            stem, kind = split_name(base)
            yield fitted(f"{stem}-{submission.spool}", f".{kind}" if kind else "")

    def _is_free(self, path: str) -> bool:
        """Whether a picture can get this name: the folder takes it, and no picture has it or had it."""
        return (
            not self._sources.has(self._folder, path)
            and self._scope.rules.takes_file(path)
            and self._scan_file(path) is None
        )

    def _refuse(
        self, submission: Submission, refusal: SubmissionRefusal, why: str, *, is_file_ours: bool = True
    ) -> None:
        """Record the refusal first: a file that is left over is removed later."""
        self._submissions.refuse(submission.key, refusal, why)
        self._delayed.pop(submission.key, None)
        self._log.warning("submission.refused", name=submission.name, code=refusal, why=why)
        if is_file_ours:
            incoming.discard(Path(self._scope.root), submission.spool, self._scope.boundary())

    def _is_in_spool(self, submission: Submission) -> bool:
        return self._scan_file(incoming.path_of(submission.spool)) is not None

    def _scan_file(self, path: str) -> ScannedFile | None:
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
