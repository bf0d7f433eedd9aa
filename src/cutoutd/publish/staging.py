"""The directory in which results lie, whole and synced, until they get their names.

It is inside the output folder, so that a rename never leaves the file system, and has two sub-folders for each
run of the daemon, so that what a dead run left is known by its place: one with a directory for each job that a worker
has, and one to which a result is moved when it is taken over. No worker reaches either: it is given the opened files of its
job. This module must not know which runs are dead or which files a plan still needs: both are told to it.

It is ours alone, or not entered. Whoever can write in the output may put a directory of theirs in its place, or one that they
cannot change but can move, and would have files removed, renamed or made legible that are not ours. What we make there is
this user's, and nobody else can write in it (mode 0700), or move it to another parent (rename(2)).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.fs.tree import Tree
from cutoutd.publish.writing import DEFAULT_PERMISSIONS, Permissions, WrittenFile, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Entry

STAGING_NAME = ".cutoutd-staging"
_OWN = ".own"  # what the supervisor stages, and has taken over: no worker has had it open
_PRIVATE = 0o700  # until a result has its name it is nobody else's business

KEPT_S: Final = 60.0
"""How long what was seen of a file system counts: another disk may be mounted in the same place."""

_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_NOT_OURS: Final = "others can write in it, or it belongs to somebody else; move it away"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """How a file looks that we make there.

    Attributes:
        user: its owner's id; another than ours where a share says so.
        has_modes: that it is private is kept. FAT and many shares keep nothing.
        seen_s: when, in monotonic seconds.
    """

    user: int
    has_modes: bool
    seen_s: float


_made: dict[Path, _Made] = {}


@dataclass(frozen=True, slots=True)
class Private:
    """A boundary of `cutoutd.fs.tree`: only directories that are ours are entered.

    Attributes:
        root: the output that they lie in.
    """

    root: Path

    def check_root(self, directory: int) -> None:
        """The output itself may be anybody's."""

    def check_path(self, path: str) -> None:
        """A name alone tells nothing."""

    def check_directory(self, directory: int, path: str) -> None:
        """See that an open directory is ours.

        Args:
            directory: its descriptor.
            path: relative to the root.

        Raises:
            NotADirectoryError: it is not.
            OSError: it cannot be told.
        """
        status = os.fstat(directory)
        is_shut = not status.st_mode & _OTHERS
        if is_shut and status.st_uid == os.geteuid():
            return
        made = self._made()
        if made.has_modes and not (is_shut and status.st_uid == made.user):
            raise NotADirectoryError(errno.ENOTDIR, _NOT_OURS, os.fspath(self.root / path))

    def _made(self) -> _Made:
        known = _made.get(self.root)
        if known is None or time.monotonic() > known.seen_s + KEPT_S:
            known = _made[self.root] = _tried(self.root)
        return known


def result_name(job: int, number: int, extension: str) -> str:
    """What a worker calls the ``number``-th result of a job while it is staged."""
    return f"{job}-{number}.{extension}"


def job_directory(job: int) -> str:
    """A name for the directory of one attempt at a job: known by the job, and never used before."""
    return f"{job}-{secrets.token_hex(8)}"


