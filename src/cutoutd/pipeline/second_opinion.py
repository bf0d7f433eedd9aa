"""A second model's look at a picture of whose cutout the first one is not sure; and which of the two mattes is taken.

The second model is opened and compared with the catalog before the worker is locked in, and loaded when it is first wanted:
most workers never need it for long stretches, and it may be large. It must not look at pictures that leave no doubt, nor refine a matte.
"""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting import matte_model, quality
from cutoutd.errors import CutoutdError, ModelError
from cutoutd.failure import to_valid_utf8
from cutoutd.models import catalog

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.matting.subject_search import Look
    from cutoutd.jobs import Quality
    from cutoutd.protocols import ModelSpec

NO_ROOM: Final = "not enough memory; raise [pool] worker_memory_mb"

_NOT_ASKED: Final = "the second model, {}, could not be asked: {}"
_MAX_TOLD: Final = 300

_SIDE: Final = 320


class SecondGoneError(ModelError):
    """The second model is not the one it was when this worker started: no worker may go on with it."""

    title = "The second model was altered"


class SecondModel:
    """The second model, loaded once it is wanted.

    Args:
        spec: of the catalog.
        provider: execution provider by name, or ``auto``.

    Raises:
        ModelError: its file is missing or altered.
    """

    def __init__(self, spec: ModelSpec, provider: str) -> None:
        self.name = spec.name
        self._spec = spec
        self._provider = provider
        self._model: matte_model.MatteModel | None = None
        self._refused: ModelError | None = None
        self._is_told = False
        # Held open: nothing can be opened by its name once the worker is locked in.
        self._file = catalog.opened(spec)

    def close(self) -> None:
        """Close its file."""
        self._file.close()

    def model(self) -> matte_model.MatteModel:
        """The model, which is loaded by the first call.

        Raises:
            SecondGoneError: its file was written to since.
            ModelError: it does not load; that is not tried again.
            MemoryError: there is not enough memory for it.
        """
        if self._refused is not None:
            raise self._refused
        if self._model is None:
            self._file.seek(0)
            content = self._file.read()
            if hashlib.sha256(content).hexdigest() != self._spec.sha256:
                raise SecondGoneError("the model's file is not the one of the catalog", path=self._spec.file)
            try:
                self._model = matte_model.MatteModel(self._spec, provider=self._provider, content=content)
            except ModelError as error:
                if "bad_alloc" in error.cause or "allocate memory" in error.cause:
                    raise MemoryError from error
                self._refused = error
                raise
        return self._model

    def why_not(self, error: Exception) -> str:
        """Why it could not be asked, as a result says it. The first time, all of it goes to the worker's standard error."""
        if not self._is_told:
            self._is_told = True
            traceback.print_exception(error)
        cause = error.cause if isinstance(error, CutoutdError) else f"{type(error).__name__}: {error}"
        return self.not_asked(to_valid_utf8(cause[:_MAX_TOLD]))

    def not_asked(self, why: str) -> str:
        """A result's warning."""
        return _NOT_ASKED.format(self.name, why)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
    """What the two looks come to.

    Attributes:
        is_second: the second model's matte is the better one.
        verdict: how good the one that is taken probably is, and what to look for.
        why: in words, with the figures.
    """

    is_second: bool
    verdict: Quality
    why: str


def choose(first: Look, second: Look, height: int, width: int) -> Choice:
    """Which of two models' mattes is taken: the more decided one; `docs/models.md` has what else was tried.

    The score was fitted to the looks of the model in the package, several where one leaves doubt, and another model's own score
    is not to be compared with it. How much of what is faint is sure says of every model's matte how far it is from guessing. A
    second matte that is taken is scored with the first one as the other look at the same picture.

    Args:
        first: of the model that leaves doubt.
        second: of the other.
        height: of the picture, pixels.
        width: likewise.
    """
    one, two = first.signs.decided, second.signs.decided
    if two == 0:
        why = "the second model sees no subject"
        return Choice(is_second=False, verdict=first.verdict, why=why)
    if one > 0 and two <= one:
        why = f"the second model's matte is no more decided ({two:.2f} against {one:.2f})"
        return Choice(is_second=False, verdict=first.verdict, why=why)
    joint = quality.assess(_framed(second, height, width), _framed(first, height, width))
    if one == 0:
        # With nothing to be compared with, all of it would be called too much.
        verdict = replace(joint, reasons=second.verdict.reasons)
        return Choice(is_second=True, verdict=verdict, why="the first model sees no subject, the second does")
    why = f"the second model's matte is more decided ({two:.2f} against {one:.2f})"
    return Choice(is_second=True, verdict=joint, why=why)


def _framed(look: Look, height: int, width: int) -> NDArray[np.float32]:
    """A matte in the whole frame, small: mattes of two models, or of a part and the whole, can then be compared."""
    frame = np.zeros((_SIDE, _SIDE), np.float32)
    region = look.region
    top, bottom = (round(row * _SIDE / height) for row in (region.top, region.bottom))
    left, right = (round(column * _SIDE / width) for column in (region.left, region.right))
    size = (max(1, right - left), max(1, bottom - top))
    part = cv2.resize(look.raw, size, interpolation=cv2.INTER_AREA)
    there = frame[top : top + size[1], left : left + size[0]]
    there[...] = part[: there.shape[0], : there.shape[1]]
    return frame
