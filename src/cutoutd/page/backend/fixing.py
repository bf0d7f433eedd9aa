"""Correcting a cutout with a brush: a picture is made ready to be drawn on, strokes are tried, and saved as a request.

What is saved is a request in the journal, which the daemon carries out whenever it runs. A session here is only a name for a
picture and what was seen of it: a worker that ended meanwhile is given the picture again. This module must not decode anything.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd import strokes
from cutoutd.errors import JournalError
from cutoutd.job_detail import JobResult
from cutoutd.jobs import MAX_SUGGESTIONS
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.corrections import Corrections
from cutoutd.journal.fix_request import FixAction, FixRequest
from cutoutd.journal.reader import Reader
from cutoutd.journal.state import running
from cutoutd.models.catalog import PACKAGED
from cutoutd.page.backend import parameters, shown_files
from cutoutd.page.backend.method import RefusedError, Reply
from cutoutd.page.backend.shown_files import Kind, ShownFile, cannot_show
from cutoutd.page.backend.workers import Worker, WorkerFailedError
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend, Method, Parameters
    from cutoutd.previews.file_reader import FileReader, ReadFile
    from cutoutd.settings.schema import Settings
    from cutoutd.strokes import Stroke

PART: Final = "fixing"
COMMAND: Final = (sys.executable, "-P", "-m", "cutoutd.previews.brush_worker")

MOST: Final = 2
"""Pictures that are drawn on at the same time."""

IDLE_S: Final = 180.0
"""A worker waits for so long for the next stroke."""

REST_S: Final = 60.0
"""Without a stroke for so long, its worker may be had by whoever begins another picture."""

START_S: Final = 60.0
PREVIEW_S: Final = 20.0

ANSWER_S: Final = 1.5
"""A running daemon is given so long to refuse what was saved."""

_LOOK_S: Final = 0.02
_REMEMBERED: Final = 100
_PNG: Final = b"\x89PNG"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fix:
    """A picture that is drawn on.

    Attributes:
        name: hard to guess.
        job: its number.
        sha256: of the picture's bytes when it was begun.
    """

    name: str
    job: int
    sha256: str


class Fixing:
    """The pictures that are drawn on, and the workers that have them; shared by threads.

    Args:
        backend: whose pictures.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._starter = starter = ThreadPoolExecutor(1, "page-brushes")
        self._workers = [Worker(COMMAND, self._setup, starter, idle_s=IDLE_S) for _ in range(MOST)]
        self._has: list[str] = [""] * MOST
        self._used_s = [-IDLE_S] * MOST
        self._lock = threading.Lock()
        self._fixes: OrderedDict[str, Fix] = OrderedDict()
        self._reader: tuple[Settings, FileReader] | None = None

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            with worker.turn(START_S):
                worker.end()
        self._starter.shutdown()

    def begin(self, shown: ShownFile) -> tuple[Fix, tuple[int, int]]:
        """Make a picture ready; its session, and width and height."""
        assert shown.sha256 is not None  # noqa: S101 -- see `_fixable`
        fix = Fix(name=secrets.token_urlsafe(16), job=shown.job.id, sha256=shown.sha256)
        with self._lock:
            # A window that was loaded anew, most often: its worker is had by this one.
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
        """A session.

        Raises:
            RefusedError: there is none of this name.
        """
        with self._lock:
            fix = self._fixes.get(name)
            if fix is None:
                raise RefusedError(
                    404,
                    "fix_ended",
                    "This correction was ended. Begin it again; what was drawn in this window is kept.",
                )
            self._fixes.move_to_end(name)
            return fix

    def preview(self, fix: Fix, drawn: tuple[Stroke, ...], suggestion: int) -> tuple[bytes, bool]:
        """What strokes make of the cutout, as a PNG; and whether they change anything."""
        asked = {
            "do": "preview",
            "key": fix.name,
            "strokes": strokes.dump(drawn),
            "suggestion": suggestion,
        }
        with self._worker(fix.name) as place:
            said, body = self._ask(place, asked, PREVIEW_S)
            if said.get("missing"):  # it was ended meanwhile, or another session has had it
                self._start(place, fix, fixable(self._backend, fix.job))
                said, body = self._ask(place, asked, PREVIEW_S)
        if not body.startswith(_PNG):
            raise cannot_show("the process that draws said nothing that could be understood")
        return body, said.get("changed") is True

    def end(self, name: str) -> None:
        """Nobody draws on it any more."""
        with self._lock:
            self._fixes.pop(name, None)
            self._give_up(name)

    def _give_up(self, name: str) -> None:
        """Its worker may be had by another session."""
        for place in range(MOST):
            if self._has[place] == name:
                self._has[place], self._used_s[place] = "", -IDLE_S

    def read(self, shown: ShownFile) -> ReadFile:
        """The picture, as it is now.

        Raises:
            RefusedError: it is another one than the cutout was made of, or cannot be read.
        """
        file = shown_files.read(self._files(), shown)
        if file.sha256 != shown.sha256:
            file.close()
            raise _changed()
        return file

    def _start(self, place: int, fix: Fix, shown: ShownFile) -> tuple[int, int]:
        if shown.sha256 != fix.sha256:
            raise _changed()
        files = [self.read(shown)]
        try:
            if (cutout := self._base(shown)) is not None:
                files.append(cutout)
            descriptors = tuple(one.descriptor for one in files)
            said, _ = self._ask(place, {"do": "start", "key": fix.name}, START_S, *descriptors)
        finally:
            for one in files:
                one.close()
        return shown_files.size(said)

    def _base(self, shown: ShownFile) -> ReadFile | None:
        """The cutout, where its transparency is what strokes correct: another model's, or a service's; else None."""
        if JobResult.of(shown.job).model in ("", PACKAGED):
            return None
        try:
            cutout = shown_files.find(self._backend, shown.job.id, Kind.MATTE)
            return shown_files.read(self._files(), cutout)
        except RefusedError:
            return None  # the embedded model's is what there is

    def _ask(
        self, place: int, asked: Mapping[str, object], timeout_s: float, *files: int
    ) -> tuple[dict[str, Any], bytes]:
        try:
            said, body = self._workers[place].ask(asked, timeout_s, files)
        except WorkerFailedError:
            raise cannot_show("the process that draws failed over it") from None
        if "why" in said:
            raise cannot_show(str(said["why"]))
        return said, body

    @contextmanager
    def _worker(self, name: str) -> Iterator[int]:
        """Have a worker for a session: its own, one that nobody has, or one that has rested."""
        now_s = time.monotonic()
        with self._lock:
            place = min(range(MOST), key=lambda one: (self._has[one] != name, self._used_s[one]))
            if self._has[place] != name and now_s < self._used_s[place] + REST_S:
                raise RefusedError(
                    503,
                    "too_many_fixes",
                    f"{MOST} pictures are being corrected already, such as in another window. Finish one of them first.",
                )
            self._has[place] = name
            self._used_s[place] = now_s
        with self._workers[place].turn(START_S):
            yield place
        with self._lock:
            if self._has[place] == name:
                self._used_s[place] = time.monotonic()

    def _files(self) -> FileReader:
        settings, _ = shown_files.configured(self._backend)
        with self._lock:
            if self._reader is None or self._reader[0] is not settings:
                self._reader = (settings, shown_files.make_reader(settings))
            return self._reader[1]

    def _setup(self) -> dict[str, object]:
        settings, _ = shown_files.configured(self._backend)
        pool = settings.pool
        return {
            "max_pixels": pool.max_pixels,
            "max_file_bytes": pool.max_file_mb << 20,
            "formats": list(pool.formats),
            "memory_mb": pool.worker_memory_mb,
            "required": pool.sandbox is Sandbox.REQUIRED,
            "nice": pool.nice,
        }


