"""One job from top to bottom: read, decode, matte, refine, foreground, compose, encode, stage.

Runs in a worker, under its sandbox. It gives no file its name, and every error becomes a report.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.colour import icc_transform
from cutoutd.engine.formats import decode, image_hash, opening, reply
from cutoutd.engine.matting import foreground, matte_model, quality, refine, subject_search
from cutoutd.engine.matting.tiles import Halves
from cutoutd.engine.render import compose, upload
from cutoutd.errors import (
    CutoutdError,
    InferenceError,
    LimitError,
    ReplyError,
    SourceGoneError,
    StorageError,
    from_os_error,
)
from cutoutd.failure import failure_of, to_valid_utf8
from cutoutd.jobs import Cut, Exported, Failure, Moved, NeedsRoom, SecondOpinion, SourceFacts, Unchanged
from cutoutd.models import catalog
from cutoutd.pipeline import renditions, second_opinion
from cutoutd.pipeline.second_opinion import SecondGoneError, SecondModel
from cutoutd.pipeline.stopwatch import Stopwatch
from cutoutd.protocols import Step
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.writing import write_opened
from cutoutd.spool import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from io import RawIOBase

    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture
    from cutoutd.jobs import Export, Quality, Received, Report, Task
    from cutoutd.protocols import Files, ModelSpec
    from cutoutd.recipe import Recipe

ROOMY_PIXELS: Final = 50_000_000
"""From here on a picture may need more than its worker's share of the memory, and runs alone."""

MAX_REPLY_BYTES: Final = 256 << 20
"""Of a hosted service's reply: more than the largest picture it may send."""

CHUNK_BYTES: Final = 1 << 22
"""A source is read in pieces, so that progress on a slow share can be told from none."""


class Engine:
    """What a worker keeps from one job to the next: models and limits.

    Args:
        models: of the catalog, at least one.
        provider: execution provider by name, or ``auto``.
        max_pixels: of a picture.
        max_file_bytes: of a picture's file.
        formats: that are switched on, of ``formats.SWITCHES``; None: all.
        second: that is asked where these leave doubt; None: there is none.

    Attributes:
        usual: the first model, for tasks that name none.

    Raises:
        ModelError: a model's file is missing or altered, or it does not run.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        *,
        provider: str,
        max_pixels: int,
        max_file_bytes: int,
        formats: Collection[str] | None = None,
        second: ModelSpec | None = None,
    ) -> None:
        self._models = {model.name: _loaded(model, provider) for model in models}
        self._usual_name, self.usual = next(iter(self._models.items()))
        self.max_pixels = max_pixels
        self.max_file_bytes = max_file_bytes
        self.formats = formats
        self._second = None if second is None else SecondModel(second, provider)

    @property
    def models(self) -> tuple[matte_model.MatteModel, ...]:
        """All models, at least one."""
        return tuple(self._models.values())

    def model(self, name: str) -> matte_model.MatteModel:
        """The model of a name; the usual one for none."""
        return self._models[name] if name else self.usual

    def close(self) -> None:
        """Close what is held open; a worker leaves that to its end."""
        if self._second is not None:
            self._second.close()

    def second_for(self, name: str) -> SecondModel | None:
        """The one that is asked where the model of a name leaves doubt; None where there is no other."""
        is_other = self._second is not None and self._second.name != (name or self._usual_name)
        return self._second if is_other else None


def _loaded(model: ModelSpec, provider: str) -> matte_model.MatteModel:
    catalog.verify(model)
    return matte_model.MatteModel(model, provider=provider)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Found:
    """A matte, of what part of the picture it is, and how good it probably is."""

    region: subject_search.Region
    matte: NDArray[np.float32]
    verdict: Quality
    second: SecondOpinion | None = None
    warnings: tuple[str, ...] = ()


def run(task: Task, files: Files, engine: Engine, tell: Callable[[Step], None] = lambda _: None) -> Report:
    """Cut one picture and stage its results.

    Args:
        task: the job.
        files: opened for it; they stay open.
        engine: with the model loaded.
        tell: is told of each step, and of progress in those that wait for a disk or share.

    Returns:
        The report; this function raises nothing.
    """
    try:
        return _cut(task, files, engine, tell)
    except SecondGoneError:  # this worker ends, and the next one says why none can start
        raise
    except CutoutdError as error:
        return failure_of(error)
    except OSError as error:
        return failure_of(from_os_error(error, None))
    except Exception as error:  # noqa: BLE001 -- a fault of ours over one file must not end the others
        if _is_out_of_memory(error):
            return failure_of(LimitError("there is not enough memory for it", advice=_MEMORY_ADVICE))
        return _fault(error)


def _is_out_of_memory(error: Exception) -> bool:
    """In Python's words, OpenCV's or onnxruntime's."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.STS_NO_MEM
    said = str(error)
    return isinstance(error, MemoryError) or "bad_alloc" in said or "Failed to allocate memory" in said


