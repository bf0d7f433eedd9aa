"""A first touch of a file: what its first bytes say, whether someone still writes it, and whether it can be read again.

It reads a few bytes and decodes nothing. It opens only what is a regular file inside the folder, so it
cannot hang on a FIFO or be led out by a link.
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
    """What was found out about a file.

    Attributes:
        kind: what it is to us; worth nothing yet while the file is held.
        held: someone has it open for writing, on this machine. Look at this first.
        hint: of what is no picture, what it seems to be; empty: its first bytes do not tell.
    """

    kind: file_signatures.FileKind
    held: bool
    hint: str = ""


def open_probe(root: str, path: str, boundary: FolderBoundary | None = None) -> Probe | None:
    """Open a file, look at its first bytes, ask whether it is open for writing, and close it.

    Args:
        root: the folder's input.
        path: of the file, relative to the root.
        boundary: what inside the root belongs to somebody else; None: nothing.

    Returns:
        What was found, or None if there is no regular file that is really inside the root.

    Raises:
        OSError: it cannot be told now, such as EACCES, EIO or ESTALE.
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
        return None  # opening a device can have effects of its own
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=directory)
    except BlockingIOError:
        # A file server here (Samba) holds a lease for its client, and has just been asked to end it.
        return Probe(kind=file_signatures.kind(b"", name), held=True)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        head = os.read(descriptor, file_signatures.HEAD_BYTES)
        kind = file_signatures.kind(head, name)
        is_decided = len(head) >= file_signatures.DECIDED_BYTES
        # No one waits for what is no picture: a log that is open all day would be asked after for ever.
        held = not (kind is file_signatures.FileKind.OTHER and is_decided) and is_open_for_writing(descriptor)
        hint = (file_signatures.seems_to_be(head) or "") if kind is file_signatures.FileKind.OTHER else ""
        return Probe(kind=kind, held=held, hint=hint)
    finally:
        os.close(descriptor)


MAX_PROBES: Final = 20
"""More tell no more: a share that fails for so many fails for all."""


class ReadProbes:
    """The files to probe of one folder; ``add`` may be called from any thread, all else belongs to the monitor's.

    Args:
        root: the folder's input.
        interval_s: between two tries of the same ones.
    """

    def __init__(self, root: str, interval_s: float) -> None:
        self._root = root
        self._interval_s = interval_s
        self._added: deque[str] = deque(maxlen=MAX_PROBES)
        self._failing: dict[str, bool] = {}  # whether it could not be read when it was tried
        self._next_s = 0.0

    @property
    def next_s(self) -> float | None:
        """When the next try is due, in monotonic seconds; None: there is nothing to try."""
        return self._next_s if self._failing else None

    def add(self, path: str) -> None:
        """One more, relative to the input."""
        self._added.append(path)

    def hear(self) -> bool:
        """Take up what was added; whether anything was."""
        heard = bool(self._added)
        while self._added:
            path = self._added.popleft()
            if len(self._failing) < MAX_PROBES:
                self._failing.setdefault(path, False)
        return heard

    def try_them(self, now_s: float) -> int:
        """Read a little of each, if it is time; how many could not be read before, and now can."""
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
        """The folder is away: what was suspected is nobody's fault."""
        self._failing.clear()
