"""Applies the strokes that a person drew over a cutout when it is cut again.

Strokes are followed by the features of the embedded model, whatever made the matte: a hosted service, a second model, or
an added one. It must not decide which strokes hold; the task says that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cutoutd.corrections import Corrected
from cutoutd.engine.matting import correct
from cutoutd.engine.matting.subject_search import Region
from cutoutd.pipeline import matte
from cutoutd.strokes import StrokeKind

if TYPE_CHECKING:
    from cutoutd.corrections import Correction
    from cutoutd.engine.matting.features import FeatureInference
    from cutoutd.engine.picture import Picture
    from cutoutd.jobs import Task
    from cutoutd.pipeline.engine import Engine
    from cutoutd.pipeline.matte import CoarseMatte

DROPPED: Final = (
    "the strokes on the cutout were dropped: the picture is not the one that the strokes were drawn on"
)


def holding(task: Task, sha256: str) -> Correction | None:
    """Return the correction for a picture with these bytes; None if there is none."""
    correction = task.correction
    return correction if correction is not None and correction.sha256 == sha256 else None


def warnings(task: Task, sha256: str) -> tuple[str, ...]:
    """Return the warning about a correction that was drawn over other bytes, if there is one."""
    return (DROPPED,) if task.correction is not None and task.correction.sha256 != sha256 else ()


def inference(correction: Correction | None, picture: Picture, engine: Engine) -> FeatureInference | None:
    """Prepare a picture for following strokes; None if there are none to follow.

    Raises:
        ModelError: the embedded model is missing or altered, or cannot be loaded.
        MemoryError: there is not enough memory for it.
    """
    is_followed = correction is not None and any(
        one.kind is not StrokeKind.PAINT for one in correction.strokes
    )
    return engine.inference(matte.model_view(picture)) if is_followed else None


def follow(
    correction: Correction, picture: Picture, found: CoarseMatte, seen: FeatureInference | None
) -> tuple[CoarseMatte, Corrected]:
    """Correct a coarse matte. Strokes that paint are applied later, by `cutoutd.pipeline.refinement`.

    Args:
        correction: the strokes.
        picture: the decoded picture.
        found: its matte.
        seen: result of `inference`.

    Returns:
        The matte, of the whole picture if anything has changed; and a record of the correction.
    """
    kinds = {one.kind for one in correction.strokes}
    size = (picture.rgb.shape[0], picture.rgb.shape[1])
    whole = Region.whole(*size)
    changed, after = StrokeKind.PAINT in kinds, found
    if seen is not None:
        coarse = correct.framed(found.coarse, found.region, size)
        framed = replace(found, region=whole, coarse=coarse)
        made = correct.correct(
            seen.rgb,
            framed.coarse,
            correction.strokes,
            seen.features(),
            suggestion=correction.suggestion,
        )
        if made.changed:
            changed, after = True, replace(framed, coarse=made.matte, uncorrected=found)
    if changed:
        # A person has looked at it, so hints on what to check are dropped; the score stays that of the model's matte.
        after = replace(after, quality=replace(after.quality, reasons=()))
    return after, Corrected(number=correction.number, version=correct.VERSION, changed=changed)
