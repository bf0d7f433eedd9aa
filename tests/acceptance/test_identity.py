"""The running daemon identifies pictures and folders by what they are, not by their names."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


def configured(bench: Bench, *folders: dict[str, Any]) -> Path:
    """Write a configuration with these folders; their places are those of the bench unless given."""
    path = bench.root / "cutoutd.toml"
    lines = [
        "[pool]",
        "workers = 1",
        f"[service]\nstate_dir = '{bench.root / 'state'}'\nmin_free_disk_mb = 0",
    ]
    for folder in folders:
        lines.append("[[folder]]")
        keys = {"input": os.fspath(bench.input), "output": os.fspath(bench.output), "settle_s": 0.2, **folder}
        lines += [f"{key} = {value!r}" for key, value in keys.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_shot_under_a_name_that_was_used_before_gets_a_result_of_its_own(
    bench: Bench, start: Callable[..., Any]
) -> None:
    """The camera's counter starts again after the first shot was cut and removed."""
    daemon = start("--config", configured(bench, {"name": "shop", "originals": "delete"}))
    first = bench.drop("DSC_9999.jpg", hue=0)
    bench.wait_for(lambda: not first.exists(), "the first shot's end")
    kept = (bench.output / "DSC_9999.png").read_bytes()
    bench.drop("DSC_9999.jpg", hue=1)
    bench.wait_for(lambda: "DSC_9999-2.png" in bench.results(), "the second shot's result")
    bench.wait_for(lambda: not first.exists(), "the second shot's end")
    assert (bench.output / "DSC_9999.png").read_bytes() == kept
    raw = bench.drop("third.jpg", hue=2)
    raw.rename(raw.with_name("DSC_9999.NEF"))
    bench.wait_for(lambda: "DSC_9999-nef.png" in bench.results(), "the result of a raw file alone")
    assert daemon.end() == 0


def test_a_folder_that_is_called_otherwise_is_the_same_folder(
    bench: Bench, start: Callable[..., Any]
) -> None:
    """Two names are swapped and reloaded, then one is changed and the daemon restarted: no picture is cut again."""
    places = {
        name: {"input": os.fspath(bench.root / f"in-{name}"), "output": os.fspath(bench.root / f"out-{name}")}
        for name in ("n0", "n1")
    }
    for number, name in enumerate(places):
        (bench.root / f"in-{name}").mkdir()
        bench.drop(f"../in-{name}/n.jpg", hue=number)
    configuration = configured(bench, *({"name": name, **places[name]} for name in places))
    daemon = start("--config", configuration)

    def done() -> list[str]:
        return sorted(path.relative_to(bench.root).as_posix() for path in bench.root.glob("out-*/*.png"))

    bench.wait_for(lambda: len(done()) == len(places), "both results")
    before = {name: (bench.root / name).stat() for name in done()}
    configured(bench, {"name": "n1", **places["n0"]}, {"name": "n0", **places["n1"]})
    daemon.process.send_signal(signal.SIGHUP)
    bench.drop("../in-n0/new.jpg", hue=2)
    bench.wait_for(lambda: "out-n0/new.png" in done(), "the result of a new picture")
    assert daemon.end() == 0
    configured(bench, {"name": "shoes", **places["n0"]}, {"name": "n0", **places["n1"]})
    again = start("--config", configuration)
    bench.drop("../in-n0/newer.jpg", hue=3)
    bench.wait_for(lambda: "out-n0/newer.png" in done(), "the result of another new picture")
    bench.drop("../in-n0/n.jpg", hue=3)
    first = before["out-n0/n.png"].st_mtime_ns
    bench.wait_for(
        lambda: (bench.root / "out-n0/n.png").stat().st_mtime_ns != first, "the next version's result"
    )
    assert again.end() == 0
    assert done() == ["out-n0/n.png", "out-n0/new.png", "out-n0/newer.png", "out-n1/n.png"]
    assert (bench.root / "out-n1/n.png").stat() == before["out-n1/n.png"]
    listed = bench.call("jobs", "--config", configuration, "--json")
    jobs = json.loads(listed.stdout)["jobs"]
    assert {(job["folder"], job["state"]) for job in jobs} == {("shoes", "done"), ("n0", "done")}


