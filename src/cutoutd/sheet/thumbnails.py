"""Small pictures from a sandboxed process: if it crashes, hangs or lies, one picture has no preview.

This module reads each picture for that process, which can open none by itself. It must not decode anything.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError
from cutoutd.pool.request_worker import RequestWorker
from cutoutd.previews.file_reader import FileReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from cutoutd.settings.schema import PoolSettings

ANSWER_S: Final = 30.0

SIDE: Final = 320
"""Longer side in pixels; two of them are shown side by side on half a screen."""

ANOTHER: Final = "another file has its name"
"""Reason where a file does not have the requested bytes."""

COMMAND: Final = (sys.executable, "-P", "-m", "cutoutd.previews.picture_worker")

_WEBP: Final = b"RIFF"
_UNDECODED: Final = "it could not be decoded"


class ThumbnailsFailError(CutoutdError):
    """The process cannot be started."""

    title = "No preview can be made"
    advice = "`cutoutd doctor` says what is wrong with this installation."


class Thumbnails:
    """Makes small pictures, one after the other.

    Args:
        roots: directories that contain the pictures.
        pool: limits for pictures.
        required: whether every layer of the sandbox must be active.
        command: command of the process.
    """

    def __init__(
        self, roots: Sequence[str], pool: PoolSettings, *, required: bool, command: Sequence[str] = COMMAND
    ) -> None:
        self._command = command
        self._roots = tuple(map(Path, roots))
        self._setup = {
            "max_pixels": pool.max_pixels,
            "max_file_bytes": pool.max_file_mb << 20,
            "formats": list(pool.formats),
            "memory_mb": pool.worker_memory_mb,
            "required": required,
        }
        self._worker: RequestWorker | None = None
        self._reader = FileReader(
            wait_s=ANSWER_S, silent_s=ANSWER_S, at_once=1, max_bytes=pool.max_file_mb << 20
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def of(self, path: str, sha256: str = "") -> tuple[bytes, str]:
        """Return a small WebP of a picture; or nothing, and the reason.

        Args:
            path: absolute path.
            sha256: digest of its bytes, if another file of the same name must not be used.

        Raises:
            ThumbnailsFailError: the process cannot be started.
        """
        worker = self._started()
        root = next(filter(Path(path).is_relative_to, self._roots), None)
        if root is None:
            return b"", "it is not a file that can be read"
        try:
            file = self._reader.read(root, Path(path))
        except OSError as error:
            return b"", error.strerror or "it cannot be read"
        try:
            if sha256 and file.sha256 != sha256:
                return b"", ANOTHER
            answer = worker.ask({"do": "thumb", "matte": False, "side": SIDE}, ANSWER_S, (file.descriptor,))
        finally:
            file.close()
        if answer is None:
            self._end()  # its state is unknown
            return b"", _UNDECODED
        said, picture = answer
        return (picture, "") if picture.startswith(_WEBP) else (b"", str(said.get("why", _UNDECODED)))

    def _started(self) -> RequestWorker:
        if self._worker is None:
            self._worker = RequestWorker(self._command, self._setup)
            if not self._worker.start():
                self._end()
                raise ThumbnailsFailError("the process that makes them did not come up")
        return self._worker

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()
