"""A second model's look at a picture of whose cutout the first one is not sure; and which of the two mattes is taken.

The second model is opened and compared with the catalog before the worker is locked in, and loaded when it is first wanted:
most workers never need it for long stretches, and it may be large. It must not look at pictures that leave no doubt, nor refine a matte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.engine import matting
from cutoutd.errors import ModelError
from cutoutd.models import catalog

if TYPE_CHECKING:
    from cutoutd.engine.look import Look
    from cutoutd.ports import ModelSpec


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
        self._model: matting.MatteModel | None = None
        # Held open: nothing can be opened by its name once the worker is locked in.
        self._file = catalog.opened(spec)

    def close(self) -> None:
        """Close its file."""
        self._file.close()

    @property
    def is_loaded(self) -> bool:
        """Whether it was wanted yet."""
        return self._model is not None

    def model(self) -> matting.MatteModel:
        """The model, which is loaded by the first call.

        Raises:
            SecondGoneError: its file was written to since, or it does not load.
            MemoryError: there is not enough memory for it.
        """
        if self._model is None:
            self._file.seek(0)
            content = self._file.read()
            if hashlib.sha256(content).hexdigest() != self._spec.sha256:
                raise SecondGoneError("the model's file is not the one of the catalog", path=self._spec.file)
            try:
                self._model = matting.MatteModel(self._spec, provider=self._provider, content=content)
            except ModelError as error:
                if "bad_alloc" in error.cause or "allocate memory" in error.cause:
                    raise MemoryError from error
                raise SecondGoneError(error.cause, path=error.path, advice=error.advice) from error
        return self._model


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
    """What the two looks come to.

    Attributes:
        is_second: the second model's matte is the better one.
        why: in words, with the figures.
    """

    is_second: bool
    why: str


def choose(first: Look, second: Look) -> Choice:
    """Which of two models' mattes is taken: the more decided one; `docs/models.md` has what else was tried.

    The score was fitted to the looks of the model in the package, and a figure of another's is not to be compared with it. How
    much of what is faint is sure says of every model's matte how far it is from guessing.
    """
    one, two = first.signs.decided, second.signs.decided
    if two == 0:
        return Choice(is_second=False, why="the second model sees no subject")
    if one == 0:
        return Choice(is_second=True, why="the first model sees no subject, the second does")
    better = "more" if two > one else "no more"
    return Choice(
        is_second=two > one, why=f"the second model's matte is {better} decided ({two:.2f} against {one:.2f})"
    )
