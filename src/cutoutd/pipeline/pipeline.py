"""One job from start to end: read, decode, matte, refine, foreground, compose, encode, stage.

It runs in a worker, in its sandbox. It must not give a file its final name; every error becomes a report.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.engine.formats import decode, image_hash, opening
from cutoutd.engine.render import upload
from cutoutd.errors import CutoutdError, FailureCode, LimitError, from_os_error
from cutoutd.failure import failure_of, to_valid_utf8
from cutoutd.jobs import Cut, Exported, Failure, Moved, NeedsRoom, SourceFacts, Unchanged
from cutoutd.pipeline import correction, kept_matte, matte, refinement, renditions, source_file
from cutoutd.pipeline.engine import SecondGoneError, is_out_of_memory
from cutoutd.protocols import Step
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.writing import write_opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from cutoutd.corrections import Corrected
    from cutoutd.engine.picture import Picture
    from cutoutd.jobs import Report, Task
    from cutoutd.pipeline.engine import Engine
    from cutoutd.protocols import Files
    from cutoutd.task_route import Export

ROOMY_PIXELS: Final = 50_000_000
"""From this size on a picture may need more than its worker's share of the memory, and runs alone."""

_HALF: Final = 127
_NOTHING: Final = 1e-4
"""Least share of pixels with an alpha above one half; below it, a corrected cutout counts as empty."""


def run(task: Task, files: Files, engine: Engine, tell: Callable[[Step], None] = lambda _: None) -> Report:
    """Cut one picture and stage its results.

    Args:
        task: the job.
        files: its open files; they stay open.
        engine: the loaded models.
        tell: called with each step, and with progress in those that wait for a disk or share.

    Returns:
        The report; errors become reports as well, except `SecondGoneError`.
    """
    try:
        return _cut(task, files, engine, tell)
    except SecondGoneError:  # this worker ends, and the next one reports why none can start
        raise
    except CutoutdError as error:
        return failure_of(error)
    except OSError as error:
        return failure_of(from_os_error(error, None))
    except Exception as error:  # noqa: BLE001 -- an internal error over one file must not affect others
        if is_out_of_memory(error):
            return failure_of(LimitError("there is not enough memory for it", advice=decode.MEMORY_ADVICE))
        return _fault(error)


def _fault(error: Exception) -> Failure:
    traceback.print_exception(error)  # to the worker's standard error, which is logged
    return Failure(
        code=FailureCode.FAULT,
        title="Internal error",
        cause=to_valid_utf8(f"{type(error).__name__}: {error}"),
        advice="The original is untouched. Please report this with the picture, if you may.",
        permanent=True,
    )


def _cut(task: Task, files: Files, engine: Engine, tell: Callable[[Step], None]) -> Report:
    watch = Stopwatch()
    with watch.step("decode"):
        source = _opened(task, files, engine, tell)
    if not isinstance(source, _DecodedSource):
        return source
    picture = source.picture
    if task.export is not None:
        return _export(task.export, files, source)
    with watch.step("infer"):
        sha256, size = source.facts.sha256, (source.facts.height, source.facts.width)
        drawn, corrected = correction.holding(task, sha256), None
        inference = correction.inference(drawn, picture, engine)
        kept = kept_matte.find(task, files, engine, size, sha256)
        found = kept or matte.find(task, files, picture, engine, inference)
    if drawn is not None:
        with watch.step("correct"):
            found, corrected = correction.follow(drawn, picture, found, inference)
    with watch.step("refine"):
        strokes = drawn.strokes if drawn is not None else ()
        alpha = refinement.cutout_alpha(picture, found, task.recipe, strokes)
    review = _is_held_back(task, found, alpha, corrected)
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
    return Cut(
        source=source.facts,
        staged=stage.staged,
        quality=replace(found.quality, reasons=(*found.quality.reasons, *stage.doubts)),
        review=review,
        timings_ms=watch.stopped(),
        warnings=(
            *picture.warnings,
            *correction.warnings(task, sha256),
            *found.warnings,
            *stage.warnings,
        ),
        dropped=stage.dropped,
        doubts=stage.doubts,
        second=found.second,
        corrected=corrected,
    )


def _is_held_back(
    task: Task, found: matte.CoarseMatte, alpha: NDArray[np.uint8], corrected: Corrected | None
) -> bool:
    """Whether a cutout goes to review/: as a person decided; a corrected one, only if it is empty; else by its score."""
    if task.held is not None:
        return task.held
    if corrected is not None:
        return float((alpha > _HALF).mean()) < _NOTHING
    score = found.quality.score
    return score == 0.0 or score < task.recipe.review_below


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _DecodedSource:
    """A source that was read and decoded."""

    picture: Picture
    facts: SourceFacts


def _opened(
    task: Task, files: Files, engine: Engine, tell: Callable[[Step], None]
) -> _DecodedSource | Unchanged | Moved | NeedsRoom:
    """Read and decode the source; or return why that is not to be done, judged by its bytes and header."""
    tell(Step.READ)
    data = source_file.read(task, files.source, engine.max_file_bytes, tell)
    tell(Step.CUT)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 == task.published_sha256:
        return Unchanged(sha256=sha256)
    # A service's reply is used, and not requested again.
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
    facts = SourceFacts(
        bytes=task.size,
        sha256=sha256,
        width=picture.rgb.shape[1],
        height=picture.rgb.shape[0],
        format=picture.format,
        orientation=picture.orientation,
        image_sha256=image_sha256,
    )
    return _DecodedSource(picture=picture, facts=facts)


def _export(export: Export, files: Files, source: _DecodedSource) -> Exported:
    """Write the copy of a picture that may be uploaded."""
    assert files.copy is not None  # noqa: S101 -- opened for every export
    copy = upload.copy_of(
        source.picture, max_side=export.max_side, max_pixels=export.max_pixels, max_bytes=export.max_bytes
    )
    with storage_faults(Path(export.file)):
        written = write_opened(files.copy, copy.data)
    return Exported(
        source=source.facts, bytes=written.bytes, sha256=written.sha256, width=copy.width, height=copy.height
    )


@dataclass(slots=True)
class Stopwatch:
    """Measures the time of each step, in milliseconds."""

    begun: float = field(default_factory=time.perf_counter)
    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] = round((time.perf_counter() - begun) * 1000, 1)

    def stopped(self) -> dict[str, float]:
        """Return the time of each step, and the total as ``total``."""
        return {**self.spent, "total": round((time.perf_counter() - self.begun) * 1000, 1)}