def fixable(backend: Backend, number: int) -> ShownFile:
    """The original of a cutout that can be corrected.

    Raises:
        RefusedError: there is none, or it cannot be.
    """
    shown = shown_files.find(backend, number, Kind.SOURCE)
    _, store = shown_files.configured(backend)
    if Reader(store).newest(shown.job) != number:
        raise _changed()
    if shown.sha256 is None:
        raise RefusedError(409, "not_cut", "This picture was not cut yet, so there is nothing to correct.")
    return shown


def _changed() -> RefusedError:
    return RefusedError(
        409,
        "source_changed",
        "The picture was replaced or edited since this cutout was made. It is cut anew; correct that cutout then.",
    )


def _fixing(backend: Backend) -> Fixing:
    found = backend.parts.get(PART)
    return found if found is not None else backend.parts.setdefault(PART, Fixing(backend))  # type: ignore[no-any-return]


def _strokes(params: Parameters) -> tuple[Stroke, ...]:
    try:
        return strokes.parse(params.get("strokes"))
    except strokes.StrokesError as error:
        raise RefusedError(400, "strokes", str(error)) from error


def _suggestion(params: Parameters) -> int:
    return parameters.whole(params, "suggestion", 0, most=MAX_SUGGESTIONS - 1)


def _post(backend: Backend, request: FixRequest) -> None:
    """Leave a request in the journal; a running daemon that refuses it at once is listened to.

    Raises:
        RefusedError: the disk refuses it, or the daemon does.
    """
    settings, store = shown_files.configured(backend)
    commands = Commands(store, backend.clock)
    try:
        number = commands.post(Verb.FIX, request.to_argument())
    except JournalError as error:
        raise RefusedError(
            503,
            "disk_full" if "full" in error.cause else "not_saved",
            f"The correction could not be saved: {error.cause}. What was drawn is still in this window; save it again.",
            why=error.cause,
        ) from error
    end_s = time.monotonic() + (ANSWER_S if running(settings.service.state_dir) is not None else 0)
    while (answer := commands.answer(number)) is None and time.monotonic() < end_s:
        time.sleep(_LOOK_S)
    if answer:
        raise RefusedError(409, "fix_refused", f"The correction was not taken: {answer}.", why=answer)


