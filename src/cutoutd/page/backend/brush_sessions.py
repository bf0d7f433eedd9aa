"""Brush sessions: each has a worker while in use, and gets a new one if the worker has ended.

A session stands for a picture as it was at its start. This module must not decode pictures or save strokes.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd import job_options, strokes
from cutoutd.exchange import coarse_mattes
from cutoutd.job_detail import JobResult
from cutoutd.journal.reader import Reader
from cutoutd.models.catalog import PACKAGED
from cutoutd.page.backend import shown_files
from cutoutd.page.backend.pictures import shared_cache
from cutoutd.page.backend.shown_files import PictureView, ShownFile, cannot_show
from cutoutd.page.backend.workers import Worker, WorkerFailedError
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.page.backend.method import Backend
    from cutoutd.previews.file_reader import ReadFile
    from cutoutd.strokes import Stroke

COMMAND: Final = (sys.executable, "-P", "-m", "cutoutd.previews.brush_worker")

MOST: Final = 2
"""Pictures that can be corrected at the same time."""

IDLE_S: Final = 180.0
"""Time without a stroke after which a worker ends, seconds."""

REST_S: Final = 60.0
"""Time without a stroke after which a worker may be given to another session, seconds."""

START_S: Final = 60.0
PREVIEW_S: Final = 20.0

_MAX_WHY: Final = 300
_REMEMBERED: Final = 100
_PNG: Final = b"\x89PNG"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fix:
    """A brush session on a picture.

    Attributes:
        name: random name that cannot be guessed.
        job: number of the job.
        sha256: SHA-256 of the picture at the start of the session.
    """

    name: str
    job: int
    sha256: str


class BrushSessions:
    """All brush sessions and their workers; shared by threads.

    Args:
        backend: the backend, which finds the pictures.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._starter = starter = ThreadPoolExecutor(1, "page-brushes")
        self._workers = [
            Worker(COMMAND, lambda: shown_files.worker_setup(backend), starter, idle_s=IDLE_S)
            for _ in range(MOST)
        ]
        self._has: list[str] = [""] * MOST
        self._used_s = [-IDLE_S] * MOST
        self._lock = threading.Lock()
        self._fixes: OrderedDict[str, Fix] = OrderedDict()
        self._reader = shown_files.ReaderOfNow(backend)

    @property
    def pids(self) -> list[int]:
        """Return the ids of the running processes."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()
        self._starter.shutdown()

    def begin(self, shown: ShownFile) -> tuple[Fix, tuple[int, int]]:
        """Load a picture in a worker; return the session, width and height."""
        assert shown.sha256 is not None  # noqa: S101 -- see `_fixable`
        fix = Fix(name=secrets.token_urlsafe(16), job=shown.job.id, sha256=shown.sha256)
        with self._lock:
            # Usually the page was reloaded: this session gets the worker of the earlier one.
            for former in [one.name for one in self._fixes.values() if one.job == fix.job]:
                self._give_up(former)
        try:
            with self._worker(fix.name) as place:
                size = self._start(place, fix, shown)
        except BaseException:
            self.end(fix.name)
            raise
        with self._lock:
            self._fixes[fix.name] = fix
            while len(self._fixes) > _REMEMBERED:
                self._fixes.popitem(last=False)
        return fix, size

    def of(self, name: str) -> Fix:
        """Return a session.

        Raises:
            RefusedError: there is no session of this name.
        """
        with self._lock:
            fix = self._fixes.get(name)
            if fix is None:
                raise RefusedError(
                    404,
                    "fix_ended",
                    "This correction has ended. Start it again; your strokes in this window are kept.",
                )
            self._fixes.move_to_end(name)
            return fix

    def preview(self, fix: Fix, drawn: tuple[Stroke, ...], suggestion: int) -> tuple[bytes, bool]:
        """Return the cutout after strokes as a PNG, and whether the strokes change anything."""
        asked = {
            "do": "preview",
            "key": fix.name,
            "strokes": strokes.dump(drawn),
            "suggestion": suggestion,
        }
        with self._worker(fix.name) as place:
            said, body = self._ask(place, asked, PREVIEW_S)
            if said.get("missing"):  # the worker was ended meanwhile, or used by another session
                self._start(place, fix, fixable(self._backend, fix.job))
                said, body = self._ask(place, asked, PREVIEW_S)
        if not body.startswith(_PNG):
            raise cannot_show("the preview process gave an invalid answer")
        return body, said.get("changed") is True

    def end(self, name: str) -> None:
        """End a session."""
        with self._lock:
            self._fixes.pop(name, None)
            self._give_up(name)

    def _give_up(self, name: str) -> None:
        """Release the worker of a session for other sessions."""
        for place in range(MOST):
            if self._has[place] == name:
                self._has[place], self._used_s[place] = "", -IDLE_S

    def read(self, shown: ShownFile) -> ReadFile:
        """Open the current file of the picture.

        Raises:
            RefusedError: the file differs from the one the cutout was made of, or cannot be read.
        """
        file = shown_files.read(self._reader(), shown)
        if file.sha256 != shown.sha256:
            file.close()
            raise source_changed()
        return file

    def _start(self, place: int, fix: Fix, shown: ShownFile) -> tuple[int, int]:
        if shown.sha256 != fix.sha256:
            raise source_changed()
        files = [self.read(shown)]
        try:
            if (cutout := self._base(shown)) is not None:
                files.append(cutout)
            descriptors = tuple(one.descriptor for one in files)
            asked = {"do": "start", "key": fix.name, "recipe": _recipe(shown), "sha256": fix.sha256}
            said, kept = self._ask(place, asked, START_S, *descriptors)
        finally:
            for one in files:
                one.close()
        if 0 < len(kept) <= coarse_mattes.MAX_BYTES:
            shared_cache(self._backend).put(coarse_mattes.key(fix.sha256), kept)
        return shown_files.size(said)

    def _base(self, shown: ShownFile) -> ReadFile | None:
        """Return the cutout where strokes correct its alpha (of another model or a service); else None."""
        if JobResult.of(shown.job).model in ("", PACKAGED):
            return None
        try:
            cutout = shown_files.find(self._backend, shown.job.id, PictureView.MATTE)
            return shown_files.read(self._reader(), cutout)
        except RefusedError:
            return None  # then the matte of the embedded model is used

    def _ask(
        self, place: int, asked: Mapping[str, object], timeout_s: float, *files: int
    ) -> tuple[dict[str, Any], bytes]:
        try:
            said, body = self._workers[place].ask(asked, timeout_s, files)
        except WorkerFailedError:
            raise cannot_show("the preview process failed") from None
        if "why" in said:
            raise cannot_show(str(said["why"])[:_MAX_WHY])
        return said, body

    @contextmanager
    def _worker(self, name: str) -> Iterator[int]:
        """Return a worker for a session: its own, a free one, or one of an idle session."""
        now_s = time.monotonic()
        with self._lock:
            place = min(range(MOST), key=lambda one: (self._has[one] != name, self._used_s[one]))
            if self._has[place] != name and now_s < self._used_s[place] + REST_S:
                raise RefusedError(
                    503,
                    "too_many_fixes",
                    f"{MOST} pictures are being corrected already, perhaps in another window. Finish one of them first.",
                )
            self._has[place] = name
            self._used_s[place] = now_s
        with self._workers[place].turn(START_S):
            yield place
        with self._lock:
            if self._has[place] == name:
                self._used_s[place] = time.monotonic()


def _recipe(shown: ShownFile) -> dict[str, object]:
    """Return what decides how the alpha of a corrected cutout will look, as the settings are now."""
    recipe = job_options.of_text(shown.job.options).recipe(shown.folder.recipe(), Path())
    roi = None if recipe.roi is None else asdict(recipe.roi)
    return {"refine": recipe.refine, "is_solid": recipe.is_solid, "roi": roi}


def fixable(backend: Backend, number: int) -> ShownFile:
    """Return the original of a cutout that can be corrected.

    Raises:
        RefusedError: there is no cutout, or it cannot be corrected.
    """
    shown = shown_files.find(backend, number, PictureView.SOURCE)
    _, store = shown_files.configured(backend)
    if Reader(store).newest(shown.job) != number:
        raise source_changed()
    if shown.sha256 is None:
        raise RefusedError(
            409, "not_cut", "This picture has not been cut yet, so there is nothing to correct."
        )
    return shown


def source_changed() -> RefusedError:
    """Return the refusal for a picture that differs from the one the cutout was made of."""
    return RefusedError(
        409,
        "source_changed",
        "The picture was replaced or edited since this cutout was made. It is being cut again; correct the new cutout.",
    )
