"""Features of the embedded model at each place of a picture, by which a brush finds similar areas.

They are outputs of the decoder's last three stages. Ordinary cutting does not compute them, so a model with features has its
own session. This module must not know strokes or mattes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting.matte_model import CPU, MatteModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cutoutd.protocols import ModelSpec

MODEL: Final = "u2net-int8"
"""Name in the catalog of the model that gives features: the one in the package, whatever model cuts."""

GRID: Final = 160
"""Rows and columns of features: those of the middle stage."""

_SIDE: Final = 288
"""At which the picture is shown, pixels: the size of the pass that every matte of this model begins with, so that one serves both."""

_DIMENSIONS: Final = {"1855": 12, "1686": 16, "1544": 24}
"""Tensor names of U2-Net's stages 1d, 2d and 3d (64 channels at 320 pixels, 64 at 160, 128 at 80), and principal components taken."""

_TINY: Final = 1e-6
_FLOAT32: Final = 1  # TensorProto.DataType.FLOAT, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """The features of one picture.

    Attributes:
        planes: float32 (160, 160, 52), stretched over the whole picture; of each stage the principal components in their
            order, the first one with deviation 1.
        mattes: float32 (h, w) in 0..1 each, of the whole picture: what the model says of it at several sizes.
    """

    planes: NDArray[np.float32]
    mattes: tuple[NDArray[np.float32], ...] = ()


class FeatureModel:
    """The embedded model with its features as further outputs.

    It takes 100 MB, 260 MB after the first inference, and inference is 14 % slower: only fixing uses it.

    Args:
        spec: entry `MODEL` of the catalog.
        content: bytes of the model file, verified against the catalog.

    Raises:
        ModelError: the model does not load, or is another one.
    """

    def __init__(self, spec: ModelSpec, content: bytes) -> None:
        self._model = MatteModel(spec, provider=CPU, content=content + _further_outputs())

    @property
    def model(self) -> MatteModel:
        """The underlying model; its matte is bit for bit that of a model without further outputs."""
        return self._model

    def inference(self, rgb: NDArray[np.uint8]) -> FeatureInference:
        """Return a `FeatureInference` for a picture, uint8 (H, W, 3)."""
        return FeatureInference(self._model, rgb)


class FeatureInference:
    """The passes over one picture, of which the one that every matte begins with gives the features as well.

    Args:
        model: with further outputs.
        rgb: uint8 (H, W, 3).

    Attributes:
        further: number of passes that were made and that `features` does not need.
    """

    def __init__(self, model: MatteModel, rgb: NDArray[np.uint8]) -> None:
        self.further = 0
        self._model = model
        self._rgb = rgb
        self._stages: list[NDArray[np.float32]] = []
        self._mattes: dict[int, NDArray[np.float32]] = {}

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture, uint8 (H, W, 3)."""
        return self._rgb

    def predict(self, rgb: NDArray[np.uint8], side: int = 0) -> NDArray[np.float32]:
        """Do as `MatteModel.predict`, for the picture or a part of it; passes that `features` needs are made once."""
        size = side or self._model.sides[0]
        if rgb is not self._rgb or size not in self._sides:
            self.further += 1
            return self._model.predict(rgb, side)
        if size not in self._mattes:
            if size == _SIDE:
                matte, self._stages = self._model.output_and_tensors(rgb, list(_DIMENSIONS), _SIDE)
                self._mattes[size] = np.clip(matte, 0.0, 1.0)
            else:
                self._mattes[size] = self._model.predict(rgb, size)
        return self._mattes[size]

    def features(self) -> Features:
        """Return the features of the picture."""
        mattes = tuple(self.predict(self._rgb, side) for side in self._sides)
        return Features(planes=_planes(self._stages), mattes=mattes)

    @property
    def _sides(self) -> tuple[int, ...]:
        return (_SIDE, self._model.check_side) if self._model.check_side else (_SIDE,)


def features(model: FeatureModel, rgb: NDArray[np.uint8]) -> Features:
    """Compute the features of a picture; this takes about 0.4 s on one core, whatever the size.

    Args:
        model: a model with features.
        rgb: uint8 (H, W, 3) of any size, sRGB.
    """
    return model.inference(rgb).features()


def _planes(stages: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    parts = [
        _components(_on_grid(stage[0]), kept)
        for stage, kept in zip(stages, _DIMENSIONS.values(), strict=True)
    ]
    return np.concatenate(parts, axis=2)


def _further_outputs() -> bytes:
    """Return bytes that, appended to an ONNX file, make its features outputs of the graph.

    A file is one protobuf message, and two messages of a kind one after the other are their union, in which repeated fields are
    joined (https://protobuf.dev/programming-guides/encoding/#last-one-wins): ModelProto.graph is field 7, GraphProto.output 12,
    ValueInfoProto.name 1 and .type 2, TypeProto.tensor_type 1, Tensor.elem_type 1. So this takes neither the package `onnx` nor a
    second file of 44 MB.
    """
    kind = _field(2, _field(1, bytes((1 << 3, _FLOAT32))))
    outputs = b"".join(_field(12, _field(1, name.encode()) + kind) for name in _DIMENSIONS)
    return _field(7, outputs)


def _field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field of a protobuf message; number and length fit into one byte each."""
    return bytes((number << 3 | 2, len(content))) + content


def _on_grid(stage: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resize a stage, float32 (channels, rows, columns), to float32 (channels, 160 x 160)."""
    method = cv2.INTER_AREA if stage.shape[1] > GRID else cv2.INTER_LINEAR
    planes = np.empty((len(stage), GRID, GRID), np.float32)
    for plane, kept in zip(stage, planes, strict=True):
        kept[...] = (
            plane if plane.shape == kept.shape else cv2.resize(plane, (GRID, GRID), interpolation=method)
        )
    return planes.reshape(len(stage), -1)


def _components(planes: NDArray[np.float32], kept: int) -> NDArray[np.float32]:
    """Return the principal components of float32 (channels, 160 x 160): float32 (160, 160, kept), divided by the deviation of the first one."""
    apart = planes - planes.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    values, vectors = np.linalg.eigh((apart @ apart.T).astype(np.float64) / apart.shape[1])
    axes = vectors[:, ::-1][:, :kept]
    # An axis has no sign of its own: its largest part is taken as positive, so that it does not hang on the library.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    axes /= max(float(np.sqrt(max(values[-1], 0.0))), _TINY)
    return np.asarray(apart.T @ axes.astype(np.float32), np.float32).reshape(GRID, GRID, -1)
