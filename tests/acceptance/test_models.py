"""A model of one's own, by the real commands: added, listed, used, and named in the sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.integration import small_models

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

DESCRIBED = (
    "--size",
    "64",
    "--mean",
    "0,0,0",
    "--std",
    "1,1,1",
    "--scale",
    "255",
    "--logits",
    "--no-min-max",
)


def test_a_model_of_ones_own_cuts(bench: Bench) -> None:
    """What is red: it takes the ball, and log and sidecar say which model it was."""
    bench.environment["XDG_DATA_HOME"] = str(bench.root / "data")
    file = small_models.save(bench.root / "Mine.onnx", half=True, dynamic=True, logits=True)
    wrong = bench.call("models", "add", file)
    assert wrong.returncode == 4
    assert "--logits" in wrong.stderr
    added = bench.call("models", "add", file, "--name", "redness", "--licence", "MIT", *DESCRIBED)
    assert added.returncode == 0, added.stderr
    assert 'set name = "redness"' in added.stdout
    listed = bench.call("models", "list").stdout
    assert "redness" in listed
    assert listed.count(" s on cpu") == 2
    bench.environment["CUTOUTD_MODEL__NAME"] = "redness"
    bench.drop("a.jpg")
    done = bench.once()
    assert done.returncode == 0, done.stderr
    assert '"worker.ready"' in done.stderr
    assert '"model": "redness", "provider": "cpu"' in done.stderr
    model = bench.sidecar("a.png.json")["model"]
    assert (model["name"], model["provider"]) == ("redness", "cpu")
    with Image.open(bench.output / "a.png") as image:
        alpha = np.asarray(image)[..., 3]
    assert alpha[135, 180] == 255
    assert alpha[5, 5] < 64
