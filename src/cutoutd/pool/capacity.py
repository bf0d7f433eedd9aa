"""How many workers this machine can run: by its cores, its memory and the limits of the control group.

It only reads what the kernel reports.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MEMORY_PER_WORKER: Final = 1.5 * (1 << 30)
"""Bytes; a 12 MP picture needs less than half of it, one of 50 MP nearly all."""

_CGROUP: Final = Path("/sys/fs/cgroup")


def worker_count(wanted: int, second_mb: int = 0) -> int:
    """Return how many workers to run.

    Args:
        wanted: number from the configuration; 0: as many as the machine can run.
        second_mb: MiB that each worker needs in addition, for a second model.
    """
    if wanted > 0:
        return wanted
    groups = _groups()
    cores = float(_cores())
    memory = float(_physical_memory())
    for group in groups:
        cores = min(cores, _cpu_quota(_text(group / "cpu.max")))
        memory = min(memory, _memory_limit(_text(group / "memory.max")))
    return max(1, min(int(cores), int(memory / (MEMORY_PER_WORKER + (second_mb << 20)))))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _groups() -> list[Path]:
    """Return the control groups (version 2) of this process, innermost first; empty where there are none."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        if line.startswith("0::"):
            group = _CGROUP / line[3:].lstrip("/")
            return [path for path in (group, *group.parents) if path.is_relative_to(_CGROUP)]
    return []


def _cpu_quota(cpu_max: str) -> float:
    """Return how many cores a group may use, from ``cpu.max``: quota and period in microseconds, or ``max``."""
    quota, _, period = cpu_max.partition(" ")
    if not quota.isdigit() or not period.strip().isdigit():
        return float("inf")
    return int(quota) / int(period)


def _memory_limit(memory_max: str) -> float:
    """Return how many bytes a group may use, from ``memory.max``."""
    text = memory_max.strip()
    return float(text) if text.isdigit() else float("inf")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
