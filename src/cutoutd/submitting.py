"""Submits a picture to a hot folder, whether its daemon runs or not: a complete file in the input, and a request in the journal.

    with incoming.new_file(root) as file:
        ...                                      # write to file.descriptor
        wanted = Submission(key=..., folder=..., spool=file.name, name=..., options=...)
        submission = submit(store, clock, root, file, wanted)

After it returns, the picture cannot be lost: the daemon takes it now, or when it starts. `Submissions.find(key)` returns the
state of the request, and its job is then an ordinary one. For other processes than the daemon; it must not wait.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.errors import StorageError
from cutoutd.intake import incoming
from cutoutd.journal.folders import Folders
from cutoutd.journal.submissions import Submissions
from cutoutd.journal.wake import wake
from cutoutd.lease import marker

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.intake.incoming import SpoolFile
    from cutoutd.journal.store import Store
    from cutoutd.journal.submissions import Submission


class FolderReplacedError(StorageError):
    """Another directory is in the folder's place: what is written there now would not be found once the right one is back."""

    title = "The folder is not there"
    advice = "Connect its disk or share. `cutoutd status` says what to do if this is its new place."


@dataclass(kw_only=True, slots=True)
class WaitingPost:
    """A submission whose thread waits until it is posted.

    Attributes:
        wanted: the submission.
        held: the request under its key; None: it is not posted.
        refused: why it is not posted.
    """

    wanted: Submission
    held: Submission | None = None
    refused: Exception | None = None


class SubmissionGroup:
    """Posts the submissions of several threads: those that come while one is being written share the next transaction.

    A transaction takes as long as the disk, and each thread would wait for those of all others.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: list[WaitingPost] = []

    @property
    def waiting(self) -> int:
        """How many submissions wait for the transaction under way."""
        return len(self._waiting)

    def post(self, submissions: Submissions, wanted: Submission) -> Submission:
        """Post a submission, and those of other threads that wait; see `Submissions.post`.

        Args:
            submissions: the submissions in the journal, as this thread has opened it.
            wanted: this thread's submission.
        """
        own = WaitingPost(wanted=wanted)
        with self._lock:
            self._waiting.append(own)
        with self._turn:
            if own.held is None and own.refused is None:
                with self._lock:
                    group, self._waiting = self._waiting, []
                _post_group(submissions, group)
        if own.held is None:
            assert own.refused is not None  # noqa: S101 -- one of both
            raise own.refused
        return own.held


def submit(
    store: Store,
    clock: Clock,
    root: Path,
    file: SpoolFile,
    wanted: Submission,
    group: SubmissionGroup | None = None,
) -> Submission:
    """Sync a file to the disk and submit it.

    Args:
        store: the journal's file.
        clock: clock for the time that is written.
        root: path of the folder's input.
        file: the complete picture.
        wanted: the submission, of this file. A second one with the same key is the first one, and its file is removed: the caller
            compares the digests.
        group: shares transactions with other threads; None: it gets one of its own.

    Returns:
        The request under the key.

    Raises:
        FolderReplacedError: another directory is in the folder's place.
        OSError: the folder's disk or share refuses.
        StorageError: the journal cannot be written.
        ValueError: the key is empty or too long.
    """
    incoming.settle(root, file)
    check_place(store, clock, root, wanted.folder, file)
    submissions = Submissions(store, clock)
    holds = submissions.post(wanted) if group is None else group.post(submissions, wanted)
    if store.path is not None:
        wake(store.path.parent)
    if holds.spool != file.name:
        with suppress(OSError):  # it is swept later
            incoming.discard(root, file.name)
    return holds


def check_place(store: Store, clock: Clock, root: Path, folder: str, file: SpoolFile | None = None) -> None:
    """Check that a directory is the folder that the journal knows, by its marker.

    Args:
        store: the journal's file.
        clock: clock of this machine.
        root: path of the folder's input.
        folder: name of the folder.
        file: a file that is to be found there; None: none.

    Raises:
        FolderReplacedError: it is another directory, or the file lies in another one.
        OSError: the folder's disk or share refuses.
        StorageError: the marker is damaged, or the journal cannot be read.
    """
    known = Folders(store, clock).recall(folder)
    if known is None or known.read_only or known.input != os.fspath(root):
        return  # the daemon has not seen it yet
    with marker.opened(known.input) as directory:
        there = marker.read_in(directory, known.input)
        is_there = there is not None and there.uuid == known.marker
        if is_there and file is not None:
            is_there = _is_in(directory, file)
    if not is_there:
        raise FolderReplacedError("another directory is in its place", path=root)


def _is_in(directory: int, file: SpoolFile) -> bool:
    try:
        found = os.stat(incoming.path_of(file.name), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(file.descriptor))


def _post_group(submissions: Submissions, group: list[WaitingPost]) -> None:
    """Post all; one by one, if an error over one of them prevents that."""
    try:
        for one, held in zip(group, submissions.post_all([one.wanted for one in group]), strict=True):
            one.held = held
    except StorageError as error:
        for one in group:
            one.refused = error
    except Exception as error:  # noqa: BLE001 -- raised in the thread whose submission it is
        if len(group) == 1:
            group[0].refused = error
            return
        for one in group:
            _post_group(submissions, [one])
