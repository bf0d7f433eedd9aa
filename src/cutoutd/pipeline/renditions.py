"""Every rendition of one cutout, staged: from the picture and its matte to complete, synced files.

All of them come from one decode and one matte. It must not give a file its final name, nor change the matte, nor the visible
part of the picture.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, cast

from cutoutd.engine.containers import metadata, png, resolution, tiff
from cutoutd.engine.containers.resolution import Resolution
from cutoutd.engine.formats import decode
from cutoutd.engine.render import canvas_layout, codecs, compose
from cutoutd.errors import LimitError, PictureError, background_refused
from cutoutd.jobs import OVERLAY, Staged
from cutoutd.pipeline.preview import ReducedRendition, write_preview
from cutoutd.protocols import Step
from cutoutd.publish.staging import result_name
from cutoutd.publish.writing import write_opened
from cutoutd.recipe import Channels, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from cutoutd.engine.containers.metadata import KeptMetadata
    from cutoutd.engine.picture import Picture
    from cutoutd.engine.render.backdrop import Backdrop
    from cutoutd.engine.render.canvas_layout import CanvasLayout
    from cutoutd.jobs import Task
    from cutoutd.protocols import Files
    from cutoutd.publish.writing import Sink

    _Strip = TypeVar("_Strip")

_PIECE_BYTES: Final = 1 << 22
"""Bytes that are written at a time, so that progress on a slow share is visible."""

_MAX_BACKGROUND_BYTES: Final = 512 << 20

_STREAMED: Final = {Format.PNG: png.write, Format.TIFF: tiff.write}
"""Formats that are written while their pixels are computed; the others need the whole frame first."""

_RESOLUTION_IN_EXIF: Final = frozenset({Format.WEBP, Format.AVIF})
"""Formats that have no other field for the resolution."""

_ENCODING_ADVICE: Final = "The original is untouched. Raise [pool] worker_memory_mb, or give this rendition a canvas or another format."
_SIZE_ADVICE: Final = (
    "The original is untouched. Give this rendition a smaller canvas or max_px, a lower min_quality, a format that "
    "makes smaller files, or a larger max_kb."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The staged results.

    Attributes:
        staged: results in the order of the recipe; the overlay of a doubtful cutout comes last.
        warnings: what was changed or lost, in words for the user.
        dropped: names of the metadata that was left out.
        doubts: limits of a rendition that could not be kept.
    """

    staged: tuple[Staged, ...]
    warnings: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Background:
    """The background of a rendition, and the hash of its file, if it comes from one."""

    backdrop: Backdrop | None
    sha256: str | None = None


def stage(
    task: Task,
    files: Files,
    picture: Picture,
    alpha: NDArray[np.uint8],
    *,
    review: bool,
    max_pixels: int,
    tell: Callable[[Step], None],
    sha256: str = "",
) -> Stage:
    """Write every rendition into its file.

    Args:
        task: the job.
        files: its open files.
        picture: the picture, decontaminated where the matte is soft.
        alpha: uint8 (H, W), the matte at full size.
        review: whether the cutout is doubtful, and gets an overlay.
        max_pixels: limit for a result, and for a background picture.
        tell: called with progress.
        sha256: digest of the source.

    Raises:
        LimitError: a result would be too large.
        OutputError: a background picture cannot be used.
        OSError: the disk or share has a fault.
    """
    recipe = task.recipe
    kept = metadata.apply_policy(
        picture.exif,
        picture.xmp,
        recipe.metadata,
        picture.iptc,
        derived_from=sha256 if recipe.derived_from else "",
    )
    subject = canvas_layout.subject(picture, alpha, recipe.renditions, is_located=recipe.locates_subject)
    # All layouts come before the first file: an impossible one then costs no time.
    layouts = [canvas_layout.lay_out(one, subject, max_pixels=max_pixels) for one in recipe.renditions]
    writer = _ResultWriter(task, files, max_pixels=max_pixels, tell=tell)
    staged = [writer.rendition(number, layout, kept) for number, layout in enumerate(layouts)]
    warnings = [*kept.warnings, *(warning for one in layouts for warning in one.warnings), *writer.warnings]
    if review:
        staged.append(writer.overlay(picture, alpha))
    return Stage(
        staged=tuple(staged),
        warnings=tuple(dict.fromkeys(warnings)),
        dropped=kept.dropped,
        doubts=tuple(dict.fromkeys(doubt for one in layouts for doubt in one.doubts)),
    )


