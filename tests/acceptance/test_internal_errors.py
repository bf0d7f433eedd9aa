"""An unforeseen exception anywhere in the daemon affects one file, one command or one record only."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import pytest
from torture import batches, odd_cases

from tests.acceptance.conftest import Daemon, small_bench_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench

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
    for one in FAULTS:
        fail(*one)
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A method that raises.

    Attributes:
        where: module of the method.
        name: class and name of the method.
        when: text that the arguments must contain for the method to raise.
        times: number of calls that raise; -1 for all.
    """

    where: str
    name: str
    when: str = ""
    times: int = -1


def have_fail(root: Path, *wanted: Fault) -> str:
    """Return a directory for PYTHONPATH that makes methods of a daemon raise."""
    place = root / "fault"
    place.mkdir()
    code = f"FAULTS = {[astuple(one) for one in wanted]!r}\n{FAULT}"
    (place / "sitecustomize.py").write_text(code, encoding="utf-8")
    return os.fspath(place)


def faults(bench: Bench) -> list[dict[str, Any]]:
    """Return the log lines about internal errors."""
    lines = map(json.loads, (bench.root / "log").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["event"] == "fault"]


def held_up(bench: Bench) -> list[str]:
    """Return the files that `cutoutd status` lists as held up."""
    status = json.loads(bench.call("status", *bench.pair(), "--json").stdout)
    return [file["path"] for folder in status["folders"] for file in folder["held_up"]]


ODD = (
    ("cutoutd.folder.arrivals", "Arrivals._settled", "held up"),
    ("cutoutd.journal.sources", "Sources._insert", "held up"),
    ("cutoutd.folder.hot_folder", "HotFolder.task", "failed"),
    ("cutoutd.daemon.offload_coordinator", "Coordinator.prepare", "failed"),
    ("cutoutd.daemon.outcomes", "Outcomes.take", "failed"),
    ("cutoutd.delivery.sidecar_factory", "SidecarFactory.sidecar_facts", "failed"),
    ("cutoutd.publish.publisher", "Publisher.plan", "failed"),
    ("cutoutd.publish.publisher", "Publisher.carry_out", "failed"),
    ("cutoutd.journal.journal", "Journal.finish_publishing", "failed"),
)
"""Methods that raise over one file each, and the outcome of that file."""


def stem(name: str) -> str:
    """Return the name of the file over which a method raises, without its extension."""
    return f"odd-{name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run with all faults.

    Attributes:
        bench: folders of the run.
        states: states of the jobs, by path.
        held_up: paths of files that are held up.
        faults: log lines about internal errors.
        code: exit code.
    """

    bench: Bench
    states: dict[str, str]
    held_up: list[str]
    faults: list[dict[str, Any]]
    code: int


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path) -> Outcome:
    """The outcome of one daemon in which each method raises over its own file, among good files."""
    bench = small_bench_in(tmp_path_factory.mktemp("odd"), small_models_dir)
    wanted = [Fault(where, name, when=stem(name)) for where, name, _ in ODD]
    daemon = Daemon(bench, environment={"PYTHONPATH": have_fail(bench.root, *wanted)})
    try:
        for number, file in enumerate(("first", *(stem(name) for _, name, _ in ODD), "last")):
            bench.drop(f"{file}.jpg", number)
            if not file.startswith("odd"):
                bench.wait_for(lambda file=file: f"{file}.png.json" in bench.results(), file)  # type: ignore[misc]
        failed = {f"failed/{stem(name)}.jpg.error.json" for _, name, becomes in ODD if becomes == "failed"}
        bench.wait_for(lambda: failed <= set(bench.results()), "the records")
        waiting = {f"{stem(name)}.jpg" for _, name, becomes in ODD if becomes == "held up"}
        waited: list[str] = []

        def all_are_listed() -> bool:
            # The list that was complete is judged: a file that is being tried again is not in it.
            waited[:] = held_up(bench)
            return waiting <= set(waited)

        bench.wait_for(all_are_listed, "the files to be held up")
        code = daemon.end()
    finally:
        if daemon.process.poll() is None:
            daemon.end(signal.SIGKILL)
        daemon.log.close()
    states = {job["path"]: job["state"] for job in bench.jobs()}
    return Outcome(bench=bench, states=states, held_up=waited, faults=faults(bench), code=code)


@pytest.mark.parametrize(("name", "becomes"), [(name, becomes) for _, name, becomes in ODD])
def test_a_fault_over_one_file_costs_that_file_alone(outcome: Outcome, name: str, becomes: str) -> None:
    """It fails or is held up, with the reason; files before and after it are cut."""
    bench, odd = outcome.bench, stem(name)
    there = bench.results()
    if becomes == "failed":
        record = bench.sidecar(f"failed/{odd}.jpg.error.json")
        assert "internal error" in record["cause"] or name == "Outcomes.take"
        # What had its name before the fault keeps it, with its sidecar; `retry` would replace both.
        stands = name == "Journal.finish_publishing"
        assert [f"{odd}{end}" in there for end in (".png", ".png.json")] == [stands, stands]
    else:
        assert f"{odd}.jpg" in outcome.held_up
        assert f"{odd}.jpg" not in outcome.states
    (fault,) = (one for one in outcome.faults if f"over {odd}" in one["exception"])
    assert "please report" in fault["note"]
    assert "Traceback" in fault["exception"]


def test_faults_over_single_files_end_nothing(outcome: Outcome) -> None:
    """Each is logged in one line, all others are cut, and the daemon ends in order."""
    assert outcome.code == 0
    assert len(outcome.faults) == len(ODD)
    assert {"first.png.json", "last.png.json"} <= set(outcome.bench.results())


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
    """Meanwhile the folder stands by, and `cutoutd status` says why; then work goes on."""
    place = have_fail(tmp_path, Fault(where, name, times=3))
    daemon = start(environment={"PYTHONPATH": place})
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
    """An internal error is a finding of the campaign even if the daemon contains it."""
    place = have_fail(tmp_path, Fault("cutoutd.daemon.commands", "CommandHandler._retry"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    batches.add_small_model(tmp_path)
    monkeypatch.setenv("PYTHONPATH", place)
    outcome = batches.Batch(
        tmp_path / "batch", [odd_cases.OddCommand(verb="retry", argument="failed")], 1
    ).run()
    assert outcome.violations == []
    assert len(outcome.faults) == 1
    assert "ZeroDivisionError" in outcome.faults[0]
