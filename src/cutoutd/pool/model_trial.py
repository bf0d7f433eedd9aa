"""Tries a model in a sandboxed process. The sandbox is active before the file, which may be hostile, is read.

`try_model` starts ``python -P -m cutoutd.pool.model_trial`` and checks its answer; `main` is that process. It must not touch
any other file.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import CutoutdError, FailureCode, ModelError
from cutoutd.pool import wire
from cutoutd.pool.slot import ENVIRONMENT
from cutoutd.process import child_environment
from cutoutd.sandbox.confinement import confine_worker, own_code
from cutoutd.sandbox.limits import die_with_parent

if TYPE_CHECKING:
    from typing import BinaryIO

    import numpy as np
    from numpy.typing import NDArray

    from cutoutd.protocols import ModelSpec

TIMEOUT_S: Final = 300.0
_HEIGHT, _WIDTH = 360, 480
_OUTSIDE: Final = 0.05
"""How far values of an output from 0 to 1 may leave that range through rounding."""

_INSIDE: Final = 0.5
_PROVIDER: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


class UnusableModelError(ModelError):
    """The model was tried, and does not work here or does not match its description."""

    code = FailureCode.UNUSABLE_MODEL
    title = "The model cannot be used"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTrial:
    """Result of a trial.

    Attributes:
        provider: execution provider that the model ran on.
        seconds: duration of the second inference.
        low, high: least and greatest value of the output.
        overlap: intersection over union of the predicted and the real subject of the test picture.
        memory_mb: greatest address space that the model took, in MiB; 0 where the system does not report it.
    """

    provider: str
    seconds: float
    low: float
    high: float
    overlap: float
    memory_mb: float = 0.0


def try_model(model: ModelSpec, *, provider: str, memory_mb: int) -> ModelTrial:
    """Run a model on a generated picture of a red ball on a pale ground.

    Args:
        model: the model and its file.
        provider: name of an execution provider, or ``auto``.
        memory_mb: limit of the address space, in MiB.

    Raises:
        UnusableModelError: the model cannot be loaded or run, or the process died.
    """
    setup = wire.Setup(
        parent=os.getpid(),
        models=(model,),
        provider=provider,
        memory_mb=memory_mb,
        nice=0,
        max_pixels=_HEIGHT * _WIDTH,
        max_file_bytes=0,
    )
    with tempfile.TemporaryFile() as answer:  # not a pipe: the size of a file can be limited
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "cutoutd.pool.model_trial"],
                input=wire.encode_setup(setup),
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env=child_environment.for_worker(os.environ) | ENVIRONMENT,
                timeout=TIMEOUT_S,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnusableModelError(
                f"it took longer than {TIMEOUT_S:.0f} s", path=model.file, advice=""
            ) from error
        answer.seek(0)
        said = _parse_output(answer.read(wire.MAX_LINE_BYTES))
    if "refused" in said:
        raise UnusableModelError(str(said["refused"]), path=model.file, advice=str(said.get("advice", "")))
    try:
        figures = {key: _number(said[key]) for key in ("seconds", "low", "high", "overlap", "memory_mb")}
        return ModelTrial(provider=_provider(said["provider"]), **_plausible(figures, memory_mb))
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableModelError(
            f"its process ended with {done.returncode} and gave no result", path=model.file, advice=_DIED
        ) from error


_DIED: Final = "The file may be damaged, or need more memory: try a larger --memory-mb."


def _parse_output(output: bytes) -> dict[str, Any]:
    try:
        message = json.loads(output)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _number(value: object) -> float:
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a number")
    return number


def _provider(value: object) -> str:
    """Check the name of a provider: a hostile model may have chosen it."""
    if not isinstance(value, str) or not _PROVIDER.fullmatch(value):
        raise ValueError("that is not a name of a provider")
    return value


def _plausible(figures: dict[str, float], memory_mb: int) -> dict[str, float]:
    """Check the figures: a later memory limit is derived from them."""
    if not 0 <= figures["memory_mb"] <= memory_mb or figures["seconds"] < 0:
        raise ValueError("that cannot be")
    return figures


def main() -> int:
    """Run the process that tries a model."""
    setup = wire.decode_setup(sys.stdin.buffer.readline())
    die_with_parent(setup.parent)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wire.MAX_LINE_BYTES, wire.MAX_LINE_BYTES))
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library that prints must not disturb the answer
    try:
        message = asdict(_run(setup))
    except CutoutdError as error:
        message = {"refused": error.cause, "advice": error.advice}
    except Exception as error:  # noqa: BLE001 -- onnxruntime raises any kind, and the parent needs the message
        message = {"refused": f"it does not run ({error})"}
    answer.write(json.dumps(message))
    answer.close()
    return 0


def _run(setup: wire.Setup) -> ModelTrial:
    # Imported before the sandbox is active: files that these imports read cannot be read afterwards.
    import numpy as np  # noqa: PLC0415
    import onnxruntime  # noqa: F401, PLC0415

    from cutoutd.engine.matting.matte_model import MatteModel  # noqa: PLC0415

    # onnxruntime opens the model by its name: the one file that this process must read, and as large as memory at worst.
    status = _status()
    confine_worker(
        read=(setup.models[0].file, *own_code()),
        memory_mb=setup.memory_mb,
        file_bytes=wire.MAX_LINE_BYTES,
        nice=setup.nice,
    )
    before_kb = _address_space_kb(status, "VmSize")
    model = MatteModel(setup.models[0], provider=setup.provider)
    picture, ball = _picture()
    model.output(picture)
    started_s = time.perf_counter()
    raw = model.output(picture)
    seconds = time.perf_counter() - started_s
    if not np.isfinite(raw).all():
        raise ModelError("its output has values that are not numbers", advice="")
    low, high = float(raw.min()), float(raw.max())
    if not -_OUTSIDE <= low <= high <= 1 + _OUTSIDE:
        raise ModelError(f"its output goes from {low:.3g} to {high:.3g}", advice=_NO_SHARE)
    return ModelTrial(
        provider=model.provider,
        seconds=seconds,
        low=low,
        high=high,
        overlap=_overlap(raw, ball, stretched=model.stretches),
        memory_mb=max(0, _address_space_kb(status, "VmPeak") - before_kb) // 1024,
    )


def _status() -> BinaryIO | None:
    """Return /proc/self/status (proc(5)), kept open; None where it does not exist."""
    try:
        return open("/proc/self/status", "rb", buffering=0)  # noqa: PTH123 -- closed with the process
    except OSError:
        return None


def _address_space_kb(status: BinaryIO | None, key: str) -> int:
    if status is None:
        return 0
    status.seek(0)
    found = re.search(rf"^{key}:\s*([0-9]+) kB$".encode(), status.read(1 << 16), re.MULTILINE)
    return int(found[1]) if found is not None else 0


_NO_SHARE: Final = (
    "That is no share from 0 to 1: say --logits, so that it goes through a sigmoid, or take another --output."
)


def _overlap(raw: NDArray[np.float32], ball: NDArray[np.bool_], *, stretched: bool) -> float:
    import cv2  # noqa: PLC0415 -- as in `_run`
    import numpy as np  # noqa: PLC0415

    from cutoutd.engine.matting.matte_model import normalise  # noqa: PLC0415

    matte = normalise(np.clip(raw, 0, 1)) if stretched else raw
    seen = cv2.resize(matte, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR) > _INSIDE
    union = int((seen | ball).sum())
    return int((seen & ball).sum()) / max(1, union)


def _picture() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a shaded red ball on a pale ground, uint8 (H, W, 3), and the mask of the ball, bool (H, W)."""
    import numpy as np  # noqa: PLC0415 -- as in `_run`

    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.float32)
    away = np.hypot(x - _WIDTH / 2, y - _HEIGHT / 2) / (0.33 * _HEIGHT)
    light = np.clip(1.2 - np.hypot(x - _WIDTH * 0.43, y - _HEIGHT * 0.4) / (0.6 * _HEIGHT), 0.2, 1.0)
    ball = np.array([190, 40, 30], np.float32) * light[..., np.newaxis]
    ground = np.array([205, 210, 215], np.float32) - 30 * (y / _HEIGHT)[..., np.newaxis]
    inside = np.clip((1 - away) * 0.33 * _HEIGHT, 0, 1)[..., np.newaxis]
    return (ball * inside + ground * (1 - inside)).astype(np.uint8), away < 1


if __name__ == "__main__":
    sys.exit(main())