class Staging:
    """One run's staging directory in one folder.

    Each call raises an OSError where the disk or share does not answer as it should.

    Args:
        root: the output or sidecar folder; it must exist when ``open`` is called.
        run: the id of this run of the daemon.
        own: the supervisor's own, beside the one that has the jobs' directories.
        job: of `job_directory`: that directory in it; empty: itself.
    """

    def __init__(self, root: Path, run: str, *, own: bool = False, job: str = "") -> None:
        name = f"{run}{_OWN}" if own else run
        name = f"{name}/{job}" if job else name
        self.tree = Tree(root, Private(root))
        self.directory = root / STAGING_NAME / name
        self._below = f"{STAGING_NAME}/{name}"

    def open(self) -> None:
        """Make the directory; the root itself is never made, as it may be a share that is not there now.

        Raises:
            NotADirectoryError: a link, a file or a directory that is not ours stands in its place.
            OSError: the root is not there or cannot be written to.
        """
        self.tree.make(self._below, mode=_PRIVATE)
        with self.tree.open(self._below):
            pass  # it may have been there, and be somebody else's

    def of_job(self, job: str) -> Staging:
        """The directory of one attempt at a job; itself for an empty name."""
        return Staging(self.tree.root, self.directory.name, job=job) if job else self

    def open_fresh(self) -> None:
        """Make the directory, which must not be there yet, in one that is.

        Raises:
            FileExistsError: it is there.
            OSError: it cannot be made.
        """
        with self.tree.entry(self._below) as entry, entry.named():
            os.mkdir(entry.name, _PRIVATE, dir_fd=entry.directory)

    def remove_whole(self) -> None:
        """Remove the directory and all that is in it, as far as the disk lets us; the sweep of the next start does the rest."""
        with suppress(OSError):
            _remove_flat(self.tree, self._below)

    def names(self) -> list[str]:
        """Of the files in it."""
        return self.tree.list(self._below)[1]

    def path(self, name: str) -> Path:
        """Where a staged file of this name lies."""
        return self.directory / name

    @contextmanager
    def entry(self, name: str) -> Iterator[Entry]:
        """Reach a staged file."""
        with self.tree.entry(f"{self._below}/{name}") as entry:
            yield entry

    @contextmanager
    def find(self, name: str) -> Iterator[Entry | None]:
        """Reach a staged file; None if the directory is not there."""
        with self.tree.find(f"{self._below}/{name}") as entry:
            yield entry

    def write(self, name: str, content: bytes, permissions: Permissions = DEFAULT_PERMISSIONS) -> WrittenFile:
        """Stage a file of ours; see ``write_whole``.

        Raises:
            OSError: the disk refused it; nothing is left.
        """
        with self.entry(name) as entry:
            return write_whole(entry, content, permissions)

    def remove(self, name: str) -> None:
        """Remove a staged file, if it is there."""
        with self.find(name) as entry:
            if entry is not None:
                entry.unlink(missing_ok=True)

    def discard(self, job: int) -> None:
        """Remove whatever one job has staged."""
        try:
            directories, others = self.tree.list(self._below)
        except FileNotFoundError:
            return
        for name in (*directories, *others):
            if name.startswith((f"{job}-", f"{job}.")):
                _remove(self.tree, f"{self._below}/{name}", is_directory=name in directories)

    def close(self) -> None:
        """Remove the directory if nothing is left in it, and its parent if no other run has one."""
        for directory in (self._below, STAGING_NAME):
            self.tree.remove_directory(directory)


def sweep(root: Path, *, is_dead: Callable[[str], bool], needed: Collection[str]) -> tuple[Path, ...]:
    """Remove what dead runs left in a folder's staging directory.

    A run that the caller does not know for dead is left alone: another machine may work on the same share.

    Args:
        root: the output or sidecar folder.
        is_dead: whether a run of this id has ended; asked once for each.
        needed: absolute paths of staged files that a plan still names.

    Returns:
        What was removed.

    Raises:
        OSError: the disk or share does not answer as it should.
    """
    tree = Tree(root, Private(root))
    try:
        runs, _ = tree.list(STAGING_NAME)
    except FileNotFoundError:
        return ()
    except NotADirectoryError:
        return ()  # a link, a file or another's directory: nothing of ours is there
    removed: list[Path] = []
    for run in runs:
        if is_dead(run.removesuffix(_OWN)):
            removed += _clear(tree, f"{STAGING_NAME}/{run}", needed)
    tree.remove_directory(STAGING_NAME)
    return tuple(removed)


def _clear(tree: Tree, run: str, needed: Collection[str]) -> Iterator[Path]:
    directories, others = tree.list(run)
    for name in sorted((*directories, *others)):
        path = tree.root / run / name
        if os.fspath(path) in needed:
            continue
        _remove(tree, f"{run}/{name}", is_directory=name in directories)
        yield path
    tree.remove_directory(run)  # a file that is still needed keeps it


def _remove(tree: Tree, path: str, *, is_directory: bool) -> None:
    if is_directory:
        _remove_flat(tree, path)
        return
    with tree.entry(path) as entry:
        entry.unlink(missing_ok=True)


def _remove_flat(tree: Tree, directory: str) -> None:
    """Remove a directory and the files in it; one that has others in it was not made by us, and stays with them.

    Raises:
        OSError: it cannot be removed.
    """
    directories, others = tree.list(directory)
    if not directories:
        for name in others:
            _remove(tree, f"{directory}/{name}", is_directory=False)
        tree.remove_directory(directory)


def _tried(root: Path) -> _Made:
    """Make a file, look at that very one, and remove it.

    Raises:
        OSError: it cannot be made.
    """
    with Tree(root).entry(f".cutoutd-trial-{secrets.token_hex(8)}") as entry:
        descriptor = entry.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
            entry.unlink(missing_ok=True)
    return _Made(
        user=status.st_uid,
        has_modes=stat.S_IMODE(status.st_mode) == 0o600,  # noqa: PLR2004 -- as it was asked for
        seen_s=time.monotonic(),
    )