class _ResultWriter:
    """Writes the results of one task into its files."""

    def __init__(self, task: Task, files: Files, *, max_pixels: int, tell: Callable[[Step], None]) -> None:
        self._task = task
        self._files = files
        self._max_pixels = max_pixels
        self._tell = tell
        self._grounds = dict(zip(task.recipe.backgrounds, files.backgrounds, strict=True))
        self.warnings: list[str] = []  # of the encoders

    def rendition(self, number: int, layout: CanvasLayout, kept: KeptMetadata) -> Staged:
        """Write a rendition from its layout."""
        background = self._background(layout)
        reduced = None
        if number == 0 and self._files.preview is not None:
            reduced = ReducedRendition((layout.place.width, layout.place.height))
        encoder = _Encoder(layout, background.backdrop, _extras(layout, kept), self._tell, reduced)
        self._tell(Step.WRITE)
        written = self._write(number, encoder.layout, encoder.write, layout.rendition.format)
        if reduced is not None and self._files.preview is not None:
            write_preview(self._files.preview, reduced, layout.icc)
        _check_size(layout, written.bytes)
        self.warnings += encoder.warnings
        return replace(
            written,
            background_sha256=background.sha256,
            quality=encoder.quality,
            subject=layout.shown_at if self._task.recipe.locates_subject else None,
            frame=layout.frame_at,
        )

    def overlay(self, picture: Picture, alpha: NDArray[np.uint8]) -> Staged:
        """Write the picture with what was cut away veiled."""
        veiled = compose.overlay(picture.rgb, alpha)
        self._tell(Step.WRITE)
        small = png.Layout(width=veiled.shape[1], height=veiled.shape[0], channels=3)
        extras = png.Extras(icc=picture.icc)

        def encode(sink: Sink) -> None:
            png.write(sink, _report_progress([veiled], self._tell), small, extras)

        return self._write(OVERLAY, small, encode)

    def _background(self, layout: CanvasLayout) -> _Background:
        """Read the background of a rendition. It is read for each picture, since it may have been changed meanwhile.

        Raises:
            OutputError: it is a picture that cannot be used. The source is not at fault, and every other would meet it.
            LimitError: likewise, where it belongs to a single request, so that no other meets it.
        """
        named = layout.rendition.picture
        if named is None:
            return _Background(backdrop=canvas_layout.behind(layout, None))
        self._tell(Step.READ)
        try:
            data = _plain_file(self._grounds[named])
            self._tell(Step.CUT)
            picture = decode.decode(data, max_pixels=self._max_pixels)
        except OSError as error:
            why = f"cannot be read ({error.strerror})"
            raise background_refused(Path(named), why, is_asked=layout.rendition.is_picture_asked) from error
        except PictureError as error:
            why = f"cannot be used: {error.cause}"
            raise background_refused(Path(named), why, is_asked=layout.rendition.is_picture_asked) from error
        return _Background(
            backdrop=canvas_layout.behind(layout, picture), sha256=hashlib.sha256(data).hexdigest()
        )

    def _write(
        self, rendition: int, layout: png.Layout, encode: Callable[[Sink], None], kind: Format = Format.PNG
    ) -> Staged:
        number = self._task.file_of(rendition)
        name = result_name(self._task.job, number, kind.extension)
        try:
            # Without a staging directory the file has no name: it goes to another machine, and is sent there again after a power cut.
            written = write_opened(self._files.results[number], encode, synced=bool(self._task.staging))
        except OSError as error:
            if error.filename is None:
                error.filename = os.path.join(self._task.staging, name)  # noqa: PTH118 -- text; a failed write names no file
            raise
        return Staged(
            name=name,
            rendition=rendition,
            bytes=written.bytes,
            sha256=written.sha256,
            width=layout.width,
            height=layout.height,
            format=kind,
        )


