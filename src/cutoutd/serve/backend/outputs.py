"""Downloads of results: opened once, and read part by part."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from cutoutd.errnos import NO_WAY
from cutoutd.fs.tree import Tree
from cutoutd.journal.listing import Listing
from cutoutd.publish.digest import open_regular
from cutoutd.serve.backend.disk_refusals import folder_faults
from cutoutd.serve.backend.jobs import find, media_type
from cutoutd.serve.backend.state import allowed, folder_of
from cutoutd.webserver.backend import journal
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.parameters import text, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import FileIO

    from cutoutd.serve.backend.state import Method, ServeBackend
    from cutoutd.settings.schema import Folder
    from cutoutd.webserver.backend.method import Parameters

PART: Final = 1 << 18
"""Bytes that are read at a time."""

MOST: Final = 200
IDLE_S: Final = 600.0


@dataclass(kw_only=True, slots=True)
class OpenOutput:
    """A result that is being downloaded.

    Attributes:
        key: id of the key that downloads it.
        file: open file of the result.
        touched_s: time of the last read, by the monotonic clock.
        lock: held while the file is in use, so that it is not closed meanwhile.
    """

    key: str
    file: FileIO
    touched_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)


class Outputs:
    """All results that are being downloaded."""

    def __init__(self, backend: ServeBackend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._open: dict[str, OpenOutput] = {}

    def add(self, key: str, file: FileIO) -> str:
        """Add an open result; return its handle.

        Raises:
            RefusedError: 503; too many are open.
        """
        handle = uuid4().hex
        with self._lock:
            if len(self._open) >= MOST:
                raise RefusedError(
                    503,
                    "busy",
                    "Too many results are being fetched at once. Try again in a moment.",
                    retry_after_s=2,
                )
            now_s = self._backend.clock.monotonic_s()
            self._open[handle] = OpenOutput(key=key, file=file, touched_s=now_s)
        return handle

    def read(self, key: str, handle: str, offset: int) -> bytes:
        """Read a part; empty at the end.

        Raises:
            RefusedError: 404; the result is not open.
            OSError: the file cannot be read.
        """
        with self._lock:
            found = self._open.get(handle)
        if found is None or found.key != key:
            raise RefusedError(404, "no_output", "This result is not open.")
        with found.lock:
            found.touched_s = self._backend.clock.monotonic_s()
            return b"" if found.file.closed else os.pread(found.file.fileno(), PART, offset)

    def close(self, key: str, handle: str) -> None:
        """Close a result."""
        with self._lock:
            found = self._open.get(handle)
            if found is None or found.key != key:
                return
            del self._open[handle]
        _close(found)

    def close_all(self) -> None:
        """Close all results."""
        self._close_those(lambda _: True)

    def tidy(self) -> None:
        """Close results without recent reads."""
        now_s = self._backend.clock.monotonic_s()
        self._close_those(lambda one: now_s - one.touched_s > IDLE_S)

    def _close_those(self, chosen: Callable[[OpenOutput], bool]) -> None:
        with self._lock:
            gone = {handle: one for handle, one in self._open.items() if chosen(one)}
            for handle in gone:
                del self._open[handle]
        for one in gone.values():
            _close(one)


def outputs(backend: ServeBackend) -> Outputs:
    """Return the open results of a backend."""
    return backend.shared.get(Outputs, partial(Outputs, backend))


def _close(output: OpenOutput) -> None:
    with output.lock, suppress(OSError):
        output.file.close()


def _open(backend: ServeBackend, params: Parameters) -> Reply:
    """``job``, ``output`` -> ``handle``, ``bytes``, ``name``, ``media_type``, ``sha256``."""
    key = allowed(backend, params)
    folder = folder_of(backend, key)
    number = whole(params, "output", most=1000)
    with journal.required(backend) as store:
        _, job = find(backend, store, key, text(params, "job", longest=32))
        listed = [] if job is None else Listing(store).outputs([job.id]).get(job.id, [])
    if number >= len(listed):
        raise RefusedError(404, "no_output", "There is no such result of this job, or not yet.")
    output = listed[number]
    target = os.fsdecode(output.target)
    file = _opened(folder, target)
    try:
        with folder_faults():
            sha256, size = hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
        if sha256 != output.sha256:
            raise RefusedError(  # noqa: TRY301 -- the file is closed below
                409,
                "changed",
                "The result was changed since it was published. Take it from the folder itself.",
            )
        handle = outputs(backend).add(key.id, file)
    except BaseException:
        file.close()
        raise
    name = target.rpartition("/")[2]
    return Reply(
        data={
            "handle": handle,
            "bytes": size,
            "name": name,
            "media_type": media_type(name),
            "sha256": output.sha256,
        }
    )


def _opened(folder: Folder, target: str) -> FileIO:
    with folder_faults():
        try:
            with Tree(folder.output).entry(target) as entry:
                if (file := open_regular(entry)) is not None:
                    return file
        except OSError as error:
            if error.errno not in NO_WAY:
                raise
    raise RefusedError(
        404, "output_gone", "The result is not where it was put: it was moved or deleted since."
    )


def _part(backend: ServeBackend, params: Parameters) -> Reply:
    """``handle``, ``offset`` -> a body; none at the end."""
    key = allowed(backend, params)
    with folder_faults():
        part = outputs(backend).read(key.id, text(params, "handle", longest=32), whole(params, "offset"))
    return Reply(body=part, media_type="application/octet-stream")


def _end(backend: ServeBackend, params: Parameters) -> Reply:
    """``handle`` -> nothing."""
    outputs(backend).close(allowed(backend, params).id, text(params, "handle", longest=32))
    return Reply(data={})


METHODS: Final[Mapping[str, Method]] = {"output_open": _open, "output_part": _part, "output_close": _end}
