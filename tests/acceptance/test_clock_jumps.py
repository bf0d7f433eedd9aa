"""The wall clock jumps while the daemon runs: nothing is given up early, stuck, lost or made twice."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.tools import give_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def library() -> Path:
    """Return libfaketime, wherever the system keeps it."""
    for place in PLACES:
        for found in Path(place).glob("**/faketime/libfaketimeMT.so.1"):
            return found
    give_up("libfaketime is not installed")
    raise AssertionError


def jumps(bench: Bench, offset: str) -> dict[str, str]:
    """Return the environment of a daemon whose wall clock follows a file."""
    (bench.root / "offset").write_text(offset, encoding="ascii")
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(bench.root / "offset"),
        "FAKETIME_CACHE_DURATION": "0",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "NO_FAKE_STAT": "1",
    }


def jump(bench: Bench, offset: str) -> None:
    """Set the clock in one step."""
    draft = bench.root / "offset.new"
    draft.write_text(offset, encoding="ascii")
    draft.replace(bench.root / "offset")


def test_a_clock_that_jumps_by_a_day_costs_nothing(bench: Bench, start: Callable[..., Daemon]) -> None:
    """A damaged file is not given up at once, and is cut once it is whole; other files go on."""
    daemon = start(environment=jumps(bench, "+0"))
    bench.drop("first.jpg")
    bench.wait_for(lambda: "first.png.json" in bench.results(), "the first cutout")
    whole = (bench.input / "first.jpg").read_bytes()
    (bench.input / "late.jpg").write_bytes(whole[: len(whole) // 2])

    def log() -> str:
        return (bench.root / "log").read_text(encoding="utf-8")

    def noticed(n: int) -> bool:
        return log().count("clock.jumped") > n

    def is_cut(n: int) -> bool:
        return f"{n}.png.json" in bench.results()

    bench.wait_for(lambda: "job.retry" in log(), "the first try")
    for n, offset in enumerate(("+86400", "-86400", "+0")):
        jump(bench, offset)
        bench.wait_for(partial(noticed, n), "the jump to be noticed")
        bench.drop(f"{n}.jpg", n, age_s=-86400 * (n - 1))
        bench.wait_for(partial(is_cut, n), "a cutout after the jump")
    assert not [name for name in bench.results() if name.startswith("failed")], log()
    (bench.input / "late.jpg").write_bytes(whole)
    begun = time.monotonic()
    bench.wait_for(lambda: "late.png.json" in bench.results(), "the file that came late")
    assert time.monotonic() - begun < 90.0
    assert daemon.end() == 0
    assert sorted(job["state"] for job in bench.jobs() if job["state"] != "gone") == ["done"] * 5
