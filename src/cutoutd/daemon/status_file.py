"""`status.json` in the state directory: what only the running daemon knows, for `cutoutd status`.

It has no counts; those are in the journal. It is written on changes, and atomically; on a full disk, which a reader must learn
of, it is overwritten in place.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cutoutd.daemon.companion_watch import CompanionWatch
from cutoutd.errnos import FULL
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import read_small

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.folder.status import FolderStatus
    from cutoutd.offload.cluster_route import ClusterAway
    from cutoutd.protocols import WorkerFacts

FILE_NAME = "status.json"

_ROOM = " " * 4096
"""Padding at the end of the file, so that a longer text fits in its place on a full disk."""

_NEWS_S = 1.0

_MAX_BYTES = 64 << 20
"""The most bytes that are read; a folder takes a few KiB."""


class StatusFile:
    """Keeps the file up to date.

    Args:
        directory: the state directory.
        run: id of this session, by which a reader recognises the file of a running daemon.
        companions: the companion processes; ended ones are listed.
    """

    def __init__(self, directory: Path, run: str, companions: CompanionWatch | None = None) -> None:
        self._path = directory / FILE_NAME
        self._run = run
        self._companions = companions or CompanionWatch()
        self._last: dict[str, Any] = {}

    def show(
        self,
        statuses: Mapping[str, FolderStatus],
        *,
        workers: int,
        facts: WorkerFacts | None,
        paused: bool,
        refused_configuration: str = "",
        cluster: ClusterAway | None = None,
    ) -> None:
        """Write the file, if anything has changed since the last time.

        Args:
            statuses: statuses of the folders.
            workers: number of workers.
            facts: what the workers run on; None: no worker was up yet.
            paused: whether a person has paused new work.
            refused_configuration: why the configuration as last read is not in force; empty: it is.
            cluster: since when the cluster is away; None: it is not, or nothing is sent to one.

        Raises:
            OSError: the state directory's disk refuses.
        """
        now = {
            "run": self._run,
            "pid": os.getpid(),
            "workers": workers,
            "worker": asdict(facts) if facts is not None else None,
            "paused": paused,
            "refused_configuration": refused_configuration,
            "cluster": asdict(cluster) if cluster is not None else None,
            "ended_companions": self._companions.ended(),
            "folders": {name: asdict(status) for name, status in statuses.items()},
        }
        if now == self._last or (self._last and _steady(now) == _steady(self._last, now)):
            return
        # Not synced: it describes a running process, and means nothing after a power failure.
        self._write(json.dumps(now).encode("ascii"))
        self._last = now

    def _write(self, content: bytes) -> None:
        try:
            atomic_write(self._path, [content + _ROOM.encode("ascii")], synced=False)
        except OSError as error:
            if error.errno not in FULL:
                raise
            with self._path.open("r+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                if len(content) > size:
                    raise
                file.seek(0)
                file.write(content.ljust(size))


def _steady(shown: dict[str, Any], beside: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a status with the scan durations of another, unless they differ by a second and by a factor of two.

    Two scans never take exactly the same time, and an idle daemon must write nothing.
    """
    others = (beside or shown)["folders"]
    folders = {}
    for name, status in shown["folders"].items():
        now_s, then_s = status["scan_s"], others.get(name, status)["scan_s"]
        is_alike = abs(now_s - then_s) < _NEWS_S or max(now_s, then_s) < 2 * min(now_s, then_s)
        folders[name] = status | {"scan_s": then_s if is_alike else now_s}
    return shown | {"folders": folders}


def read(directory: Path) -> dict[str, Any]:
    """Return the status that a daemon last wrote; empty if none did."""
    try:
        content = json.loads(read_small(directory / FILE_NAME, _MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
