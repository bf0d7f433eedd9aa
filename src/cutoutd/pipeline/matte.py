"""From a picture to its coarse matte: by the models or a hosted service.

Where the first model is in doubt the second one runs as well, and one of the two mattes is chosen. It must not write files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.colour import icc_transform
from cutoutd.engine.formats import reply
from cutoutd.engine.matting import matte_model, quality, specks, subject_search
from cutoutd.engine.matting.subject_search import Region
from cutoutd.engine.render import compose
from cutoutd.errors import InferenceError, LimitError, ReplyError, StorageError
from cutoutd.exchange.spool import Body
from cutoutd.failure import to_valid_utf8
from cutoutd.jobs import SecondOpinion
from cutoutd.pipeline.engine import NO_ROOM, SecondGoneError, is_out_of_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import FeatureInference
    from cutoutd.engine.matting.subject_search import Detection, Predict
    from cutoutd.engine.picture import Picture
    from cutoutd.jobs import Quality, Task
    from cutoutd.pipeline.engine import Engine
    from cutoutd.protocols import Files
    from cutoutd.recipe import Recipe
    from cutoutd.task_route import Received

MAX_REPLY_BYTES: Final = 256 << 20
"""Limit of a hosted service's reply: more than the largest allowed picture needs."""

_SIDE: Final = 320


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CoarseMatte:
    """A coarse matte, the region that it covers, and its quality.

    Attributes:
        is_reply: whether a hosted service made it: such a matte is not refined where it is finer than the working copy.
        uncorrected: the matte before a person's strokes; None: they have changed nothing.
    """

    region: Region
    coarse: NDArray[np.float32]
    quality: Quality
    second: SecondOpinion | None = None
    warnings: tuple[str, ...] = ()
    is_reply: bool = False
    uncorrected: CoarseMatte | None = None


def find(
    task: Task, files: Files, picture: Picture, engine: Engine, inference: FeatureInference | None = None
) -> CoarseMatte:
    """Make the coarse matte, from the reply of a hosted service or by our models.

    Args:
        task: the job.
        files: its open files.
        picture: the decoded picture.
        engine: the models.
        inference: the picture, prepared for its features; if the same model cuts, one pass serves both.
    """
    if task.received is not None:
        coarse = _read_reply(task.received, files, engine.max_pixels)
        height, width = picture.rgb.shape[:2]
        region = Region.whole(height, width)
        reply_matte = CoarseMatte(region=region, coarse=coarse, quality=quality.assess(coarse), is_reply=True)
        return _within(reply_matte, task.recipe, picture)
    part = part_of_interest(task.recipe, *picture.rgb.shape[:2])
    shown = _part(model_view(picture) if inference is None else inference.rgb, part)
    return _moved(_run_models(task, shown, engine, inference), part)


def find_by(
    model: matte_model.MatteModel, picture: Picture, recipe: Recipe, inference: FeatureInference
) -> CoarseMatte:
    """Make the coarse matte by one model alone, as `find` does where no other one is asked.

    Args:
        model: the model.
        picture: the decoded picture.
        recipe: how the cutout is to look.
        inference: the passes of this model over the picture.
    """
    part = part_of_interest(recipe, *picture.rgb.shape[:2])
    return _moved(
        _to_coarse_matte(_detect(_part(inference.rgb, part), model, inference.predict), model), part
    )


def _part(shown: NDArray[np.uint8], part: Region) -> NDArray[np.uint8]:
    """Return a part of a picture; the very same array where it is all of it."""
    return shown if part == Region.whole(*shown.shape[:2]) else shown[part.slices]


def part_of_interest(recipe: Recipe, height: int, width: int) -> Region:
    """Return the part of a picture of this size in which the subject is looked for.

    Raises:
        LimitError: it is empty.
    """
    left, top, right, bottom = (0, 0, width, height) if recipe.roi is None else recipe.roi.box(width, height)
    if left >= right or top >= bottom:
        raise LimitError(
            f"the region of interest that was asked for is empty in a picture of {width} x {height} pixels",
            advice="The original is untouched. Send it again with another region.",
        )
    return Region(top=top, bottom=bottom, left=left, right=right)


def _moved(matte: CoarseMatte, part: Region) -> CoarseMatte:
    """Return the matte of a part of a picture, in the coordinates of the picture."""
    at = matte.region
    return replace(
        matte,
        region=Region(
            top=at.top + part.top,
            bottom=at.bottom + part.top,
            left=at.left + part.left,
            right=at.right + part.left,
        ),
    )


def _within(matte: CoarseMatte, recipe: Recipe, picture: Picture) -> CoarseMatte:
    """Clear a matte of the whole picture outside the region of interest."""
    if recipe.roi is None:
        return matte
    height, width = picture.rgb.shape[:2]
    part = part_of_interest(recipe, height, width)
    rows, columns = matte.coarse.shape
    inside = np.zeros_like(matte.coarse)
    there = (
        slice(round(part.top * rows / height), round(part.bottom * rows / height)),
        slice(round(part.left * columns / width), round(part.right * columns / width)),
    )
    inside[there] = matte.coarse[there]
    return replace(matte, coarse=inside)


