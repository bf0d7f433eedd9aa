"""A picture that is dropped in again is cut again if its cutout was removed; one that stays where it is, is not."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.terminals import Terminal

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model  # the matte is of no concern here


@pytest.mark.parametrize("dates", ["new", "kept"])
def test_the_same_picture_in_recreated_folders_is_cut_again(bench: Bench, dates: str) -> None:
    """Both folders were deleted while no daemon ran. Before, no cutout appeared, since the journal knew the bytes."""
    original = bench.drop("a.jpg")
    saved = bench.root / "saved.jpg"
    shutil.copy2(original, saved)
    assert bench.once().stdout.startswith("1 cut")
    for folder in (bench.input, bench.output):
        shutil.rmtree(folder)
        folder.mkdir()
    shutil.copy2(saved, original)
    if dates == "new":
        os.utime(original, (time.time() - 30,) * 2)
    assert bench.once().stdout.startswith("1 cut, 0 to review, 0 failed, 0 unchanged")
    assert bench.results() == ["a.png", "a.png.json"]
    assert bench.once().stdout.startswith("0 cut, 0 to review, 0 failed, 0 unchanged")


def missing(bench: Bench) -> bool:
    """Return whether the journal has known for longer than a save takes that a source is missing."""
    (journal,) = bench.root.glob("*state*/**/journal.sqlite")
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=rw", uri=True)) as opened:
        (since_us,) = opened.execute("SELECT MAX(missing_us) FROM job WHERE newest = 1").fetchone()
    return since_us is not None and time.time() - since_us / 1e6 > 3.1


@pytest.mark.parametrize("how", ["moved back", "copied with its dates"])
def test_a_picture_that_was_taken_out_and_is_dropped_in_again_is_cut_again(bench: Bench, how: str) -> None:
    """While a daemon runs; a picture that was only touched is not cut, and the terminal names its cutout."""
    path, aside = bench.drop("a.jpg"), bench.root / "aside.jpg"
    bench.drop("b.jpg", 1)
    with Terminal(bench.command("run", *bench.pair()), bench.environment, bench.root) as terminal:
        bench.wait_for(lambda: {"a.png.json", "b.png.json"} <= set(bench.results()), "both cutouts")
        (bench.output / "a.png").rename(bench.root / "a.png")
        path.rename(aside)
        bench.wait_for(lambda: missing(bench), "the picture to be missed")
        (shutil.move if how == "moved back" else shutil.copy2)(aside, path)
        bench.wait_for(lambda: "a.png" in bench.results(), "the picture to be cut again")
        os.utime(bench.input / "b.jpg", (time.time() - 30,) * 2)
        terminal.wait_for("= b.jpg → cutouts/b.png (unchanged)")
        terminal.type("\x03")
        terminal.wait_for("3 cut, 0 to review, 0 failed, 1 unchanged")
        assert terminal.end() == 0
    assert bench.results() == ["a.png", "a.png.json", "b.png", "b.png.json"]
