"""The file that is shown for a job: its original at its current place, or its first cutout; and reading it.

It must not decode anything, and must not wait for a share without an end.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd import job_options
from cutoutd.exchange import cutout_previews
from cutoutd.jobs import JobState
from cutoutd.journal.reader import Reader
from cutoutd.journal.reservations import Reservations
from cutoutd.page.backend import sidecars
from cutoutd.previews.file_reader import FileReader, NoRootError, ReadFile, SilentError
from cutoutd.publish.original_paths import OriginalPath, original_paths
from cutoutd.recipe import Format
from cutoutd.settings.types import Originals, Sandbox
from cutoutd.tiling import TILE
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cutoutd.exchange.cutout_previews import CutoutPreview
    from cutoutd.jobs import Job, Published
    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend
    from cutoutd.settings.schema import Folder, Settings

WAIT_S: Final = 5.0
"""Whoever waits for a file gives up after so long without progress: a disk that sleeps needs some seconds."""

SILENT_S: Final = 2.0
"""And nobody else waits for a share that has said nothing for so long."""

UNDECODED: Final = "it could not be decoded"

LONGEST_S: Final = 60.0
AT_ONCE: Final = 2


class PictureView(StrEnum):
    """The view of a job."""

    SOURCE = "source"  # the original
    CUTOUT = "cutout"  # the first of its renditions
    MATTE = "matte"  # the transparency of that one, as grey


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownFile:
    """A file that is shown.

    Attributes:
        job: its job.
        kind: what of it.
        folder: the job's.
        sha256: of the file's bytes; None: not known yet.
        seen: of the cutout's; empty if there is none.
        places: names it may have, the likeliest first.
    """

    job: Job
    kind: PictureView
    folder: Folder
    sha256: str | None
    seen: str
    places: tuple[OriginalPath, ...]

    @property
    def version(self) -> str:
        """Another one for other bytes, and for tiles of another size: browsers keep what has the same address."""
        version = self.job.version
        bytes_of = self.sha256[:32] if self.sha256 else f"{version.size:x}-{version.mtime_ns:x}"
        return f"{bytes_of}-{TILE}"

    @property
    def key(self) -> str:
        """Of what is decoded for it: cutout and matte are in one file."""
        return f"{self.job.id}/{self.kind is PictureView.SOURCE}/{self.version}"

    @property
    def is_laid_out_now(self) -> bool:
        """Whether the subject may lie elsewhere than in the original, as on a canvas; as the settings are now."""
        options = job_options.of_text(self.job.options)
        return options.renditions(self.folder.recipe().renditions, Path())[0].is_laid_out

    def is_named(self, version: str) -> bool:
        """Whether a request is for just this version, by its own or by the cutout's SHA-256."""
        return bool(version) and version in (self.version, self.sha256, self.seen)


def find(backend: Backend, number: int, kind: PictureView) -> ShownFile:
    """Find the file of a job.

    Raises:
        RefusedError: there is no such job, or it has no file to show.
        CutoutdError: the journal cannot be read.
    """
    settings, store = configured(backend)
    job = Reader(store).job(number)
    if job is None:
        raise RefusedError(404, "no_job", f"There is no picture with the number {number}.", job=number)
    folder = next((one for one in settings.folder if one.name == job.folder), None)
    if folder is None:
        raise RefusedError(
            404,
            "no_such_folder",
            f"The folder {job.folder} is not in the configuration any more, so its pictures cannot be shown.",
            folder=job.folder,
        )
    output = first_output(store, job)
    seen = "" if output is None else output.sha256
    if kind is PictureView.SOURCE:
        is_newest = Reader(store).newest(job) == job.id
        places = tuple(original_paths(job, folder, is_newest=is_newest))
        return ShownFile(job=job, kind=kind, folder=folder, sha256=job.sha256, seen=seen, places=places)
    if output is None:
        raise RefusedError(404, "no_cutout", "There is no cutout of this picture.", job=number)
    if kind is PictureView.MATTE and output.path.endswith(f".{Format.JPEG.extension}"):
        raise no_matte()
    place = OriginalPath(root=folder.output, path=folder.output / output.path)
    return ShownFile(job=job, kind=kind, folder=folder, sha256=seen, seen=seen, places=(place,))


def layout(backend: Backend, shown: ShownFile) -> dict[str, bool | tuple[float, ...] | None]:
    """Whether the subject may lie elsewhere than in the original, and where the original lies in what is shown, if that is known."""
    if shown.kind is PictureView.SOURCE:
        return {"laid_out": False, "frame": None}
    output = shown.places[0].path.relative_to(shown.folder.output)
    frame = sidecars.frame_of(backend, shown.folder, shown.job.path, output, shown.seen)
    return {"laid_out": frame is not None or shown.is_laid_out_now, "frame": frame}


def preview(backend: Backend, shown: ShownFile) -> CutoutPreview | None:
    """What the worker that has cut a picture has left of it in small; None if there is none, or none of what is shown.

    Raises:
        RefusedError: nothing is configured any more.
    """
    if shown.kind is PictureView.SOURCE or shown.sha256 is None:
        return None
    found = cutout_previews.find(configured(backend)[0].service.state_dir, shown.sha256)
    if found is None or (shown.kind is PictureView.MATTE and not found.alpha):
        return None
    return found


