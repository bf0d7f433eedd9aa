"""Waiting times: for the first cutout of a command, and for a picture dropped into an idle daemon.

"Taken" is when a worker begins with it; the time from then on is the sidecar's, until the cutout has its name.

python -m bench.latency [--photo FILE]
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.speed import CUTOUTD, age, apart, make_photos, opened, options

SMALL_PX = 800
PATIENCE_S = 60.0
REST_S = 3.0


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        small = root / "small.jpg"
        photo = opened(chosen.photo)
        photo.thumbnail((SMALL_PX, SMALL_PX))
        photo.save(small)
        firsts = [first_cutout(small, root / f"first{i}") for i in range(chosen.rounds)]
        show("start of `run --once` to its first cutout, one small picture", firsts)
        make_photos(chosen.photo, root / "photos", chosen.rounds)
        taken, dropped = into_idle_daemon(sorted((root / "photos").iterdir()), root / "idle")
        show("12 megapixels dropped into an idle daemon, from being taken", taken)
        show("                                          from being dropped", dropped)


def show(what: str, seconds: list[float]) -> None:
    """Print one line: median and worst."""
    print(f"{what}: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s")


def first_cutout(picture: Path, root: Path) -> float:
    """Return the seconds from the command's start until the cutout has its name in the output."""
    arguments, environment = _prepared(root)
    old = root / "in" / picture.name
    old.write_bytes(picture.read_bytes())
    age(old)
    begun = time.monotonic()
    with subprocess.Popen(
        [*CUTOUTD, "run", "--once", *arguments], env=environment, stderr=subprocess.DEVNULL
    ) as run:
        waited = _until_there(root / "out" / f"{picture.stem}.png", begun)
        run.wait()
    return waited


def into_idle_daemon(pictures: list[Path], root: Path) -> tuple[list[float], list[float]]:
    """Return the seconds to each publication, from being taken by a worker (by the log) and from the drop."""
    arguments, environment = _prepared(root)
    log = root / "log"
    dropped = []
    with (
        log.open("wb") as sink,
        subprocess.Popen([*CUTOUTD, "run", *arguments], env=environment, stderr=sink) as run,
    ):
        try:
            begun = time.monotonic()
            while b"worker.ready" not in log.read_bytes():
                if run.poll() is not None or time.monotonic() - begun > PATIENCE_S:
                    sys.exit(f"the daemon did not start: {log.read_text(encoding='utf-8')[-2000:]}")
                time.sleep(0.1)
            for picture in pictures:
                time.sleep(REST_S)
                begun = time.monotonic()
                picture.rename(root / "in" / picture.name)
                dropped.append(_until_there(root / "out" / f"{picture.stem}.png", begun))
        finally:
            run.send_signal(signal.SIGTERM)
            run.wait()
    sidecars = [root / "out" / f"{picture.stem}.png.json" for picture in pictures]
    timings = [json.loads(path.read_text(encoding="utf-8"))["timings_ms"] for path in sidecars]
    return [one["total"] / 1000 for one in timings], dropped


def _prepared(root: Path) -> tuple[list[str], dict[str, str]]:
    (root / "in").mkdir(parents=True)
    (root / "out").mkdir()
    return ["--input", str(root / "in"), "--output", str(root / "out")], apart(root)


def _until_there(path: Path, begun: float) -> float:
    while not path.exists():
        if time.monotonic() - begun > PATIENCE_S:
            sys.exit(f"{path} did not appear within {PATIENCE_S:.0f} s")
        time.sleep(0.002)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
