"""Times whole commands on 12-megapixel photos: `cutoutd run --once` and `rembg p`, alternating, in one run.

    python -m bench.speed --rembg DIR [--photo FILE] [--count 24]

Each command starts with nothing loaded and ends with its last result written. Both use U2-Net. It is not a part of the package, and
no test: machines differ, and are never equally busy twice; only the ratios are reliable.
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
CUTOUTD = (sys.executable, "-P", "-m", "cutoutd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The cost of one command: wall and CPU seconds, and the number of its results."""

    wall_s: float
    cpu_s: float
    results: int

    @property
    def per_minute(self) -> float:
        """Results a minute."""
        return 60 * self.results / self.wall_s


def main() -> None:
    """Measure, and print the figures."""
    parser = options(__doc__)
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


def options(described: str | None) -> argparse.ArgumentParser:
    """Return a command line parser with ``--photo``."""
    parser = argparse.ArgumentParser(
        description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, help="what the pictures are made of; an astronaut by default")
    return parser


def make_photos(photo: Path | None, directory: Path, count: int) -> None:
    """Make photos of 12 megapixels, each with different camera noise."""
    directory.mkdir()
    source = opened(photo)
    for seed in range(count):
        make_photo(source, directory / f"{seed:02}.jpg", (WIDTH, HEIGHT), seed)


def opened(photo: Path | None) -> Image.Image:
    """Open a photo, or the free one that is always available."""
    if photo is not None:
        return Image.open(photo).convert("RGB")
    from skimage import data  # noqa: PLC0415 -- only where no photo is given

    return Image.fromarray(data.astronaut())


def make_photo(source: Image.Image, path: Path, size: tuple[int, int], seed: int) -> None:
    """Enlarge a picture, add camera noise, and save it as a JPEG with a time of a minute ago."""
    frame = np.array(source.resize(size, Image.Resampling.LANCZOS))
    random = np.random.default_rng(seed)
    for top in range(0, len(frame), 256):  # noise for a whole frame would need gigabytes
        strip = frame[top : top + 256]
        noise = random.standard_normal(strip.shape, np.float32) * np.float32(NOISE_SIGMA)
        strip[:] = np.clip(strip + noise, 0, 255).astype(np.uint8)
    Image.fromarray(frame).save(path, quality=QUALITY)
    age(path)


def age(path: Path) -> None:
    """Make a file look complete: its time is a minute ago."""
    then = time.time() - 60
    os.utime(path, (then, then))


def apart(root: Path) -> dict[str, str]:
    """Return the environment of a command without this user's configuration and state."""
    return os.environ | {"XDG_STATE_HOME": str(root / "state"), "XDG_CONFIG_HOME": str(root / "config")}


def run_cutoutd(root: Path) -> Timing:
    """Run the daemon's command as a user does, with default settings."""
    arguments = ["--once", "--input", str(root / "in"), "--output", str(root / "out")]
    timing = timed([*CUTOUTD, "run", *arguments], apart(root))
    return Timing(wall_s=timing[0], cpu_s=timing[1], results=len(list((root / "out").glob("*.png"))))


def run_rembg(venv: Path, source: Path, target: Path, options: list[str]) -> Timing:
    """Run rembg's command, with the same weights in fp32."""
    environment = os.environ | {"U2NET_HOME": str(venv)}
    command = [str(venv / "bin" / "rembg"), "p", "-m", "u2net", *options, str(source), str(target)]
    timing = timed(command, environment)
    return Timing(wall_s=timing[0], cpu_s=timing[1], results=len(list(target.glob("*.png"))))


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return wall and CPU seconds of a command and its children."""
    before, started_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    wall_s, after = time.monotonic() - started_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(name: str, timing: Timing) -> None:
    """Print one line for a command."""
    print(
        f"{name:<22} {timing.results:>3} pictures in {timing.wall_s:7.1f} s  {timing.per_minute:7.1f} a minute  "
        f"{timing.cpu_s / max(1, timing.results):6.2f} CPU s each",
        flush=True,
    )


def report_steps(output: Path) -> None:
    """Print the time of our steps, from the sidecars."""
    timings = [json.loads(path.read_text(encoding="utf-8"))["timings_ms"] for path in output.glob("*.json")]
    for step in timings[0]:
        print(f"  {step:<8} {statistics.median(one[step] for one in timings):8.1f} ms")


if __name__ == "__main__":
    main()
