"""A kill at any moment loses no picture, and leaves no duplicate and no incomplete file."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from torture.checks import Source, named_files_are_whole, violations
from torture.refusals import synced_again
from torture.site import Layout, Site, jpeg
from torture.trace import Strike

from tests.acceptance.conftest import PATIENCE_S
from tests.integration.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.about_workers

PICTURES = 6
KILLS = 6


def processes_of(daemon: int) -> list[int]:
    """Return the process ids of a daemon and its descendants, which have sessions of their own."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [line.split() for line in listed.stdout.splitlines()]
    found = [daemon]
    for pid in found:  # grows as it goes
        found += [int(child) for child, parent in pairs if int(parent) == pid]
    return found


def check_all(bench: Bench, count: int) -> None:
    """Check that every picture has one complete output with a matching sidecar, and that nothing else is there."""
    wanted = sorted(name for n in range(count) for name in (f"{n}.png", f"{n}.png.json"))
    assert bench.results() == wanted
    for n in range(count):
        content = (bench.output / f"{n}.png").read_bytes()
        document = bench.sidecar(f"{n}.png.json")
        assert document["outputs"][0]["sha256"] == hashlib.sha256(content).hexdigest()
        with Image.open(bench.output / f"{n}.png") as image:
            image.load()
    assert sorted(job["state"] for job in bench.jobs()) == ["done"] * count


@pytest.mark.small_model
def test_the_whole_tree_killed_at_random_moments_loses_nothing(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Supervisor and workers are killed at once, several times; the last run finishes the rest."""
    for n in range(PICTURES):
        bench.drop(f"{n}.jpg", n)
    moments = random.Random(20261123)  # noqa: S311 -- moments, not secrets
    for _ in range(KILLS):
        daemon = start(*bench.pair(), "--once")
        time.sleep(moments.uniform(0.2, 2.5))
        for pid in processes_of(daemon.process.pid):
            with suppress(
                ProcessLookupError
            ):  # a worker ends with its supervisor, or has just ended by itself
                os.kill(pid, signal.SIGKILL)
        daemon.process.wait(PATIENCE_S)
    last = bench.once()
    assert last.returncode == 0, last.stdout + last.stderr
    check_all(bench, PICTURES)


@pytest.mark.small_model
def test_killing_the_supervisor_takes_the_workers_with_it(bench: Bench, start: Callable[..., Daemon]) -> None:
    """A worker that went on would write beside its successor."""
    bench.drop("0.jpg")
    daemon = start()
    bench.wait_for(lambda: "0.png.json" in bench.results(), "the cutout")
    workers = [pid for pid in processes_of(daemon.process.pid) if pid != daemon.process.pid]
    assert workers
    daemon.end(signal.SIGKILL)
    end = time.monotonic() + PATIENCE_S
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):  # noqa: PTH110 -- no file, a process
        assert time.monotonic() < end
        time.sleep(0.02)


def worker_of(daemon: Daemon) -> int:
    """Return the process id of a daemon's only worker; 0 while there is none."""
    for pid in processes_of(daemon.process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"cutoutd.pool.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


# A forked process has the command line of the one that it was forked from, which would be taken for no worker.
@pytest.mark.new_interpreters
@pytest.mark.small_model
def test_killing_a_worker_idle_or_busy_costs_no_picture(bench: Bench, start: Callable[..., Daemon]) -> None:
    """A worker that was killed is replaced; its successor cuts what it had."""
    bench.environment["CUTOUTD_POOL__WORKERS"] = "1"
    bench.drop("0.jpg")
    daemon = start()
    bench.wait_for(lambda: bench.states() == {"0.jpg": "done"}, "the first cutout")
    idle = worker_of(daemon)
    os.kill(idle, signal.SIGKILL)
    bench.drop("1.jpg", 1)
    bench.wait_for(lambda: bench.states().get("1.jpg") == "done", "the next cutout")
    busy = worker_of(daemon)
    assert busy not in (0, idle)
    os.kill(busy, signal.SIGSTOP)
    for n in range(2, PICTURES):
        bench.drop(f"{n}.jpg", n)
    bench.wait_for(lambda: "working" in bench.states().values(), "a picture that hangs")
    os.kill(busy, signal.SIGKILL)
    bench.wait_for(lambda: list(bench.states().values()) == ["done"] * PICTURES, "all cutouts")
    assert daemon.end() == 0
    check_all(bench, PICTURES)
    attempts = [bench.sidecar(f"{n}.png.json")["attempts"] for n in range(PICTURES)]
    assert sorted(attempts) == [*[1] * (PICTURES - 1), 2]


@pytest.fixture
def site(tmp_path: Path, small_models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site as the torture campaigns make it, with one picture and a small model."""
    need("strace")
    monkeypatch.setenv("XDG_DATA_HOME", os.fspath(small_models_dir))
    place = Site(Layout(root=tmp_path, tables=("[model]", 'name = "darkness"')))
    place.drop("x/a.jpg", jpeg(0))
    return place


def under_strace(site: Site, strike: Strike, fault: str, *, seen: str) -> tuple[int, str]:
    """Run to the end with one system call tampered with. Returns the exit code and the output of strace."""
    log = site.root / "strace"
    command = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", f"trace={seen}", *strike.options(fault)]
    running = site.start("--once", prefix=command)
    try:
        code = running.wait()
    finally:
        running.kill()
    return code, log.read_text(errors="replace")


# `python -m torture.killpoints` has every call of every way that a picture can go; these are the two at which
# most is at stake.
@pytest.mark.parametrize("renamed", [0, 1])
def test_a_kill_amid_the_renames_is_repaired(site: Site, renamed: int) -> None:
    """Once with the plan recorded and nothing renamed, once with the result renamed and the sidecar not."""
    strike = Strike(call="renameat2", when=renamed + 1)
    code, _ = under_strace(site, strike, "signal=SIGKILL", seen="renameat2")
    assert code != 0
    assert [row["state"] for row in site.journal()] == ["publishing"]
    assert len(list(site.output.glob("x/*"))) == renamed
    assert named_files_are_whole(site) == []
    assert site.settle() == 0
    assert violations(site, {"x/a.jpg": Source(content=jpeg(0))}) == []


@pytest.mark.parametrize(("call", "fault"), [("fsync", "EIO"), ("renameat2", "EACCES")])
def test_what_the_disk_refused_is_completed_later(site: Site, call: str, fault: str) -> None:
    """The first sync of every thread fails, or the first rename; the original stays, and the next run completes the work."""
    _, log = under_strace(
        site, Strike(call=call, when=1), f"error={fault}", seen="fsync,fdatasync,renameat2,close"
    )
    assert "INJECTED" in log
    assert synced_again(log) == []
    assert (site.input / "x/a.jpg").read_bytes() == jpeg(0)
    assert named_files_are_whole(site) == []
    assert site.settle() == 0
    assert violations(site, {"x/a.jpg": Source(content=jpeg(0))}) == []


def test_a_second_sync_through_a_failed_descriptor_would_be_detected() -> None:
    """This tests the check of the test above: a file that was closed and opened again has another descriptor."""
    failed = "7 fsync(5</a>) = -1 EIO (Input/output error) (INJECTED)\n"
    assert synced_again(f"{failed}7 fsync(5</a>) = 0\n") != []
    assert synced_again(f"{failed}7 close(5</a>) = 0\n7 fsync(5</a>) = 0\n") == []
