"""A first touch of a file that has settled: what its first bytes say, and whether someone still writes it.

It reads a few bytes and decodes nothing. It opens only what is a regular file inside the folder, so it
cannot hang on a FIFO or be led out by a link.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.errnos import NO_WAY
from cutoutd.file_hints import seems_to_be
from cutoutd.fs.descent import parent_of
from cutoutd.fs.writers import is_open_for_writing
from cutoutd.intake import sniff

if TYPE_CHECKING:
    from cutoutd.intake.boundary import Boundary


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What was found out about a file.

    Attributes:
        kind: what it is to us; worth nothing yet while the file is held.
        size: bytes, of the opened file.
        mtime_ns: modification time, of the opened file.
        held: someone has it open for writing, on this machine. Look at this first.
        hint: of what is no picture, what it seems to be; empty: its first bytes do not tell.
    """

    kind: sniff.Kind
    size: int
    mtime_ns: int
    held: bool
    hint: str = ""


def open_probe(root: str, path: str, boundary: Boundary | None = None) -> Probe | None:
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
        return Probe(kind=sniff.kind(b"", name), size=status.st_size, mtime_ns=status.st_mtime_ns, held=True)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        head = os.read(descriptor, sniff.HEAD_BYTES)
        kind = sniff.kind(head, name)
        whole_head = len(head) == sniff.HEAD_BYTES
        # No one waits for what is no picture: a log that is open all day would be asked after for ever.
        held = not (kind is sniff.Kind.OTHER and whole_head) and is_open_for_writing(descriptor)
        hint = (seems_to_be(head) or "") if kind is sniff.Kind.OTHER else ""
        return Probe(kind=kind, size=status.st_size, mtime_ns=status.st_mtime_ns, held=held, hint=hint)
    finally:
        os.close(descriptor)
