"""Programs for tethered shooting write in their own ways, three frames a second: each frame gets one cutout of its final bytes."""

from __future__ import annotations

import hashlib
import io
import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import picture
from tests.acceptance.writers import WRITERS, lightroom
from tests.outputs import published

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

FRAME_S = 1 / 3


def jpeg(hue: int) -> bytes:
    """Return a small picture."""
    draft = io.BytesIO()
    picture(hue, width=96, height=72).save(draft, format="JPEG", quality=90)
    return draft.getvalue()


def configure(bench: Bench) -> Path:
    """Write the configuration of config/examples/tethered.toml, with the cutouts inside the folder."""
    config = bench.root / "c.toml"
    config.write_text(
        '[[folder]]\nname = "tethered"\n'
        f'input = "{bench.input}"\noutput = "{bench.input}/Cutouts"\n'
        'order = "newest"\nsettle_s = 0.5\nexisting = "skip"\n',
        encoding="utf-8",
    )
    return config


def test_each_program_gets_one_cutout_for_each_frame(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Of the final bytes; none of temporary files, previews or settings, and none twice."""
    (bench.input / "last week.jpg").write_bytes(jpeg(3))
    output = bench.input / "Cutouts"
    daemon = start("--config", configure(bench))
    bench.wait_for(
        lambda: "native" in bench.call("status", "--config", bench.root / "c.toml", "--json").stdout, "it"
    )
    for number, write in enumerate(WRITERS):
        begun = time.monotonic()
        write(bench.input, f"IMG_{number}.jpg", jpeg(number), 0.2)
        time.sleep(max(0.0, FRAME_S - (time.monotonic() - begun)))
    pictures = {path.name for path in bench.input.glob("IMG_*") if path.suffix in (".jpg", ".tif")}
    assert len(pictures) == len(WRITERS) + 1

    def cut() -> list[str]:
        return [path.name for path in published(output, "*.json")]

    bench.wait_for(lambda: len(cut()) == len(pictures), f"all of them; there is {cut()}")
    assert daemon.end() == 0
    jobs = bench.call("jobs", "--config", bench.root / "c.toml").stdout.splitlines()
    assert sum("done" in line for line in jobs) == len(pictures), jobs
    assert sum("skipped" in line for line in jobs) == 1
    sources = {}
    for name in cut():
        document = bench.sidecar(str(output / name))
        sources[document["source"]["path"]] = document["source"]["sha256"]
    assert sources == {
        name: hashlib.sha256((bench.input / name).read_bytes()).hexdigest() for name in pictures
    }
    pair = WRITERS.index(lightroom)
    both = {f"IMG_{pair}.png", f"IMG_{pair}-jpg.png"}, {f"IMG_{pair}.png", f"IMG_{pair}-tif.png"}
    assert {path.name for path in output.glob(f"IMG_{pair}*.png")} in both
