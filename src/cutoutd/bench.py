"""`cutoutd bench`: what cutting a picture costs on this machine, on the user's own files.

It measures `cutoutd cut` as it is, including workers, sandbox and publishing; nothing is left out or warmed up.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.cut import CutoutTarget, cut
from cutoutd.fs.tree import Entry
from cutoutd.publish import document
from cutoutd.publish.sidecar import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.clock import Clock
    from cutoutd.events import EventSink
    from cutoutd.settings.schema import Settings

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere: getrusage(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The figures of a run.

    Attributes:
        pictures: number of pictures that were cut.
        failed: number of files that were not.
        megapixels: size of all cut pictures together, in megapixels.
        wall_s: time from before the workers' start to after the last publication, in seconds.
        cpu_s: CPU time of this process and all workers, in seconds.
        peak_mib: resident memory of the largest worker, in MiB.
        steps_ms: median time of each step in ms, by its name in the sidecar.
    """

    pictures: int
    failed: int
    megapixels: float
    wall_s: float
    cpu_s: float
    peak_mib: float
    steps_ms: dict[str, float]

    @property
    def per_minute(self) -> float:
        """Pictures per minute."""
        return 60 * self.pictures / self.wall_s if self.wall_s else 0.0

    @property
    def cpu_per_picture_s(self) -> float:
        """CPU seconds per picture."""
        return self.cpu_s / self.pictures if self.pictures else 0.0


def measure(files: Sequence[Path], settings: Settings, *, clock: Clock, emit: EventSink) -> Figures:
    """Cut files into a temporary directory, and measure it.

    Args:
        files: absolute paths of pictures.
        settings: limits and model.
        clock: clock for monotonic times.
        emit: receives each event.

    Raises:
        CutoutdError: as from `cutoutd.cut.cut`.
    """
    with tempfile.TemporaryDirectory(prefix="cutoutd-bench-") as directory:
        output = Path(directory)
        cpu_s, started_s = _cpu_s(), clock.monotonic_s()
        tally = cut(files, CutoutTarget(directory=output), settings, clock=clock, emit=emit, shows_queue=True)
        wall_s, cpu_s = clock.monotonic_s() - started_s, _cpu_s() - cpu_s
        sidecars = [
            sidecar
            for path in output.rglob("*.json")
            if (sidecar := document.read(Entry.at(path), SCHEMA)) is not None
        ]
    steps = {step for sidecar in sidecars for step in sidecar["timings_ms"]}
    return Figures(
        pictures=tally.done + tally.review,
        failed=tally.failed,
        megapixels=sum(one["source"]["width"] * one["source"]["height"] for one in sidecars) / 1e6,
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _RSS_UNIT / (1 << 20),
        steps_ms={
            step: statistics.median(one["timings_ms"][step] for one in sidecars if step in one["timings_ms"])
            for step in sorted(steps)
        },
    )


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