def configured(backend: Backend) -> tuple[Settings, Store]:
    """Return settings and journal.

    Raises:
        RefusedError: there is no configuration or no journal yet.
    """
    store = backend.open_store()
    if backend.settings is None or store is None:
        raise RefusedError(503, "not_configured", "cutoutd is not set up yet.")
    return backend.settings, store


def first_output(store: Store, job: Job) -> Published | None:
    """The first of a job's renditions: that which is held back, where it is in review; None if there is none."""
    held_back = job.state is JobState.REVIEW
    outputs = published(store, job)
    return first_of(one for one in outputs if one.review is held_back) or first_of(outputs)


def published(store: Store, job: Job) -> tuple[Published, ...]:
    """Return all results of a job's source, including overlays."""
    return Reservations(store).earlier(job.folder, job.path, job.generation)


def first_of(outputs: Iterable[Published]) -> Published | None:
    """Return the first rendition that is not an overlay."""
    return min((one for one in outputs if not one.is_overlay), key=lambda one: one.rendition, default=None)


def size(said: Mapping[str, Any]) -> tuple[int, int]:
    """Parse width and height in a worker's response.

    Raises:
        RefusedError: the values are invalid.
    """
    width, height = said.get("width"), said.get("height")
    if type(width) is not int or type(height) is not int or not (width > 0 and height > 0):
        raise cannot_show(UNDECODED)
    return width, height


class ReaderOfNow:
    """What reads such files, as the configuration says now; shared by threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._made: tuple[Settings, FileReader] | None = None

    def __call__(self) -> FileReader:
        """Return the reader.

        Raises:
            RefusedError: nothing is configured yet.
        """
        settings, _ = configured(self._backend)
        with self._lock:
            if self._made is None or self._made[0] is not settings:
                reader = FileReader(
                    wait_s=WAIT_S,
                    silent_s=SILENT_S,
                    at_once=AT_ONCE,
                    longest_s=LONGEST_S,
                    max_bytes=settings.pool.max_file_mb << 20,
                )
                self._made = (settings, reader)
            return self._made[1]


def worker_setup(backend: Backend) -> dict[str, object]:
    """Return the first message to a process that decodes such files: limits of decoding and memory, and the sandbox's layers.

    Raises:
        RefusedError: nothing is configured yet.
    """
    pool = configured(backend)[0].pool
    return {
        "max_pixels": pool.max_pixels,
        "max_file_bytes": pool.max_file_mb << 20,
        "formats": list(pool.formats),
        "memory_mb": pool.worker_memory_mb,
        "required": pool.sandbox is Sandbox.REQUIRED,
        "nice": pool.nice,
    }


def read(reader: FileReader, shown: ShownFile) -> ReadFile:
    """Open the file at its current place: the one with the right digest, else the one with its name.

    Returns:
        The caller closes it.

    Raises:
        RefusedError: it is not there, or cannot be read, or its share does not answer.
    """
    other: ReadFile | None = None
    refused: RefusedError | None = None
    missing = 0
    for place in shown.places:
        try:
            file = reader.read(place.root, place.path)
        except OSError as error:
            refused = refused or _why(error, shown)
            missing += place.root == shown.folder.originals_dir
            if isinstance(error, SilentError) or missing > 1:
                break
            continue
        missing = 0
        if file.sha256 == shown.sha256 or not (place.sha256 or shown.sha256):
            if other is not None:
                other.close()
            return file
        if place.sha256 or other is not None:
            file.close()
        else:
            other = file
    if other is not None:
        return other
    raise refused or _gone(shown)


def _why(error: OSError, shown: ShownFile) -> RefusedError | None:
    """Return why a file cannot be shown; None if there is no such file."""
    if isinstance(error, SilentError):
        return _silent(shown)
    if isinstance(error, NoRootError):
        return _away(shown)
    return (
        None if isinstance(error, FileNotFoundError) else cannot_show(error.strerror or "it cannot be read")
    )


def cannot_show(why: str) -> RefusedError:
    """Return the refusal of a file that exists and cannot be shown."""
    return RefusedError(422, "cannot_show", f"This picture cannot be shown: {why}.", why=why)


def no_matte() -> RefusedError:
    """Return the refusal of the matte of an opaque cutout."""
    return RefusedError(
        404, "no_matte", "This cutout has no transparency of its own, so there is no matte to show."
    )


def _silent(shown: ShownFile) -> RefusedError:
    name = shown.folder.name
    return RefusedError(
        503,
        "share_hangs",
        f"The disk or share of the folder {name} does not answer. Its pictures are shown again once it does.",
        folder=name,
    )


def _away(shown: ShownFile) -> RefusedError:
    name = shown.folder.name
    return RefusedError(
        503,
        "folder_away",
        f"The folder {name} is not there, such as a share that is not mounted. Its pictures are shown again once it is.",
        folder=name,
    )


def _gone(shown: ShownFile) -> RefusedError:
    if shown.kind is not PictureView.SOURCE:
        return RefusedError(
            404, "cutout_gone", "The cutout is not where it was put: it was moved or deleted since."
        )
    if shown.folder.originals is Originals.DELETE and shown.job.state is JobState.DONE:
        return RefusedError(
            404, "original_deleted", "The original was deleted after it was cut, as this folder is set up."
        )
    return RefusedError(404, "original_gone", "The original is not there any more: it was moved or deleted.")
