"""Commands without options find the daemon, and two configurations do not share a state directory unnoticed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model


def test_commands_without_options_find_the_running_daemon(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Through the registry while it runs, and as the last one used after it was killed; the command names it."""
    bench.drop("girl-2.jpg")
    daemon = start()
    bench.wait_for(lambda: bench.states() == {"girl-2.jpg": "done"}, "the cutout")
    assert "watching" in bench.call("status").stdout
    assert bench.call("status").stderr == ""
    assert "girl-2.jpg" in bench.call("jobs").stdout
    assert bench.call("retry", "girl-2.jpg").stdout == "to-cut/girl-2.jpg is being cut again.\n"
    bench.wait_for(lambda: "1 cut today" in bench.call("status").stdout, "the cutout to be made again")
    assert bench.call("pause").stdout == "Paused: no new work starts until `cutoutd resume`.\n"
    assert bench.call("pause").stdout.startswith("It was paused already")
    assert bench.call("resume").stdout == "Work goes on.\n"
    assert bench.call("resume").stdout == "Nothing was paused; work goes on.\n"
    assert "cutoutd_up 1" in bench.call("metrics").stdout
    with Terminal(bench.command("status"), bench.environment, bench.root) as terminal:
        terminal.wait_for("cutoutd: to-cut -> cutouts (running)")
        assert terminal.end() == 0
    daemon.end(signal.SIGKILL)
    with Terminal(bench.command("jobs"), bench.environment, bench.root) as terminal:
        terminal.wait_for("(used last; nothing is running)")
        terminal.wait_for("girl-2.jpg")
        assert terminal.end() == 0


def test_a_second_configuration_on_a_state_directory_is_refused_with_advice(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """When it starts, and in each command with it."""
    folder = f'[[folder]]\nname = "f"\ninput = "{bench.input}"\noutput = "{bench.output}"\n'
    first, second = bench.root / "first.toml", bench.root / "second.toml"
    for one in (first, second):
        one.write_text(folder, encoding="utf-8")
    start("--config", first)
    bench.wait_for(lambda: "watching" in bench.call("status", "--config", first).stdout, "the daemon")
    refused = bench.call("run", "--config", second)
    assert refused.returncode == 3
    for said in (refused.stderr, bench.call("status", "--config", second).stderr):
        assert str(first) in said
        assert f"set state_dir in [service] in {second}" in said
    again = bench.call("run", "--config", first)
    assert again.returncode == 3
    assert f"a cutoutd works on {bench.input} already" in again.stderr
