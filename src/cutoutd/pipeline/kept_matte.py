"""The coarse matte of a picture as a file: made when the picture is opened for drawing, used when it is cut again with strokes.

A file is used only if it was made of the same bytes in the same way, so that the result is the same bit for bit; whatever else it
is, the matte is computed. Who wrote it is not trusted: all that it says is checked. This module must not open files.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

import numpy as np

from cutoutd.engine.matting.subject_search import Region
from cutoutd.exchange.coarse_mattes import MAX_BYTES
from cutoutd.fs import disk_cache
from cutoutd.jobs import Quality, Reason
from cutoutd.pipeline import matte
from cutoutd.process import installed_versions

if TYPE_CHECKING:
    from cutoutd.engine.matting.matte_model import MatteModel
    from cutoutd.jobs import Task
    from cutoutd.pipeline.engine import Engine
    from cutoutd.pipeline.matte import CoarseMatte
    from cutoutd.protocols import Files
    from cutoutd.recipe import Recipe

VERSION: Final = 1
"""Of the file, and of how a matte is made: to be raised where the same picture gets another one."""

_INSTALLED: Final = sorted(installed_versions.versions().items())  # at the import: those that are loaded
_MAX_FACTS: Final = 1000
_FLOAT32: Final = np.dtype("<f4")
_REASONS: Final = frozenset(reason.value for reason in Reason)


def origin(model: MatteModel, size: tuple[int, int], recipe: Recipe, sha256: str) -> bytes:
    """Return what a matte is made of, and by what: the first line of its file.

    Args:
        model: the model that makes it alone.
        size: height and width of the picture.
        recipe: how the cutout is to look.
        sha256: SHA-256 of the picture's file.

    Raises:
        LimitError: the region of interest is empty.
    """
    part = matte.part_of_interest(recipe, *size)
    made_by = [VERSION, _INSTALLED, model.sha256, model.sides, model.check_side]
    return json.dumps([*made_by, sha256, *size, *_edges(part)]).encode("ascii")


def packed(found: CoarseMatte, made_of: bytes) -> bytes:
    """Return a matte as a file.

    Args:
        found: the matte of one model alone.
        made_of: its `origin`.
    """
    facts = [*_edges(found.region), len(found.coarse), found.quality.score, *found.quality.reasons]
    return b"\n".join((made_of, json.dumps(facts).encode("ascii"), found.coarse.astype(_FLOAT32).tobytes()))


def unpacked(content: bytes, made_of: bytes, model: MatteModel, part: Region) -> CoarseMatte | None:
    """Return the matte in a file; None if it is another one, or damaged.

    Args:
        content: the file.
        made_of: the `origin` that it must have.
        model: the model that would make it.
        part: the part of the picture in which the subject is looked for.
    """
    if not content.startswith(made_of + b"\n"):
        return None
    line, _, values = content[len(made_of) + 1 :].partition(b"\n")
    try:
        top, bottom, left, right, side, score, *reasons = json.loads(line[:_MAX_FACTS])
    except (TypeError, ValueError, RecursionError):
        return None
    if {type(one) for one in (top, bottom, left, right, side)} != {int} or type(score) is not float:
        return None
    is_inside = part.top <= top < bottom <= part.bottom and part.left <= left < right <= part.right
    is_judged = 0 <= score <= 1 and all(isinstance(one, str) and one in _REASONS for one in reasons)
    if not (is_inside and is_judged and side in model.sides and len(values) == side**2 * _FLOAT32.itemsize):
        return None
    coarse = np.frombuffer(values, _FLOAT32).reshape(side, side).astype(np.float32)
    if not ((coarse >= 0) & (coarse <= 1)).all():  # NaN is neither
        return None
    region = Region(top=top, bottom=bottom, left=left, right=right)
    return matte.CoarseMatte(region=region, coarse=coarse, quality=Quality(score=score, reasons=(*reasons,)))


def find(task: Task, files: Files, engine: Engine, size: tuple[int, int], sha256: str) -> CoarseMatte | None:
    """Return the kept matte of a task's picture; None if it has to be made.

    Args:
        task: the job.
        files: its open files.
        engine: the models.
        size: height and width of the picture.
        sha256: SHA-256 of its file.
    """
    if files.matte is None or not engine.is_embedded(task.model):
        return None
    try:
        with os.fdopen(files.matte, "rb", closefd=False) as file:
            content = disk_cache.unwrapped(file.read(2 * MAX_BYTES))
    except OSError:
        return None
    if content is None:
        return None
    model = engine.model(task.model)
    part = matte.part_of_interest(task.recipe, *size)
    found = unpacked(content, origin(model, size, task.recipe, sha256), model, part)
    if found is None or engine.second_for(task.model) is None:
        return found
    # Else the second model is asked, and the choice between the two needs more than is kept.
    return found if found.quality.score >= task.recipe.second_below else None


def _edges(part: Region) -> tuple[int, int, int, int]:
    return part.top, part.bottom, part.left, part.right
