"""A session of 1,000 frames, three a second, written as programs for tethered shooting do: one cutout for each frame.

It takes as long as the machine needs for so many pictures; frames come faster than most machines cut, so that the newest-first
order and a long queue are tested as well. ``FRAMES`` in the environment sets the number.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.acceptance.writers import WRITERS, lightroom
from tests.outputs import published

from torture.figures import Figures, note, report
from torture.site import jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES: Final = int(os.environ.get("FRAMES", "1000"))
FRAME_S: Final = 1 / 3
PATIENCE_S: Final = 120.0
"""Time without a new result after which it counts as stopped."""


def configuration(root: Path) -> Path:
    """Write a configuration of one folder, as in the example for tethered shooting."""
    config = root / "cutoutd.toml"
    config.write_text(
        f'[service]\nstate_dir = "{root}/state"\nmin_free_disk_mb = 0\n'
        f'[[folder]]\nname = "tethered"\ninput = "{root}/in"\noutput = "{root}/in/Cutouts"\n'
        'order = "newest"\nsettle_s = 0.5\n',
        encoding="utf-8",
    )
    return config


def shoot(folder: Path, at: dict[str, float]) -> None:
    """Write all frames in time, by one program after the other; ``at`` gets the time when each was complete."""
    started_s = time.monotonic()
    for number in range(FRAMES):
        write = WRITERS[number % len(WRITERS)]
        name = f"IMG_{number:04d}.jpg"
        write(folder, name, jpeg(number, 80 + number % 15), 0.1)
        at[name] = time.time()
        if write is lightroom:
            at[name.replace(".jpg", ".tif")] = time.time()
        time.sleep(max(0.0, started_s + (number + 1) * FRAME_S - time.monotonic()))


def sidecars(output: Path) -> Iterator[dict[str, object]]:
    """Yield the content of the sidecars."""
    for path in published(output, "*.json"):
        yield json.loads(path.read_text(encoding="utf-8"))


def wait_for(output: Path, count: int) -> None:
    """Wait until so many are cut, or no more results come."""
    seen, since_s = -1, time.monotonic()
    while seen < count and time.monotonic() < since_s + PATIENCE_S:
        now = len(published(output, "*.json"))
        if now != seen:
            seen, since_s = now, time.monotonic()
        time.sleep(1.0)


def judge(root: Path, at: dict[str, float]) -> tuple[dict[str, object], list[str]]:
    """Return counts, and what is wrong."""
    wrong: list[str] = []
    cut: dict[str, str] = {}
    delays_s: list[float] = []
    for said in sidecars(root / "in" / "Cutouts"):
        source, outputs = said["source"], said["outputs"]
        assert isinstance(source, dict)  # noqa: S101 -- by the schema
        assert isinstance(outputs, list)  # noqa: S101 -- by the schema
        name = str(source["path"])
        if name in cut:
            wrong.append(f"{name} was published twice")
        cut[name] = str(source["sha256"])
        for one in outputs:
            target = root / "in" / "Cutouts" / str(one["path"])
            if not target.is_file() or hashlib.sha256(target.read_bytes()).hexdigest() != one["sha256"]:
                wrong.append(f"{one['path']} is not as its sidecar says")
        if name in at:
            delays_s.append(_published_s(str(said["published_at"])) - at[name])
    wrong += [f"{name} was not cut" for name in at if name not in cut]
    wrong += [f"{name} was cut, and is no frame" for name in cut if name not in at]
    wrong += [
        f"{name} was not cut from its final bytes"
        for name, sha256 in cut.items()
        if name in at and hashlib.sha256((root / "in" / name).read_bytes()).hexdigest() != sha256
    ]
    counts: dict[str, object] = {"frames": FRAMES, "files": len(at), "cut": len(cut)}
    if delays_s:
        counts["median wait s"] = round(statistics.median(delays_s), 1)
        counts["shortest s"] = round(min(delays_s), 1)
    return counts, wrong


def _published_s(text: str) -> float:
    from datetime import datetime  # noqa: PLC0415 -- here alone

    return datetime.fromisoformat(text).timestamp()


def main() -> int:
    """Shoot, wait, and judge."""
    root = Path(tempfile.mkdtemp(prefix="torture-tethered-"))
    (root / "in").mkdir()
    command = [sys.executable, "-P", "-m", "cutoutd", "run", "--config", str(configuration(root))]
    at: dict[str, float] = {}
    started_s = time.monotonic()
    with (root / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            time.sleep(3.0)
            note(f"{FRAMES} frames, one every {FRAME_S:.2f} s")
            shoot(root / "in", at)
            note(f"all are shot; {len(published(root / 'in' / 'Cutouts', '*.json'))} are cut")
            wait_for(root / "in" / "Cutouts", len(at))
        finally:
            daemon.terminate()
            code = daemon.wait(60)
    counts, wrong = judge(root, at)
    if code != 0:
        wrong.append(f"the daemon ended with code {code}")
    counts["minutes"] = round((time.monotonic() - started_s) / 60, 1)
    if not wrong:
        shutil.rmtree(root)
    promise = "one cutout for each frame, of its final bytes, however it was written"
    return report(Figures(campaign="tethered", promise=promise, counts=counts, violations=tuple(wrong)))


if __name__ == "__main__":
    sys.exit(main())
