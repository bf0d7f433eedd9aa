"""The terminal in which a daemon is started belongs to the supervisor only, whatever happens to processes that read strangers' files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import PATIENCE_S, Daemon, picture
from tests.acceptance.hosted_setup import opened
from tests.acceptance.test_secrets import family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Bench
    from tests.acceptance.hosted_setup import HostedSetup

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="only root sees what hidden processes have open"
    ),
    pytest.mark.small_model,
]

WRITE_ONLY = 0o1
TAKE = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


@pytest.fixture
def hosted_setup(bench: Bench) -> Iterator[HostedSetup]:
    """A shop with its folders."""
    yield from opened(bench)


def opened_by(pid: int, file: str) -> set[int]:
    """Return how a process has opened a file: for reading (0), writing (1) or both (2)."""
    ways = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if os.readlink(entry) == file:  # noqa: PTH115 -- a pipe has no path
                info = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text(encoding="ascii")
                ways.add(int(re.findall(r"flags:\s*(\d+)", info)[0], 8) & os.O_ACCMODE)
    return ways


def files_of(pid: int) -> set[str]:
    """Return the files that a process has open, except pipes, sockets, /dev/null, and a model for a correction."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(entry))  # noqa: PTH115 -- a pipe has no path
    return {
        name for name in found if name.startswith("/") and name != "/dev/null" and not name.endswith(".onnx")
    }


def session(pid: int) -> int:
    """Return the session of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[3])


class Terminal:
    """A terminal in which a command runs, with everything that it shows."""

    def __init__(self, bench: Bench, *arguments: str | Path) -> None:
        self._screen, keyboard = os.openpty()
        self.name = os.ttyname(keyboard)
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(keyboard), *bench.command(*arguments)],
            env=bench.environment | {"TERM": "xterm"},
            cwd=bench.root,
            pass_fds=[keyboard],
        )
        os.close(keyboard)
        self.shown = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        """Collect the terminal's output until the terminal is closed."""
        with suppress(OSError):  # EIO: nobody has it open any more
            while data := os.read(self._screen, 4096):
                self.shown += data

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._screen, text.encode("ascii"))

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        os.close(self._screen)


def test_only_the_supervisor_has_the_terminal_and_ctrl_c_ends_all(
    hosted_setup: HostedSetup, bench: Bench
) -> None:
    """Workers and uploader have sessions of their own, and pipes; the keeper may write to the terminal, and not read from it."""
    hosted_setup.configure("hosted")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    hosted_setup.drop("private", "b.jpg", picture(2))
    terminal = Terminal(bench, "run", "--config", hosted_setup.config)
    try:
        bench.wait_for((bench.root / "shop-out/a.png.json").exists, "the hosted cutout")
        bench.wait_for((bench.root / "private-out/b.png.json").exists, "the local cutout")
        supervisor = terminal.process.pid
        others = {pid: line for pid, line in family(supervisor).items() if pid != supervisor}
        assert any("cutoutd hosted" in line for line in others.values())
        assert sum("cutoutd.pool.worker" in line for line in others.values()) >= 2
        assert 2 in opened_by(supervisor, terminal.name)
        ways = {line: opened_by(pid, terminal.name) for pid, line in others.items()}
        assert {line for line, found in ways.items() if found - {WRITE_ONLY}} == set()
        assert [line for line, found in ways.items() if found and "cutoutd.cli.companions" not in line] == []
        assert {pid for pid in others if session(pid) in (supervisor, session(os.getpid()))} == set()
        workers = [pid for pid, line in others.items() if "cutoutd.pool.worker" in line]
        assert [file for pid in workers for file in files_of(pid)] == []
        terminal.type("\x03")
        assert terminal.process.wait(PATIENCE_S) == 0
        assert [line for pid, line in others.items() if Path(f"/proc/{pid}").exists()] == []
    finally:
        terminal.close()


def test_the_uploader_s_lines_come_into_the_log_marked_as_its(
    hosted_setup: HostedSetup, bench: Bench
) -> None:
    """Whatever name the lines claim, and at any length; as JSON."""
    hosted_setup.configure("hosted")
    text = hosted_setup.config.read_text("utf-8").replace("[service]\n", '[service]\nlog_level = "debug"\n')
    hosted_setup.config.write_text(text, encoding="utf-8")
    hosted_setup.drop("shop", "a.jpg", picture(1))
    daemon = Daemon(bench, "--config", hosted_setup.config)
    bench.wait_for((bench.root / "shop-out/a.png.json").exists, "the hosted cutout")
    assert daemon.end() == 0
    lines = [json.loads(line) for line in (bench.root / "log").read_text("utf-8").splitlines()]
    theirs = [line["event"] for line in lines if line.get("process") == "uploader"]
    assert {"hosted.started", "upload.begun", "upload.ended"} <= set(theirs)
    assert not {"daemon.started", "job.published"} & set(theirs)
    assert [line for line in lines if line["event"] == "worker.stderr"] == []
