"""From a bare pair of folders to a configuration: no picture is cut again by surprise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def configured(bench: Bench, name: str, output: Path, *more: str) -> Path:
    """Write a configuration for the bench's input, with another state directory and name."""
    path = bench.root / f"{name}.toml"
    lines = (
        "[service]",
        f'state_dir = "{bench.root}/{name}-state"',
        "[[folder]]",
        f'name = "{name}"',
        f'input = "{bench.input}"',
        f'output = "{output}"',
        *more,
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def check_output(bench: Bench, config: Path) -> str:
    """Return what `check` says of the folder."""
    checked = bench.call("check", "--config", config)
    assert checked.returncode == 0, checked.stderr
    return "\n".join(line for line in checked.stdout.splitlines() if line.startswith(f"# {config.stem}: "))


def test_pictures_cut_by_a_pair_are_not_cut_again_by_a_configuration(bench: Bench) -> None:
    """Whatever its name and settings are; `check` says beforehand what would be cut again."""
    bench.drop("a.jpg")
    bench.drop("sub/b.jpg", 1)
    assert bench.once().returncode == 0
    before = {name: (bench.output / name).stat().st_mtime_ns for name in bench.results()}
    other = configured(bench, "elsewhere", bench.root / "other")
    output = check_output(bench, other)
    assert "2 pictures are there, 0 of them known; 2 would be cut" in output
    assert f"2 of these would be cut AGAIN: they were cut by `cutoutd run --input {bench.input}" in output
    same = configured(
        bench, "products", bench.output, "[[folder.rendition]]", 'format = "webp"', 'suffix = "_w"'
    )
    bench.drop("new.jpg", 2)
    assert "3 pictures are there, 2 of them known; 1 would be cut" in check_output(bench, same)
    assert "AGAIN" not in check_output(bench, same)
    ran = bench.call("run", "--config", same, "--once")
    assert "1 cut," in ran.stdout + ran.stderr
    assert "new_w.webp" in bench.results()
    assert {name: (bench.output / name).stat().st_mtime_ns for name in before} == before
    assert "3 pictures are there, 3 of them known; 0 would be cut" in check_output(bench, same)
    assert bench.call("retry", "new.jpg", "--config", same).returncode == 0
    checked = bench.call("check", "--config", same).stdout
    assert "# 1 request waits (`cutoutd retry`, `cutoutd fix`)" in checked


def test_pictures_without_a_sidecar_are_listed_before_they_are_cut_again(bench: Bench) -> None:
    """And it is not cut if the folder's settings say so."""
    bench.drop("a.jpg")
    assert bench.once().returncode == 0
    (bench.output / "a.png.json").unlink()
    assert "1 of these would be cut AGAIN" in check_output(bench, configured(bench, "again", bench.output))
    skips = check_output(bench, configured(bench, "skips", bench.output, 'existing = "skip"'))
    assert '1 would be left alone (existing = "skip")' in skips
    assert "AGAIN" not in skips


def test_a_read_only_input_is_the_same_folder_under_another_name(bench: Bench) -> None:
    """It has no marker file; its UUID is in the journal of the pair and in the sidecars, which were not compared before."""
    need("unshare")
    if os.geteuid() != 0:
        give_up("only root can mount here")
    bench.drop("a.jpg")
    within = ("unshare", "-m", "sh", "-c", READ_ONLY, os.fspath(bench.input))
    first = bench.call_any([*within, *bench.command("run", *bench.pair(), "--once")])
    assert "1 cut," in first.stdout + first.stderr
    assert not (bench.input / ".cutoutd-folder").exists()
    config = configured(bench, "products", bench.output)
    assert "1 of them known; 0 would be cut" in check_output(bench, config)
    second = bench.call_any([*within, *bench.command("run", "--config", os.fspath(config), "--once")])
    assert "0 cut," in second.stdout + second.stderr
