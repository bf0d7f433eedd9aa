"""Pictures that crash, hang or exhaust their worker cost two attempts of their own and affect no other picture."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.acceptance.conftest import PATIENCE_S, own_installation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.about_workers

# Loaded by each worker before any code of ours: a decoder, of all but JPEGs, that crashes over pictures of one width.
FAULTY_DECODER = textwrap.dedent(
    """
    import sys

    if "cutoutd.pool.worker" in sys.orig_argv:
        import ctypes
        from PIL import ImageFile

        honest = ImageFile.ImageFile.load

        def load(image):
            if image.size[0] == 61:
                ctypes.string_at(0)
            return honest(image)

        ImageFile.ImageFile.load = load
    """
)


def events(stderr: str, name: str) -> list[dict[str, object]]:
    """Return the log lines of one event."""
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def drop_plain(bench: Bench, name: str, width: int, height: int, mode: str) -> None:
    """Add a picture of its own size, older than all others, so that it comes first."""
    path = bench.input / name
    Image.new("RGBA", (width, height), (200, 30, 30, 128)).convert(mode).save(path, compress_level=1)
    os.utime(path, (time.time() - 1000,) * 2)


@pytest.mark.small_model
def test_poison_costs_two_attempts_of_one_file_and_the_others_are_cut(bench: Bench) -> None:
    """A crash, and a picture too large for the memory of its worker, before four good ones."""
    guard = bench.root / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(FAULTY_DECODER, encoding="utf-8")
    bench.environment.update(
        {
            "PYTHONPATH": str(guard),
            "CUTOUTD_POOL__WORKER_MEMORY_MB": "1024",
            "CUTOUTD_POOL__WORKERS": "2",
            "CUTOUTD_POOL__NICE": "0",
        }
    )
    drop_plain(bench, "crash.png", 61, 60, "RGB")
    drop_plain(bench, "huge.png", 10_000, 10_000, "RGBA")
    for number in range(4):
        bench.drop(f"good-{number}.jpg", number)
    run = subprocess.run(
        bench.command("run", *bench.pair(), "--once"),
        env=bench.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert run.returncode == 1, run.stderr
    states = {str(job["path"]): job for job in bench.jobs()}
    good = {name: job["state"] for name, job in states.items() if name.startswith("good")}
    assert good == {f"good-{number}.jpg": "done" for number in range(4)}
    crash, huge = (bench.sidecar(f"failed/{name}.error.json") for name in ("crash.png", "huge.png"))
    assert "SIGSEGV" in crash["cause"]
    assert "worker_memory_mb" in huge["advice"]
    # Two deaths for the one, and none for the other, which was only too large.
    assert (crash["attempts"], huge["attempts"]) == (2, 1)
    lost = [line["job"] for line in events(run.stderr, "worker.lost")]
    assert lost == [crash["job"]] * 2
    assert all((bench.input / name).is_file() for name in ("crash.png", "huge.png"))


def workers_of(daemon: Daemon) -> list[int]:
    """Return the process ids of a daemon's workers."""
    pid = daemon.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children]


def log(bench: Bench) -> str:
    """Return the log so far."""
    return (bench.root / "log").read_text(encoding="utf-8", errors="replace")


@pytest.mark.small_model
def test_workers_that_cannot_start_amid_an_upgrade_cost_no_picture(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """While the installation is broken, pictures stay queued; once it is complete, work goes on by itself."""
    module = own_installation(bench) / "engine" / "formats" / "decode.py"
    bench.environment["CUTOUTD_POOL__WORKERS"] = "1"
    daemon = start()
    bench.drop("before.jpg")
    bench.wait_for(lambda: "before.png" in bench.results(), "the first picture")
    whole = module.read_text(encoding="utf-8")
    module.write_text("raise ImportError('half an upgrade')\n", encoding="utf-8")
    for pid in workers_of(daemon):
        os.kill(pid, signal.SIGKILL)
    bench.drop("amid.jpg")
    bench.wait_for(lambda: log(bench).count("worker.did-not-start") >= 2, "two starts that fail")
    assert [job["state"] for job in bench.jobs() if job["path"] == "amid.jpg"] == ["queued"]
    module.write_text(whole, encoding="utf-8")
    bench.wait_for(lambda: "amid.png" in bench.results(), "the second picture")
    assert "half an upgrade" in log(bench)
    assert bench.sidecar("amid.png.json")["attempts"] == 1
    assert daemon.end() == 0


def test_a_model_that_is_changed_under_a_running_daemon_ends_it(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """With the exit code for models, when the next worker starts; waiting pictures stay queued."""
    home = own_installation(bench)
    bench.environment["CUTOUTD_POOL__WORKERS"] = "1"
    daemon = start()
    bench.drop("before.jpg")
    bench.wait_for(lambda: "before.png" in bench.results(), "the first picture")
    with (home / "weights" / "u2net-int8.onnx").open("r+b") as model:
        model.seek(1000)
        model.write(b"\0\0\0\0changed")
    for pid in workers_of(daemon):
        os.kill(pid, signal.SIGKILL)
    assert daemon.process.wait(PATIENCE_S) == 4
    assert "is not the one of the catalog" in log(bench)
    # And it does not start again like this.
    bench.drop("after.jpg")
    refused = bench.once()
    assert refused.returncode == 4
    assert "is not the one of the catalog" in refused.stderr
    assert "after.png" not in bench.results()


@pytest.mark.small_model
def test_workers_that_never_start_end_the_daemon_with_the_reason(bench: Bench) -> None:
    """A library is missing: four starts with growing pauses, and the picture stays queued."""
    module = own_installation(bench) / "engine" / "matting" / "refine.py"
    module.write_text("raise ImportError('no such library')\n", encoding="utf-8")
    bench.drop("a.jpg")
    ended = bench.once()
    assert ended.returncode == 5, ended.stderr
    assert "4 starts in a row failed" in ended.stderr
    assert "no such library" in ended.stderr.splitlines()[-1]
    assert len(events(ended.stderr, "worker.did-not-start")) == 4
    assert [job["state"] for job in bench.jobs()] == ["queued"]
