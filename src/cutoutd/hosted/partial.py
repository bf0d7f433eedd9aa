"""A partial download: the bytes so far, and the version of the file that they belong to.

A note beside it has the address and the server's name of that version. One process at a time writes to it. It must not
speak HTTP.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.errors import ModelError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.durable import make_directory

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_NOTE_BYTES: Final = 1 << 16


class PartialFile:
    """A partial download; a context manager that keeps what came, so that it can be resumed.

    Args:
        path: path of the file; its directory is created if it is missing.
        url: address of the file: bytes from elsewhere are not resumed.

    Raises:
        ModelError: it cannot be written, or another process writes to it.

    Attributes:
        size: number of bytes so far.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self._note = path.with_name(path.name + ".json")
        self._url = url
        try:
            make_directory(path.parent, parents=True)
            self._descriptor = os.open(path, _FLAGS, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise ModelError(
                "another command is fetching it", path=path, advice="Wait for that one."
            ) from error
        except OSError as error:
            raise ModelError(f"it cannot be written ({error.strerror})", path=path, advice="") from error
        self.size = os.fstat(self._descriptor).st_size
        self._version = self._noted()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.size:
            self.discard()
        os.close(self._descriptor)

    @property
    def version(self) -> str:
        """The server's name of the version; empty if the download cannot be resumed."""
        return self._version if self.size else ""

    def begin(self, version: str) -> None:
        """Start again.

        Args:
            version: the server's name of the version; empty: it has none, so this download cannot be resumed.
        """
        os.ftruncate(self._descriptor, 0)
        self.size = 0
        note = json.dumps({"url": self._url, "version": version})
        atomic_write(self._note, [note.encode("ascii")], synced=False)
        self._version = version

    def append(self, piece: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: the disk is full, or fails.
        """
        rest = memoryview(piece)
        while rest:
            count = os.write(self._descriptor, rest)
            self.size += count
            rest = rest[count:]

    def sync(self) -> None:
        """Sync the file to the disk."""
        os.fsync(self._descriptor)

    def discard(self) -> None:
        """Remove the file and its note."""
        for path in (self.path, self._note):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self.size = 0

    def _noted(self) -> str:
        try:
            with self._note.open("rb") as file:
                note = json.loads(file.read(_NOTE_BYTES))
            return str(note["version"]) if note["url"] == self._url else ""
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""