_MEMORY_ADVICE = "The original is untouched. Raise [pool] worker_memory_mb, or export the picture smaller."


def _fault(error: Exception) -> Failure:
    traceback.print_exception(error)  # to the worker's standard error, which is logged
    return Failure(
        code="Fault",
        title="A fault of ours",
        cause=to_valid_utf8(f"{type(error).__name__}: {error}"),
        advice="The original is untouched. Please report this with the picture, if you may.",
        permanent=True,
    )


def _cut(task: Task, files: Files, engine: Engine, tell: Callable[[Step], None]) -> Report:
    watch = Stopwatch()
    begun = time.perf_counter()
    with watch.step("decode"):
        tell(Step.READ)
        data = _read(task, files.source, engine.max_file_bytes, tell)
        tell(Step.CUT)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 == task.published_sha256:
            return Unchanged(sha256=sha256)
        # What a service has answered is used, not asked for again.
        if task.received is None and (task.asks_sha256 or sha256 in task.moved_sha256s):
            return Moved(sha256=sha256)
        header = decode.header(data, allowed=engine.formats)
        image_sha256 = image_hash.image_sha256(data, opening.recognise(data))
        if image_sha256 == task.published_image_sha256:
            return Unchanged(sha256=sha256, image_sha256=image_sha256)
        if ROOMY_PIXELS < header.pixels <= engine.max_pixels and not task.alone:
            return NeedsRoom(pixels=header.pixels)
        deep = any(one.is_deep for one in task.recipe.renditions) and task.export is None
        picture = decode.decode(data, max_pixels=engine.max_pixels, deep=deep, allowed=engine.formats)
        del data  # as large as the file; not needed while the rest is in memory
    facts = SourceFacts(
        bytes=task.size,
        sha256=sha256,
        width=picture.rgb.shape[1],
        height=picture.rgb.shape[0],
        format=picture.format,
        orientation=picture.orientation,
        image_sha256=image_sha256,
    )
    if task.export is not None:
        return _export(task.export, files, picture, facts)
    with watch.step("infer"):
        found = _found(task, files, picture, engine)
    with watch.step("refine"):
        alpha = _finish(picture, found, task.recipe)
    verdict = found.verdict
    review = verdict.score == 0.0 or verdict.score < task.recipe.review_below
    with watch.step("encode"), storage_faults(Path(task.staging)):
        stage = renditions.stage(
            task,
            files,
            picture,
            alpha,
            review=review,
            max_pixels=engine.max_pixels,
            tell=tell,
            sha256=sha256,
        )
    watch.spent["total"] = round((time.perf_counter() - begun) * 1000, 1)
    return Cut(
        source=facts,
        staged=stage.staged,
        quality=replace(verdict, reasons=(*verdict.reasons, *stage.doubts)),
        review=review,
        timings_ms=watch.spent,
        warnings=(*picture.warnings, *found.warnings, *stage.warnings),
        dropped=stage.dropped,
        doubts=stage.doubts,
        second=found.second,
    )


def _export(export: Export, files: Files, picture: Picture, facts: SourceFacts) -> Exported:
    """Write the copy of a picture that may be uploaded."""
    assert files.copy is not None  # noqa: S101 -- whoever opens the files of an export opens it
    copy = upload.copy_of(
        picture, max_side=export.max_side, max_pixels=export.max_pixels, max_bytes=export.max_bytes
    )
    with storage_faults(Path(export.file)):
        written = write_opened(files.copy, copy.data)
    return Exported(
        source=facts, bytes=written.bytes, sha256=written.sha256, width=copy.width, height=copy.height
    )


def _found(task: Task, files: Files, picture: Picture, engine: Engine) -> _Found:
    """Where the subject is: as a hosted service says, or as our model does."""
    if task.received is not None:
        matte = _received(task.received, files, engine.max_pixels)
        height, width = picture.rgb.shape[:2]
        region = subject_search.Region(top=0, bottom=height, left=0, right=width)
        return _Found(region=region, matte=matte, verdict=quality.assess(matte))
    model = engine.model(task.model)
    seen = picture.rgb if picture.alpha is None else compose.over_grey(picture.rgb, picture.alpha)
    seen = icc_transform.as_srgb(seen, picture.icc)
    found = _looked(seen, model)
    first = _of(found, model)
    second = engine.second_for(task.model)
    if second is None or found.verdict.score >= task.recipe.second_below:
        return first
    try:
        also = _looked(seen, second.model())
    except SecondGoneError:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever is wrong with it, there is the first one's matte
        if _is_out_of_memory(error):
            return replace(first, warnings=(second.not_asked(second_opinion.NO_ROOM),))
        return replace(first, warnings=(second.why_not(error),))
    choice = second_opinion.choose(found, also, *seen.shape[:2])
    opinion = SecondOpinion(taken=choice.is_second, score=found.verdict.score, why=choice.why)
    taken = _of(also, second.model()) if choice.is_second else first
    return replace(taken, verdict=choice.verdict, second=opinion)


