"""SIGHUP at any moment and in any number loses no work; standard streams may be missing."""

from __future__ import annotations

import itertools
import json
import os
import pty
import signal
import subprocess
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

PICTURES = 8
_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT
STORM_S = 0.25


def configuration(bench: Bench, *, settle_s: float = 0.2, max_pixels: int = 100_000_000) -> Path:
    """Write a configuration for the bench's folders."""
    config = bench.root / "cutoutd.toml"
    draft = config.with_suffix(".new")
    draft.write_text(
        f"[service]\nstate_dir = {json.dumps(str(bench.root / 'state'))}\nmin_free_disk_mb = 0\n"
        f"[pool]\nmax_pixels = {max_pixels}\n"
        f'[[folder]]\nname = "hot"\ninput = {json.dumps(str(bench.input))}\n'
        f"output = {json.dumps(str(bench.output))}\nsettle_s = {settle_s}\npoll_interval_s = 0.5\n",
        encoding="utf-8",
    )
    draft.rename(config)
    return config


class Storm:
    """Sends SIGHUP four times a second, with and without a change of the configuration before it."""

    def __init__(self, daemon: Daemon, before_each: Callable[[], object]) -> None:
        self._daemon = daemon
        self._before_each = before_each
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._blow)
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _blow(self) -> None:
        """Send SIGHUP at intervals until the context is closed."""
        while not self._over.wait(STORM_S):
            self._before_each()
            self._daemon.process.send_signal(signal.SIGHUP)
            self.count += 1


def lines(bench: Bench, event: str) -> int:
    """Return how often an event was logged."""
    return (bench.root / "log").read_text(encoding="utf-8").count(f'"event": "{event}"')


def changes(bench: Bench, what: str) -> Iterator[object]:
    """Yield another configuration each time."""
    for number in itertools.count():
        match what:
            case "nothing":
                yield None
            case "a folder's setting":
                yield configuration(bench, settle_s=0.2 + number % 2 / 10)
            case "what workers are told":
                yield configuration(bench, max_pixels=100_000_000 + number % 2)


@pytest.mark.parametrize("what", ["nothing", "a folder's setting", "what workers are told"])
def test_a_storm_of_hangups_holds_up_no_work(bench: Bench, start: Callable[..., Daemon], what: str) -> None:
    """Four a second, from before the first picture to the last; a reload without a change does nothing."""
    daemon = start("--config", configuration(bench))
    bench.wait_for(lambda: lines(bench, "worker.ready") > 0, "a worker")
    changed = changes(bench, what)
    with Storm(daemon, lambda: next(changed)) as storm:
        for number in range(PICTURES):
            bench.drop(f"{number}.jpg", number)
        bench.wait_for(lambda: len(bench.published("*.json")) == PICTURES, "all of them")
    assert storm.count > PICTURES / 4
    assert daemon.end() == 0
    assert "folder.status" in (bench.root / "log").read_text(encoding="utf-8")
    if what == "nothing":
        assert lines(bench, "reload.done") == 0
        assert lines(bench, "reload.unchanged") > 0
        assert lines(bench, "folder.status") == 1


@pytest.mark.new_interpreters
def test_a_hangup_in_the_first_moments_does_not_kill(bench: Bench, start: Callable[..., Daemon]) -> None:
    """From the first line of the program on; it is a reload then, without a change."""
    daemon = start("--config", configuration(bench))
    process = daemon.process
    loaded = f"/proc/{process.pid}/status"
    bench.wait_for(lambda: is_blocked(loaded), "the program to begin")
    while lines(bench, "daemon.started") == 0:
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None
        time.sleep(0.01)
    bench.drop("a.jpg")
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the picture")
    assert daemon.end() == 0


@pytest.mark.new_interpreters
@pytest.mark.parametrize(
    "moment", ["the first lines", "the start of the daemon", "the wait for a configuration"]
)
def test_a_terminal_that_is_closed_during_the_start_ends_it(bench: Bench, moment: str) -> None:
    """Before, there was no terminal any more when it asked for one, so it took the hang-up for a reload and ran on, unseen."""
    arguments = [] if moment == "the wait for a configuration" else ["--config", str(configuration(bench))]
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(bench.root)
        command = bench.command("run", *arguments)
        page = {} if arguments else {"CUTOUTD_PAGE__ENABLED": "true"}
        os.execvpe(command[0], command, bench.environment | page)  # noqa: S606 -- the test's own
    try:
        if moment == "the start of the daemon":
            bench.wait_for((bench.root / "state").exists, "its state directory")
        else:
            words = b"There is no configuration" if not arguments else b""
            bench.wait_for(lambda: words in (os.read(terminal, 4096) if words else b""), moment)
    finally:
        os.close(terminal)
    ended = False
    try:
        bench.wait_for(lambda: os.waitid(os.P_PID, process, _LOOK) is not None, "its end")
        ended = True
    finally:
        if not ended:
            os.kill(process, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in {0, 1, -signal.SIGHUP}  # 1: it could not write to the terminal any more


@pytest.mark.new_interpreters
def test_ctrl_c_while_the_program_is_being_loaded_ends_it_without_a_traceback(bench: Bench) -> None:
    """From its first line on; before, Python told where in an import it was."""
    log = bench.root / "log"
    for _ in range(5):
        with log.open("wb") as file:
            process = subprocess.Popen(
                bench.command("run", "--config", configuration(bench)),
                env=bench.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        status = f"/proc/{process.pid}/status"
        bench.wait_for(partial(is_blocked, status), "the program to begin")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 1, 130, -signal.SIGINT)
        assert "Traceback" not in log.read_text(encoding="utf-8")


def test_a_cut_that_is_interrupted_while_it_starts_leaves_nothing_behind(bench: Bench) -> None:
    """Before, what was staged was removed only once its folders had been started."""
    bench.drop("a.jpg")
    staging = bench.output / ".cutoutd-staging"
    for _ in range(3):
        process = subprocess.Popen(
            bench.command("cut", str(bench.input / "a.jpg"), "-o", str(bench.output)),
            env=bench.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        bench.wait_for(staging.exists, "the place for results")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert "Traceback" not in said
        assert not staging.exists()


def is_blocked(status: str) -> bool:
    """Return whether a process blocks SIGHUP, according to the kernel."""
    with open(status, encoding="ascii") as file:  # noqa: PTH123 -- of /proc
        mask = next(line for line in file if line.startswith("SigBlk:")).split()[1]
    return bool(int(mask, 16) & 1 << (signal.SIGHUP - 1))


@pytest.mark.parametrize(
    ("command", "closed"),
    [("run", ">&-"), ("run", "2>&-"), ("run", "<&- >&- 2>&-"), ("cut", ">&- 2>&-"), ("status", ">&- 2>&-")],
)
def test_a_command_whose_streams_were_closed_does_its_work(bench: Bench, command: str, closed: str) -> None:
    """Only its messages are lost."""
    if command == "status":
        assert bench.once().returncode == 0
    bench.drop("b.jpg", 1)
    arguments = {
        "run": ["run", *bench.pair(), "--once"],
        "cut": ["cut", str(bench.input / "b.jpg"), "-o", str(bench.output)],
        "status": ["status", *bench.pair()],
    }[command]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *bench.command(*arguments)],
        env=bench.environment,
        cwd=bench.root,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    if command != "status":
        assert "b.png" in bench.results()
