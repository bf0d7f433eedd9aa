"""`cutoutd replay`: the same bytes again, or what is not as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


def test_a_cutout_is_made_again_to_the_byte_or_it_is_said_what_changed(bench: Bench) -> None:
    """The same; then with a sidecar that says otherwise, other settings, and another original."""
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