def _looked(seen: NDArray[np.uint8], model: matte_model.MatteModel) -> subject_search.Look:
    try:
        return subject_search.look(seen, model.predict, model.sides)
    except Exception as error:
        if _is_out_of_memory(error) or not type(error).__module__.startswith("onnxruntime"):
            raise
        raise InferenceError(to_valid_utf8(f"{type(error).__name__}: {error}")) from error


def _of(found: subject_search.Look, model: matte_model.MatteModel) -> _Found:
    # Stretching a matte without a subject would make a random mask of it.
    is_stretched = model.stretches and found.verdict.score > 0
    matte = matte_model.normalise(found.raw) if is_stretched else found.raw
    return _Found(region=found.region, matte=matte, verdict=found.verdict)


def _received(received: Received, files: Files, max_pixels: int) -> NDArray[np.float32]:
    assert files.reply is not None  # noqa: S101 -- whoever opens the files of such a task opens it
    try:
        with os.fdopen(files.reply, "rb", closefd=False) as file:
            body = file.read(MAX_REPLY_BYTES + 1)
    except OSError as error:
        path = Path(received.file)
        raise StorageError(f"the reply cannot be read: {error.strerror}", path=path) from error
    if len(body) > MAX_REPLY_BYTES:
        raise ReplyError("what came back is unreasonably large")
    return reply.matte(
        body,
        Body(received.body),
        width=received.width,
        height=received.height,
        max_pixels=max_pixels,
    )


def _finish(picture: Picture, found: _Found, recipe: Recipe) -> NDArray[np.uint8]:
    """The matte at full size, under the transparency that the source had already; and its soft pixels' own colours."""
    matte, where = found.matte, found.region.slices
    part = picture.rgb[where]
    halves = Halves(part)
    if recipe.refine:
        fine = refine.refine(part, matte, halves=halves)
    else:
        fine = refine.enlarge(matte, part.shape[0], part.shape[1])
    alpha = _placed(fine, found.region, picture.rgb.shape[0], picture.rgb.shape[1])
    if picture.alpha is not None:
        alpha = compose.multiplied(alpha, picture.alpha)
    if recipe.decontaminate:
        foreground.decontaminate(part, alpha[where], halves=halves)
        if picture.deep is not None:
            foreground.decontaminate(picture.deep[where], alpha[where])
    return alpha


def _placed(
    fine: NDArray[np.uint8], region: subject_search.Region, height: int, width: int
) -> NDArray[np.uint8]:
    """A region's matte in the whole frame; outside it there is nothing."""
    if fine.shape == (height, width):
        return fine
    alpha = np.zeros((height, width), np.uint8)
    alpha[region.slices] = fine
    return alpha


def _read(task: Task, descriptor: int, max_bytes: int, tell: Callable[[Step], None]) -> bytes:
    """The source's bytes, once, and only if they are the accepted version's from first to last.

    Raises:
        SourceGoneError: it was removed, or replaced by a newer version.
        LimitError: it is too large.
        StorageError: the disk or share does not answer as it should.
    """
    path = Path(task.source)
    try:
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode) or (before.st_size, before.st_mtime_ns) != (
                task.size,
                task.mtime_ns,
            ):
                raise SourceGoneError("it was replaced by a newer version before its turn", path=path)
            if before.st_size > max_bytes:
                raise LimitError(f"the file has {before.st_size / 1e6:.0f} MB, more than max_file_mb allows")
            data = _all_of(file, before.st_size, tell)
            after = os.fstat(descriptor)
    except OSError as error:
        raise from_os_error(error, path) from error
    if (after.st_size, after.st_mtime_ns) != (task.size, task.mtime_ns) or len(data) != task.size:
        raise SourceGoneError("it was written to while it was read", path=path)
    return data


def _all_of(file: RawIOBase, size: int, tell: Callable[[Step], None]) -> bytes:
    """All bytes of an open file, and no more than one beyond what it should have."""
    data = bytearray(size + 1)
    view, at = memoryview(data), 0
    while at <= size and (count := file.readinto(view[at : at + CHUNK_BYTES])):
        at += count
        tell(Step.READ)
    return bytes(view[:at])
