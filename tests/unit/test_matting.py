"""The model's input and output, and how it is selected; the integration tests run the model itself."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cutoutd.engine.matting.matte_model import MatteModel, normalise, square
from cutoutd.errors import ModelError
from cutoutd.protocols import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path


def spec(file: Path) -> ModelSpec:
    """Return a model's entry in the catalog."""
    return ModelSpec(
        name="test",
        file=file,
        sha256="",
        bytes=0,
        input_size=320,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        licence="",
        source="",
    )


@pytest.fixture(autouse=True)
def _telemetry_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches onnxruntime's telemetry off."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")


@pytest.mark.parametrize(("height", "width"), [(1500, 2000), (1999, 1301), (1280, 640), (97, 5000), (50, 70)])
def test_the_models_square_is_what_lanczos_on_the_whole_picture_gives(height: int, width: int) -> None:
    """Averaging first is much faster, and must not shift or blur anything."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.dstack(
        (np.sin(x / width * 30), np.cos(y / height * 25), np.sin((x / width + y / height) * 18))
    )
    rgb = (128 + 100 * waves).astype(np.uint8)
    exact = np.asarray(Image.fromarray(rgb).resize((320, 320), Image.Resampling.LANCZOS))
    difference = np.abs(square(rgb, 320).astype(np.int16) - exact)
    assert difference.mean() < 1.0
    assert difference.max() <= 8


@given(height=st.integers(1, 1500), width=st.integers(1, 1500))
def test_any_size_becomes_the_models_square(height: int, width: int) -> None:
    """However narrow the picture; a plain colour is unchanged up to the last column and row."""
    rgb = np.full((height, width, 3), 77, np.uint8)
    small = square(rgb, 320)
    assert small.shape == (320, 320, 3)
    assert (small == 77).all()


def test_a_matte_is_stretched_to_the_whole_range() -> None:
    """As the authors of U2-Net do; a constant matte causes no division by zero."""
    assert normalise(np.array([[0.2, 0.5], [0.3, 0.7]], np.float32)).tolist() == [
        pytest.approx([0.0, 0.6]),
        pytest.approx([0.2, 1.0]),
    ]
    assert normalise(np.full((2, 2), 0.4, np.float32)).max() == 0.0


def test_an_unavailable_provider_is_refused_with_the_available_ones(tmp_path: Path) -> None:
    """A named one must work or nothing starts; the CPU never stands in for it silently."""
    with pytest.raises(ModelError, match="not known") as unknown:
        MatteModel(spec(tmp_path / "model.onnx"), provider="abacus")
    with pytest.raises(ModelError, match="not available"):
        MatteModel(spec(tmp_path / "model.onnx"), provider="directml")
    assert "auto, cpu" in unknown.value.advice


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    file = tmp_path / "model.onnx"
    file.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="does not load") as caught:
        MatteModel(spec(file), provider="cpu")
    assert caught.value.path == file


def test_onnxruntime_is_not_imported_while_its_telemetry_is_on() -> None:
    """Later calls do not stop telemetry, so the variable must be set first."""
    script = (
        "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None)\n"
        "from cutoutd.engine.matting import matte_model\n"
        "try: matte_model.MatteModel(None)\n"
        "except RuntimeError as error: print('onnxruntime' in sys.modules, error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False ORT_DISABLE_TELEMETRY=1 must be in the environment")
