"""What a worker keeps from one job to the next: its models, all compared with the catalog, and its limits.

The second model is opened before the worker is locked in, and loaded when it is first wanted: most workers never need it for
long stretches, and it may be large. No picture is looked at here.
"""

from __future__ import annotations

import hashlib
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import cv2

from cutoutd.engine.matting.features import MODEL, FeatureModel
from cutoutd.engine.matting.matte_model import CPU, MatteModel
from cutoutd.errors import CutoutdError, FailureCode, ModelError
from cutoutd.failure import to_valid_utf8
from cutoutd.models import catalog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import BinaryIO

    import numpy as np
    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import Look
    from cutoutd.protocols import ModelSpec

NO_ROOM: Final = "not enough memory; raise [pool] worker_memory_mb"

_NOT_ASKED: Final = "the second model, {}, could not be asked: {}"
_MAX_TOLD: Final = 300


class SecondGoneError(ModelError):
    """The second model is not the one it was when this worker started: no worker may go on with it."""

    code = FailureCode.SECOND_GONE
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
        self._model: MatteModel | None = None
        self._refused: ModelError | None = None
        self._is_told = False
        # Held open: nothing can be opened by its name once the worker is locked in.
        self._file = catalog.opened(spec)

    def close(self) -> None:
        """Close its file."""
        self._file.close()

    def model(self) -> MatteModel:
        """The model, which is loaded by the first call.

        Raises:
            SecondGoneError: its file was written to since.
            ModelError: it does not load; that is not tried again.
            MemoryError: there is not enough memory for it.
        """
        if self._refused is not None:
            raise self._refused
        if self._model is None:
            content = _verified(self._file, self._spec, SecondGoneError)
            try:
                with _memory_told_apart():
                    self._model = MatteModel(self._spec, provider=self._provider, content=content)
            except ModelError as error:
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


class FeatureSource:
    """The embedded model with its features, for strokes: loaded once a picture is corrected, whatever model cuts.

    Its file is held open, since nothing can be opened by its name once the worker is locked in. A worker that never corrects a
    picture works without it.
    """

    def __init__(self) -> None:
        self._model: FeatureModel | None = None
        self._refused: ModelError | None = None
        try:
            self._spec = catalog.find(MODEL)
            self._file = catalog.unverified(self._spec)
        except ModelError as error:
            self._refused = error

    def close(self) -> None:
        """Close its file."""
        if self._refused is None:
            self._file.close()

    def look(self, rgb: NDArray[np.uint8]) -> Look:
        """Begin to look at a picture, uint8 (H, W, 3), sRGB.

        Raises:
            ModelError: its file is missing or altered, or it does not load.
            MemoryError: there is not enough memory for it.
        """
        if self._refused is not None:
            raise self._refused
        if self._model is None:
            content = _verified(self._file, self._spec, ModelError)
            with _memory_told_apart():
                self._model = FeatureModel(self._spec, content)
        return self._model.look(rgb)


def _verified(file: BinaryIO, spec: ModelSpec, refusal: type[ModelError]) -> bytes:
    """A model's bytes, if they are those of the catalog; raises the refusal if not."""
    file.seek(0)
    content = file.read()
    if hashlib.sha256(content).hexdigest() != spec.sha256:
        raise refusal("the model's file is not the one of the catalog", path=spec.file)
    return content


@contextmanager
def _memory_told_apart() -> Iterator[None]:
    """A model that does not load for want of memory raises MemoryError, and any other ModelError."""
    try:
        yield
    except ModelError as error:
        if "bad_alloc" in error.cause or "allocate memory" in error.cause:
            raise MemoryError from error
        raise


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
        self._feature_source = FeatureSource()

    @property
    def models(self) -> tuple[MatteModel, ...]:
        """All models, at least one."""
        return tuple(self._models.values())

    def model(self, name: str) -> MatteModel:
        """The model of a name; the usual one for none.

        Raises:
            SecondGoneError, ModelError, MemoryError: as `SecondModel.model`, where it is that one.
        """
        if self._second is not None and name == self._second.name and name not in self._models:
            return self._second.model()
        return self._models[name] if name else self.usual

    def close(self) -> None:
        """Close what is held open; a worker leaves that to its end."""
        if self._second is not None:
            self._second.close()
        self._feature_source.close()

    def look(self, rgb: NDArray[np.uint8]) -> Look:
        """Begin to look at a picture, uint8 (H, W, 3), sRGB, by the embedded model that gives features: for strokes.

        Raises:
            ModelError: it is missing or altered, or does not load.
            MemoryError: there is not enough memory for it.
        """
        return self._feature_source.look(rgb)

    def is_embedded(self, name: str) -> bool:
        """Whether the model of a name is the one that gives features, and gives the same matte to the bit."""
        is_named = (name or self._usual_name) == MODEL
        return is_named and self.model(name).provider == CPU

    def second_for(self, name: str) -> SecondModel | None:
        """The one that is asked where the model of a name leaves doubt; None where there is no other."""
        is_other = self._second is not None and self._second.name != (name or self._usual_name)
        return self._second if is_other else None


def _loaded(model: ModelSpec, provider: str) -> MatteModel:
    catalog.verify(model)
    return MatteModel(model, provider=provider)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says so, in Python's words, OpenCV's or onnxruntime's."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.STS_NO_MEM
    said = str(error)
    return isinstance(error, MemoryError) or "bad_alloc" in said or "Failed to allocate memory" in said
