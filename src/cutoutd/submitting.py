"""Submits a picture to a hot folder, whether its daemon runs or not: a complete file in the input, and a request in the journal.

    with incoming.new_file(root) as file:
        ...                                      # write to file.descriptor
        submission = submit(store, clock, root, file, key=..., folder=..., name=..., options=...)

After it returns, the picture cannot be lost: the daemon takes it now, or when it starts. `Submissions.find(key)` returns the
state of the request, and its job is then an ordinary one. For other processes than the daemon; it must not wait.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cutoutd.intake import incoming
from cutoutd.journal.submissions import Submission, Submissions
from cutoutd.journal.wake import wake

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.intake.incoming import SpoolFile
    from cutoutd.job_options import JobOptions
    from cutoutd.journal.store import Store


def submit(
    store: Store,
    clock: Clock,
    root: Path,
    file: SpoolFile,
    *,
    key: str,
    folder: str,
    name: str,
    options: JobOptions,
    digest: str = "",
) -> Submission:
    """Sync a file to the disk and submit it.

    Args:
        store: the journal's file.
        clock: clock for the time that is written.
        root: path of the folder's input.
        file: the complete picture.
        key: key of the caller's choice; a second request with the same key is the first one, and its file is removed.
        folder: name of the folder.
        name: name that the picture is to get, if that is free; any text.
        options: what is asked of the picture.
        digest: digest of the request; the caller compares it with that of the returned request.

    Returns:
        The request under the key.

    Raises:
        OSError: the folder's disk or share refuses.
        StorageError: the journal cannot be written.
        ValueError: the key is empty or too long.
    """
    incoming.settle(root, file)
    wanted = Submission(key=key, folder=folder, spool=file.name, name=name, options=options, digest=digest)
    holds = Submissions(store, clock).post(wanted)
    if store.path is not None:
        wake(store.path.parent)
    if holds.spool != file.name:
        with suppress(OSError):  # it is swept later
            incoming.discard(root, file.name)
    return holds
