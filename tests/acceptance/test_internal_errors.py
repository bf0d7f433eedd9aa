"""An exception that nobody foresaw, anywhere in the daemon, costs one file, one command or one record."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from torture import batches, odd_cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

FAULT = """
import importlib, sys
def fail(where, name, when, times):
    owner = getattr(importlib.import_module(where), name.split(".")[0])
    method, left = name.split(".")[1], [times]
    before = getattr(owner, method)
    def fails(*arguments, **more):
        if when in repr((arguments[1:], more)) and left[0]:
            left[0] -= 1
            raise ZeroDivisionError("ours, over " + when)
        return before(*arguments, **more)
    setattr(owner, method, fails)
if "run" in sys.orig_argv:
    fail(*FAIL)
"""


def have_fail(root: Path, where: str, name: str, *, when: str = "", times: int = -1) -> str:
    """A directory for PYTHONPATH, from which a daemon gets an internal error: a method that raises.

    Args:
        root: where it is made.
        where: the module.
        name: class and method.
        when: only where its arguments have this in them.
        times: only so often; -1: always.
    """
    place = root / "fault"
    place.mkdir()
    code = f"FAIL = {(where, name, when, times)!r}\n{FAULT}"
    (place / "sitecustomize.py").write_text(code, encoding="utf-8")
    return os.fspath(place)


def faults(bench: Bench) -> list[dict[str, Any]]:
    """What the log says of faults, each in one line."""
    lines = map(json.loads, (bench.root / "log").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["event"] == "fault"]


def held_up(bench: Bench) -> list[str]:
    """The files that `cutoutd status` names as such."""
    status = json.loads(bench.call("status", *bench.pair(), "--json").stdout)
    return [file["path"] for folder in status["folders"] for file in folder["held_up"]]


@pytest.mark.parametrize(
    ("where", "name", "becomes"),
    [
        ("cutoutd.folder.arrivals", "Arrivals._settled", "held up"),
        ("cutoutd.journal.sources", "Sources._insert", "held up"),
        ("cutoutd.folder.hot_folder", "HotFolder.task", "failed"),
        ("cutoutd.daemon.offload_coordinator", "Coordinator.prepare", "failed"),
        ("cutoutd.daemon.outcomes", "Outcomes.take", "failed"),
        ("cutoutd.delivery.sidecar_factory", "SidecarFactory.sidecar_facts", "failed"),
        ("cutoutd.publish.publisher", "Publisher.plan", "failed"),
        ("cutoutd.publish.publisher", "Publisher.carry_out", "failed"),
        ("cutoutd.journal.journal", "Journal.finish_publishing", "failed"),
    ],
)
def test_a_fault_over_one_file_costs_that_file_alone(
    bench: Bench, start: Callable[..., Daemon], tmp_path: Path, where: str, name: str, becomes: str
) -> None:
    """It fails, or is held up, with the reason; the others are cut, before it and after it."""
    place = have_fail(tmp_path, where, name, when="odd")
    daemon = start(environment={"PYTHONPATH": place})
    for number, file in enumerate(("first.jpg", "odd.jpg", "last.jpg")):
        bench.drop(file, number)
        if file != "odd.jpg":
            bench.wait_for(lambda file=file: file.replace("jpg", "png.json") in bench.results(), file)  # type: ignore[misc]
    states = {job["path"]: job["state"] for job in bench.jobs()}
    if becomes == "failed":
        bench.wait_for(lambda: "failed/odd.jpg.error.json" in bench.results(), "the record")
        assert (
            "internal error" in bench.sidecar("failed/odd.jpg.error.json")["cause"] or name == "Outcomes.take"
        )
        # What had its name before the fault keeps it, with its sidecar; `retry` would replace both.
        stands = name == "Journal.finish_publishing"
        assert [file in bench.results() for file in ("odd.png", "odd.png.json")] == [stands, stands]
    elif becomes == "held up":
        bench.wait_for(lambda: "odd.jpg" in held_up(bench), "the file to be held up")
        assert "odd.jpg" not in states
    assert daemon.end() == 0
    said = faults(bench)
    assert len(said) == 1
    assert all("please report" in one["note"] and "Traceback" in one["exception"] for one in said)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("cutoutd.folder.health", "HealthCheck.check"),
        ("cutoutd.delivery.task_queue", "SerialTaskQueue._next"),
    ],
)
def test_a_folders_thread_that_dies_is_started_again(
    bench: Bench, start: Callable[..., Daemon], tmp_path: Path, where: str, name: str
) -> None:
    """Its folder stands by meanwhile, and `cutoutd status` says why; then the work goes on."""
    daemon = start(environment={"PYTHONPATH": have_fail(tmp_path, where, name, times=3)})
    bench.drop("a.jpg")
    bench.wait_for(lambda: (bench.root / "log").exists() and len(faults(bench)) > 1, "a death")
    status = bench.call("status", *bench.pair())
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the picture")
    assert (
        "failed with an internal error" in status.stdout
        or "thread.started-again" in (bench.root / "log").read_text()
    )
    assert daemon.end() == 0
    assert len(faults(bench)) == 3


def test_the_campaign_hears_of_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is contained is a finding all the same."""
    place = have_fail(tmp_path, "cutoutd.daemon.commands", "CommandHandler._retry")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    batches.add_small_model(tmp_path)
    monkeypatch.setenv("PYTHONPATH", place)
    outcome = batches.Batch(
        tmp_path / "batch", [odd_cases.OddCommand(verb="retry", argument="failed")], 1
    ).run()
    assert outcome.violations == []
    assert len(outcome.faults) == 1
    assert "ZeroDivisionError" in outcome.faults[0]
