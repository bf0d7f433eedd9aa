"""Cost by size of the picture: `cutoutd cut` on one photo at 1 to 100 megapixels, one at a time.

    python -m bench.growth [--photo FILE] [--plot FILE.svg]

Times of steps are medians from the sidecars; the peak is the worker's own, from the kernel.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.speed import CUTOUTD, apart, make_photo, opened, options

MEGAPIXELS = (1, 3, 12, 24, 50, 100)
STEPS = ("decode", "infer", "refine", "encode")
COLOURS = {"decode": "#7aa6c2", "infer": "#c9b458", "refine": "#c2706b", "encode": "#6aa37f"}

# Coordinates of the plot, in its own units.
BASE_Y, TOP_Y, LEFT_X, RIGHT_X = 300.0, 50.0, 70.0, 710.0
BAR_SHARE = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The cost of a picture of one size: milliseconds by step and in total, and the worker's peak in MiB."""

    megapixels: int
    steps_ms: dict[str, float]
    total_ms: float
    peak_mib: float


def main() -> None:
    """Measure, print the table, and draw the plot."""
    parser = options(__doc__)
    parser.add_argument("--plot", type=Path, help="SVG file to draw the result into")
    parser.add_argument("--rounds", type=int, default=3, help="runs for each size")
    chosen = parser.parse_args()
    costs = []
    print(
        "| megapixels | "
        + " | ".join(f"{step} ms" for step in STEPS)
        + " | total ms | peak MiB of the worker |"
    )
    print("| --- " * (len(STEPS) + 3) + "|")
    with tempfile.TemporaryDirectory() as directory:
        for megapixels in MEGAPIXELS:
            picture = Path(directory, f"{megapixels}.jpg")
            width = round(math.sqrt(megapixels * 1e6 * 4 / 3))
            make_photo(opened(chosen.photo), picture, (width, width * 3 // 4), megapixels)
            shutil.copy(picture, Path(directory, f"{megapixels}-twin.jpg"))
            cost = median([measured(picture, megapixels) for _ in range(chosen.rounds)])
            costs.append(cost)
            steps = " | ".join(f"{cost.steps_ms[step]:.0f}" for step in STEPS)
            print(f"| {cost.megapixels} | {steps} | {cost.total_ms:.0f} | {cost.peak_mib:.0f} |", flush=True)
    if chosen.plot is not None:
        chosen.plot.write_text(plot(costs), encoding="utf-8")


def measured(picture: Path, megapixels: int) -> Cost:
    """Cut a picture twice with a separate command, whose only child is the worker, so that the worker's peak is known.

    The second time counts: with its first picture a worker gets its memory from the system, which on a virtual machine may
    have to get it from the host.
    """
    twin = picture.with_stem(f"{picture.stem}-twin")
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "out")
        command = [*CUTOUTD, "cut", str(twin), str(picture), "--output", str(out)]
        run = subprocess.run(
            [sys.executable, "-c", _PEAK, *command],
            env=apart(Path(directory)) | {"CUTOUTD_POOL__WORKERS": "1"},
            check=False,
            capture_output=True,
            text=True,
        )
        if run.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stderr[-2000:]}")
        sidecars = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")]
        timings = max(sidecars, key=lambda one: str(one["published_at"]))["timings_ms"]
    return Cost(
        megapixels=megapixels,
        steps_ms={step: timings[step] for step in STEPS},
        total_ms=timings["total"],
        peak_mib=int(run.stdout.split()[-1]) / 1024,
    )


_PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
"""Prints the peak of the largest process below the command, which is its worker, in KiB."""


def median(costs: list[Cost]) -> Cost:
    """Return the median of each figure; for the peak, the maximum."""
    return Cost(
        megapixels=costs[0].megapixels,
        steps_ms={step: statistics.median(cost.steps_ms[step] for cost in costs) for step in STEPS},
        total_ms=statistics.median(cost.total_ms for cost in costs),
        peak_mib=max(cost.peak_mib for cost in costs),
    )


def plot(costs: list[Cost]) -> str:
    """Return an SVG with a bar for each size, divided into steps."""
    most = max(cost.total_ms for cost in costs)
    scale_ms = 500 * math.ceil(most / 500)
    per_ms = (BASE_Y - TOP_Y) / scale_ms
    lines = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 360" font-family="system-ui, sans-serif" '
            'font-size="13" fill="#223">'
        ),
        '<rect width="760" height="360" fill="#fcfcfa"/>',
    ]
    for mark in range(0, scale_ms + 1, 500):
        y = BASE_Y - mark * per_ms
        lines.append(
            f'<path d="M{LEFT_X:.0f} {y:.1f}H{RIGHT_X:.0f}" stroke="#dde"/>'
            f'<text x="{LEFT_X - 8:.0f}" y="{y + 4:.1f}" text-anchor="end">{mark}</text>'
        )
    pitch = (RIGHT_X - LEFT_X) / len(costs)
    for i, cost in enumerate(costs):
        x, y = LEFT_X + pitch * (i + (1 - BAR_SHARE) / 2), BASE_Y
        for step in STEPS:
            height = cost.steps_ms[step] * per_ms
            y -= height
            lines.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{pitch * BAR_SHARE:.1f}" height="{height:.1f}" '
                f'fill="{COLOURS[step]}"/>'
            )
        middle = x + pitch * BAR_SHARE / 2
        lines.append(f'<text x="{middle:.1f}" y="320" text-anchor="middle">{cost.megapixels} MP</text>')
    for i, step in enumerate(STEPS):
        lines.append(
            f'<rect x="{LEFT_X + 100 * i:.0f}" y="335" width="12" height="12" fill="{COLOURS[step]}"/>'
            f'<text x="{LEFT_X + 18 + 100 * i:.0f}" y="346">{step}</text>'
        )
    lines.append(f'<text x="{LEFT_X:.0f}" y="30">milliseconds for one picture, by its size</text></svg>\n')
    return "\n".join(lines)


if __name__ == "__main__":
    main()
