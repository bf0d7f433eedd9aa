"""The matte of a picture, by a salient object model such as U2-Net on onnxruntime.

It must not judge the matte (`cutoutd.engine.matting.quality` does) nor enlarge it (`cutoutd.engine.matting.refine` does).

U2-Net: Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection", 2020.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from PIL import Image

from cutoutd.errors import ModelError
from cutoutd.protocols import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cutoutd.protocols import ModelSpec

AUTO: Final = "auto"
CPU: Final = "cpu"

_CPU: Final = "CPUExecutionProvider"
PROVIDERS: Final = {
    CPU: _CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
# CoreML and the compiling providers are used only when named: a quantised model does not reliably gain from them.
_AUTO: Final = ("cuda", CPU)

_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"
_LOG_FATAL: Final = 4  # what matters is raised; the rest would go to standard error behind our logs

_REDUCE_TO: Final = 2
"""Averaging goes on until the sides are at least so many times the model's: Lanczos then sees enough of them."""

_TINY: Final = 1e-6
_FAR: Final = 60.0
"""Logits beyond it are 0 or 1 in any case, and would overflow."""

_KINDS: Final[dict[str, type[np.float32 | np.float16]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_NUMBERS: Final[dict[str, type[np.generic]]] = {
    **_KINDS,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_OTHER_FILES: Final = ("External data", "external data", "SystemError : 13")
"""What onnxruntime says over a model in several files; the number is the sandbox's refusal to open another one (EACCES)."""

_FURTHER_NUMBERS: Final = 1_000_000
_OTHER_OUTPUT: Final = "Say with --output which of its outputs is the matte, counting from 0."
_PLANES: Final = ("pictures", "colours", "rows", "columns")


class MatteModel:
    """The model, loaded, on one thread.

    Args:
        spec: entry of the catalog.
        provider: ``auto``, or an execution provider by its short name, such as ``cpu`` or ``cuda``.
        content: bytes of the model file, where it cannot be opened any more; None: the file is read by its name.

    Attributes:
        provider: short name of the execution provider in use.
        onnxruntime: version of onnxruntime.
        sha256: SHA-256 of the model's file, by the catalog.
        stretches: whether its mattes are to be stretched to the whole of 0..1.
        sides: input sizes, pixels: the first is always used, the others where that leaves doubt.
        check_side: input size of the pass that checks the matte, pixels; 0: there is none.

    Raises:
        ModelError: the named provider is missing, or the model does not load on it, or is of another kind.
        RuntimeError: onnxruntime's telemetry was not switched off before.
    """

    def __init__(self, spec: ModelSpec, *, provider: str = AUTO, content: bytes | None = None) -> None:
        runtime = _quiet_runtime()
        available = [name for name, full in PROVIDERS.items() if full in runtime.get_available_providers()]
        self.provider = _choose(provider, available)
        self.onnxruntime: str = runtime.__version__
        self.sha256 = spec.sha256
        self._session = _load(runtime, spec, self.provider, content)
        self._input, self._kind = _input_of(self._session, spec)
        self._further = _further_of(self._session, spec)
        self._output = _output_of(self._session, spec)
        self.sides = (spec.input_size, *spec.more_sizes)
        self.check_side = spec.check_size
        self._scale = spec.scale
        self._logits = spec.logits
        self.stretches = spec.min_max
        self._letterbox = spec.letterbox
        self._mean = np.array(spec.mean, np.float32)
        self._std = np.array(spec.std, np.float32)

    def predict(self, rgb: NDArray[np.uint8], side: int = 0) -> NDArray[np.float32]:
        """Return the matte of a picture: the model's confidence that each place belongs to the subject.

        Args:
            rgb: uint8 (H, W, 3), of any size and shape.
            side: one of `sides`, or `check_side`; 0 for the first.

        Returns:
            float32 (h, w) in 0..1, raw, of the model's own size: near 0 everywhere
            where there is no subject.

        Raises:
            ModelError: the output is not a matte.
        """
        return np.clip(self.output(rgb, side), 0.0, 1.0)

    def output(self, rgb: NDArray[np.uint8], side: int = 0) -> NDArray[np.float32]:
        """Return the same as `predict` before clipping to 0..1."""
        return self._infer(rgb, (), side)[0]

    def output_and_tensors(
        self, rgb: NDArray[np.uint8], names: Sequence[str], side: int = 0
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Return the result of `output`, bit for bit, and further outputs of the model, from one inference.

        Args:
            rgb: uint8 (H, W, 3), of any size and shape.
            names: names of the further outputs.
            side: as for `predict`.

        Returns:
            The matte, and one array for each name, float32, as the model gives it.

        Raises:
            ModelError: the model has no such output, or its output is not a matte.
        """
        self._check_outputs(names)
        return self._infer(rgb, names, side)

    def _infer(
        self, rgb: NDArray[np.uint8], names: Sequence[str], side: int
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        size = side or self.sides[0]
        given, shown = self._given(rgb, size)
        outputs: list[Any] = self._session.run([self._output, *names], given)
        matte = self._plane(np.asarray(outputs[0], np.float32), size, shown)
        return matte, [np.asarray(one, np.float32) for one in outputs[1:]]

    def _plane(self, raw: NDArray[np.float32], size: int, shown: tuple[int, int]) -> NDArray[np.float32]:
        """Return the matte in a raw output, cropped to the rows and columns that show the picture."""
        if raw.size == 0 or raw.ndim < 2 or raw.size != raw.shape[-1] * raw.shape[-2]:  # noqa: PLR2004 -- a plane
            raise ModelError(
                f"its output has the shape {raw.shape}, which is not a single plane", advice=_OTHER_OUTPUT
            )
        rows, columns = raw.shape[-2:]
        raw = raw.reshape(rows, columns)[
            : max(1, rows * shown[0] // size), : max(1, columns * shown[1] // size)
        ]
        if self._logits:
            raw = np.asarray(1 / (1 + np.exp(-np.clip(raw, -_FAR, _FAR))), np.float32)
        return raw

    def _check_outputs(self, names: Sequence[str]) -> None:
        there = {one.name for one in self._session.get_outputs()}
        if missing := [name for name in names if name not in there]:
            raise ModelError(f"it has no output called {missing[0]}")

    def _given(
        self, rgb: NDArray[np.uint8], size: int
    ) -> tuple[dict[str, NDArray[np.generic]], tuple[int, int]]:
        """Return the model's inputs, and how many rows and columns of the square show the picture."""
        small, shown = self._fit_into_square(rgb, size)
        small /= max(float(small.max()), _TINY) if self._scale is Scale.MAXIMUM else 255.0
        planes = ((small - self._mean) / self._std).transpose(2, 0, 1)[np.newaxis]
        return {self._input: np.ascontiguousarray(planes, self._kind), **self._further}, shown

    def _fit_into_square(
        self, rgb: NDArray[np.uint8], size: int
    ) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Return the model's input square, and how many of its rows and columns show the picture."""
        if not self._letterbox:
            return square(rgb, size).astype(np.float32), (size, size)
        height, width = rgb.shape[:2]
        longest = max(height, width)
        rows, columns = (max(1, round(size * length / longest)) for length in (height, width))
        canvas = np.zeros((size, size, 3), np.float32)
        canvas[:rows, :columns] = reduced(rgb, rows, columns)
        return canvas, (rows, columns)


def normalise(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch a matte to the whole of 0..1, as U2-Net's authors do.

    Only for a matte with a subject in it: of one without, it would make a random mask.

    Args:
        raw: float32 (h, w) in 0..1.

    Returns:
        float32 (h, w) in 0..1.
    """
    low, high = float(raw.min()), float(raw.max())
    return ((raw - low) / max(high - low, _TINY)).astype(np.float32)


def square(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize the whole picture to a small square: averaged by a whole factor, then Lanczos for the rest.

    Args:
        rgb: uint8 (H, W, 3).
        size: side of the square, pixels.

    Returns:
        uint8 (size, size, 3).
    """
    return reduced(rgb, size, size)


def reduced(rgb: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Resize a picture with the method of `square`: uint8 (rows, columns, 3)."""
    height, width = rgb.shape[:2]
    across, down = max(1, width // (_REDUCE_TO * columns)), max(1, height // (_REDUCE_TO * rows))
    image = Image.fromarray(_average(rgb, across, down))
    # The last column and row may stand for fewer pixels than the others.
    box = (0.0, 0.0, width / across, height / down)
    return np.asarray(image.resize((columns, rows), Image.Resampling.LANCZOS, box=box))


def _average(rgb: NDArray[np.uint8], across: int, down: int) -> NDArray[np.uint8]:
    """Return averages of ``across`` x ``down`` pixels; the remaining pixels at the right and bottom are averaged separately.

    Whole factors are four times faster in OpenCV than others.
    """
    if across == down == 1:
        return rgb
    height, width = rgb.shape[:2]
    rows, columns = height // down, width // across
    small = np.empty((-(-height // down), -(-width // across), 3), np.uint8)
    inner_y, inner_x = rows * down, columns * across
    small[:rows, :columns] = _area(rgb[:inner_y, :inner_x], columns, rows)
    if inner_x < width:
        small[:rows, columns:] = _area(rgb[:inner_y, inner_x:], 1, rows)
    if inner_y < height:
        small[rows:, :columns] = _area(rgb[inner_y:, :inner_x], columns, 1)
    if inner_x < width and inner_y < height:
        small[rows:, columns:] = _area(rgb[inner_y:, inner_x:], 1, 1)
    return small


def _area(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _quiet_runtime() -> Any:  # noqa: ANN401 -- onnxruntime ships no types
    """Return onnxruntime, imported only after its telemetry was switched off: it cannot be switched off later."""
    if os.environ.get(_TELEMETRY) != "1":
        message = f"{_TELEMETRY}=1 must be in the environment before onnxruntime is imported"
        raise RuntimeError(message)
    import onnxruntime  # noqa: PLC0415 -- see above; and most commands never need it

    return onnxruntime


def _choose(provider: str, available: list[str]) -> str:
    if provider == AUTO:
        return next(name for name in _AUTO if name in available)
    if provider in available:
        return provider
    known = "is not available here" if provider in PROVIDERS else "is not known"
    raise ModelError(
        f"the provider {provider!r} {known}",
        advice=f"Set [model] provider to one of: {', '.join([AUTO, *available])}.",
    )


def _load(runtime: Any, spec: ModelSpec, provider: str, content: bytes | None) -> Any:  # noqa: ANN401 -- onnxruntime ships no types
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _LOG_FATAL
    options.enable_mem_pattern = False  # one block for all tensors costs 70 MB and saves no time
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    full = PROVIDERS[provider]
    try:
        session = runtime.InferenceSession(
            os.fspath(spec.file) if content is None else content,
            options,
            providers=list(dict.fromkeys((full, _CPU))),
        )
    except Exception as error:  # onnxruntime's errors have no common class but this
        if any(words in str(error) for words in _OTHER_FILES):
            raise ModelError(
                "it keeps weights in another file (external data), which is not read",
                path=spec.file,
                advice="Save it as one file, with onnx.save(onnx.load(FILE), NEW), or get it as one.",
            ) from error
        raise ModelError(f"it does not load on {provider!r} ({error})", path=spec.file) from error
    if full not in session.get_providers():  # onnxruntime goes back to the CPU without raising
        raise ModelError(f"the provider {provider!r} is installed but does not work here", path=spec.file)
    return session


def _input_of(session: Any, spec: ModelSpec) -> tuple[str, type[np.float32 | np.float16]]:  # noqa: ANN401 -- see above
    """Return name and type of the model's input, which must accept a square picture of the declared size."""
    filled = {name for name, _ in spec.inputs}
    inputs = [one for one in session.get_inputs() if one.name not in filled]
    kind = _KINDS.get(inputs[0].type) if len(inputs) == 1 else None
    if kind is None:
        said = ", ".join(f"{one.name}: {one.type}" for one in inputs)
        raise ModelError(
            f"it does not take one picture in float32 or float16 ({said})",
            path=spec.file,
            advice=_FILL if len(inputs) > 1 else "",
        )
    shape = inputs[0].shape
    for size in filter(None, (spec.input_size, *spec.more_sizes, spec.check_size)):
        wanted = (1, 3, size, size)
        # What is not a number there may be of any size.
        fits = len(shape) == len(wanted) and all(
            not isinstance(side, int) or side == want for side, want in zip(shape, wanted, strict=True)
        )
        if fits:
            continue
        listed = ", ".join(f"{name} {side}" for name, side in zip(_PLANES, shape, strict=False))
        raise ModelError(
            f"it takes {listed}, not {wanted}",
            path=spec.file,
            advice="Say with --size how many pixels it takes.",
        )
    return inputs[0].name, kind


_FILL: Final = (
    "Say with --input what all but the picture are filled with, such as --input downsample_ratio=0.25."
)


def _further_of(session: Any, spec: ModelSpec) -> dict[str, NDArray[np.generic]]:  # noqa: ANN401 -- see above
    """Return the model's constant inputs beside the picture: each filled with its number, free dimensions of size 1."""
    there = {one.name: one for one in session.get_inputs()}
    made: dict[str, NDArray[np.generic]] = {}
    for name, number in spec.inputs:
        one = there.get(name)
        kind = _NUMBERS.get(one.type) if one is not None else None
        if one is None or kind is None:
            known = ", ".join(f"{other.name}: {other.type}" for other in there.values())
            raise ModelError(
                f"it has no input {name!r} that takes numbers ({known})", path=spec.file, advice=_FILL
            )
        shape = tuple(side if isinstance(side, int) else 1 for side in one.shape)
        if math.prod(shape) > _FURTHER_NUMBERS:
            raise ModelError(f"its input {name!r} takes more than a few numbers {shape}", path=spec.file)
        made[name] = np.full(shape, number, kind)
    return made


def _output_of(session: Any, spec: ModelSpec) -> str:  # noqa: ANN401 -- see above
    outputs = session.get_outputs()
    if not 0 <= spec.output < len(outputs):
        raise ModelError(
            f"it has {len(outputs)} outputs, and none of number {spec.output}",
            path=spec.file,
            advice=_OTHER_OUTPUT,
        )
    name: str = outputs[spec.output].name
    return name
