"""Doubtful cutouts of every format, in several renditions, are accepted, rejected and cut again; sidecars may be edited."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model

FORMATS = {"png": "png", "webp": "webp", "tiff": "tif", "avif": "avif", "jpeg": "jpg"}
PICTURES = 4
REMOVED = object()


def configure(bench: Bench, *names: str, more: str = "") -> Path:
    """Write a configuration with a folder with a rendition in each of some formats."""
    renditions = "".join(
        f'[[folder.rendition]]\nformat = "{name}"\nsuffix = "-{name}"\n'
        + ('background = "white"\n' if name == "jpeg" else "")
        for name in names
    )
    path = bench.root / "c.toml"
    path.write_text(
        f"[service]\nstate_dir = {json.dumps(str(bench.root / 'state'))}\nmin_free_disk_mb = 0\n"
        f'[[folder]]\nname = "hot"\ninput = {json.dumps(str(bench.input))}\n'
        f"output = {json.dumps(str(bench.output))}\nsettle_s = 0.2\n{renditions}{more}",
        encoding="utf-8",
    )
    return path


def drop_empty(bench: Bench, count: int) -> None:
    """Add pictures without a subject."""
    for number in range(count):
        draft = bench.root / "draft.png"
        Image.new("RGB", (120, 90), (90 + number,) * 3).save(draft)
        os.utime(draft, (time.time() - 60,) * 2)
        draft.rename(bench.input / f"{number}.png")


def numbers(bench: Bench, config: Path, count: int) -> list[str]:
    """Wait until this many jobs await a decision; return their numbers in the order of names."""
    bench.wait_for(lambda: list(bench.states().values()) == ["review"] * count, "all of them")
    done = bench.call("review", "list", "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["jobs"]
    assert len(listed) == count
    return [str(job["job"]) for job in sorted(listed, key=lambda job: str(job["path"]))]


def test_every_format_and_several_at_once_are_decided_about(bench: Bench, start: Callable[..., Any]) -> None:
    """Two are accepted and one rejected with one command each, one is cut again; the daemon goes on, and starts again."""
    # Every format, and two of one.
    more = (
        '[[folder.rendition]]\nformat = "jpeg"\nsuffix = "-small"\nbackground = "white"\ncanvas = "64x64"\n'
    )
    config = configure(bench, *FORMATS, more=more)
    drop_empty(bench, PICTURES)
    daemon = start("--config", config)
    first, second, third, fourth = numbers(bench, config, PICTURES)
    accepted = bench.call("review", "accept", first, second, "--config", config)
    assert accepted.returncode == 0, accepted.stdout
    rejected = bench.call("review", "reject", third, "--config", config)
    assert rejected.returncode == 0, rejected.stdout
    assert bench.call("retry", fourth, "--config", config).returncode == 0
    bench.wait_for(lambda: bench.states()["3.png"] == "review", "the one that is cut again")
    assert bench.states() == {"0.png": "done", "1.png": "done", "2.png": "failed", "3.png": "review"}
    names = [*(f"-{name}.{extension}" for name, extension in FORMATS.items()), "-small.jpg"]
    there = bench.results()
    assert [f"{number}{name}" in there for number in (0, 1) for name in names] == [True] * 2 * len(names)
    assert not [name for name in there if name.startswith(("review/0", "review/1", "review/2"))]
    assert daemon.end() == 0
    assert bench.call("run", "--once", "--config", config).returncode == 0


EDITS: dict[str, Any] = {
    "model": [REMOVED, "text", None, 7, [], {"name": 7}],
    "source": [REMOVED, "text", {}],
    "outputs": [REMOVED, {}, [1], [{"path": "x"}]],
    "quality": [REMOVED, [], {"score": "much", "reasons": 1}],
    "warnings": [REMOVED, "text"],
    "job": [REMOVED, "text", 10**400],
    "folder": [REMOVED, 7],
    "runtime": [REMOVED],
    "accepted_at": [REMOVED, 7],
}


def test_a_decision_about_a_sidecar_that_was_edited_by_hand_is_done_or_answered(
    bench: Bench, start: Callable[..., Any]
) -> None:
    """Any field removed or of another type, and a retouched result. The daemon never ends."""
    edits = [(key, value) for key, values in EDITS.items() for value in values]
    config = configure(bench, "png", "webp")
    drop_empty(bench, len(edits) + 1)
    daemon = start("--config", config)
    numbers(bench, config, len(edits) + 1)
    for number, (key, value) in enumerate(edits):
        path = bench.output / "review" / f"{number}-png.png.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        if value is REMOVED:
            del document[key]
        else:
            document[key] = value
        path.write_text(json.dumps(document), encoding="utf-8")
    with (bench.output / "review" / f"{len(edits)}-webp.webp").open("ab") as retouched:
        retouched.write(b"x")
    answered = bench.call("review", "accept", "--all", "--config", config)
    lines = answered.stdout.splitlines()
    assert len(lines) == len(edits) + 1, answered.stdout
    assert all("published as" in line or "not accepted:" in line for line in lines), answered.stdout
    assert "was changed since" in next(line for line in lines if f"/{len(edits)}.png" in line)
    outcome = {line.partition(":")[0]: "published as" in line for line in lines}
    assert all(
        outcome[f"hot/{number}.png"] for number, (key, _) in enumerate(edits) if key in ("model", "warnings")
    )
    rejected = bench.call("review", "reject", "--all", "--config", config)
    assert rejected.returncode == 0, rejected.stdout
    assert daemon.end() == 0
    with closing(sqlite3.connect(bench.root / "state" / "journal.sqlite")) as journal:
        assert journal.execute("SELECT COUNT(*) FROM command WHERE refused IS NULL").fetchone() == (0,)
    log = (bench.root / "log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert '"event": "fault"' not in log
