"""`cutoutd service` with a systemctl that records its calls; and SIGHUP, with and without a terminal."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import PATIENCE_S, Bench
from tests.integration.tools import need

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.acceptance.conftest import Daemon

pytestmark = pytest.mark.small_model  # the matte is of no concern here

SYSTEMCTL = """#!/bin/sh
[ "$1" = --version ] && { echo "systemd 252 (252.1)"; exit 0; }
echo "$@" >> "$CALLS"
case "$CALLS_FAIL" in "") exit 0;; esac
case "$*" in *$CALLS_FAIL*) echo "Failed to connect to bus" >&2; exit 1;; esac
"""
BEGUN = ["--user daemon-reload", "--user enable --now cutoutd.service"]


class User:
    """An ordinary user with a systemctl."""

    def __init__(self, bench: Bench) -> None:
        tools = bench.root / "tools"
        tools.mkdir()
        (tools / "systemctl").write_text(SYSTEMCTL)
        (tools / "systemctl").chmod(0o755)
        self.calls_file = bench.root / "calls"
        environment = bench.environment | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "CALLS": str(self.calls_file),
            "HOME": str(bench.root),
        }
        self.bench = replace(bench, environment=environment)
        self.unit = bench.root / "config/systemd/user/cutoutd.service"

    def call(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a cutoutd command as that user; root would be told to use --system."""
        command = self.bench.command("service", *words)
        if os.geteuid() == 0:
            for path in (self.bench.root, *self.bench.root.iterdir()):
                shutil.chown(path, 4711, 4711)
            command = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", *command]
        bench = replace(self.bench, environment=self.bench.environment | environment)
        return bench.call_any(command)

    def calls(self) -> list[str]:
        """Return the calls of systemctl since the last time."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def user(bench: Bench) -> Iterator[User]:
    """The user of the service, with a directory of their own, since pytest's is closed to others."""
    need("setpriv")
    root = Path(tempfile.mkdtemp(prefix="cutoutd-service-"))
    root.chmod(0o755)
    for name in ("to-cut", "cutouts"):
        (root / name).mkdir()
    places = {"XDG_STATE_HOME": str(root / "state"), "XDG_CONFIG_HOME": str(root / "config")}
    yield User(
        Bench(
            root=root,
            input=root / "to-cut",
            output=root / "cutouts",
            environment=bench.environment | places,
        )
    )
    shutil.rmtree(root)


def test_install_is_one_command_that_reports_its_steps_and_can_be_run_again(user: User) -> None:
    """The second time nothing is written, and nothing restarted."""
    done = user.call("install", *user.bench.pair())
    assert done.returncode == 0, done.stderr
    assert f"Writing {user.unit}" in done.stdout
    assert "Running systemctl --user enable --now cutoutd.service" in done.stdout
    assert user.calls() == BEGUN
    assert f"--input {user.bench.input} --output {user.bench.output}" in user.unit.read_text()
    again = user.call("install", *user.bench.pair())
    assert "is up to date" in again.stdout
    assert user.calls() == BEGUN


def test_a_changed_configuration_restarts_the_service(user: User) -> None:
    """The new configuration may need access to other directories."""
    user.call("install", *user.bench.pair())
    user.calls()
    (user.bench.root / "other").mkdir()
    user.call("install", "--input", str(user.bench.input), "--output", str(user.bench.root / "other"))
    assert user.calls()[-1] == "--user restart cutoutd.service"


def test_uninstall_removes_cleanly_and_can_be_run_again(user: User) -> None:
    """Only the journal stays."""
    user.call("install", *user.bench.pair())
    user.calls()
    gone = user.call("uninstall")
    assert "The service is removed" in gone.stdout
    assert not user.unit.exists()
    assert user.calls()[0] == "--user disable --now cutoutd.service"
    again = user.call("uninstall")
    assert (again.returncode, user.calls()) == (0, [])
    assert "No service is installed" in again.stdout
    assert (user.bench.root / "state/cutoutd/pairs").is_dir()


