"""Times whole commands on 12-megapixel photos: `cutoutd run --once` beside `rembg p`, in turn, in one run.

    python -m bench.speed --rembg DIR [--photo FILE] [--count 24]

Each command starts with nothing loaded and ends with its last result written. Both use U2-Net. It is no part of
the package, and no test: machines differ, and are never equally busy twice; trust the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 4000, 3000
NOISE_SIGMA = 3.0
QUALITY = 92


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What one command took: wall and CPU seconds, and how many results it left."""

    wall_s: float
    cpu_s: float
    results: int

    @property
    def per_minute(self) -> float:
        """Results a minute."""
        return 60 * self.results / self.wall_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="what the pictures are made of; an astronaut by default")
    parser.add_argument("--count", type=int, default=24, help="how many 12-megapixel pictures")
    parser.add_argument("--rembg", type=Path, help="a virtual environment with rembg, and u2net.onnx in it")
    parser.add_argument(
        "--matting", type=int, default=1, help="pictures for `rembg p -a`, which takes a minute each"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make_photos(chosen.photo, root / "in", chosen.count)
        ours = run_cutoutd(root)
        report("cutoutd run --once", ours)
        report_steps(root / "out")
        if chosen.rembg is not None:
            plain = run_rembg(chosen.rembg, root / "in", root / "rembg", [])
            report("rembg p -m u2net", plain)
            make_photos(chosen.photo, root / "few", chosen.matting)
            matting = run_rembg(chosen.rembg, root / "few", root / "matting", ["-a"])
            report("rembg p -m u2net -a", matting)
            print(f"\n{ours.per_minute / plain.per_minute:.1f} times plain rembg")
            print(f"{ours.per_minute / matting.per_minute:.1f} times rembg -a")


def make_photos(photo: Path | None, directory: Path, count: int) -> None:
    """Photos of 12 megapixels: one picture enlarged, each with camera noise of its own."""
    directory.mkdir()
    source = astronaut() if photo is None else Image.open(photo).convert("RGB")
    large = np.asarray(source.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), np.float32)
    for seed in range(count):
        noise = np.random.default_rng(seed).normal(0.0, NOISE_SIGMA, large.shape)
        noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
        path = directory / f"{seed:02}.jpg"
        Image.fromarray(noisy).save(path, quality=QUALITY)
        then = time.time() - 60
        os.utime(path, (then, then))


def astronaut() -> Image.Image:
    """The photo that is free to use and always there."""
    from skimage import data  # noqa: PLC0415 -- only where no photo is given

    return Image.fromarray(data.astronaut())


def run_cutoutd(root: Path) -> Timing:
    """The daemon's command, as a user calls it, with default settings."""
    environment = os.environ | {
        "XDG_STATE_HOME": str(root / "state"),
        "XDG_CONFIG_HOME": str(root / "config"),
    }
    command = [sys.executable, "-P", "-m", "cutoutd", "run", "--once"]
    timing = timed([*command, "--input", str(root / "in"), "--output", str(root / "out")], environment)
    return Timing(wall_s=timing[0], cpu_s=timing[1], results=len(list((root / "out").glob("*.png"))))


def run_rembg(venv: Path, source: Path, target: Path, options: list[str]) -> Timing:
    """The peer's command, with the same weights in fp32."""
    environment = os.environ | {"U2NET_HOME": str(venv)}
    command = [str(venv / "bin" / "rembg"), "p", "-m", "u2net", *options, str(source), str(target)]
    timing = timed(command, environment)
    return Timing(wall_s=timing[0], cpu_s=timing[1], results=len(list(target.glob("*.png"))))


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command and all it started."""
    before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    wall_s, after = time.monotonic() - begun_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(name: str, timing: Timing) -> None:
    """One line for each command."""
    print(
        f"{name:<22} {timing.results:>3} pictures in {timing.wall_s:7.1f} s  {timing.per_minute:7.1f} a minute  "
        f"{timing.cpu_s / max(1, timing.results):6.2f} CPU s each",
        flush=True,
    )


def report_steps(output: Path) -> None:
    """Where the time of ours went, by the sidecars."""
    timings = [json.loads(path.read_text(encoding="utf-8"))["timings_ms"] for path in output.glob("*.json")]
    for step in timings[0]:
        print(f"  {step:<8} {statistics.median(one[step] for one in timings):8.1f} ms")


if __name__ == "__main__":
    main()
