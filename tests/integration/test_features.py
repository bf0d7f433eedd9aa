"""The embedded model gives features beside its matte, and the matte stays the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cutoutd.engine.matting import features
from cutoutd.engine.matting.matte_model import MatteModel
from cutoutd.errors import ModelError
from cutoutd.models import catalog
from cutoutd.pipeline.engine import FeatureSource
from tests.integration import small_models

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches onnxruntime's telemetry off."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")


def test_a_model_with_features_gives_the_same_matte_bit_for_bit() -> None:
    """The features of a picture are the same every time, one vector for each position."""
    spec = catalog.find(features.MODEL)
    rgb = np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)
    rgb[20:60, 30:80] = (220, 40, 30)
    with_features = features.FeatureModel(spec, spec.file.read_bytes())
    assert np.array_equal(
        with_features.model.predict(rgb, 224), MatteModel(spec, provider="cpu").predict(rgb, 224)
    )
    seen = features.features(with_features, rgb).planes
    assert seen.shape == (features.GRID, features.GRID, 52)
    assert seen.dtype == np.float32
    inference = with_features.inference(rgb)
    assert np.array_equal(inference.predict(rgb), MatteModel(spec, provider="cpu").predict(rgb))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_features.model, "output_and_tensors", lambda *_: pytest.fail("a second pass"))
        assert np.array_equal(seen, inference.features().planes)
    assert seen[..., 0].std() == pytest.approx(1, rel=1e-3)
    assert np.diff(seen[..., :12].std(axis=(0, 1))).max() < 1e-3


def test_features_have_the_mattes_of_the_first_pass_and_of_the_check() -> None:
    """A pass that was made before is not made again, and a part of the picture is not taken for it."""
    spec = catalog.find(features.MODEL)
    rgb = np.random.default_rng(1).integers(0, 256, (90, 140, 3), np.uint8)
    rgb[20:60, 30:80] = (220, 40, 30)
    model = features.FeatureModel(spec, spec.file.read_bytes())
    sides = (288, model.model.check_side)
    expected = [model.model.predict(rgb, side) for side in sides]
    inference = model.inference(rgb)
    part = inference.predict(rgb[10:70], sides[1])
    assert not np.array_equal(part, expected[1])
    made: list[int] = []
    predict = model.model.predict

    def counted(rgb: NDArray[np.uint8], side: int = 0) -> NDArray[np.float32]:
        made.append(side)
        return predict(rgb, side)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.model, "predict", counted)
        assert np.array_equal(inference.predict(rgb, sides[1]), expected[1])
        mattes = inference.features().mattes
        assert made == [sides[1]]
    assert len(mattes) == len(sides)
    assert all(np.array_equal(*pair) for pair in zip(mattes, expected, strict=True))


def test_an_altered_model_gives_no_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does another model, nor a missing one; a worker starts without it."""
    spec = replace(catalog.find(features.MODEL), file=small_models.save(tmp_path / "other.onnx"))
    with pytest.raises(ModelError, match="does not load"):
        features.FeatureModel(spec, spec.file.read_bytes())
    rgb = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(catalog, "find", lambda _: spec)
    source = FeatureSource()
    with pytest.raises(ModelError, match="not the one of the catalog"):
        source.inference(rgb)
    source.close()
    spec.file.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        FeatureSource().inference(rgb)