def _see_that_it_is_the_same(backend: Backend, fix: Fix) -> None:
    """A picture may be replaced while it is drawn on; one that cannot be looked at just now is for the daemon to look at.

    Raises:
        RefusedError: it is another one now, or is gone.
    """
    shown = fixable(backend, fix.job)
    if shown.sha256 != fix.sha256:
        raise _changed()
    try:
        _fixing(backend).read(shown).close()
    except RefusedError as refused:
        if refused.code not in ("share_hangs", "folder_away"):
            raise


def _see_that_it_was_seen(store: Store, shown: ShownFile, seen: str) -> None:
    published = shown_files.published(store, shown.job)
    if seen and published and seen not in {one.sha256 for one in published}:
        raise RefusedError(
            409, "cutout_changed", "The cutout was replaced by another one meanwhile. Look at it again first."
        )


def fix_start(backend: Backend, params: Parameters) -> Reply:
    """``job``: make a picture ready to be drawn on."""
    shown = fixable(backend, parameters.whole(params, "job"))
    _, store = shown_files.configured(backend)
    earlier = Corrections(store, backend.clock).of(shown.job)
    fix, (width, height) = _fixing(backend).begin(shown)
    return Reply(
        data={
            "fix": fix.name,
            "width": width,
            "height": height,
            "version": shown.version,
            "strokes": [] if earlier is None else strokes.dump(earlier.strokes),
            "suggestion": 0 if earlier is None else earlier.suggestion,
        }
    )


def fix_preview(backend: Backend, params: Parameters) -> Reply:
    """``fix, strokes, suggestion``: what strokes make of the cutout, as a PNG."""
    fixing = _fixing(backend)
    fix = fixing.of(parameters.text(params, "fix"))
    body, changed = fixing.preview(fix, _strokes(params), _suggestion(params))
    return Reply(body=body, media_type="image/png", data={"changed": int(changed)})


def fix_save(backend: Backend, params: Parameters) -> Reply:
    """``fix, strokes, seen, suggestion``: the cutout is to be made anew with these strokes."""
    fix = _fixing(backend).of(parameters.text(params, "fix"))
    drawn, seen = _strokes(params), parameters.text(params, "seen", "")
    _see_that_it_is_the_same(backend, fix)
    _, store = shown_files.configured(backend)
    _see_that_it_was_seen(store, shown_files.find(backend, fix.job, Kind.SOURCE), seen)
    action = FixAction.DRAW if drawn else FixAction.CLEAR
    _post(
        backend,
        FixRequest(job=fix.job, action=action, strokes=drawn, suggestion=_suggestion(params), seen=seen),
    )
    return Reply(data={})


def fix_undo(backend: Backend, params: Parameters) -> Reply:
    """``job``: the former version comes back."""
    shown = fixable(backend, parameters.whole(params, "job"))
    _, store = shown_files.configured(backend)
    is_asked = any(command.verb == Verb.FIX for command in Commands(store, backend.clock).pending())
    if not is_asked and Corrections(store, backend.clock).of(shown.job) is None:
        raise RefusedError(409, "nothing_drawn", "Nothing is drawn over this cutout, so nothing is undone.")
    _post(backend, FixRequest(job=shown.job.id, action=FixAction.UNDO))
    return Reply(data={})


def fix_end(backend: Backend, params: Parameters) -> Reply:
    """``fix``: nobody draws on it any more."""
    _fixing(backend).end(parameters.text(params, "fix"))
    return Reply(data={})


METHODS: Final[Mapping[str, Method]] = {
    "fix_start": fix_start,
    "fix_preview": fix_preview,
    "fix_save": fix_save,
    "fix_undo": fix_undo,
    "fix_end": fix_end,
}