def _run_models(
    task: Task, shown: NDArray[np.uint8], engine: Engine, inference: FeatureInference | None
) -> CoarseMatte:
    """Run the models on a picture, uint8 (H, W, 3), sRGB."""
    model = engine.model(task.model)
    passes = inference if inference is not None and engine.is_embedded(task.model) else model
    found = _detect(shown, model, passes.predict)
    first = _to_coarse_matte(found, model)
    second = engine.second_for(task.model)
    if second is None or found.quality.score >= task.recipe.second_below:
        return first
    try:
        also = _detect(shown, second.model(), second.model().predict)
    except SecondGoneError:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever its fault, the first model's matte exists
        if is_out_of_memory(error):
            return replace(first, warnings=(second.not_asked(NO_ROOM),))
        return replace(first, warnings=(second.why_not(error),))
    choice = choose(found, also, *shown.shape[:2])
    opinion = SecondOpinion(taken=choice.is_second, score=found.quality.score, why=choice.why)
    taken = _to_coarse_matte(also, second.model()) if choice.is_second else first
    return replace(taken, quality=choice.quality, second=opinion)


def model_view(picture: Picture) -> NDArray[np.uint8]:
    """Return the picture as models see it, uint8 (H, W, 3): sRGB, over grey where it is transparent."""
    opaque = picture.rgb if picture.alpha is None else compose.over_grey(picture.rgb, picture.alpha)
    return icc_transform.as_srgb(opaque, picture.icc)


def _detect(seen: NDArray[np.uint8], model: matte_model.MatteModel, predict: Predict) -> Detection:
    try:
        return subject_search.find_subject(seen, predict, model.sides, model.check_side)
    except Exception as error:
        if is_out_of_memory(error) or not type(error).__module__.startswith("onnxruntime"):
            raise
        raise InferenceError(to_valid_utf8(f"{type(error).__name__}: {error}")) from error


def _to_coarse_matte(found: Detection, model: matte_model.MatteModel) -> CoarseMatte:
    # Normalising a matte without a subject would make a random mask of it.
    is_stretched = model.stretches and found.quality.score > 0
    coarse = specks.without_specks(matte_model.normalise(found.raw) if is_stretched else found.raw)
    return CoarseMatte(region=found.region, coarse=coarse, quality=found.quality)


def _read_reply(received: Received, files: Files, max_pixels: int) -> NDArray[np.float32]:
    assert files.reply is not None  # noqa: S101 -- opened for every such task
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelChoice:
    """The choice between two mattes.

    Attributes:
        is_second: whether the second model's matte is the better one.
        quality: quality of the chosen matte, and what to check.
        why: reason, in words, with the figures.
    """

    is_second: bool
    quality: Quality
    why: str


def choose(first: Detection, second: Detection, height: int, width: int) -> ModelChoice:
    """Choose between the mattes of two models: the more decided one; `docs/models.md` has the alternatives that were tried.

    The score was fitted to the passes of the model in the package, several where one is in doubt, so the score of another model
    is not comparable. The share of clear values in a matte measures for every model how far it is from guessing. A second
    matte that is chosen is scored with the first one as the other pass over the same picture.

    Args:
        first: result of the model that is in doubt.
        second: result of the second model.
        height: height of the picture, pixels.
        width: width of the picture, pixels.
    """
    one, two = first.signs.decided, second.signs.decided
    if two == 0:
        why = "the second model sees no subject"
        return ModelChoice(is_second=False, quality=first.quality, why=why)
    if one > 0 and two <= one:
        why = f"the second model's matte is no more decided ({two:.2f} against {one:.2f})"
        return ModelChoice(is_second=False, quality=first.quality, why=why)
    joint = quality.assess(_frame(second, height, width), _frame(first, height, width))
    if one == 0:
        # Without a matte to compare with, the whole subject would count as too much.
        seen_alone = replace(joint, reasons=second.quality.reasons)
        return ModelChoice(
            is_second=True, quality=seen_alone, why="the first model sees no subject, the second does"
        )
    why = f"the second model's matte is more decided ({two:.2f} against {one:.2f})"
    return ModelChoice(is_second=True, quality=joint, why=why)


def _frame(detection: Detection, height: int, width: int) -> NDArray[np.float32]:
    """Return a matte in the whole frame, reduced: mattes of two models, or of a part and the whole, are then comparable."""
    frame = np.zeros((_SIDE, _SIDE), np.float32)
    region = detection.region
    top, bottom = (round(row * _SIDE / height) for row in (region.top, region.bottom))
    left, right = (round(column * _SIDE / width) for column in (region.left, region.right))
    size = (max(1, right - left), max(1, bottom - top))
    part = cv2.resize(detection.raw, size, interpolation=cv2.INTER_AREA)
    there = frame[top : top + size[1], left : left + size[0]]
    there[...] = part[: there.shape[0], : there.shape[1]]
    return frame
