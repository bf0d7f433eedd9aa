"""Reads whole files of hot folders into memory for a worker, with a timeout for every disk or share.

So a worker never waits for a share, and a share that hangs blocks only a few threads here. Files are reached from their
folder down, without following a link. This module must not interpret their content.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.fs.tree import Tree
from cutoutd.publish.digest import open_regular

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

_CHUNK: Final = 1 << 20


class SilentError(TimeoutError):
    """A disk or share does not answer."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ETIMEDOUT, "its disk or share does not answer", os.fspath(path))


class NoFileError(OSError):
    """The name does not belong to a regular file that may be read, or the file is too large."""


class NoRootError(FileNotFoundError):
    """The folder itself does not exist."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadFile:
    """The bytes of a file.

    Attributes:
        descriptor: memory file with the bytes, at its start; the owner closes it.
        sha256: digest, hex.
        size: size in bytes.
    """

    descriptor: int
    sha256: str
    size: int

    def close(self) -> None:
        """Release the memory."""
        os.close(self.descriptor)


@dataclass(kw_only=True, eq=False)
class _Reading:
    """A file that is being read by a thread."""

    progress_s: float
    over: threading.Event = field(default_factory=threading.Event)
    found: ReadFile | Exception | None = None
    is_wanted: bool = True


class FileReader:
    """Reads files; thread-safe.

    Args:
        wait_s: timeout without progress of one file, seconds.
        silent_s: time without progress of any file below a root, after which requests for that root fail at once.
        at_once: greatest number of files below one root that are read at the same time.
        longest_s: timeout for one file in total.
        max_bytes: limit of a file.
    """

    def __init__(
        self, *, wait_s: float, silent_s: float, at_once: int, max_bytes: int, longest_s: float = math.inf
    ) -> None:
        self._longest_s = longest_s
        self._wait_s = wait_s
        self._silent_s = silent_s
        self._at_once = at_once
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._readings: dict[Path, list[_Reading]] = {}

    def read(self, root: Path, path: Path) -> ReadFile:
        """Read a file.

        Args:
            root: absolute path of a folder's directory.
            path: path of the file, below it.

        Raises:
            SilentError: the disk or share does not answer.
            NoFileError: it is not a regular file that may be read.
            NoRootError: the folder does not exist.
            FileNotFoundError: the file does not exist.
            OSError: it cannot be read for another reason.
        """
        if not path.is_relative_to(root):
            raise NoFileError(errno.EINVAL, "it is not a file that can be read", os.fspath(path))
        reading = self._begin(root, path)
        # A daemon thread: one that waits for a dead share must not keep the process from ending.
        thread = threading.Thread(target=self._run, args=(root, path, reading), daemon=True, name="reads")
        try:
            thread.start()
        except BaseException:
            # Such as: there are no more threads. What never progresses would count as a share that hangs.
            with self._changed:
                self._ended(root, reading)
            raise
        last_s = time.monotonic() + self._longest_s
        while not reading.over.wait(max(0.0, self._end_s(reading, last_s) - time.monotonic())):
            if time.monotonic() < self._end_s(reading, last_s):
                continue
            with self._changed:
                if not reading.over.is_set():
                    reading.is_wanted = False
                    raise SilentError(path)
        if isinstance(reading.found, ReadFile):
            return reading.found
        assert reading.found is not None  # noqa: S101 -- it is over
        raise reading.found

    def _end_s(self, reading: _Reading, last_s: float) -> float:
        return min(last_s, reading.progress_s + self._wait_s)

    def _begin(self, root: Path, path: Path) -> _Reading:
        """Wait until the file may be read."""
        end_s = time.monotonic() + self._wait_s
        with self._changed:
            while True:
                now_s = time.monotonic()
                running = self._readings.setdefault(root, [])
                if any(now_s > one.progress_s + self._silent_s for one in running) or now_s > end_s:
                    raise SilentError(path)
                if len(running) < self._at_once:
                    running.append(reading := _Reading(progress_s=now_s))
                    return reading
                self._changed.wait(
                    min(end_s, min(one.progress_s for one in running) + self._silent_s) - now_s
                )

    def _run(self, root: Path, path: Path, reading: _Reading) -> None:
        found: ReadFile | Exception
        try:
            found = self._read(root, path, reading)
        except Exception as error:  # noqa: BLE001 -- raised in the thread that waits
            found = error
        with self._changed:
            if isinstance(found, ReadFile) and not reading.is_wanted:
                found.close()
            reading.found = found
            reading.over.set()
            self._ended(root, reading)

    def _ended(self, root: Path, reading: _Reading) -> None:
        """Give up the place of a file; the caller holds the lock."""
        self._readings[root].remove(reading)
        if not self._readings[root]:
            del self._readings[root]
        self._changed.notify_all()

    def _read(self, root: Path, path: Path, reading: _Reading) -> ReadFile:
        tree = Tree(root)
        try:
            with tree.entry(tree.relative(path)) as entry:
                file = open_regular(entry)
        except FileNotFoundError as error:
            if root.is_dir():
                raise
            raise NoRootError(error.errno, error.strerror, os.fspath(root)) from error
        if file is None:
            raise NoFileError(errno.EINVAL, "it is not a file that can be read", os.fspath(path))
        with file:
            memory = _memory()
            try:
                return self._copy(file, memory, path, reading)
            except BaseException:
                os.close(memory)
                raise

    def _copy(self, file: FileIO, memory: int, path: Path, reading: _Reading) -> ReadFile:
        digest, size = hashlib.sha256(), 0
        while True:
            reading.progress_s = time.monotonic()
            data = file.read(_CHUNK)
            if not data or not reading.is_wanted:
                break
            size += len(data)
            if size > self._max_bytes:
                raise NoFileError(errno.EFBIG, "the file is too large", os.fspath(path))
            digest.update(data)
            _write(memory, data)
        os.lseek(memory, 0, os.SEEK_SET)
        return ReadFile(descriptor=memory, sha256=digest.hexdigest(), size=size)


def in_memory(content: bytes) -> int:
    """A descriptor of memory that holds some bytes, from its beginning; the caller closes it."""
    memory = _memory()
    _write(memory, content)
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


def _write(memory: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(memory, left) :]


def _memory() -> int:
    """Create a file without a name, in memory where possible."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("picture", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # macOS
        return os.dup(file.fileno())
