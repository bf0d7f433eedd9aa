"""A worker that a hostile picture has taken over: it sends any report, in the real protocol.

The source of its task says what it does; afterwards it goes on to read tasks.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace

from cutoutd.errors import FailureCode
from cutoutd.jobs import Cut, Failure, Quality, SourceFacts, Staged, Unchanged
from cutoutd.pool import wire
from cutoutd.protocols import WorkerFacts
from cutoutd.recipe import Format

READY = wire.encode_ready(WorkerFacts(layers=(), provider="cpu", onnxruntime="0"))
FACTS = SourceFacts(bytes=1, sha256="a" * 64, width=1, height=1, format="JPEG", orientation=1)
CUT = Cut(
    source=FACTS, staged=(), quality=Quality(score=1.0, reasons=()), review=False, timings_ms={}, warnings=()
)
UNUSABLE = wire.encode_unusable(
    Failure(code=FailureCode.MODEL, title="t", cause="made up", advice="a", permanent=True)
)


def endless(job: int, *, width: int = 1, size: int = 4 << 40) -> bytes:
    """Return a result that can never be hashed completely."""
    staged = Staged(
        name=f"{job}-0.png",
        rendition=0,
        bytes=size,
        sha256="a" * 64,
        width=width,
        height=1,
        format=Format.PNG,
    )
    return wire.encode_report(job, replace(CUT, staged=(staged,)))


def start_threads(count: int) -> None:
    """Start threads that wait, and go on once their task is over."""
    for _ in range(count):
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def spin(seconds: float) -> None:
    """Use CPU time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def main() -> None:
    """Serve tasks, dishonestly."""
    tasks, reports = sys.stdin.buffer, sys.stdout.buffer
    tasks.readline()
    reports.write(READY)
    reports.flush()
    for line in tasks:
        task = wire.decode_task(line)
        report = wire.encode_report(task.job, Unchanged(sha256="0" * 64))
        deeds = {
            "honest": report,
            "report, then garbage": report + b"not json\n",
            "report twice": report + report,
            "ready again": READY,
            "unusable": UNUSABLE,
            "4 TiB": endless(task.job),
            "4 TiB of many pixels": endless(task.job, width=1 << 40),
            "nothing": endless(task.job, size=0),
            "nested": b"[" * 100_000 + b"\n",
            "many complaints": b'{"job": %d, "kind": "cut", "report": {"warnings": [%s]}}\n'
            % (task.job, b", ".join([b"1"] * 300_000)),
            "long ago": wire.encode_report(task.job, replace(CUT, timings_ms={"total": 1.7e308})),
            "in time": wire.encode_report(task.job, replace(CUT, timings_ms={"total": 0.1})),
            "endless": b'{"job": 1e999, "kind": "unchanged", "report": {"sha256": "0"}}\n',
        }
        if task.source == "threads":
            start_threads(200)
            time.sleep(600)
        elif task.source == "threads afterwards":
            threading.Timer(0.2, start_threads, (200,)).start()
        elif task.source == "works afterwards":
            threading.Thread(target=spin, args=(600.0,), daemon=True).start()
        elif task.source == "works a while afterwards":
            threading.Thread(target=spin, args=(0.5,), daemon=True).start()
        reports.write(deeds.get(task.source, report))
        reports.flush()


main()
