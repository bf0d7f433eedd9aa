"""The overview as text for Prometheus: gauges only, which OpenMetrics and the older text format write in the same way.

node_exporter's textfile collector reads it from a file, so no port is opened. After "OpenMetrics", version 1.0
(https://github.com/prometheus/OpenMetrics), and the collector's rule that samples have no timestamps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.folder.status import OPEN
from cutoutd.fs.atomic_write import write_text
from cutoutd.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cutoutd.overview.overview import FolderView, Overview

_READABLE: Final = 0o644  # node_exporter runs as another user


def render(overview: Overview) -> str:
    """Return the whole text, with its end mark."""
    lines = [
        *_family("cutoutd_up", "Whether the daemon runs.", [("", float(overview.running))]),
        *_family("cutoutd_paused", "Whether a person has paused it.", [("", float(overview.paused))]),
        *_family("cutoutd_workers", "Workers of the daemon.", [("", float(overview.workers or 0))]),
        *_family(
            "cutoutd_scraped_seconds", "When this was written, Unix time.", [("", overview.at_us / 1_000_000)]
        ),
    ]
    folders = overview.folders
    lines += _family("cutoutd_pictures", "Pictures by state, by their newest version.", _states(folders))
    for name, text, values in (
        (
            "cutoutd_folder_open",
            "Whether the folder is worked on.",
            ((one, float(one.watching in OPEN)) for one in folders),
        ),
        (
            "cutoutd_arriving",
            "Files that are not yet quiet.",
            ((one, float(one.settling)) for one in folders),
        ),
        (
            "cutoutd_doubtful",
            "Published cutouts that may well be wrong.",
            ((one, float(one.doubtful)) for one in folders),
        ),
        (
            "cutoutd_done_today",
            "Cutouts since midnight.",
            ((one, float(one.done_today)) for one in folders),
        ),
        (
            "cutoutd_last_done_seconds",
            "When the last cutout was finished, Unix time.",
            (
                (one, one.last.finished_us / 1_000_000)
                for one in folders
                if one.last is not None and one.last.finished_us is not None
            ),
        ),
        (
            "cutoutd_picture_seconds",
            "Median time of work on one of the last pictures.",
            ((one, one.median_s) for one in folders if one.median_s is not None),
        ),
        (
            "cutoutd_free_bytes",
            "Room where results go.",
            ((one, float(one.free_bytes)) for one in folders if one.free_bytes is not None),
        ),
    ):
        samples = [(f'folder="{_escape(one.name)}"', value) for one, value in values]
        lines += _family(name, text, samples)
    return "\n".join((*lines, "# EOF")) + "\n"


def write(text: str, path: Path) -> None:
    """Write the text to a file, atomically; the temporary file has no name that a collector reads.

    Raises:
        UsageError: it cannot be written.
    """
    write_text(path, [text], mode=_READABLE)


def _states(folders: Iterable[FolderView]) -> list[tuple[str, float]]:
    # All states, including empty ones: a series that comes and goes cannot be alerted on.
    return [
        (f'folder="{_escape(folder.name)}",state="{state.value}"', float(folder.states.get(state, 0)))
        for folder in folders
        for state in JobState
    ]


def _family(name: str, text: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        number = f"{value:.0f}" if value.is_integer() else f"{value:.6f}"
        yield f"{name}{{{labels}}} {number}" if labels else f"{name} {number}"


def _escape(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
