"""The staging directory, in which results are kept, complete and synced, until they get their names.

It is inside the output folder, so that a rename never crosses file systems. Each session of the daemon has two sub-folders, by
which leftovers of an ended one are recognised: one contains a directory for each job that a worker has; a result moves to the
other when it is taken over. No worker reaches either: workers get the opened files of their jobs. This module must not know which
sessions have ended or which files a plan needs: the caller passes both in.

The directory is entered only if it is ours. Someone who can write in the output may put a directory in its place, or move one
there that they cannot change, and so have files removed, renamed or made readable that are not ours. A directory that we create
belongs to this user, and no other user can write in it (mode 0700), or move it to another parent (rename(2)).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import NO_WAY
from cutoutd.fs.tree import Tree
from cutoutd.publish.writing import DEFAULT_PERMISSIONS, Permissions, WrittenFile, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Entry

STAGING_NAME = ".cutoutd-staging"
_OWN = ".own"  # the supervisor's files, and those it has taken over: no worker has them open
_PRIVATE = 0o700  # no other user may read a result before it has its name

KEPT_S: Final = 60.0
"""How long the observed properties of a file system are reused: another disk may be mounted there later."""

_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_NOT_OURS: Final = "other users can write in it, or it belongs to another user; move it away"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """The properties of a file that we create in a directory.

    Attributes:
        user: id of its owner; on a share it may differ from ours.
        has_modes: whether a private mode is kept; FAT and many shares keep none.
        seen_s: when this was observed, in monotonic seconds.
    """

    user: int
    has_modes: bool
    seen_s: float


_made: dict[Path, _Made] = {}


@dataclass(frozen=True, slots=True)
class Private:
    """A boundary of `cutoutd.fs.tree`: only directories that are ours may be entered.

    Attributes:
        root: the output that contains them.
    """

    root: Path

    def check_root(self, directory: int) -> None:
        """Accept any root: the output itself may belong to anybody."""

    def check_path(self, path: str) -> None:
        """Accept any path: a name alone proves nothing."""

    def check_directory(self, directory: int, path: str) -> None:
        """Check that an open directory is ours.

        Args:
            directory: descriptor of the directory.
            path: its path, relative to the root.

        Raises:
            NotADirectoryError: it is not ours.
            OSError: it cannot be found out.
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
            known = _made[self.root] = _probe(self.root)
        return known


def result_name(job: int, number: int, extension: str) -> str:
    """Return the staged name of a job's ``number``-th result."""
    return f"{job}-{number}.{extension}"


def job_directory(job: int) -> str:
    """Return a new name for the directory of one attempt at a job, which contains the job's id and is never reused."""
    return f"{job}-{secrets.token_hex(8)}"


@dataclass(slots=True)
class LeftOver:
    """What could not be removed, by an error of the disk, and is to be removed when it works again.

    Attributes:
        paths: paths relative to the root, and whether each is a directory.
        jobs: ids of jobs whose files could not be listed.
    """

    paths: dict[str, bool] = field(default_factory=dict)
    jobs: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.paths or self.jobs)


