"""A worker that a hostile picture has taken over: it makes an honest result, and keeps its files open for later.

It is confined like a real one. It reports its first task as a cutout; with the second it overwrites the result of the first.
"""

from __future__ import annotations

import hashlib
import os

from cutoutd.jobs import Cut, Quality, SourceFacts, Staged, Unchanged
from cutoutd.pool import wire
from cutoutd.process import channel
from cutoutd.protocols import WorkerFacts
from cutoutd.publish.staging import result_name
from cutoutd.recipe import Format
from cutoutd.sandbox.confinement import confine_worker, own_code

HONEST = b"an honest result"
FORGED = b"something else !"


def cut(job: int, size: int) -> Cut:
    """Return the report of an honest worker about the result."""
    sha256 = hashlib.sha256(HONEST).hexdigest()
    return Cut(
        source=SourceFacts(bytes=size, sha256="a" * 64, width=4, height=3, format="JPEG", orientation=1),
        staged=(
            Staged(
                name=result_name(job, 0, "png"),
                rendition=0,
                bytes=len(HONEST),
                sha256=sha256,
                width=4,
                height=3,
                format=Format.PNG,
            ),
        ),
        quality=Quality(score=1.0, reasons=()),
        review=False,
        timings_ms={"total": 1.0},
        warnings=(),
    )


def main() -> None:
    """Serve tasks as a hostile worker does."""
    tasks, reports = channel.Receiver(os.dup(0)), os.fdopen(os.dup(1), "wb")
    setup = wire.decode_setup(tasks.receive()[0])
    layers = confine_worker(
        read=own_code(), tasks=tasks.fileno(), memory_mb=setup.memory_mb, file_bytes=1 << 20
    )
    reports.write(wire.encode_ready(WorkerFacts(layers=layers, provider="cpu", onnxruntime="0")))
    reports.flush()
    kept: list[int] = []
    while True:
        line, descriptors = tasks.receive()
        if not line:
            return
        task, files = wire.decode_task(line), wire.decode_files(line, descriptors)
        if not kept:
            os.write(files.results[0], HONEST)
            kept.append(files.results[0])
            reports.write(wire.encode_report(task.job, cut(task.job, task.size)))
        else:
            os.pwrite(kept[0], FORGED, 0)
            reports.write(wire.encode_report(task.job, Unchanged(sha256="0" * 64)))
        reports.flush()


if __name__ == "__main__":
    main()
