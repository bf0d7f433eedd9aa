"""Small files that can be made again, kept on the disk within a bound: the oldest give way.

Keys say what is in a file, with the version of what it was made of; so nothing in here is ever wrong, and it outlives a restart.
What the disk refuses is simply not kept. One process writes; others may `peek`. It must not know what is in the files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.fs.atomic_write import atomic_write, hidden_draft
from cutoutd.fs.private_directory import read_small
from cutoutd.fs.tree import parent_of

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 512 << 20
"""Of all files: some 20,000 tiles."""

_LARGEST: Final = 4 << 20
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIGEST_BYTES: Final = 8
"""At the beginning of each file, of what follows: a power cut may leave a file whose content was never written."""


class DiskCache:
    """Shared by threads.

    Args:
        directory: of its own; made if it is missing.
        max_bytes: of all files together.
        free_bytes: that stay free on the disk: cutting needs them more.
    """

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES, *, free_bytes: int = 0) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        self._is_read = False

    def get(self, key: str) -> bytes | None:
        """What is kept under a key; None if nothing is."""
        name = _name(key)
        with self._lock:
            self._read()
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        content = _content(self._directory / name)
        if content is None:
            with self._lock:
                self._forget(name)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep a file, if the disk takes it."""
        name, size = _name(key), len(content) + _DIGEST_BYTES
        if size > min(_LARGEST, self._max_bytes):
            return
        path = self._directory / name
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            if self._free_bytes and shutil.disk_usage(self._directory).free < self._free_bytes + size:
                return
            atomic_write(path, (_digest(content), content), synced=False, draft=hidden_draft(path))
        except OSError:
            return
        with self._lock:
            self._read()
            self._bytes += size - self._sizes.pop(name, 0)
            self._sizes[name] = size
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._sizes)))

    def _forget(self, name: str) -> None:
        self._bytes -= self._sizes.pop(name, 0)
        with suppress(OSError):
            (self._directory / name).unlink()

    def _read(self) -> None:
        """Learn what is there from before, the oldest first; drafts that a crash has left are removed."""
        if self._is_read:
            return
        self._is_read = True
        found = []
        with suppress(OSError), os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    with suppress(OSError):
                        (self._directory / entry.name).unlink()
                    continue
                status = entry.stat(follow_symlinks=False)
                found.append((status.st_mtime_ns, entry.name, status.st_size))
        for _, name, size in sorted(found):
            self._sizes[name] = size
            self._bytes += size


def peek(directory: Path, key: str) -> bytes | None:
    """What another process keeps under a key; None if nothing is."""
    return _content(directory / _name(key))


def open_kept(directory: Path, key: str, max_bytes: int) -> int | None:
    """Open what another process keeps under a key, for a third one that reads it by `unwrapped`; no link is followed.

    Returns:
        A descriptor, which the caller closes; None if there is no regular file of at most so many bytes.
    """
    try:
        with parent_of(os.fspath(directory.parent), f"{directory.name}/{_name(key)}") as (parent, name):
            descriptor = os.open(name, _OPEN, dir_fd=parent)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes + _DIGEST_BYTES:
        return descriptor
    os.close(descriptor)
    return None


def unwrapped(content: bytes) -> bytes | None:
    """What was kept, from all bytes of its file; None if they are not whole."""
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return body if digest == _digest(body) else None


def _content(path: Path) -> bytes | None:
    """What a file holds; None if it is not there, or not whole."""
    try:
        return unwrapped(read_small(path, _LARGEST))
    except OSError:
        return None


def _name(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
