"""A worker that does what the source of its task says, to test how the pool reacts.

It speaks the real protocol in a real process; only the cutting is replaced.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from cutoutd.jobs import Unchanged
from cutoutd.pool import wire
from cutoutd.protocols import Step, WorkerFacts


def go_on(job: int, where: str) -> None:
    """Report a step some times ("STEP:COUNT"), and then nothing more."""
    step, _, count = where.partition(":")
    for _ in range(int(count)):
        sys.stdout.buffer.write(wire.encode_progress(job, Step(step)))
        sys.stdout.buffer.flush()
    time.sleep(600)


def main() -> None:  # noqa: C901, PLR0912 -- one branch a deed
    """Serve tasks as their sources say."""
    tasks, reports = sys.stdin.buffer, sys.stdout.buffer
    setup = wire.decode_setup(tasks.readline())
    if setup.provider == "die-at-start":
        sys.stderr.write("a library is missing\n")
        sys.exit(7)
    if setup.provider == "closed-stderr":
        os.close(2)
    if setup.provider == "die-at-rehearsal" and setup.self_test:
        sys.exit(7)
    reports.write(wire.encode_ready(WorkerFacts(layers=(), provider="cpu", onnxruntime="0")))
    reports.flush()
    for line in tasks:
        task = wire.decode_task(line)
        deed, _, where = task.source.partition(":")
        if deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif deed == "hang":
            time.sleep(600)
        elif deed == "step":
            go_on(task.job, where)
        elif deed == "garble":
            reports.write(b"\x00 not json\n")
            reports.flush()
            continue
        elif deed == "flood":
            reports.write(b"x" * (2 * wire.MAX_LINE_BYTES))
        elif deed == "lie":
            reports.write(wire.encode_report(task.job + 1, Unchanged(sha256="0" * 64)))
        elif deed == "complain":
            sys.stderr.write(f"{where}\n")
            sys.stderr.flush()
        elif deed == "complain-endlessly":
            while True:
                os.write(2, b"the same again\n" * 1000)
        elif deed == "wait":
            while not Path(where).exists():
                time.sleep(0.005)
        reports.write(wire.encode_report(task.job, Unchanged(sha256="0" * 64)))
        reports.flush()


main()
