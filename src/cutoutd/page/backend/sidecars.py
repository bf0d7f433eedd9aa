"""Sidecars of pictures, read with a short timeout: a list must not wait for a share that hangs."""

from __future__ import annotations

import math
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from cutoutd.fs.tree import Tree
from cutoutd.publish.document import read
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.sidecar import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cutoutd.jobs import Job
    from cutoutd.journal.listing import ListedOutput
    from cutoutd.page.backend.method import Backend
    from cutoutd.settings.schema import Folder

_PATIENCE_S: Final = 0.5
_THREADS: Final = 4
_IN_A_FOLDER: Final = 2
"""Threads that one folder's share may hold."""

_SHOWN: Final = ("second_opinion", "timings_ms", "egress", "corrections", "runtime", "route", "published_at")


class SidecarReader:
    """Reads sidecars in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="page-sidecars")
        self._lock = threading.Lock()
        self._places: dict[str, threading.BoundedSemaphore] = {}

    def read(self, folder: Folder, path: str, targets: Sequence[bytes]) -> dict[str, Any] | None:
        """Return the sidecar of a source; None where none can be read within the timeout, or nobody gets to read it within that."""
        with self._lock:
            places = self._places.setdefault(folder.name, threading.BoundedSemaphore(_IN_A_FOLDER))
        if not places.acquire(timeout=_PATIENCE_S):
            return None
        future = self._threads.submit(_read, folder, path, targets)
        future.add_done_callback(lambda _: places.release())
        return _within(future)

    def close(self) -> None:
        """Begin no more reading."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def sidecar_of(backend: Backend, job: Job, outputs: Sequence[ListedOutput]) -> dict[str, Any]:
    """Return the values of a job's sidecar by the page's names; None for each unknown one."""
    folders = backend.settings.folder if backend.settings is not None else ()
    folder = next((one for one in folders if one.name == job.folder), None)
    document = None
    if folder is not None and outputs:
        document = _reader(backend).read(folder, job.path, [one.target for one in outputs])
    found = document or {}
    sizes, source = found.get("outputs"), found.get("source")
    return {
        "source_size": {
            name: source.get(name) if isinstance(source, dict) else None for name in ("width", "height")
        },
        "sidecar": document is not None,
        "sizes": [_size(one) for one in sizes] if isinstance(sizes, list) else [],
        **{name: found.get(name) for name in _SHOWN},
    }


def frame_of(
    backend: Backend, folder: Folder, source: str, output: Path, sha256: str
) -> tuple[float, float, float, float] | None:
    """Return where in an output the whole picture lies: left, top, width and height, pixels; None where that is not known.

    Args:
        backend: the page's.
        folder: of the picture.
        source: path of the picture in the folder's input.
        output: path of the output in the folder's output.
        sha256: of the output.
    """
    document = _reader(backend).read(folder, source, [os.fsencode(output)])
    for one in (document or {}).get("outputs", ()):
        if isinstance(one, dict) and one.get("sha256") == sha256:
            return _frame(one.get("frame"))
    return None


def _frame(found: object) -> tuple[float, float, float, float] | None:
    match found:
        case [int() | float(), int() | float(), int() | float(), int() | float()]:
            left, top, width, height = map(float, found)
            is_box = all(map(math.isfinite, found)) and width > 0 and height > 0
            return (left, top, width, height) if is_box else None
    return None


def _reader(backend: Backend) -> SidecarReader:
    return backend.shared.get(SidecarReader, SidecarReader)


def _within(future: Future[dict[str, Any] | None]) -> dict[str, Any] | None:
    with suppress(LateError):
        return future.result(_PATIENCE_S)
    return None


def _read(folder: Folder, path: str, targets: Sequence[bytes]) -> dict[str, Any] | None:
    tree = Tree(folder.sidecar_dir or folder.output)
    for target in targets:
        name = sidecar_name(os.fsdecode(target))
        with suppress(OSError), tree.find(name) as entry:
            document = read(entry, SCHEMA) if entry is not None else None
            source = document.get("source") if document is not None else None
            if isinstance(source, dict) and source.get("path") == path:
                return document
    return None


def _size(output: object) -> dict[str, Any]:
    one = output if isinstance(output, dict) else {}
    return {name: one.get(name) for name in ("path", "bytes", "width", "height", "format", "quality")}
