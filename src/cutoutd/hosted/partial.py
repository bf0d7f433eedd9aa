"""A file that is being fetched: what of it is here already, and of which version of it that is the beginning.

Next to it lies a note of where it is from and how the server calls that version. One process at a time writes to it. It must
not speak HTTP.
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
    """A context manager that keeps what came, so that it can be gone on with.

    Args:
        path: of the file; its directory is made if it is not there.
        url: where it is from: what came from elsewhere is not gone on with.

    Raises:
        ModelError: it cannot be written, or another process writes to it.

    Attributes:
        size: bytes that are here.
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
        """What the server calls the version that this is the beginning of; empty if it cannot be gone on with."""
        return self._version if self.size else ""

    def begin(self, version: str) -> None:
        """Start anew.

        Args:
            version: what the server calls it; empty: it has no name for it, so this cannot be gone on with later.
        """
        os.ftruncate(self._descriptor, 0)
        self.size = 0
        note = json.dumps({"url": self._url, "version": version})
        atomic_write(self._note, [note.encode("ascii")], synced=False)
        self._version = version

    def append(self, piece: bytes) -> None:
        """Add what came.

        Raises:
            OSError: the disk is full, or fails.
        """
        rest = memoryview(piece)
        while rest:
            count = os.write(self._descriptor, rest)
            self.size += count
            rest = rest[count:]

    def sync(self) -> None:
        """See it onto the disk."""
        os.fsync(self._descriptor)

    def discard(self) -> None:
        """Leave nothing of it."""
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
