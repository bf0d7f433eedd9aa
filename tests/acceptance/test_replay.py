"""`cutoutd replay`: it makes the same bytes again, or says what has changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


def test_a_cutout_is_made_again_to_the_byte_or_the_changes_are_reported(bench: Bench) -> None:
    """First unchanged; then with a changed sidecar, other settings, and another original."""
    original = bench.drop("sub/a.jpg")
    assert bench.once().returncode == 0
    before = bench.results()
    sidecar = bench.output / "sub" / "a.png.json"
    same = bench.call("replay", sidecar, *bench.pair(), "--json")
    assert same.returncode == 0, same.stdout + same.stderr
    assert json.loads(same.stdout) | {"source": ""} == {
        "schema": "cutoutd.replay/1",
        "identical": True,
        "source": "",
        "outputs": [{"path": "sub/a.png", "identical": True}],
        "differences": [],
    }
    assert bench.results() == before
    document = json.loads(sidecar.read_text(encoding="utf-8"))
    document["outputs"][0]["sha256"] = "0" * 64
    document["runtime"]["onnxruntime"] = "0.1"
    forged = bench.root / "forged.json"
    forged.write_text(json.dumps(document), encoding="utf-8")
    other = bench.call("replay", forged, *bench.pair())
    assert other.returncode == 1
    assert "sub/a.png: DIFFERENT" in other.stdout
    assert "onnxruntime was 0.1" in other.stdout
    document["settings_sha256"] = "0" * 64
    forged.write_text(json.dumps(document), encoding="utf-8")
    assert "other settings" in bench.call("replay", forged, *bench.pair()).stderr
    original.write_bytes(original.read_bytes() + b"x")
    changed = bench.call("replay", sidecar, *bench.pair())
    assert (changed.returncode, "was changed since" in changed.stderr) == (2, True)


def test_a_picture_that_a_person_had_another_model_cut_is_made_again_by_that_one(bench: Bench) -> None:
    """From the sidecar only, whatever the settings name; a further `retry` uses the folder's model again."""
    config = bench.root / "cutoutd.toml"
    config.write_text(
        f'[service]\nstate_dir = "{bench.root}/state"\n[model]\nname = "darkness"\nsecond = "u2net-int8"\n'
        f'[[folder]]\nname = "shop"\ninput = "{bench.input}"\noutput = "{bench.output}"\n',
        encoding="utf-8",
    )
    bench.drop("a.jpg")
    assert bench.call("run", "--config", config, "--once").returncode == 0
    first = bench.sidecar("a.png.json")
    refused = bench.call("retry", "a.jpg", "--with", "isnet", "--config", config)
    assert (refused.returncode, "workers have no model 'isnet'" in refused.stderr) == (2, True)
    assert bench.call("retry", "a.jpg", "--with", "u2net-int8", "--config", config).returncode == 0
    assert bench.call("run", "--config", config, "--once").returncode == 0
    again = bench.sidecar("a.png.json")
    assert (again["model"]["name"], again["model"]["asked"]) == ("u2net-int8", True)
    assert again["outputs"][0]["sha256"] != first["outputs"][0]["sha256"]
    replayed = bench.call("replay", bench.output / "a.png.json", "--config", config, "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert bench.call("retry", "a.jpg", "--config", config).returncode == 0
    assert bench.call("run", "--config", config, "--once").returncode == 0
    assert bench.sidecar("a.png.json")["outputs"] == first["outputs"]
