"""An output inside its input that a person renames: its cutouts are neither cut again, nor moved away or deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.outputs import published

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

WHY = "it is a cutout that cutoutd made; `cutoutd retry` has it cut all the same"


def configured(bench: Bench, originals: str) -> Path:
    """Write a configuration of two folders; the first one's output lies in its input."""
    path, second = bench.root / "c.toml", bench.root / "second"
    second.mkdir()
    path.write_text(
        f'[service]\nstate_dir = "{bench.root / "state"}"\n[page]\nenabled = false\n'
        f'[[folder]]\nname = "one"\ninput = "{bench.input}"\noutput = "{bench.input}/cutouts"\n{originals}\n'
        f'[[folder]]\nname = "two"\ninput = "{second}"\noutput = "{bench.output}"\n{originals}\n',
        encoding="utf-8",
    )
    return path


def contents(directory: Path) -> dict[str, bytes]:
    """Return the files that a user sees below a directory."""
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in published(directory)}


@pytest.mark.parametrize("originals", ["keep", "move", "delete"])
def test_cutouts_of_a_renamed_output_are_left_alone(
    bench: Bench, start: Callable[..., Daemon], originals: str
) -> None:
    """Before, each was cut again, and then moved away or deleted; so were copies without a sidecar in another folder."""
    asked = f'originals = "{originals}"\nsettle_s = 0.5\ndoubtful_below = 0.0\nreview_below = 0.0\n'
    if originals == "move":
        asked += f'originals_dir = "{bench.root / "kept"}"\n'
    config = configured(bench, asked)
    for number, name in enumerate(("a.jpg", "day/b.jpg")):
        bench.drop(name, number)
    daemon = start("--config", config)
    output = bench.input / "cutouts"
    gone = {"keep": 2, "move": 0, "delete": 0}[originals]
    bench.wait_for(
        lambda: (
            [path.name for path in published(output, "*.json")] == ["a.png.json", "b.png.json"]
            and [*bench.states().values()] == ["done", "done"]  # what follows the publication is over, too
            and len(published(bench.input, "*.jpg")) == gone
        ),
        "the cutouts",
    )
    before = contents(output)
    output.rename(bench.input / "old-2025")
    copy = bench.root / "second" / "a copy.png"
    copy.write_bytes(before["a.png"])
    old = {f"one/old-2025/{name}" for name in ("a.png", "day/b.png")}

    def skipped() -> set[str]:
        listed = bench.call("jobs", "--config", config, "--state", "skipped").stdout.splitlines()
        return {line.split("skipped", 1)[1].split("(")[0].strip() for line in listed if WHY in line}

    bench.wait_for(lambda: skipped() == {*old, "two/a copy.png"}, "them to be skipped")
    time.sleep(2.0)  # what is wrongly taken would be cut by now
    assert daemon.end() == 0
    assert contents(bench.input / "old-2025") == before
    assert copy.read_bytes() == before["a.png"]
    assert not [*output.rglob("*.png")]
    assert not [*bench.output.rglob("*.png")]
    said = bench.call("status", "--config", config).stdout
    assert f"skipped: 2 ({WHY})" in said
    assert "cut again" in bench.call("retry", "--config", config, "old-2025/a.png").stdout
    assert bench.call("run", "--config", config, "--once").returncode == 0
    assert (output / "old-2025" / "a.png").is_file()
    assert contents(bench.input / "old-2025") == before
