"""A user's own model with the real commands: added, listed, used, and named in the sidecar."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.acceptance.conftest import PATIENCE_S
from tests.integration import small_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon


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
    """The test's model finds what is red, here the ball; log and sidecar name the model."""
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


FOLDER = """
[[folder]]
name = "{name}"
input = "{root}/{name}"
output = "{root}/{name}-out"
settle_s = 0.2
model = "{model}"
"""


def test_each_folder_may_have_a_model_of_its_own(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Each sidecar names the model that cut; a missing model is refused, and another one is adopted without a restart."""
    bench.environment["XDG_DATA_HOME"] = str(bench.root / "data")
    file = small_models.save(bench.root / "Mine.onnx", half=True, dynamic=True, logits=True)
    added = bench.call("models", "add", file, "--name", "redness", *DESCRIBED)
    assert added.returncode == 0, added.stderr
    config, log = bench.root / "c.toml", bench.root / "log"

    def write(*models: str) -> None:
        folders = [
            FOLDER.format(name=name, root=bench.root, model=model)
            for name, model in zip("ab", models, strict=True)
        ]
        config.write_text("[pool]\nworkers = 1\n" + "".join(folders))

    def cut_by(folder: str, name: str) -> str:
        """Return the model in the sidecar, after checking the cutout of a blue ball."""
        bench.drop(f"{name}.jpg", hue=1).rename(bench.root / folder / f"{name}.jpg")
        output = bench.root / f"{folder}-out"
        sidecars = output / f"{name}.png.json", output / "review" / f"{name}.png.json"
        bench.wait_for(lambda: any(one.exists() for one in sidecars), f"{name} of {folder}")
        (sidecar,) = (one for one in sidecars if one.exists())
        model: str = json.loads(sidecar.read_text())["model"]["name"]
        with Image.open(sidecar.with_suffix("")) as image:
            assert (np.asarray(image)[135, 180, 3] > 128) == (model == "u2net-int8")
        return model

    for name in "ab":
        (bench.root / name).mkdir()
    write("redness", "none-such")
    assert bench.call("check", "--config", config).returncode == 4
    write("redness", "")
    assert bench.call("check", "--config", config).returncode == 0
    daemon = start("--config", config)
    assert (cut_by("a", "one"), cut_by("b", "two")) == ("redness", "u2net-int8")
    assert '"model": "redness, u2net-int8"' in log.read_text()
    write("redness", "none-such")
    daemon.process.send_signal(signal.SIGHUP)
    bench.wait_for(lambda: "reload.refused" in log.read_text(), "the refusal")
    assert "none-such" in log.read_text()
    write("redness", "redness")
    daemon.process.send_signal(signal.SIGHUP)
    bench.wait_for(lambda: "reload.done" in log.read_text(), "the reload")
    assert cut_by("b", "three") == "redness"
    assert daemon.end() == 0


def test_a_second_model_runs_where_the_first_is_in_doubt(bench: Bench, start: Callable[..., Daemon]) -> None:
    """The second model is loaded inside the sandbox; the sidecar names both, and a replay runs both."""
    data = bench.root / "data"
    bench.environment["XDG_DATA_HOME"] = str(data)
    for name, dark in (("redness", False), ("darkness", True)):
        file = small_models.save(bench.root / f"{name}.onnx", logits=True, dark=dark)
        added = bench.call("models", "add", file, *DESCRIBED)
        assert added.returncode == 0, added.stderr
    bench.environment.update({"CUTOUTD_MODEL__NAME": "redness", "CUTOUTD_MODEL__SECOND": "darkness"})
    bench.drop("blue.jpg", hue=1)
    done = bench.once()
    assert done.returncode == 0, done.stderr
    doubtful = bench.sidecar("blue.png.json")
    assert doubtful["model"]["name"] == "darkness"
    opinion = doubtful["second_opinion"]
    assert (opinion["taken"], opinion["other"]["name"], opinion["first_score"]) == (True, "redness", 0.0)
    assert opinion["why"] == "the first model sees no subject, the second does"
    again = bench.call("replay", bench.output / "blue.png.json")
    assert again.returncode == 0, again.stdout + again.stderr
    others = ("--model", "darkness", "--second", "redness")
    sure = bench.call("cut", bench.input / "blue.jpg", "-o", bench.root / "x", *others)
    assert sure.returncode == 0, sure.stderr
    document = json.loads((bench.root / "x" / "blue.png.json").read_text())
    assert document["model"]["name"] == "darkness"
    assert "second_opinion" not in document
    daemon = start(*bench.pair())
    log = bench.root / "log"
    bench.wait_for(lambda: '"worker.ready"' in log.read_text(), "a worker")
    weights = data / "cutoutd" / "models" / "darkness.onnx"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    bench.drop("green.jpg", hue=2)
    assert daemon.process.wait(PATIENCE_S) == 4
    assert "darkness.onnx" in log.read_text()
    assert bench.states()["green.jpg"] != "failed"
    altered = bench.once()
    assert altered.returncode == 4
    assert "darkness.onnx" in altered.stderr
