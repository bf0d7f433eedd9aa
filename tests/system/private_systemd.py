"""A systemd for tests alone, booted by ``box.sh`` in namespaces: it changes nothing on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cutoutd

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S: Final = 90.0
SCRIPT: Final = Path(__file__).with_name("box.sh")


def why_not() -> str:
    """Return why no box can be booted here; empty if one can."""
    if sys.platform != "linux":
        return "not Linux"
    if os.geteuid() != 0:
        return "a systemd of its own needs root"
    if not any(line.split()[2] == "cgroup2" for line in Path("/proc/mounts").read_text().splitlines()):
        return "no cgroup2 is mounted"
    may = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True)
    return "" if may.returncode == 0 else f"no namespaces: {may.stderr.decode().strip()}"


class PrivateSystemd:
    """A systemd that runs in namespaces."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = (directory / "log").open("wb")
        room = directory / "box"
        room.mkdir()
        package = Path(cutoutd.__file__).parents[2]
        visible = dict.fromkeys((str(package), sys.prefix, sys.base_prefix))
        self._process = subprocess.Popen(
            [os.fspath(SCRIPT), os.fspath(room), *visible],
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )
        self.pid = 0
        try:
            self._wait_until_up()
        except BaseException:
            self.end()
            raise

    def _wait_until_up(self) -> None:
        """Wait until systemd has reached the box's target."""

        def is_up() -> bool:
            code = self._process.poll()
            assert code is None, f"the box ended with {code}: {(self._directory / 'log').read_text()}"
            self.pid = self.pid or self._init()
            return bool(self.pid) and "active" in self.call(
                "systemctl", "is-active", "box.target", check=False
            )

        until(is_up, "the box")
        # As on a machine of its own; a systemd that takes itself for a container's leaves it out.
        self.call("mount", "--make-rshared", "/")

    def _init(self) -> int:
        """Return the process id of the box's systemd; 0 before it runs."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return 0
        # Until then it is the script, which is still on this machine's own root.
        try:
            command = Path(f"/proc/{children[0]}/cmdline").read_bytes()
        except FileNotFoundError:  # it has ended since
            return 0
        return int(children[0]) if command.startswith(b"/lib/systemd/systemd\0") else 0

    def path(self, inside: str) -> Path:
        """Return a path inside the box as this process reaches it."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def call(self, *words: str, check: bool = True, user: bool = False) -> str:
        """Run a command inside the box; return its output.

        Args:
            words: the command.
            check: whether a failure of the command fails the test.
            user: whether the ordinary user runs it, instead of root.
        """
        who = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"] if user else []
        run = subprocess.run(
            [
                "nsenter",
                f"--target={self.pid}",
                "--all",
                "env",
                "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                *who,
                *words,
            ],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
        )
        assert run.returncode == 0 or not check, f"{words}: {run.stdout}\n{self.journal()}"
        return run.stdout

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit, by name."""
        output = self.call("systemctl", "show", unit, f"--property={','.join(names)}")
        return dict(line.split("=", 1) for line in output.splitlines())

    def main_pid(self, unit: str) -> int:
        """Return the process id of the unit's main process, as seen from outside the box."""
        inside = self.show(unit, "MainPID")["MainPID"]
        return next(pid for pid in self.pids(unit) if _status(pid).get("NSpid", "").split()[-1:] == [inside])

    def pids(self, unit: str) -> list[int]:
        """Return the process ids of the unit's processes, as seen from outside the box."""
        group = self.show(unit, "ControlGroup")["ControlGroup"]
        return [int(pid) for pid in self.path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split()]

    def journal(self, unit: str | None = None) -> str:
        """Return the last lines of the system's journal, or of one unit's."""
        only = ["--unit", unit] if unit else []
        return self.call("journalctl", "--no-pager", "--output=cat", "--lines=60", *only, check=False)

    def end(self) -> None:
        """End all processes in the box, and remove its control groups and its sentinel."""
        self._process.send_signal(signal.SIGKILL)  # its child, the process 1 inside, is killed with it
        self._process.wait(PATIENCE_S)
        self._log.close()
        group = self._directory / "box" / "cgroup"
        if group.exists():
            until(lambda: _removed(Path(group.read_text().strip())), "the box's processes to be gone")
        sentinel = self._directory / "box" / "sentinel"
        if sentinel.exists():
            Path(sentinel.read_text().strip()).unlink(missing_ok=True)


def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds; fail the test when it takes too long."""
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.05)


def _removed(group: Path) -> bool:
    """Remove a control group with those below it; return whether it is gone."""
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            Path(directory).rmdir()
        except OSError:
            return False
    return not group.exists()


def _status(pid: int) -> dict[str, str]:
    """Return the kernel's status of a process, by field."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