def test_show_changes_nothing(user: User) -> None:
    """Only the unit goes to standard output; a message names what would differ from the shell."""
    shown = user.call("show", *user.bench.pair(), CUTOUTD_POOL__WORKERS="1")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("# Made by `cutoutd service install`")
    assert "$CUTOUTD_POOL__WORKERS counts for this call" in shown.stderr
    # A service manager need not know the variable; `cutoutd status` would look elsewhere.
    assert f"Environment=XDG_STATE_HOME={user.bench.root}/state\n" in shown.stdout
    assert not user.unit.exists()
    assert user.calls() == []


def test_a_unit_of_somebody_else_is_not_touched(user: User) -> None:
    """The unit may have been written by hand."""
    user.unit.parent.mkdir(parents=True)
    user.unit.write_text("[Service]\nExecStart=/my/own\n")
    for deed in (["install", *user.bench.pair()], ["uninstall"]):
        refused = user.call(*deed)
        assert refused.returncode == 2
        assert "left alone" in refused.stderr
    assert user.unit.read_text() == "[Service]\nExecStart=/my/own\n"
    assert user.calls() == []


def test_where_systemctl_fails_the_call_is_named_and_a_second_run_continues(user: User) -> None:
    """As over ssh with su, where the user has no session."""
    failed = user.call("install", *user.bench.pair(), CALLS_FAIL="enable")
    assert failed.returncode == 5
    assert "`systemctl --user enable --now cutoutd.service` failed: Failed to connect to bus" in failed.stderr
    assert user.call("install", *user.bench.pair()).returncode == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('input = "~/in"\noutput = "/srv/out"', "begins with ~"),
        ('input = "/srv/in"\noutput = "/srv/out"', "state_dir is not set"),
    ],
)
def test_a_system_service_needs_paths_that_mean_the_same_to_everybody(
    bench: Bench, text: str, why: str
) -> None:
    """The home directory is another one for each user."""
    config = bench.root / "c.toml"
    config.write_text(f'[[folder]]\nname = "a"\n{text}\n')
    refused = bench.call("service", "show", "--system", "--config", config)
    assert refused.returncode == 2
    assert why in refused.stderr or "neither systemd nor launchd" in refused.stderr


FOLDER = (
    '[[folder]]\nname = "{name}"\ninput = "{root}/{name}"\noutput = "{root}/{name}-out"\nsettle_s = 0.2\n'
)


def test_sighup_reloads_the_configuration_without_a_terminal(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """A folder is added, and an invalid configuration is refused."""
    for name in ("a", "b"):
        (bench.root / name).mkdir()
    config = bench.root / "c.toml"
    text = "[pool]\nworkers = 1\n" + FOLDER.format(name="a", root=bench.root)
    config.write_text(text)
    daemon = start("--config", config)
    (bench.root / "log").touch()
    bench.wait_for((bench.root / "a-out").exists, "the start")  # and not yet its workers'
    config.write_text("[pool\n")
    daemon.process.send_signal(signal.SIGHUP)
    bench.wait_for(lambda: "reload.refused" in (bench.root / "log").read_text(), "the refusal")
    config.write_text(text + FOLDER.format(name="b", root=bench.root))
    daemon.process.send_signal(signal.SIGHUP)
    bench.drop("x.jpg").rename(bench.root / "b" / "x.jpg")
    bench.wait_for((bench.root / "b-out" / "x.png.json").exists, "the new folder's cutout")
    assert daemon.end() == 0


def test_a_terminal_that_is_closed_ends_the_daemon(bench: Bench) -> None:
    """There, SIGHUP keeps its usual meaning."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, bench.command("run", *bench.pair()), bench.environment)  # noqa: S606 -- no shell
    bench.wait_for((bench.output / ".cutoutd-staging").exists, "the start")
    os.read(terminal, 1)  # it draws: it has its terminal
    os.close(terminal)

    def has_ended() -> bool:
        return os.waitpid(pid, os.WNOHANG)[0] == pid

    bench.wait_for(has_ended, f"its end, for {PATIENCE_S} s")
