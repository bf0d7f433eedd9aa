"""Directories that other users could have changed: what the commands say of them, and that nothing stops silently."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.fs.permissions import is_real_root
from tests.integration.tools import give_up

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


def test_check_and_run_report_faults_of_the_state_directory(bench: Bench) -> None:
    """`check` before anything was started; the start with the exit code of a wrong configuration."""
    bench.drop("a.jpg")
    (bench.root / "elsewhere").mkdir()
    home = bench.root / "state" / "cutoutd" / "pairs"
    assert bench.call("check", *bench.pair()).returncode == 0
    assert bench.once().returncode == 0
    (state,) = home.iterdir()
    (state / "lock").unlink()
    (state / "lock").symlink_to(bench.root / "elsewhere" / "file")
    for command in ("check", "run"):
        ended = bench.call(command, *bench.pair(), *(["--once"] if command == "run" else []))
        assert (ended.returncode, "this is a link" in ended.stderr) == (2, True), ended.stderr
        assert str(state / "lock") in ended.stderr
    assert not (bench.root / "elsewhere" / "file").exists()


def test_forged_records_in_the_output_stop_no_picture(bench: Bench) -> None:
    """Another user who can write there claims that pictures failed or were rejected before the daemon ever ran."""
    bench.drop("a.jpg")
    bench.drop("b.jpg", 1)
    (bench.output / "failed").mkdir()
    for name, code in (("a.jpg", "Picture"), ("b.jpg", "Rejected")):
        seen = (bench.input / name).stat()
        document = {
            "schema": "cutoutd.error/1",
            "job": 7,
            "folder": "to-cut",
            "source": {
                "path": name,
                "bytes": seen.st_size,
                "mtime": "1970-01-01T00:00:00Z",
                "mtime_ns": seen.st_mtime_ns,
            },
            "code": code,
            "title": "It failed",
            "cause": "believe me",
            "advice": "give up",
            "attempts": 2,
            "at": "2100-01-01T00:00:00Z",
        }
        (bench.output / "failed" / f"{name}.error.json").write_text(json.dumps(document))
    ended = bench.once()
    assert ended.stdout.startswith("2 cut, 0 to review, 0 failed"), ended.stdout + ended.stderr
    assert "folder.failures-not-adopted" in ended.stdout + ended.stderr
    assert bench.results() == ["a.png", "a.png.json", "b.png", "b.png.json"]


def test_root_does_not_work_on_folders_that_others_can_change_unless_configured(bench: Bench) -> None:
    """Each command says who can change them and what to do instead; nothing is created in the folders."""
    if not is_real_root():
        give_up("this is about the machine's root")
    bench.drop("a.jpg")
    others: list[tuple[str, Path, int, int, int]] = [
        ("belongs to user id 4711", bench.input, 4711, 0, 0o755),
        ("group id 4711 may write", bench.output, 0, 4711, 0o775),
        ("everybody may write", bench.output, 0, 0, 0o1777),
    ]
    for why, place, owner, group, mode in others:
        os.chown(place, owner, group)
        place.chmod(mode)
        ended = bench.once()
        assert (ended.returncode, why in ended.stderr) == (2, True), ended.stderr
        assert f"{place}" in ended.stderr
        assert "allow_root = true" in ended.stderr
        checked = bench.call("check", *bench.pair())
        assert (checked.returncode, why in checked.stdout) == (1, True), checked.stdout
        os.chown(place, 0, 0)
        place.chmod(0o755)
    assert bench.results() == []
    assert [one.name for one in bench.input.iterdir()] == ["a.jpg"]
    os.chown(bench.input, 4711, 4711)
    bench.environment["CUTOUTD_SERVICE__ALLOW_ROOT"] = "true"
    assert bench.once().stdout.startswith("1 cut")