def test_results_follow_pictures_that_are_sorted_into_sub_folders(
    bench: Bench, start: Callable[..., Any]
) -> None:
    """A sub-folder is renamed, the case of a name changes, one picture is moved while no daemon runs: none is cut again."""
    configuration = configured(bench, {"name": "shop"})
    daemon = start("--config", configuration)
    for number, name in enumerate(("shoot/a.jpg", "shoot/b.jpg", "C.JPG", "d.jpg")):
        bench.drop(name, hue=number)
    before = ["C.png", "d.png", "shoot/a.png", "shoot/b.png"]
    bench.wait_for(lambda: pictures(bench) == before, "all results")
    bytes_of = {name: (bench.output / name).read_bytes() for name in before}
    (bench.input / "shoot").rename(bench.input / "wedding")
    (bench.input / "C.JPG").rename(bench.input / "c.jpg")
    moved = ["c.png", "d.png", "wedding/a.png", "wedding/b.png"]
    bench.wait_for(lambda: pictures(bench) == moved, "the results to follow")
    assert daemon.end() == 0
    (bench.input / "2026").mkdir()
    (bench.input / "d.jpg").rename(bench.input / "2026/e.jpg")
    again = start("--config", configuration)
    moved = ["2026/e.png", "c.png", "wedding/a.png", "wedding/b.png"]
    bench.wait_for(lambda: pictures(bench) == moved, "the result to follow after a restart")
    assert again.end() == 0
    after = {name: (bench.output / name).read_bytes() for name in moved}
    assert sorted(after.values()) == sorted(bytes_of.values())
    assert bench.sidecar("2026/e.png.json")["source"]["path"] == "2026/e.jpg"
    assert all(path.with_name(f"{path.name}.json").exists() for path in bench.output.rglob("*.png"))
    assert len(list(bench.output.rglob("*.json"))) == len(moved)


def listed(bench: Bench, configuration: Path) -> list[dict[str, Any]]:
    """Return the journal as the command shows it."""
    jobs: list[dict[str, Any]] = json.loads(bench.call("jobs", "--config", configuration, "--json").stdout)[
        "jobs"
    ]
    return jobs


def pictures(bench: Bench) -> list[str]:
    """Return the results without sidecars."""
    return [name for name in bench.results() if name.endswith(".png")]


def test_a_caption_or_a_move_with_it_does_not_cut_a_picture_again(
    bench: Bench, start: Callable[..., Any]
) -> None:
    """Although its bytes differ; `retry` and another orientation do."""
    configuration = configured(bench, {"name": "shop"})
    daemon = start("--config", configuration)
    path = bench.drop("a.jpg")
    bench.wait_for(lambda: pictures(bench) == ["a.png"], "the result")
    before = (bench.output / "a.png").stat()
    plain = path.read_bytes()
    path.write_bytes(plain[:2] + b"\xff\xfe\x00\x0ba caption" + plain[2:])
    known = {"done", "unchanged"}
    bench.wait_for(lambda: {job["state"] for job in listed(bench, configuration)} == known, "the second look")
    after = (bench.output / "a.png").stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    path.rename(path.with_name("b.jpg"))
    bench.wait_for(lambda: pictures(bench) == ["b.png"], "the result to follow")
    picture = Image.open(path.with_name("b.jpg"))
    turned = picture.getexif()
    turned[0x0112] = 6
    picture.save(bench.root / "turned.jpg", exif=turned, quality="keep")
    followed = (bench.output / "b.png").stat().st_ino
    (bench.root / "turned.jpg").rename(path.with_name("b.jpg"))
    bench.wait_for(lambda: (bench.output / "b.png").stat().st_ino != followed, "the turned picture's result")
    assert daemon.end() == 0


def test_a_copied_folder_never_gets_the_history_of_the_original(bench: Bench) -> None:
    """It is added under a name of its own, and later gets the name of the original, which is retired: nothing is cut twice."""
    copy, out = bench.root / "in-copy", bench.root / "out-copy"
    original = {"name": "one", "input": os.fspath(bench.input), "output": os.fspath(bench.output)}
    second = {"input": os.fspath(copy), "output": os.fspath(out)}
    bench.drop("a.jpg")
    configuration = configured(bench, original)
    once = ("run", "--once", "--config", configuration)
    assert bench.call(*once).returncode == 0
    shutil.copytree(bench.input, copy)
    shutil.copytree(bench.output, out)  # its sidecars say that a.jpg is cut
    bench.drop("../in-copy/b.jpg", hue=1)
    configured(bench, original, {"name": "three", **second})
    checked = bench.call("check", "--config", configuration)
    assert "one is a copy of the other" in " ".join(checked.stdout.replace("#", "").split())
    added = bench.call(*once)
    assert added.stdout.startswith("1 cut"), added.stdout + added.stderr
    assert "folder.copied" in added.stdout + added.stderr
    assert "is a copy of the other" not in bench.call("check", "--config", configuration).stdout
    configured(bench, {"name": "one", **second})
    renamed = bench.call(*once)
    assert renamed.stdout.startswith("0 cut, 0 to review, 0 failed, 0 unchanged"), renamed.stdout
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "b.png"]
    assert {
        (job["path"], job["state"]) for job in listed(bench, configuration) if job["folder"] == "one"
    } == {
        ("a.jpg", "done"),
        ("b.jpg", "done"),
    }
