"""The resources of processes, by the kernel's figures in `/proc`."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, in seconds."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    return (int(text[11]) + int(text[12])) / _TICKS


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The figures of one process at one time."""

    at_s: float
    rss_kib: int
    pss_kib: int
    descriptors: int
    threads: int


def sample(pid: int, at_s: float) -> Sample | None:
    """Sample a process; None if it has ended."""
    root = Path(f"/proc/{pid}")
    try:
        status = dict(
            line.split(":", 1) for line in (root / "status").read_text().splitlines() if ":" in line
        )
        rollup = (root / "smaps_rollup").read_text().splitlines()
        pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return Sample(
            at_s=at_s,
            rss_kib=int(status["VmRSS"].split()[0]),
            pss_kib=pss,
            descriptors=sum(1 for _ in (root / "fd").iterdir()),
            threads=int(status["Threads"]),
        )
    except (OSError, KeyError, ValueError, StopIteration):
        return None


def drift(samples: list[Sample], from_s: float) -> float | None:
    """Return the growth of memory after the warm-up, as a share: Theil-Sen's slope over the whole time; None: too few samples.

    The median of all slopes between two samples is robust against a single large picture and a page cache that comes and
    goes. A replaced worker is another process, and judged separately from its own warm-up on.
    """
    late = [one for one in samples if one.at_s >= from_s]
    if len(late) < 10:
        return None
    step = max(1, len(late) // 200)  # 20,000 pairs are enough
    thinned = late[::step]
    slopes = [
        (b.rss_kib - a.rss_kib) / (b.at_s - a.at_s)
        for i, a in enumerate(thinned)
        for b in thinned[i + 1 :]
        if b.at_s > a.at_s
    ]
    middle = statistics.median(one.rss_kib for one in late)
    return statistics.median(slopes) * (late[-1].at_s - late[0].at_s) / middle
