"""Files of cameras and telephones through the whole command: one cutout per shot, and each format recognised by its content."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import picture
from tests.conformance import encoders

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model  # it is sure of the ball; these are about files


def shot(bench: Bench, *names: str) -> None:
    """Add the same picture in each of these formats, old enough to be taken at once."""
    pixels = np.asarray(picture(1, width=360, height=270))
    for name in names:
        draft = bench.root / f"draft{name[-5:]}"
        match name.rpartition(".")[2].lower():
            case "heic":
                encoders.write_heic(draft, pixels)
            case "dng":
                encoders.write_dng(draft, encoders.mosaic(pixels))
            case _:
                Image.fromarray(pixels).save(draft, format="JPEG", quality=95)
        then = time.time() - 60
        os.utime(draft, (then, then))
        draft.rename(bench.input / name)


def test_each_shot_gives_one_cutout_whatever_it_was_recorded_as(bench: Bench) -> None:
    """Of a pair, the JPEG is cut; the journal says why the other was left out; a raw file with another extension is recognised by its content."""
    shot(bench, "a.JPG", "a.DNG", "b.HEIC", "b.DNG", "c.dng", "d.HEIC")
    (bench.input / "c.dng").rename(bench.input / "c")
    done = bench.once()
    assert done.returncode == 0, done.stdout + done.stderr
    assert bench.results() == sorted(f"{name}.png{end}" for name in "abcd" for end in ("", ".json"))
    formats = {name: bench.sidecar(f"{name}.png.json")["source"]["format"] for name in "abcd"}
    assert formats == {"a": "JPEG", "b": "HEIC", "c": "DNG", "d": "HEIC"}
    left_out = {job["path"]: job for job in bench.jobs() if job["state"] == "skipped"}
    assert sorted(left_out) == ["a.DNG", "b.DNG"]
    whole = [np.asarray(Image.open(bench.output / f"{name}.png"))[..., 3] for name in "abcd"]
    for alpha in whole:
        assert alpha.shape == (270, 360)
        assert np.abs(alpha.astype(int) - whole[0]).mean() < 3  # the same subject


def test_a_raw_file_that_comes_before_its_jpeg_waits_for_it(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """As tethering programs write them, with a running daemon."""
    daemon = start()
    bench.wait_for((bench.input / ".cutoutd-folder").exists, "the daemon")
    shot(bench, "a.DNG")
    time.sleep(2)
    shot(bench, "a.JPG")
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the cutout")
    bench.wait_for(lambda: set(bench.states().values()) == {"done", "skipped"}, "the raw file's end")
    assert bench.sidecar("a.png.json")["source"]["path"] == "a.JPG"
    assert daemon.end() == 0


def test_a_format_that_is_switched_off_fails_with_the_reason(bench: Bench) -> None:
    """The record names the setting; the original stays, and all other pictures are cut."""
    config = bench.root / "cutoutd.toml"
    config.write_text(
        '[pool]\nformats = ["jpeg"]\n'
        f'[[folder]]\nname = "a"\ninput = "{bench.input}"\noutput = "{bench.output}"\noriginals = "delete"\n'
    )
    bench.drop("a.jpg")
    picture(1).save(bench.input / "b.png")
    os.utime(bench.input / "b.png", (1_700_000_000, 1_700_000_000))
    assert bench.call("run", "--config", config, "--once").returncode == 1
    assert bench.results() == ["a.png", "a.png.json", "failed/b.png.error.json"]
    record = bench.sidecar("failed/b.png.error.json")
    assert "it is a PNG file" in record["cause"]
    assert "[pool] formats" in record["cause"]
    assert [path.name for path in bench.input.iterdir() if not path.name.startswith(".")] == ["b.png"]
