"""A probe of a file: the kind of its first bytes, whether a program still writes it, and whether it is readable again.

It reads a few bytes and decodes nothing. It opens only regular files inside the folder, so a FIFO cannot block it and a link
cannot lead it outside.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd import file_signatures
from cutoutd.errnos import NO_WAY
from cutoutd.fs.tree import parent_of
from cutoutd.fs.writers import is_open_for_writing

if TYPE_CHECKING:
    from cutoutd.intake.scan import FolderBoundary


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """The result of a probe.

    Attributes:
        kind: kind of the file; not reliable while the file is held.
        held: whether a program on this machine has it open for writing; to be checked first.
        hint: for a file that is not a picture, what it seems to be; empty: its first bytes do not tell.
    """

    kind: file_signatures.FileKind
    held: bool
    hint: str = ""


def open_probe(root: str, path: str, boundary: FolderBoundary | None = None) -> Probe | None:
    """Open a file, read its first bytes, check whether it is open for writing, and close it.

    Args:
        root: path of the folder's input.
        path: path of the file, relative to the root.
        boundary: what inside the root does not belong to the folder; None: everything belongs to it.

    Returns:
        The result; None if there is no regular file at this path that is really inside the root.

    Raises:
        OSError: the file cannot be probed now, such as EACCES, EIO or ESTALE.
    """
    try:
        with parent_of(root, path, boundary) as (directory, name):
            return _probe(directory, name)
    except OSError as error:
        if error.errno in NO_WAY:
            return None
        raise


def _probe(directory: int, name: str) -> Probe | None:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return None  # opening a device can have side effects
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=directory)
    except BlockingIOError:
        # The file server on this machine (Samba) holds a lease for its client, and was just asked to end it.
        return Probe(kind=file_signatures.kind(b"", name), held=True)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        head = os.read(descriptor, file_signatures.HEAD_BYTES)
        kind = file_signatures.kind(head, name)
        is_decided = len(head) >= file_signatures.DECIDED_BYTES
        # No need to wait for a file that is not a picture: a log that is open all day would be probed for ever.
        held = not (kind is file_signatures.FileKind.OTHER and is_decided) and is_open_for_writing(descriptor)
        is_other = kind is file_signatures.FileKind.OTHER
        hint = (file_signatures.seems_to_be(head, name) or "") if is_other else ""
        return Probe(kind=kind, held=held, hint=hint)
    finally:
        os.close(descriptor)


MAX_PROBES: Final = 20
"""The most files to probe; more add nothing: a share on which this many fail is failing as a whole."""


class ReadProbes:
    """The files of one folder to probe; ``add`` may be called from any thread, the rest only from the monitor's.

    Args:
        root: path of the folder's input.
        interval_s: seconds between two tries of the same files.
    """

    def __init__(self, root: str, interval_s: float) -> None:
        self._root = root
        self._interval_s = interval_s
        self._added: deque[str] = deque(maxlen=MAX_PROBES)
        self._failing: dict[str, bool] = {}  # whether the last try failed
        self._next_s = 0.0

    @property
    def next_s(self) -> float | None:
        """When the next try is due, in monotonic seconds; None: there is nothing to try."""
        return self._next_s if self._failing else None

    def add(self, path: str) -> None:
        """Add a file, by its path relative to the input."""
        self._added.append(path)

    def take_added(self) -> bool:
        """Take over the added files; returns whether there were any."""
        has_new = bool(self._added)
        while self._added:
            path = self._added.popleft()
            if len(self._failing) < MAX_PROBES:
                self._failing.setdefault(path, False)
        return has_new

    def retry(self, now_s: float) -> int:
        """Probe each file, if it is time; returns how many failed before and are readable now."""
        recovered = 0
        if not self._failing or (now_s < self._next_s and all(self._failing.values())):
            return 0
        for path, failed in list(self._failing.items()):
            try:
                open_probe(self._root, path)
            except OSError:
                self._failing[path] = True
            else:
                del self._failing[path]
                recovered += failed
        self._next_s = now_s + self._interval_s
        return recovered

    def clear(self) -> None:
        """Forget all files: the folder is away, so their failures mean nothing."""
        self._failing.clear()