def _check_size(layout: CanvasLayout, size: int) -> None:
    """Check the size of a result; those that can be reduced were.

    Raises:
        LimitError: it exceeds max_kb.
    """
    most = layout.rendition.max_kb
    if most is not None and size > most * codecs.KILOBYTE:
        raise LimitError(
            f"its {canvas_layout.named(layout.rendition)} has {size / codecs.KILOBYTE:,.0f} KB, more than max_kb = {most} allows",
            advice=_SIZE_ADVICE,
        )


class _Encoder:
    """Writes one rendition in its format; ``write`` may be called again."""

    def __init__(
        self,
        layout: CanvasLayout,
        behind: Backdrop | None,
        extras: png.Extras,
        tell: Callable[[Step], None],
        reduced: ReducedRendition | None,
    ) -> None:
        self._canvas = layout
        self._behind = behind
        self._extras = extras
        self._tell = tell
        self._reduced = reduced
        self.layout = png.Layout(
            width=layout.place.width,
            height=layout.place.height,
            channels=layout.channels,
            bits=layout.rendition.bits,
        )
        self.warnings: tuple[str, ...] = ()
        self.quality: int | None = None  # the chosen one, if the file had to become smaller

    def write(self, sink: Sink) -> None:
        strips = self._canvas.strips(self._behind)
        if self._reduced is not None:
            strips = self._reduced.watched(strips)
        streamed = _STREAMED.get(self._canvas.rendition.format)
        if streamed is not None:
            try:
                streamed(sink, _report_progress(strips, self._tell), self.layout, self._extras)
            except tiff.TiffTooLargeError as error:
                raise LimitError(f"its TIFF cannot be written: {error}") from error
            return
        self._tell(Step.CUT)  # making and encoding a frame does not wait for a disk
        rendition = self._canvas.rendition
        frame = codecs.framed(cast("Iterator[NDArray[np.uint8]]", strips), self.layout)
        try:
            fitted = codecs.fitted(frame, rendition, self._extras)
        except codecs.EncodingError as error:
            raise LimitError(
                f"its {canvas_layout.named(rendition)} cannot be encoded ({error})", advice=_ENCODING_ADVICE
            ) from error
        except codecs.CannotFitError as error:
            raise LimitError(f"its {canvas_layout.named(rendition)} {error}", advice=_SIZE_ADVICE) from error
        self.quality = fitted.quality
        self.warnings = (
            *fitted.encoded.warnings,
            *(f"{canvas_layout.named(rendition)}: {one}" for one in fitted.said),
        )
        data = fitted.encoded.data
        for at in range(0, len(data), _PIECE_BYTES):
            self._tell(Step.WRITE)
            sink.write(data[at : at + _PIECE_BYTES])
        self._tell(Step.SYNC)


def _extras(layout: CanvasLayout, kept: KeptMetadata) -> png.Extras:
    exif = kept.exif
    if exif and not layout.is_whole:
        exif = metadata.resized(exif, layout.place.width, layout.place.height)
    if exif and layout.rendition.channels is not Channels.ALPHA:
        exif = metadata.coloured(exif, is_srgb=layout.icc is None or layout.convert is not None)
    density = layout.subject.picture.resolution
    if (dpi := layout.rendition.dpi) is not None:
        density = Resolution(x=dpi, y=dpi)
    if density is not None:
        needed = layout.rendition.format in _RESOLUTION_IN_EXIF
        exif = resolution.with_resolution(exif, density, needed=needed)
    if kept.iptc and layout.rendition.format is not Format.JPEG:
        exif = metadata.with_iptc(exif, kept.iptc)
    return png.Extras(icc=layout.icc, exif=exif, xmp=kept.xmp, resolution=density, iptc=kept.iptc)


def _plain_file(descriptor: int) -> bytes:
    """Read a regular file within the size limit of a background; several renditions may use it.

    Raises:
        OSError: it cannot be read.
        LimitError: it is something else, or too large.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BACKGROUND_BYTES:
            raise LimitError("it is not a file, or larger than 512 MB")
        return file.read(_MAX_BACKGROUND_BYTES)


def _report_progress(strips: Iterable[_Strip], tell: Callable[[Step], None]) -> Iterator[_Strip]:
    """Pass the strips of a result on, and report progress with each, and after the last one."""
    for strip in strips:
        tell(Step.WRITE)
        yield strip
    tell(Step.SYNC)
