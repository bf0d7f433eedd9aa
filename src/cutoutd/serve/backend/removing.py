"""Removes an uploaded picture and its results, for programs that have downloaded their cutouts.

Only unchanged files are removed: a result that a person has changed since stays, as does an original that was moved.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import NO_WAY
from cutoutd.fs.tree import Tree
from cutoutd.jobs import ACTIVE
from cutoutd.journal.listing import Listing
from cutoutd.publish.digest import has_bytes
from cutoutd.publish.naming import sidecar_name
from cutoutd.serve.backend.disk_refusals import folder_faults
from cutoutd.serve.backend.jobs import find
from cutoutd.serve.backend.state import allowed, folder_of
from cutoutd.serve.backend.uploads import uploads
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.webserver.backend.method import Parameters


def _remove(backend: ServeBackend, params: Parameters) -> Reply:
    """``job`` -> nothing."""
    key = allowed(backend, params)
    folder = folder_of(backend, key)
    with journal.required(backend) as store:
        submission, job = find(backend, store, key, text(params, "job", longest=32))
        if job is None and submission.refused is None:
            raise _in_hand()
        if job is not None and job.state in ACTIVE:
            raise _in_hand()
        outputs = [] if job is None else Listing(store).outputs([job.id]).get(job.id, [])
    with folder_faults():
        if job is not None:
            uploads(backend).check_place(folder)
            for output in outputs:
                _remove_result(folder.output, folder.sidecar_dir, os.fsdecode(output.target), output.sha256)
            _remove_source(folder.input, job.path, job.version.size, job.version.mtime_ns)
    return Reply(data={})


def _in_hand() -> RefusedError:
    return RefusedError(
        409, "in_hand", "This picture is being cut just now. Try again in a moment.", retry_after_s=2
    )


def _remove_source(root: Path, path: str, size: int, mtime_ns: int) -> None:
    try:
        with Tree(root).entry(path) as entry:
            status = entry.lstat()
            if stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (size, mtime_ns):
                entry.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in NO_WAY:
            raise


def _remove_result(root: Path, sidecars: Path | None, path: str, sha256: str) -> None:
    try:
        with Tree(root).entry(path) as entry:
            if not has_bytes(entry, sha256):
                return
            entry.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in NO_WAY:
            raise
        return
    with suppress(OSError), Tree(sidecars or root).entry(sidecar_name(path)) as beside:
        beside.unlink(missing_ok=True)


METHODS: Final[Mapping[str, Method]] = {"remove": _remove}
