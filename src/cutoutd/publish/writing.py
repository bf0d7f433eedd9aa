"""Writing a file so that it is on the disk before it gets its final name.

This module must not rename: a file written here is in a staging directory until its plan is carried out.

After restic's `internal/backend/local/local.go` (write, sync, close, and only then a name), and after Linux's handling of a failed
fsync: it marks the pages as clean, so that a second fsync would succeed falsely.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, BinaryIO, Final

from cutoutd.fs.durable import sync

if TYPE_CHECKING:
    from cutoutd.fs.tree import Entry

ACCESS_LIST: Final = "system.posix_acl_access"

_COPY_BYTES: Final = 1 << 20

BUFFER_BYTES = 1 << 18  # an encoder writes small rows; one system call writes many of them


@dataclass(frozen=True, kw_only=True, slots=True)
class Permissions:
    """Permissions of results.

    Attributes:
        mode: permission bits; None: 0666 less the umask. Never a temporary file's default, 0600, which hides results from the
            other users of a share.
        group: numeric id of the group; None: the directory's default.
        acl: access list in the kernel's format; None: none.
        lenient: whether refusals are ignored, as on a file system without modes; if the group cannot be set, no group may read.
    """

    mode: int | None = None
    group: int | None = None
    acl: bytes | None = None
    lenient: bool = False


DEFAULT_PERMISSIONS = Permissions()


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenFile:
    """Size in bytes and SHA-256 (hex) of a written file."""

    bytes: int
    sha256: str


Content = bytes | FileIO | Callable[["Sink"], object]
"""Content to write: bytes, an open file from its beginning, or a function that writes to a sink and may be called twice."""


class Sink:
    """A sink for encoders: takes bytes in order, counts and hashes them, and writes them to a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of ``data``; returns its size in bytes.

        Raises:
            OSError: the disk refuses.
        """
        size = memoryview(data).nbytes
        self._digest.update(data)
        self._bytes += size
        self._file.write(data)
        return size

    @property
    def written(self) -> WrittenFile:
        """Size and hash of all data so far."""
        return WrittenFile(bytes=self._bytes, sha256=self._digest.hexdigest())


class _UnsyncedError(OSError):
    """The file could not be synced, so its contents on the disk are unknown."""


def write_whole(
    entry: Entry,
    content: Content,
    permissions: Permissions = DEFAULT_PERMISSIONS,
) -> WrittenFile:
    """Write a file and sync it to the disk, or leave nothing.

    After a failed fsync the file is discarded and written once more, under a new descriptor. A leftover of that name, from a worker
    that died, is replaced.

    Args:
        entry: entry in one of our staging directories.
        content: contents of the file.
        permissions: permissions of the file.

    Raises:
        OSError: from the disk, or from ``content``; the file is removed then.
    """
    try:
        return _write_fresh(entry, content, permissions)
    except _UnsyncedError:
        return _write_fresh(entry, content, permissions)


def write_opened(descriptor: int, content: Content, *, sha256: str = "", synced: bool = True) -> WrittenFile:
    """Write a file that is already open, and sync it to the disk.

    After a failed fsync it is emptied and written once more: all its pages are new then.

    Args:
        descriptor: descriptor of an empty file, open for writing; it stays open.
        content: contents of the file.
        sha256: SHA-256 (hex) of bytes whose hash is known, and which are not hashed again; empty: it is not known.
        synced: whether the file must survive a power cut.

    Raises:
        OSError: from the disk, or from ``content``; the file's contents are invalid then.
    """
    try:
        return _fill(descriptor, content, sha256=sha256, synced=synced)
    except _UnsyncedError:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return _fill(descriptor, content, sha256=sha256, synced=synced)


def permit(descriptor: int, permissions: Permissions) -> None:
    """Set the permissions of a finished file, durably.

    Raises:
        OSError: the disk refuses, or this user is not in the group.
    """
    before = os.fstat(descriptor)
    _permit(descriptor, permissions)
    after = os.fstat(descriptor)
    if (before.st_mode, before.st_gid) != (after.st_mode, after.st_gid):
        sync(descriptor)


def _write_fresh(entry: Entry, content: Content, permissions: Permissions) -> WrittenFile:
    entry.unlink(missing_ok=True)
    descriptor = entry.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            return _fill(descriptor, content, permissions)
        finally:
            os.close(descriptor)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = os.fspath(entry.path)  # the error of a write has no path
        with suppress(OSError):
            entry.unlink()
        raise


def _fill(
    descriptor: int,
    content: Content,
    permissions: Permissions = DEFAULT_PERMISSIONS,
    *,
    sha256: str = "",
    synced: bool = True,
) -> WrittenFile:
    with os.fdopen(descriptor, "wb", buffering=BUFFER_BYTES, closefd=False) as file:
        sink = Sink(file)
        if isinstance(content, bytes) and sha256:
            file.write(content)
        elif isinstance(content, FileIO):
            content.seek(0)
            while block := content.read(_COPY_BYTES):
                sink.write(block)
        elif callable(content):
            content(sink)
        else:
            sink.write(content)
    _permit(descriptor, permissions)
    try:
        if synced:
            sync(descriptor)
    except OSError as error:
        raise _UnsyncedError(error.errno, error.strerror) from error
    if isinstance(content, bytes) and sha256:
        return WrittenFile(bytes=len(content), sha256=sha256)
    return sink.written


def _permit(descriptor: int, permissions: Permissions) -> None:
    if permissions.lenient:
        _permit_what_works(descriptor, permissions)
        return
    # The group first: changing it clears bits of the mode.
    if permissions.group is not None:
        os.fchown(descriptor, -1, permissions.group)
    if permissions.mode is not None:
        os.fchmod(descriptor, permissions.mode)


def _permit_what_works(descriptor: int, permissions: Permissions) -> None:
    """Set what the system accepts; where something is refused, fewer users may read the file than intended."""
    mode, acl = permissions.mode, permissions.acl
    if permissions.group is not None:
        try:
            os.fchown(descriptor, -1, permissions.group)
        except OSError:
            mode, acl = (None if mode is None else mode & ~0o070), None
    with suppress(OSError):
        if mode is not None:
            os.fchmod(descriptor, mode)
        if acl is not None:
            os.setxattr(descriptor, ACCESS_LIST, acl)
