"""The sandbox and hostile pictures at length: no network access over 300 pictures, and 99 good ones beside three bad.

python -m torture.sandbox [PICTURES]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from PIL import Image
from tests.acceptance.conftest import Bench, picture
from tests.acceptance.traced import run_once

from torture.figures import Figures, note, report

PICTURES = 300
GOOD = 99
PATIENCE_S = 3600.0
JOB_TIMEOUT_S = 45  # a picture that hangs takes twice as long; a good one on a busy machine must not reach it

# In each worker before any code of ours: a decoder that fails over pictures of three widths.
FAULTY_DECODER = textwrap.dedent(
    """
    import sys

    if "cutoutd.pool.worker" in sys.orig_argv:
        import ctypes
        import time
        from PIL import ImageFile

        honest = ImageFile.ImageFile.load

        def load(image):
            if image.size[0] == 61:
                ctypes.string_at(0)
            if image.size[0] == 62:
                time.sleep(3600)
            if image.size[0] == 63:
                held = []
                while True:
                    held.append(b"x" * (64 << 20))
            return honest(image)

        ImageFile.ImageFile.load = load
    """
)
POISON = {61: "crash", 62: "hang", 63: "memory"}


def bench_in(root: Path) -> Bench:
    """Make folders and an environment like those of the acceptance tests."""
    for name in ("to-cut", "cutouts"):
        (root / name).mkdir()
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("CUTOUTD_") and key not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    environment |= {"XDG_STATE_HOME": str(root / "state"), "XDG_CONFIG_HOME": str(root / "config")}
    return Bench(root=root, input=root / "to-cut", output=root / "cutouts", environment=environment)


def drop(bench: Bench, name: str, width: int, number: int = 0, *, age_s: float = 60.0) -> None:
    """Add a small picture that is old enough to be taken at once."""
    path = bench.input / name
    if width in POISON:
        Image.new("RGB", (width, 48), (200, 30, 30)).save(path)
    else:
        picture(number, width=width, height=48).save(path)
    os.utime(path, (time.time() - age_s,) * 2)


def network(root: Path, count: int) -> tuple[dict[str, int], list[str]]:
    """Cut so many pictures under strace in an empty network namespace."""
    bench = bench_in(root)
    for number in range(count):
        drop(bench, f"{number}.jpg", 64, number)
    traced = run_once(bench, timeout_s=PATIENCE_S)
    done = sum(name.endswith(".png") and not name.startswith("review") for name in bench.results())
    violations = [f"a worker asked for {call}" for call in traced.by_workers]
    violations += [f"outside the workers: {call}" for call in traced.foreign]
    if not traced.workers:
        violations.append("no worker was seen, so nothing was watched")
    left = [job["path"] for job in bench.jobs() if job["state"] not in ("done", "review")]
    violations += [f"not cut: {path}" for path in left]
    counts = {
        "pictures": count,
        "cut": done,
        "workers": len(traced.workers),
        "network calls in workers": len(traced.by_workers),
        "calls of other families than AF_UNIX": len(traced.foreign),
        "AF_UNIX sockets elsewhere": traced.unix,
    }
    return counts, violations


def poison(root: Path) -> tuple[dict[str, int], list[str]]:
    """Cut 99 good pictures after one that crashes its worker, one that hangs, and one that exhausts its memory."""
    bench = bench_in(root)
    guard = root / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(FAULTY_DECODER, encoding="utf-8")
    bench.environment.update({"PYTHONPATH": str(guard), "CUTOUTD_POOL__JOB_TIMEOUT_S": str(JOB_TIMEOUT_S)})
    for width, name in POISON.items():
        drop(bench, f"{name}.png", width, age_s=1000.0)
    for number in range(GOOD):
        drop(bench, f"{number}.jpg", 64, number)
    run = subprocess.run(
        bench.command("run", *bench.pair(), "--once"),
        env=bench.environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    states = {str(job["path"]): str(job["state"]) for job in bench.jobs()}
    good = [path for path, state in states.items() if path[0].isdigit() and state in ("done", "review")]
    violations = [] if len(good) == GOOD else [f"only {len(good)} of {GOOD} good pictures were cut"]
    lines = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    lost = [line["job"] for line in lines if line["event"] == "worker.lost"]
    counts = {"good": GOOD, "good cut": len(good)}
    for name, deaths in (("crash", 2), ("hang", 2), ("memory", 0)):
        found = bench.sidecar(f"failed/{name}.png.error.json")
        counts[f"workers lost to {name}"] = lost.count(found["job"])
        if lost.count(found["job"]) != deaths:
            violations.append(f"{name}: {lost.count(found['job'])} workers lost, not {deaths}")
    if len(lost) != sum(counts[f"workers lost to {name}"] for name in POISON.values()):
        violations.append("a worker was lost over a good picture")
    return counts, violations


def main() -> int:
    """Run both parts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    counts: dict[str, int] = {}
    violations: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cutoutd-sandbox-") as place:
        for name in ("network", "poison"):
            note(f"sandbox: {name}")
            root = Path(place, name)
            root.mkdir()
            told, wrong = network(root, count) if name == "network" else poison(root)
            counts |= told
            violations += wrong
    return report(
        Figures(
            campaign="sandbox",
            promise="no network asked for; a bad picture costs two attempts of its own",
            counts=counts,
            violations=tuple(violations),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
