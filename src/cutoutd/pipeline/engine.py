"""What a worker keeps from one job to the next: its models, all compared with the catalog, and its limits.

The second model is opened before the sandbox is active, and loaded when it is first needed: most workers rarely need it, and
it may be large. It must not look at pictures.
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

    from cutoutd.engine.matting.features import FeatureInference
    from cutoutd.protocols import ModelSpec

NO_ROOM: Final = "not enough memory; raise [pool] worker_memory_mb"

_NOT_ASKED: Final = "the second model, {}, could not be run: {}"
_MAX_CAUSE: Final = 300


class SecondGoneError(ModelError):
    """The second model was altered since this worker started: no worker may go on with it."""

    code = FailureCode.SECOND_GONE
    title = "The second model was altered"


class SecondModel:
    """The second model, loaded when it is first needed.

    Args:
        spec: entry of the catalog.
        provider: name of an execution provider, or ``auto``.

    Raises:
        ModelError: its file is missing or altered.
    """

    def __init__(self, spec: ModelSpec, provider: str) -> None:
        self.name = spec.name
        self._spec = spec
        self._provider = provider
        self._model: MatteModel | None = None
        self._refused: ModelError | None = None
        self._is_logged = False
        # Held open: nothing can be opened by its name once the sandbox is active.
        self._file = catalog.opened(spec)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def model(self) -> MatteModel:
        """Return the model; the first call loads it.

        Raises:
            SecondGoneError: its file was altered since.
            ModelError: it cannot be loaded; there is no second attempt.
            MemoryError: there is not enough memory for it.
        """
        if self._refused is not None:
            raise self._refused.again()
        if self._model is None:
            content = _verified(self._file, self._spec, SecondGoneError)
            try:
                with _translate_memory_errors():
                    self._model = MatteModel(self._spec, provider=self._provider, content=content)
            except ModelError as error:
                self._refused = error.again()
                raise
        return self._model

    def why_not(self, error: Exception) -> str:
        """Return the warning why it could not be used. The first time, the traceback goes to the worker's standard error."""
        if not self._is_logged:
            self._is_logged = True
            traceback.print_exception(error)
        cause = error.cause if isinstance(error, CutoutdError) else f"{type(error).__name__}: {error}"
        return self.not_asked(to_valid_utf8(cause[:_MAX_CAUSE]))

    def not_asked(self, why: str) -> str:
        """Return the warning of a result."""
        return _NOT_ASKED.format(self.name, why)


class FeatureSource:
    """The embedded model with its features, for strokes: loaded when a picture is first corrected.

    Its file is held open, since nothing can be opened by its name once the sandbox is active. A worker that never corrects a
    picture works without it.
    """

    def __init__(self) -> None:
        self._model: FeatureModel | None = None
        self._refused: ModelError | None = None
        try:
            self._spec = catalog.find(MODEL)
            self._file = catalog.unverified(self._spec)
        except ModelError as error:
            self._refused = error.again()

    def close(self) -> None:
        """Close the file."""
        if self._refused is None:
            self._file.close()

    def inference(self, rgb: NDArray[np.uint8]) -> FeatureInference:
        """Prepare a picture, uint8 (H, W, 3), sRGB, for its features.

        Raises:
            ModelError: the file is missing or altered, or the model cannot be loaded.
            MemoryError: there is not enough memory for it.
        """
        if self._refused is not None:
            raise self._refused.again()
        if self._model is None:
            content = _verified(self._file, self._spec, ModelError)
            with _translate_memory_errors():
                self._model = FeatureModel(self._spec, content)
        return self._model.inference(rgb)


def _verified(file: BinaryIO, spec: ModelSpec, refusal: type[ModelError]) -> bytes:
    """Return the bytes of a model, compared with the catalog; raises the given error if they differ."""
    file.seek(0)
    content = file.read()
    if hashlib.sha256(content).hexdigest() != spec.sha256:
        raise refusal("the model's file is not the one of the catalog", path=spec.file)
    return content


@contextmanager
def _translate_memory_errors() -> Iterator[None]:
    """Raise MemoryError if a model cannot be loaded for lack of memory; other ModelErrors pass."""
    try:
        yield
    except ModelError as error:
        if _tells_of_memory(error.cause):
            raise MemoryError from error
        raise


class Engine:
    """What a worker keeps from one job to the next: models and limits.

    Args:
        models: entries of the catalog, at least one.
        provider: name of an execution provider, or ``auto``.
        max_pixels: limit for a picture.
        max_file_bytes: limit for the file of a picture.
        formats: enabled formats, of ``formats.SWITCHES``; None: all.
        second: second model, used where these are in doubt; None: there is none.

    Attributes:
        usual: the first model, for tasks that name none.

    Raises:
        ModelError: the file of a model is missing or altered, or the model does not run.
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
        """All loaded models, at least one."""
        return tuple(self._models.values())

    def model(self, name: str) -> MatteModel:
        """Return the model of a name; for an empty name, the first one.

        Raises:
            SecondGoneError, ModelError, MemoryError: as from `SecondModel.model`, if it is that one.
        """
        if self._second is not None and name == self._second.name and name not in self._models:
            return self._second.model()
        return self._models[name] if name else self.usual

    def close(self) -> None:
        """Close the open files; a worker leaves that to its end."""
        if self._second is not None:
            self._second.close()
        self._feature_source.close()

    def inference(self, rgb: NDArray[np.uint8]) -> FeatureInference:
        """Prepare a picture, uint8 (H, W, 3), sRGB, for the features of the embedded model, which strokes need.

        Raises:
            ModelError: the model is missing or altered, or cannot be loaded.
            MemoryError: there is not enough memory for it.
        """
        return self._feature_source.inference(rgb)

    def is_embedded(self, name: str) -> bool:
        """Whether the model of a name is the one with features, so that both give the same matte to the bit."""
        is_named = (name or self._usual_name) == MODEL
        return is_named and self.model(name).provider == CPU

    def second_for(self, name: str) -> SecondModel | None:
        """Return the second model, if it is another one than the model of a name; None otherwise."""
        is_other = self._second is not None and self._second.name != (name or self._usual_name)
        return self._second if is_other else None


def _loaded(model: ModelSpec, provider: str) -> MatteModel:
    catalog.verify(model)
    return MatteModel(model, provider=provider)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, OpenCV or onnxruntime reports lack of memory."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.STS_NO_MEM
    return isinstance(error, MemoryError) or _tells_of_memory(str(error))


def _tells_of_memory(said: str) -> bool:
    """Whether words of onnxruntime's say that there was not enough memory; it has no exception for that."""
    return "bad_alloc" in said or "allocate memory" in said
