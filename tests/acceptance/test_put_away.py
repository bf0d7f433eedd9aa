"""A picture whose original was moved by the daemon is cut again from there; if the original is lost, its cutout stays."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


def configured(bench: Bench, originals: str) -> Path:
    """Write a configuration with one folder."""
    path = bench.root / "cutoutd.toml"
    path.write_text(
        f'[service]\nstate_dir = "{bench.root / "state"}"\n[[folder]]\nname = "shop"\ninput = "{bench.input}"\n'
        f'output = "{bench.output}"\n{originals}',
        encoding="utf-8",
    )
    return path


def one_job(bench: Bench, config: Path) -> dict[str, Any]:
    """Return the only job, as the command shows it."""
    job: dict[str, Any]
    (job,) = json.loads(bench.call("jobs", "--config", config, "--json").stdout)["jobs"]
    return job


def test_a_picture_whose_original_was_moved_is_cut_again_from_there(bench: Bench) -> None:
    """Before, the job ended as gone although the original was in the folder for originals, so it could not be cut with other settings."""
    kept = bench.root / "kept"
    kept.mkdir()
    config = configured(bench, f'originals = "move"\noriginals_dir = "{kept}"\n')
    bench.drop("day/a.jpg")
    assert bench.call("run", "--config", config, "--once").returncode == 0
    assert not (bench.input / "day/a.jpg").exists()
    original = (kept / "day/a.jpg").read_bytes()
    first = (bench.output / "day/a.png").read_bytes()
    config.write_text(config.read_text("utf-8") + "[folder.matte]\nrefine = false\n", encoding="utf-8")
    assert "cut again" in bench.call("retry", "--config", config, "a.jpg").stdout
    again = bench.call("run", "--config", config, "--once")
    assert again.stdout.startswith("1 cut"), again.stdout + again.stderr
    assert bench.states() == {"day/a.jpg": "done"}
    assert bench.results() == ["day/a.png", "day/a.png.json"]
    assert (bench.output / "day/a.png").read_bytes() != first
    assert (kept / "day/a.jpg").read_bytes() == original
    assert [one.name for one in kept.rglob("*") if one.is_file()] == ["a.jpg"]


@pytest.mark.parametrize("how", ["removed", "another picture has its name"])
def test_a_cutout_stays_as_it_is_if_its_original_is_nowhere(bench: Bench, how: str) -> None:
    """Before, `retry` made the job of a published cutout end as gone."""
    kept = bench.root / "kept"
    kept.mkdir()
    config = configured(bench, f'originals = "move"\noriginals_dir = "{kept}"\ndoubtful_below = 1.0\n')
    bench.drop("a.jpg")
    assert bench.call("run", "--config", config, "--once").returncode == 0
    before = one_job(bench, config)["detail"]
    if how == "removed":
        (kept / "a.jpg").unlink()
    else:
        other = bench.drop("b.jpg", 1)
        shutil.move(other, kept / "a.jpg")
    first = (bench.output / "a.png").read_bytes()
    bench.call("retry", "--config", config, "a.jpg")
    again = bench.call("run", "--config", config, "--once")
    assert "1 unchanged" in again.stdout, again.stdout + again.stderr
    assert bench.states() == {"a.jpg": "unchanged"}
    assert (bench.output / "a.png").read_bytes() == first
    shown = bench.call("jobs", "--config", config, os.fspath("a.jpg")).stdout
    assert "it was not cut again, and its cutout is as it was" in shown
    after = one_job(bench, config)["detail"]
    assert after["doubtful"]
    assert [after[key] for key in ("outputs", "score")] == [before[key] for key in ("outputs", "score")]
    assert "a.jpg" in bench.call("jobs", "--config", config, "--doubtful").stdout
