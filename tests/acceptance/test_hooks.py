"""Commands of the owner, run by a real daemon: what they receive, and what they may do."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import alter_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

TELL = """
import errno, json, os, socket, sys

def tried(family):
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

with open("/proc/self/status") as file:
    status = dict(line.split(":\\t", 1) for line in file.read().splitlines() if ":\\t" in line)
said = {
    "arguments": sys.argv[2:],
    "event": os.environ["HOOK_EVENT"],
    "state": os.environ["HOOK_STATE"],
    "message": os.environ["HOOK_MESSAGE"],
    "inet": tried(socket.AF_INET),
    "inet6": tried(socket.AF_INET6),
    "unix": tried(socket.AF_UNIX),
    "privileges": status["NoNewPrivs"],
}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(said) + "\\n")
"""


def configure(bench: Bench, **more: str) -> Path:
    """Write a configuration with a command for each event. Returns its path."""
    command = json.dumps([sys.executable, "-c", TELL, os.fspath(bench.root / "told")])
    events = "\n".join(
        f"{event} = {command}" for event in ("on_done", "on_review", "on_failed", "on_attention")
    )
    config = bench.root / "c.toml"
    config.write_text(
        f"[hooks]\n{events}\n{more.get('hooks', '')}\n"
        f'[[folder]]\nname = "shop"\ninput = "{bench.input}"\noutput = "{bench.output}"\nsettle_s = 0.2\n'
        f"poll_interval_s = 0.5\nrescan_interval_s = 1\n",
        encoding="utf-8",
    )
    return config


def recorded_facts(bench: Bench) -> list[dict[str, Any]]:
    """Return what the commands have written."""
    file = bench.root / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_command_gets_each_result_and_has_no_network(bench: Bench) -> None:
    """A run of ``--once`` waits for the command.

    The kernel refuses it all sockets but local ones, and new privileges.
    """
    config = configure(bench)
    bench.drop("a.jpg")
    broken = bench.drop("broken.jpg")
    then = broken.stat().st_mtime_ns
    broken.write_bytes(broken.read_bytes()[:2000])
    os.utime(broken, ns=(then, then))
    run = bench.call("run", "--config", config, "--once")
    found = {one["event"]: one for one in recorded_facts(bench)}
    assert set(found) == {"on_done", "on_failed"}, run.stderr
    done, failed = found["on_done"], found["on_failed"]
    assert done["arguments"] == [os.fspath(bench.output / "a.png.json")]
    assert failed["arguments"] == [os.fspath(bench.output / "failed" / "broken.jpg.error.json")]
    assert all(Path(one["arguments"][0]).is_file() for one in (done, failed))
    assert {(one["inet"], one["inet6"], one["unix"]) for one in (done, failed)} == {
        ("EPERM", "EPERM", "done")
    }
    assert done["privileges"] == "1"
    assert failed["message"]


def test_a_folder_that_goes_away_and_comes_back_is_reported_once_each(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Once the state has lasted; work goes on meanwhile and afterwards."""
    config = configure(bench)
    bench.drop("a.jpg")
    start("--config", config)
    bench.wait_for(lambda: any(one["event"] == "on_done" for one in recorded_facts(bench)), "the cutout")
    away = bench.root / "away"
    bench.input.rename(away)
    bench.wait_for(lambda: any(one["event"] == "on_attention" for one in recorded_facts(bench)), "the alarm")
    away.rename(bench.input)
    bench.wait_for(
        lambda: sum(one["event"] == "on_attention" for one in recorded_facts(bench)) == 2, "its end"
    )
    begun, over = (one for one in recorded_facts(bench) if one["event"] == "on_attention")
    assert (begun["state"], over["state"]) == ("begun", "over")
    assert begun["arguments"][0].startswith("cutoutd: shop: standing by")
    assert over["arguments"][0].startswith("cutoutd: shop: resolved")


def test_an_altered_model_is_reported_before_the_daemon_ends(bench: Bench) -> None:
    """With exit code 4 as always, and by a command without network; a command that hangs delays the end a little."""
    alter_model(bench)
    run = bench.call("run", "--config", configure(bench))
    assert run.returncode == 4, run.stderr
    (ended,) = recorded_facts(bench)
    assert "it has ended: Model missing or altered" in ended["arguments"][0]
    assert ended["inet"] == "EPERM"
