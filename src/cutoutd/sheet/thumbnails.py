"""Small pictures, asked of a process that is locked in: one that crashes, hangs or lies costs one picture its preview.

It opens each picture for that process, which can open none by itself. It must not decode anything.
"""

from __future__ import annotations

import base64
import binascii
import errno
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import CutoutdError
from cutoutd.fs.tree import Tree
from cutoutd.pool.slot import ENVIRONMENT
from cutoutd.process import channel, child_environment
from cutoutd.publish.digest import open_regular

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO
    from types import TracebackType
    from typing import Self

    from cutoutd.process.channel import Sender
    from cutoutd.settings.schema import PoolSettings

ANSWER_S: Final = 30.0
START_S: Final = 30.0
MAX_BYTES: Final = 1 << 20
"""Of an answer; an honest one has some 20 KiB."""

COMMAND: Final = (sys.executable, "-P", "-m", "cutoutd.sheet.thumbnailer")

_WEBP: Final = b"RIFF"


class ThumbnailsFailError(CutoutdError):
    """The process does not come up."""

    title = "No preview can be made"
    advice = "`cutoutd doctor` says what is wrong with this installation."


class Thumbnails:
    """Asks for small pictures, one after the other.

    Args:
        roots: directories that the pictures lie beneath.
        pool: limits of what may be decoded.
        required: whether each layer of the sandbox must be there.
        command: what makes them.
    """

    def __init__(
        self, roots: Sequence[str], pool: PoolSettings, *, required: bool, command: Sequence[str] = COMMAND
    ) -> None:
        self._command = command
        self._roots = tuple(map(Path, roots))
        self._setup = {
            "parent": os.getpid(),
            "max_pixels": pool.max_pixels,
            "max_file_bytes": pool.max_file_mb << 20,
            "formats": list(pool.formats),
            "memory_mb": pool.worker_memory_mb,
            "required": required,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._asks: Sender | None = None
        self._unread = b""
        self._silent: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def of(self, path: str, sha256: str = "") -> tuple[bytes, str]:
        """A small WebP of a picture; or nothing, and why.

        Args:
            path: absolute.
            sha256: of its bytes, where a file with others under its name is not meant.

        Raises:
            ThumbnailsFailError: the process does not come up at all.
        """
        if self._process is None:
            self._start()
        try:
            file = self._opened(Path(path))
        except OSError as error:
            return b"", error.strerror or "it cannot be read"
        if file is None:
            return b"", "it is no file that can be read"
        with file:
            said = self._ask({"sha256": sha256}, ANSWER_S, (file.fileno(),))
        if said is None:
            self._end()  # it is in no state that could be relied on
            return b"", "it could not be decoded"
        try:
            picture = base64.b64decode(str(said.get("webp", "")), validate=True)
        except binascii.Error:
            picture = b""
        if picture.startswith(_WEBP):
            return picture, ""
        return b"", str(said.get("why", "it could not be decoded"))

    def _opened(self, path: Path) -> FileIO | None:
        """Open a picture in one of the directories, but wait no longer than for an answer; None if it is no such file.

        Raises:
            TimeoutError: its disk or share does not answer; nothing there is asked for again.
            OSError: it cannot be opened.
        """
        root = next(filter(path.is_relative_to, self._roots), None)
        if root is None:
            return None
        if root not in self._silent:
            found: queue.SimpleQueue[FileIO | Exception | None] = queue.SimpleQueue()
            # A daemon's thread: one that waits for a dead share keeps nobody from ending.
            threading.Thread(target=lambda: found.put(_open(root, path)), daemon=True).start()
            with suppress(queue.Empty):
                answer = found.get(timeout=ANSWER_S)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            self._silent.add(root)
        raise TimeoutError(errno.ETIMEDOUT, "its disk or share does not answer")

    def _start(self) -> None:
        self._unread = b""
        self._asks, theirs = channel.pair()
        self._process = subprocess.Popen(  # noqa: S603 -- the command is this program's own
            self._command,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment.for_worker(os.environ) | ENVIRONMENT,
            bufsize=0,
            start_new_session=True,
        )
        os.close(theirs)
        if self._ask(self._setup, START_S) is None:
            self._end()
            raise ThumbnailsFailError("the process that makes them did not come up")

    def _ask(
        self, document: dict[str, Any], timeout_s: float, files: Sequence[int] = ()
    ) -> dict[str, Any] | None:
        process, asks = self._process, self._asks
        assert process is not None  # noqa: S101 -- started before
        assert asks is not None  # noqa: S101 -- likewise
        try:
            asks.send(json.dumps(document).encode("ascii") + b"\n", files)
            line = self._line(process, time.monotonic() + timeout_s)
            said = json.loads(line) if line is not None else None
        except (OSError, ValueError, RecursionError):
            return None
        return said if isinstance(said, dict) else None

    def _line(self, process: subprocess.Popen[bytes], end_s: float) -> bytes | None:
        assert process.stdout is not None  # noqa: S101 -- PIPE was asked for
        descriptor = process.stdout.fileno()
        while b"\n" not in self._unread:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                return None
            data = os.read(descriptor, 65536)
            if not data or len(self._unread) > MAX_BYTES:
                return None
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        if self._asks is not None:
            self._asks.close()
        if process.stdout is not None:
            process.stdout.close()
        with suppress(subprocess.TimeoutExpired):  # stuck on a share: the kernel ends it with us
            process.wait(1.0)


def _open(root: Path, path: Path) -> FileIO | Exception | None:
    """Open a picture without following a link below a directory; None if it is no such file, or why it cannot be opened."""
    try:
        tree = Tree(root)
        with tree.entry(tree.relative(path)) as entry:
            return open_regular(entry)
    except Exception as error:  # noqa: BLE001 -- whoever waits for it is told
        return error
