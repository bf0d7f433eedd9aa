"""A worker that only decodes, with the same decoders, sandbox and limits, but without model and results.

For a file that it could decode, it reports ``unchanged`` with its size as the hash; for any other, what was wrong.
"""

from __future__ import annotations

import os

import cv2

from cutoutd.engine.formats import decode
from cutoutd.errors import CutoutdError, FailureCode
from cutoutd.failure import failure_of
from cutoutd.jobs import Failure, Report, Unchanged
from cutoutd.pool import wire
from cutoutd.process import channel
from cutoutd.protocols import Step, WorkerFacts
from cutoutd.sandbox.confinement import confine_worker, own_code
from cutoutd.sandbox.limits import die_with_parent


def verdict(descriptor: int, max_pixels: int) -> Report:
    """Return the report, by the rules of `cutoutd.pipeline.pipeline`."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            data = file.read()
        decode.header(data)
        picture = decode.decode(data, max_pixels=max_pixels, deep=True)
    except CutoutdError as error:
        return failure_of(error)
    except Exception as error:  # noqa: BLE001 -- told, not raised: the campaign looks for these
        return Failure(
            code=FailureCode.FAULT,
            title="",
            cause=f"{type(error).__name__}: {error}",
            advice="",
            permanent=True,
        )
    if picture.rgb.ndim != 3 or picture.rgb.size == 0 or not picture.rgb.flags.c_contiguous:
        return Failure(
            code=FailureCode.FAULT,
            title="",
            cause=f"a picture of {picture.rgb.shape}",
            advice="",
            permanent=True,
        )
    return Unchanged(sha256=f"{picture.rgb.shape[1]:032d}{picture.rgb.shape[0]:032d}")


def main() -> None:
    """Serve tasks until the channel ends."""
    tasks, reports = channel.Receiver(os.dup(0)), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    setup = wire.decode_setup(tasks.receive()[0])
    die_with_parent(setup.parent)
    cv2.setNumThreads(1)
    layers = confine_worker(
        read=own_code(), tasks=tasks.fileno(), memory_mb=setup.memory_mb, file_bytes=0, nice=setup.nice
    )
    reports.write(wire.encode_ready(WorkerFacts(layers=layers, provider="cpu", onnxruntime="0")))
    reports.flush()
    while True:
        line, descriptors = tasks.receive()
        if not line:
            return
        task = wire.decode_task(line)
        reports.write(wire.encode_progress(task.job, Step.CUT))
        reports.flush()
        reports.write(wire.encode_report(task.job, verdict(descriptors[0], setup.max_pixels)))
        reports.flush()


if __name__ == "__main__":
    main()