class Staging:
    """One session's staging directory in one folder.

    Each method raises OSError if the disk or share fails.

    Args:
        root: the output or sidecar folder; it must exist when ``open`` is called.
        run: id of this session of the daemon.
        own: whether it is the supervisor's own directory, beside the one with the jobs' directories.
        job: name of a directory in it, from `job_directory`; empty: the directory itself.
        left_over: collects what could not be removed; None: a new one.

    Attributes:
        left_over: what could not be removed, here and in the directories of jobs.
    """

    def __init__(
        self, root: Path, run: str, *, own: bool = False, job: str = "", left_over: LeftOver | None = None
    ) -> None:
        name = f"{run}{_OWN}" if own else run
        name = f"{name}/{job}" if job else name
        self.tree = Tree(root, Private(root))
        self.directory = root / STAGING_NAME / name
        self._below = f"{STAGING_NAME}/{name}"
        self.left_over = LeftOver() if left_over is None else left_over

    def open(self) -> None:
        """Create the directory; the root itself is never created, as it may be a share that is not mounted.

        Raises:
            NotADirectoryError: a link, a file or a directory that is not ours has its name.
            OSError: the root is missing, or cannot be written to.
        """
        self.tree.make(self._below, mode=_PRIVATE)
        with self.tree.open(self._below):
            pass  # checked, since it may have existed before and be another user's

    def of_job(self, job: str) -> Staging:
        """Return the directory of one attempt at a job; this directory for an empty name."""
        if not job:
            return self
        return Staging(self.tree.root, self.directory.name, job=job, left_over=self.left_over)

    def open_fresh(self) -> None:
        """Create the directory, which must not exist yet, in its existing parent.

        Raises:
            FileExistsError: it exists.
            OSError: it cannot be created.
        """
        with self.tree.entry(self._below) as entry, entry.named():
            os.mkdir(entry.name, _PRIVATE, dir_fd=entry.directory)

    def remove_whole(self) -> None:
        """Remove the directory with its files, as far as the disk allows; see `remove_left_over`."""
        with suppress(OSError):
            self._remove(self._below, is_directory=True)

    def remove_left_over(self) -> None:
        """Remove what could not be removed before, as far as the disk allows now."""
        for path, is_directory in tuple(self.left_over.paths.items()):
            with suppress(OSError):
                self._remove(path, is_directory=is_directory)
        for job in tuple(self.left_over.jobs):
            with suppress(OSError):
                self.discard(job)

    def _remove(self, path: str, *, is_directory: bool) -> None:
        """Remove a file or a directory, and remember one that cannot be removed.

        Raises:
            OSError: it cannot be removed.
        """
        try:
            _remove(self.tree, path, is_directory=is_directory)
        except OSError as error:
            if error.errno not in NO_WAY:
                self.left_over.paths[path] = is_directory
                raise
        self.left_over.paths.pop(path, None)

    def names(self) -> list[str]:
        """Return the names of the files in it."""
        return self.tree.list(self._below)[1]

    def path(self, name: str) -> Path:
        """Return the path of a staged file."""
        return self.directory / name

    @contextmanager
    def entry(self, name: str) -> Iterator[Entry]:
        """Open the entry of a staged file."""
        with self.tree.entry(f"{self._below}/{name}") as entry:
            yield entry

    @contextmanager
    def find(self, name: str) -> Iterator[Entry | None]:
        """Open the entry of a staged file; None if the directory does not exist."""
        with self.tree.find(f"{self._below}/{name}") as entry:
            yield entry

    def write(self, name: str, content: bytes, permissions: Permissions = DEFAULT_PERMISSIONS) -> WrittenFile:
        """Write a staged file; see ``write_whole``.

        Raises:
            OSError: the disk refuses; what it does not let us remove is left over.
        """
        path = f"{self._below}/{name}"
        try:
            with self.entry(name) as entry:
                written = write_whole(entry, content, permissions)
        except OSError:
            self.left_over.paths[path] = False
            raise
        self.left_over.paths.pop(path, None)
        return written

    def remove(self, name: str) -> None:
        """Remove a staged file, if it exists."""
        self._remove(f"{self._below}/{name}", is_directory=False)

    def discard(self, job: int) -> None:
        """Remove all staged files of one job."""
        self.left_over.jobs.add(job)
        try:
            directories, others = self.tree.list(self._below)
        except FileNotFoundError:
            directories, others = [], []
        self.left_over.jobs.discard(job)
        first: OSError | None = None
        for name in (*directories, *others):
            if name.startswith((f"{job}-", f"{job}.")):
                try:
                    self._remove(f"{self._below}/{name}", is_directory=name in directories)
                except OSError as error:
                    first = first or error
        if first is not None:
            raise first

    def close(self) -> None:
        """Remove the directory if it is empty, and its parent if no other session has a directory there."""
        for directory in (self._below, STAGING_NAME):
            self.tree.remove_directory(directory)


def sweep(root: Path, *, is_dead: Callable[[str], bool]) -> tuple[Path, ...]:
    """Remove what ended sessions left in a folder's staging directory.

    A session that the caller does not know to have ended is left alone: another machine may work on the same share.

    Args:
        root: the output or sidecar folder.
        is_dead: whether the session with an id has ended; called once for each.

    Returns:
        The removed paths.

    Raises:
        OSError: the disk or share fails.
    """
    tree = Tree(root, Private(root))
    try:
        runs, _ = tree.list(STAGING_NAME)
    except FileNotFoundError:
        return ()
    except NotADirectoryError:
        return ()  # a link, a file or another user's directory: nothing of ours is there
    removed: list[Path] = []
    for run in runs:
        if is_dead(run.removesuffix(_OWN)):
            removed += _clear(tree, f"{STAGING_NAME}/{run}")
    tree.remove_directory(STAGING_NAME)
    return tuple(removed)


def _clear(tree: Tree, run: str) -> Iterator[Path]:
    directories, others = tree.list(run)
    for name in sorted((*directories, *others)):
        _remove(tree, f"{run}/{name}", is_directory=name in directories)
        yield tree.root / run / name
    tree.remove_directory(run)


def _remove(tree: Tree, path: str, *, is_directory: bool) -> None:
    if is_directory:
        _remove_flat(tree, path)
        return
    with tree.entry(path) as entry:
        entry.unlink(missing_ok=True)


def _remove_flat(tree: Tree, directory: str) -> None:
    """Remove a directory and its files; one with sub-directories is not ours, and stays with its files.

    Raises:
        OSError: it cannot be removed.
    """
    directories, others = tree.list(directory)
    if not directories:
        for name in others:
            _remove(tree, f"{directory}/{name}", is_directory=False)
        tree.remove_directory(directory)


def _probe(root: Path) -> _Made:
    """Create a temporary file, stat it through its descriptor, and remove it.

    Raises:
        OSError: it cannot be created.
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
