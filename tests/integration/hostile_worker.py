"""A worker that was taken over by a picture: it says what it likes, in the real protocol.

What it does with a task is the task's source; it goes on reading tasks whatever it has said.
"""

from __future__ import annotations

import sys

from cutoutd.jobs import Failure, Unchanged
from cutoutd.pool import wire
from cutoutd.ports import WorkerFacts

READY = wire.encode_ready(WorkerFacts(layers=(), provider="cpu", onnxruntime="0"))
UNUSABLE = wire.encode_unusable(Failure(code="Model", title="t", cause="made up", advice="a", permanent=True))


def main() -> None:
    """Serve, after a fashion."""
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
            "nested": b"[" * 100_000 + b"\n",
            "endless": b'{"job": 1e999, "kind": "unchanged", "report": {"sha256": "0"}}\n',
        }
        reports.write(deeds[task.source])
        reports.flush()


main()
