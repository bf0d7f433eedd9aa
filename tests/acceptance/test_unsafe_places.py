"""Places that somebody else could have changed: what the commands say of them, and that nothing quietly stops."""

from __future__ import annotations

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
