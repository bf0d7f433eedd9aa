"""A worker process: loads its models, locks itself in, then cuts one picture after the other.

Started by `cutoutd.pool.slot` as ``python -P -m cutoutd.pool.worker`` with a channel as its standard input, through which
tasks come with their files opened, and a report pipe as its standard output. It must not touch the network, the journal, or
any file by its name; from `confine_worker` on, the kernel sees to that.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError
from cutoutd.jobs import Failure
from cutoutd.pool import wire
from cutoutd.process import channel
from cutoutd.protocols import Step, WorkerFacts
from cutoutd.recipe import largest_result_bytes
from cutoutd.sandbox.confinement import confine_worker, own_code
from cutoutd.sandbox.limits import die_with_parent

if TYPE_CHECKING:
    from typing import BinaryIO

    from cutoutd.pipeline.engine import Engine
    from cutoutd.process.channel import Receiver


TELL_EVERY_S: Final = 0.5


def main() -> int:
    """Serve until the channel ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the supervisor's to answer
    tasks, reports = _ends()
    with suppress(Exception):  # what fails here fails again below, where there is somebody to tell
        _load_libraries()
    line, _ = tasks.receive()
    if not line:  # it was never needed
        return 0
    setup = wire.decode_setup(line)
    die_with_parent(setup.parent)
    try:
        engine, facts = _get_ready(setup, tasks.fileno())
    except Exception as error:  # noqa: BLE001 -- told to the supervisor, which cannot see it otherwise
        _say(reports, wire.encode_unusable(_why_not(error)))
        return 1
    _say(reports, wire.encode_ready(facts))
    from cutoutd.pipeline import pipeline  # noqa: PLC0415 -- loaded by now

    while True:
        line, descriptors = tasks.receive()
        if not line:
            return 0
        task, files = wire.decode_task(line), wire.decode_files(line, descriptors)
        report = pipeline.run(task, files, engine, _Teller(reports, task.job))
        channel.close(
            descriptors
        )  # before it is told: what somebody can still write to is copied by the supervisor
        _say(reports, wire.encode_report(task.job, report))


def _load_libraries() -> None:
    """Load what takes long and depends on nothing the set-up says: a supervisor that starts is looking at its folders."""
    import onnxruntime  # noqa: F401, PLC0415 -- see above

    from cutoutd.pipeline import pipeline  # noqa: F401, PLC0415


def _get_ready(setup: wire.Setup, tasks: int) -> tuple[Engine, WorkerFacts]:
    """Load what the work takes, and be locked in.

    Args:
        setup: as it was told.
        tasks: descriptor of the channel.
    """
    # Not at the top: a library that is missing or too large for the memory must have somebody to tell.
    import cv2  # noqa: PLC0415

    from cutoutd.engine.matting.matte_model import CPU  # noqa: PLC0415
    from cutoutd.pipeline.engine import Engine  # noqa: PLC0415
    from cutoutd.pool.self_test import self_test  # noqa: PLC0415

    cv2.setNumThreads(1)  # one thread a worker; and a thread of OpenCV's would escape the sandbox
    engine = Engine(
        setup.models,
        provider=setup.provider,
        max_pixels=setup.max_pixels,
        max_file_bytes=setup.max_file_bytes,
        formats=setup.formats,
        second=setup.second,
    )
    layers = confine_worker(
        read=own_code(),
        tasks=tasks,
        memory_mb=setup.memory_mb,
        file_bytes=largest_result_bytes(setup.max_pixels),
        nice=setup.nice,
        graphics=engine.usual.provider != CPU,
        required=setup.sandbox_required,
    )
    if setup.self_test:
        self_test(engine)
    return engine, WorkerFacts(
        layers=layers, provider=engine.usual.provider, onnxruntime=engine.usual.onnxruntime
    )


def _why_not(error: Exception) -> Failure:
    """What keeps this worker from working; no picture was seen yet, so none can speak through it."""
    known = error if isinstance(error, CutoutdError) else CutoutdError(f"{type(error).__name__}: {error}")
    cause = known.cause if known.path is None else f"{known.path}: {known.cause}"
    if isinstance(error, OSError) and error.errno in (errno.EPERM, errno.ENOSYS):
        cause += "; the sandbox may have refused a system call: `cutoutd doctor` says which are"
    cause, advice = (text.encode("utf-8", "backslashreplace").decode() for text in (cause, known.advice))
    return Failure(code=known.code, title=known.title, cause=cause, advice=advice, permanent=True)


def _ends() -> tuple[Receiver, BinaryIO]:
    """Channel and pipe, moved away from where a library that prints would disturb them."""
    tasks, reports = channel.Receiver(os.dup(0)), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return tasks, reports


class _Teller:
    """Tells the supervisor how a task goes on: of a new step at once, of the same one now and then."""

    def __init__(self, reports: BinaryIO, job: int) -> None:
        self._reports = reports
        self._job = job
        self._last: Step | None = None
        self._next_s = 0.0

    def __call__(self, step: Step) -> None:
        now_s = time.monotonic()
        if step is not self._last or now_s >= self._next_s:
            self._last, self._next_s = step, now_s + TELL_EVERY_S
            _say(self._reports, wire.encode_progress(self._job, step))


def _say(reports: BinaryIO, line: bytes) -> None:
    reports.write(line)
    reports.flush()


if __name__ == "__main__":
    sys.exit(main())
