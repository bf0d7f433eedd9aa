"""A worker process: loads the model, locks itself in, then cuts one picture after the other.

Started by `cutoutd.pool.slot` as ``python -P -m cutoutd.pool.worker`` with a task pipe as its standard
input and a report pipe as its standard output. It must not touch the network, the journal, or any name
outside the staging directories; from `confine_worker` on, the kernel sees to that.
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from typing import TYPE_CHECKING

import cv2

from cutoutd import pipeline
from cutoutd.errors import CutoutdError
from cutoutd.pool import wire
from cutoutd.ports import WorkerFacts
from cutoutd.sandbox.limits import die_with_parent
from cutoutd.sandbox.worker import confine_worker

if TYPE_CHECKING:
    from typing import BinaryIO


def main() -> int:
    """Serve until the task pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the supervisor's to answer
    tasks, reports = _pipes()
    setup = wire.decode_setup(tasks.readline())
    die_with_parent(setup.parent)
    cv2.setNumThreads(1)  # one thread a worker; and a thread of OpenCV's would escape the sandbox
    try:
        engine = pipeline.Engine(
            setup.model,
            provider=setup.provider,
            max_pixels=setup.max_pixels,
            max_file_bytes=setup.max_file_bytes,
        )
    except CutoutdError as error:
        _say(reports, wire.encode_unusable(pipeline.failure_of(error)))
        return 1
    layers = confine_worker(
        read=(*setup.read_roots, *_own_code()),
        write=setup.write_roots,
        memory_mb=setup.memory_mb,
        nice=setup.nice,
    )
    _say(
        reports,
        wire.encode_ready(
            WorkerFacts(layers=layers, provider=engine.model.provider, onnxruntime=engine.model.onnxruntime)
        ),
    )
    for line in tasks:
        task = wire.decode_task(line)
        report = pipeline.run(task, engine)
        _say(reports, wire.encode_report(task.job, report))
    return 0


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, moved away from where a library that prints would disturb them."""
    tasks, reports = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return tasks, reports


def _say(reports: BinaryIO, line: bytes) -> None:
    reports.write(line)
    reports.flush()


def _own_code() -> tuple[str, ...]:
    """Python's own directories and the system's libraries: what is imported late is read from there."""
    python = (
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        *filter(os.path.isdir, sys.path),
    )
    return tuple(dict.fromkeys((*python, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")))


if __name__ == "__main__":
    sys.exit(main())
