"""Previews of pictures: thumbnails and tiles, rendered by confined processes and cached on disk.

No picture is ever sent as it lies in its folder. This module must not decode anything.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from cutoutd import tiling
from cutoutd.fs.disk_cache import DiskCache
from cutoutd.page.backend import shown_files
from cutoutd.page.backend.shown_files import UNDECODED, PictureView, ShownFile, cannot_show, no_matte
from cutoutd.page.backend.workers import IDLE_S, Worker, WorkerFailedError, busy
from cutoutd.previews.file_reader import in_memory
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.exchange.cutout_previews import CutoutPreview
    from cutoutd.page.backend.method import Backend

COMMAND: Final = (sys.executable, "-P", "-m", "cutoutd.previews.picture_worker")

SMALL_SIDE: Final = 320
ANSWER_S: Final = 30.0
KEPT_BYTES: Final = 512 << 20
"""Of decoded pictures in a worker; the last one is kept, however large."""

LOOKING_S: Final = 60.0
"""For so long after a large picture was looked at, small ones are made promptly as well."""

DISK_MB: Final = 512
SPARE_MB: Final = 256
"""Nothing is kept where it would bring the disk within so much of what the daemon leaves free."""

REFUSED_S: Final = 60.0
_MAX_WHY: Final = 300
_REMEMBERED: Final = 1000
BACKGROUND_NICE: Final = 19
BACKGROUND_SESSION_NICE: Final = 15
"""Of whatever makes the small pictures of an inbox that fills: cutting goes first. The first counts where workers step back by
5 as well, the second where the system shares its cores out by session: each leaves it some 2 % of two busy cores."""

BACKGROUND_S: Final = 120.0
"""It is given so long for one on a machine that is busy."""

BACKGROUND_WAITING: Final = 4
BACKGROUND_WAIT_S: Final = 3.0
"""So many requests wait for it, each so long, and are refused then, to be made again later: a browser has six connections in
all."""

FEW_SIDE: Final = 512
"""As `tiling.COARSE_SIDE`, where it is to take as little as possible."""

_FORMAT: Final = f"1/{tiling.TILE}"
"""Of what is kept on the disk: a tile of another size shows another part."""


def shared_cache(backend: Backend) -> DiskCache:
    """Return the cache of a backend: one object, since it counts what is in its directory."""

    def make() -> DiskCache:
        free_mb = DISK_MB if backend.settings is None else backend.settings.service.min_free_disk_mb
        return DiskCache(backend.cache, free_bytes=(free_mb + SPARE_MB) << 20)

    return backend.shared.get(DiskCache, make)


class Pictures:
    """The preview workers, their requests and the cache; shared by threads.

    Args:
        backend: whose pictures.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._cache = shared_cache(backend)
        self._starter = starter = ThreadPoolExecutor(1, "page-workers")
        self._prompt = Worker(COMMAND, lambda: self._setup(in_background=False), starter, idle_s=IDLE_S)
        self._background = Worker(COMMAND, lambda: self._setup(in_background=True), starter, idle_s=IDLE_S)
        self._warmer = ThreadPoolExecutor(1, "page-warms")
        self._background_places = threading.BoundedSemaphore(BACKGROUND_WAITING)
        self._lock = threading.Lock()
        self._reader = shown_files.ReaderOfNow(backend)
        self._opening: dict[str, tuple[threading.Lock, int]] = {}
        self._is_exact: OrderedDict[str, bool] = OrderedDict()
        self._refused: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._looked_s = -LOOKING_S

    @property
    def pids(self) -> list[int]:
        """Return the ids of the running processes."""
        return [pid for worker in (self._prompt, self._background) if (pid := worker.pid) is not None]

    @property
    def is_busy(self) -> bool:
        """Whether a preview is being rendered."""
        return self._prompt.is_busy or self._background.is_busy

    def close(self) -> None:
        """End the processes for good."""
        self._warmer.shutdown(wait=False, cancel_futures=True)
        for worker in (self._prompt, self._background):
            worker.close()
        self._starter.shutdown()

    def prepare(self) -> None:
        """Start the process that renders tiles ahead of large pictures, since its start takes a while."""
        self._warmer.submit(self._start)

    def _start(self) -> None:
        with suppress(RefusedError, WorkerFailedError), self._prompt.turn(ANSWER_S):
            self._prompt.ask({"do": "has", "key": ""}, ANSWER_S)

    def look(self, shown: ShownFile) -> dict[str, object]:
        """Open a picture in the worker; return its size and tiles."""
        self._looked_s = time.monotonic()
        key = self._key(shown, "size")
        kept = self._cache.get(key)
        preview = shown_files.preview(self._backend, shown)
        if preview is not None:
            size = preview.width, preview.height
            self._warmer.submit(self._warm, shown, preview)
        elif kept is not None:
            size = tuple(json.loads(kept))
            self._warmer.submit(self._warm, shown)
        else:
            with self._only_one(shown.key):
                size = self._open(shown)
            self._keep(shown, key, json.dumps(size).encode())
        width, height = size
        levels = tiling.level_count((width, height))
        said = {"width": width, "height": height, "tile": tiling.TILE, "levels": levels}
        return {**said, "version": shown.version, **shown_files.layout(self._backend, shown)}

    def small(self, shown: ShownFile) -> tuple[bytes, bool]:
        """Return a thumbnail, and whether it may be cached for ever."""
        key = self._key(shown, "small")
        kept = self._cache.get(key)
        if kept is not None:
            return kept, True
        preview = shown_files.preview(self._backend, shown)
        if preview is not None and shown.kind is PictureView.CUTOUT:
            return preview.small, True
        self._refuse_again(shown)
        with self._file(shown, preview) as (file, exact):
            said, body = self._make_small(shown, file, is_preview=preview is not None)
        parts = list(_parts(said, body))
        if not parts:
            raise cannot_show(UNDECODED)
        if exact:
            self._cache.put(key, parts[0])
            for (level, x, y), tile in zip(said.get("tiles", ()), parts[1:], strict=False):
                self._cache.put(self._key(shown, f"{level:d}/{x:d}/{y:d}"), tile)
            if shown.kind is not PictureView.MATTE:
                self._cache.put(self._key(shown, "size"), json.dumps(shown_files.size(said)).encode())
        return parts[0], exact

    def tile(self, shown: ShownFile, level: int, x: int, y: int) -> tuple[bytes, bool]:
        """Return a tile of a picture, and whether it may be cached for ever."""
        key = self._key(shown, f"{level}/{x}/{y}")
        kept = self._cache.get(key)
        if kept is not None:
            return kept, True
        self._looked_s = time.monotonic()
        preview = shown_files.preview(self._backend, shown)
        if preview is not None and level < preview.level:
            preview = None  # it has no such level
        tile = self._tile(shown, level, x, y, preview)
        if tile is None:
            with self._only_one(_key_of(shown, preview)):
                tile = self._tile(shown, level, x, y, preview)
                if tile is None:
                    self._open(shown, preview)
                    tile = self._tile(shown, level, x, y, preview)
        if tile is None:
            raise busy()
        self._keep(shown, key, tile)
        return tile, self._is_exact.get(shown.key, False)

    @contextmanager
    def _file(self, shown: ShownFile, preview: CutoutPreview | None) -> Iterator[tuple[int, bool]]:
        """What is to be decoded: a descriptor, and whether its bytes are known to be those that were published."""
        if preview is not None:
            descriptor, exact = in_memory(preview.packed()), True
        else:
            file = shown_files.read(self._reader(), shown)
            descriptor, exact = file.descriptor, file.sha256 == shown.sha256
        try:
            yield descriptor, exact
        finally:
            os.close(descriptor)

    def _make_small(self, shown: ShownFile, file: int, *, is_preview: bool) -> tuple[dict[str, Any], bytes]:
        asked: dict[str, object] = {
            "do": "thumb",
            "preview": is_preview,
            "matte": shown.kind is PictureView.MATTE,
            "side": SMALL_SIDE,
            "coarse": tiling.COARSE_SIDE,
        }
        if time.monotonic() < self._looked_s + LOOKING_S:
            with self._prompt.turn(ANSWER_S, is_urgent=False):
                return self._ask(self._prompt, shown, asked, file)
        if not self._background_places.acquire(blocking=False):
            raise busy()
        try:
            with self._background.turn(BACKGROUND_WAIT_S):
                return self._ask(
                    self._background, shown, asked | {"coarse": FEW_SIDE}, file, timeout_s=BACKGROUND_S
                )
        finally:
            self._background_places.release()

    def _tile(
        self, shown: ShownFile, level: int, x: int, y: int, preview: CutoutPreview | None
    ) -> bytes | None:
        """Ask for it; None if the picture is not kept by the worker."""
        self._refuse_again(shown)
        asked = {
            "do": "tile",
            "key": _key_of(shown, preview),
            "matte": shown.kind is PictureView.MATTE,
            "level": level,
            "x": x,
            "y": y,
        }
        with self._prompt.turn(ANSWER_S):
            said, body = self._ask(self._prompt, shown, asked)
        if said.get("missing"):
            return None
        if said.get("none"):
            raise RefusedError(404, "no_such_tile", "The picture has no such part.")
        if not body.startswith(b"RIFF"):
            raise cannot_show(UNDECODED)
        return body

    def _open(self, shown: ShownFile, preview: CutoutPreview | None = None) -> tuple[int, int]:
        """Open a picture in the worker; return its size."""
        self._refuse_again(shown)
        with self._file(shown, preview) as (file, exact):
            upright = exact and shown.kind is not PictureView.SOURCE  # it was made here
            asked = {
                "do": "open",
                "key": _key_of(shown, preview),
                "upright": upright,
                "preview": preview is not None,
            }
            with self._prompt.turn(ANSWER_S):
                said, _ = self._ask(self._prompt, shown, asked, file)
        with self._lock:
            _remember(self._is_exact, shown.key, exact)
        return shown_files.size(said)

    def _warm(self, shown: ShownFile, preview: CutoutPreview | None = None) -> None:
        """Open a picture in the worker, if it is not open, before the first tile is requested."""
        key = _key_of(shown, preview)
        try:
            with self._only_one(key), self._prompt.turn(ANSWER_S):
                said, _ = self._ask(self._prompt, shown, {"do": "has", "key": key})
            if said.get("missing"):
                with self._only_one(key):
                    self._open(shown, preview)
        except RefusedError:
            pass  # said when a tile is asked for

    def _ask(
        self,
        worker: Worker,
        shown: ShownFile,
        asked: Mapping[str, object],
        *files: int,
        timeout_s: float | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        try:
            said, body = worker.ask(asked, timeout_s or ANSWER_S, files)
        except WorkerFailedError:
            said, body = {"why": "the process that decodes it failed"}, b""
        if (why := said.get("why")) is None:
            return said, body
        why = str(why)[:_MAX_WHY]
        if shown.kind is PictureView.MATTE and why == "it has no transparency":
            raise no_matte()
        with self._lock:
            _remember(self._refused, shown.key, (time.monotonic() + REFUSED_S, why))
        raise cannot_show(why)

    def _refuse_again(self, shown: ShownFile) -> None:
        """What a worker failed over is not given to the next one at once."""
        until_s, why = self._refused.get(shown.key, (0.0, ""))
        if time.monotonic() < until_s:
            raise cannot_show(why)

    def _keep(self, shown: ShownFile, key: str, content: bytes) -> None:
        if self._is_exact.get(shown.key, False):
            self._cache.put(key, content)

    def _key(self, shown: ShownFile, part: str) -> str:
        """Under which something is kept: by the bytes that it was made of, and unknown ones are no one's."""
        return f"{_FORMAT}/{shown.sha256 or shown.key}/{shown.kind}/{part}"

    def _setup(self, *, in_background: bool) -> dict[str, object]:
        behind = {"nice": BACKGROUND_NICE, "session_nice": BACKGROUND_SESSION_NICE} if in_background else {}
        return {**shown_files.worker_setup(self._backend), "kept_bytes": KEPT_BYTES, **behind}

    @contextmanager
    def _only_one(self, key: str) -> Iterator[None]:
        """One thread at a time opens a picture; the others find it open then."""
        with self._lock:
            lock, waiting = self._opening.get(key, (threading.Lock(), 0))
            self._opening[key] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._opening.pop(key)
                if waiting > 1:
                    self._opening[key] = (lock, waiting - 1)


def _key_of(shown: ShownFile, preview: CutoutPreview | None) -> str:
    """Under which the worker keeps what is decoded."""
    return shown.key if preview is None else f"{shown.key}/preview"


def _parts(said: Mapping[str, Any], body: bytes) -> Iterator[bytes]:
    """The files that an answer holds, as far as it tells the truth about them."""
    at = 0
    for size in said.get("sizes", ()):
        part = body[at : at + size] if type(size) is int and size > 0 else b""
        if not part.startswith(b"RIFF"):
            return
        yield part
        at += size


def _remember(known: OrderedDict[str, Any], key: str, value: object) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
