"""Hands a picture in to a hot folder, whether its daemon runs or not: a whole file in the input, and a request in the journal.

    with incoming.new_file(root) as file:
        ...                                      # write to file.descriptor
        submission = submit(store, clock, root, file, key=..., folder=..., name=..., options=...)

From the return on the picture is not lost: the daemon takes it now, or when it starts. `Submissions.find(key)` says what
became of the request, and its job by then is an ordinary one. For programs beside the daemon; it must not wait.
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
    """See a file onto the disk and hand it in.

    Args:
        store: the journal's file.
        clock: for the time written down.
        root: the folder's input.
        file: the picture, whole.
        key: of the caller's choice; a second request with the same one is the first one, and its file is removed.
        folder: name of the folder.
        name: that the picture is to have, if that is free; any text.
        options: what is asked of it.
        digest: of the request; the caller compares it with that of the request that is returned.

    Returns:
        The request that holds under the key.

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
