"""Places that somebody else could have changed: what the commands say of them, and that nothing quietly stops."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench


def test_check_and_run_say_what_is_wrong_with_the_state_directory(bench: Bench) -> None:
    """`check` before anything was started; the start with the code of a wrong configuration."""
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
    """Somebody who can write there says that pictures failed or were rejected before the daemon ever ran."""
    bench.drop("a.jpg")
    bench.drop("b.jpg", 1)
    (bench.output / "failed").mkdir()
    for name, code in (("a.jpg", "Picture"), ("b.jpg", "Rejected")):
        seen = (bench.input / name).stat()
        said = {
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
        (bench.output / "failed" / f"{name}.error.json").write_text(json.dumps(said))
    ended = bench.once()
    assert ended.stdout.startswith("2 cut, 0 to review, 0 failed"), ended.stdout + ended.stderr
    assert "folder.failures-not-adopted" in ended.stdout + ended.stderr
    assert bench.results() == ["a.png", "a.png.json", "b.png", "b.png.json"]
