"""Several renditions of each cutout by the real daemon: published all or none, and with a background picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

FORMS = """
    [[folder.rendition]]
    format = "jpeg"
    canvas = "200x200"
    background = "paper.png"
    scale = "80%"
    [[folder.rendition]]
    suffix = "_cut"
    directory = "shop/cut"
    crop = true
    [[folder.rendition]]
    format = "tiff"
"""
WANTED = ["a.jpg", "a.jpg.json", "a.tif", "shop/cut/a_cut.png"]


def configured(bench: Bench, forms: str = FORMS, more: str = "") -> Path:
    """Write a configuration with one folder."""
    config = bench.root / "c.toml"
    config.write_text(
        f'[pool]\nworkers = 1\n[[folder]]\nname = "x"\ninput = "{bench.input}"\noutput = "{bench.output}"\n'
        f"settle_s = 0.2\npoll_interval_s = 0.2\nrescan_interval_s = 1\n{more}\n{forms}",
        encoding="utf-8",
    )
    return config


def paper(bench: Bench, colour: tuple[int, int, int]) -> None:
    """Put a background picture in place as a program does that saves it: under another name first."""
    draft = bench.root / "draft.png"
    Image.new("RGB", (40, 30), colour).save(draft)
    draft.rename(bench.root / "paper.png")


def corner(bench: Bench, name: str) -> list[int]:
    """Return the colour in the corner of a result."""
    with Image.open(bench.output / name) as image:
        corner: list[int] = np.asarray(image)[2, 2].tolist()
        return corner


def test_all_forms_of_a_cutout_appear_with_one_sidecar(bench: Bench) -> None:
    """The sidecar lists them all."""
    paper(bench, (250, 10, 20))
    config = configured(bench)
    bench.drop("a.png")
    done = bench.call("run", "--config", config, "--once")
    assert done.returncode == 0, done.stderr
    assert bench.results() == WANTED
    sidecar = bench.sidecar("a.jpg.json")
    assert [(one["path"], one["format"]) for one in sidecar["outputs"]] == [
        ("a.jpg", "jpeg"),
        ("shop/cut/a_cut.png", "png"),
        ("a.tif", "tiff"),
    ]
    assert np.abs(np.array(corner(bench, "a.jpg")) - (250, 10, 20)).max() < 12


def test_a_background_is_read_again_for_each_picture(bench: Bench, start: Callable[..., Daemon]) -> None:
    """A replaced file is used, and its digest recorded; if it is gone, the folder stands by until it returns."""
    paper(bench, (250, 10, 20))
    start("--config", configured(bench))
    bench.drop("a.png")
    bench.wait_for(lambda: "a.jpg.json" in bench.results(), "the first cutout")
    paper(bench, (10, 20, 250))
    bench.drop("b.png", 1)
    bench.wait_for(lambda: "b.jpg.json" in bench.results(), "the cutout before another background")
    assert corner(bench, "a.jpg")[0] > 200
    assert corner(bench, "b.jpg")[2] > 200
    digests = [bench.sidecar(f"{name}.jpg.json")["settings_sha256"] for name in "ab"]
    assert digests[0] != digests[1]
    (bench.root / "paper.png").unlink()
    status = bench.command("status", "--config", str(bench.root / "c.toml"))
    bench.wait_for(
        lambda: "the background picture" in bench.call_any(status).stdout, "its absence in the status"
    )
    bench.drop("c.png", 2)
    paper(bench, (250, 10, 20))
    bench.wait_for(lambda: "c.jpg.json" in bench.results(), "the cutout once it is back")
    assert bench.sidecar("c.jpg.json")["settings_sha256"] == digests[0]


def test_check_finds_a_background_that_is_not_there(bench: Bench) -> None:
    """Or that is no picture; and a misspelt colour."""
    config = configured(bench)
    done = bench.call("check", "--config", config)
    assert done.returncode == 2
    assert "[[folder.rendition]] number 1 of 'x', background: there is no picture" in done.stderr
    assert 'a colour such as "white"' in done.stderr
    (bench.root / "paper.png").write_text("not a picture", encoding="utf-8")
    assert "is not a picture" in bench.call("check", "--config", config).stderr


def test_a_doubtful_cutout_goes_to_review_in_all_its_forms(bench: Bench) -> None:
    """Together with one overlay; what replaces them later goes to the ordinary place."""
    paper(bench, (250, 10, 20))
    config = configured(bench, more="review_below = 1.0")
    (bench.input / "a.png").parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8)
    Image.fromarray(noise).save(bench.root / "draft.png")
    (bench.root / "draft.png").rename(bench.input / "a.png")
    bench.call("run", "--config", config, "--once", "--timeout", "20")
    assert bench.results() == sorted([*(f"review/{name}" for name in WANTED), "review/a-overlay.png"])


def test_shops_get_folders_that_hold_pictures_alone(bench: Bench) -> None:
    """Each in its required form, with sidecars elsewhere; the manifest says which file is for which shop."""
    bench.drop("a.jpg")
    sidecars = bench.root / "sidecars"
    config = bench.root / "c.toml"
    config.write_text(
        f'[service]\nstate_dir = "{bench.root}/shop-state"\n[[folder]]\nname = "shop"\ninput = "{bench.input}"\n'
        f'output = "{bench.output}"\nsidecar_dir = "{sidecars}"\n[[folder.rendition]]\npreset = ["ebay", "zalando"]\n'
        "max_kb = 150\nmin_quality = 50\nquality = 95\nmax_enlargement = 0\n",
        encoding="utf-8",
    )
    ran = bench.call("run", "--config", config, "--once")
    assert ran.returncode == 0, ran.stderr
    assert bench.results() == ["ebay/a.jpg", "zalando/a.jpg"]
    for name, size in (("ebay", (1600, 1600)), ("zalando", (1801, 2600))):
        path = bench.output / name / "a.jpg"
        assert path.stat().st_size <= 150_000
        with Image.open(path) as shown:
            assert (shown.format, shown.size) == ("JPEG", size)
            assert shown.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    manifest = bench.call("export", "--files", "--json", "--config", config)
    files = json.loads(manifest.stdout)["files"]
    assert [(one["preset"], one["source"], one["output"]) for one in files] == [
        (name, "a.jpg", str(bench.output / name / "a.jpg")) for name in ("ebay", "zalando")
    ]
