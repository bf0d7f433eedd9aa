"""A worker process: loads its models, activates the sandbox, then cuts one picture after the other.

`cutoutd.pool.slot` starts it as ``python -P -m cutoutd.pool.worker``. Its standard input is a channel through which tasks
come with their open files; its standard output is the pipe of its reports. It must not touch the network, the journal, or
any file by its name; from `confine_worker` on, the kernel enforces that.
"""

from __future__ import annotations

import errno
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError
from cutoutd.failure import failure_of, to_valid_utf8
from cutoutd.pool import wire
from cutoutd.process import channel
from cutoutd.protocols import Step, WorkerFacts
from cutoutd.recipe import largest_result_bytes
from cutoutd.sandbox.confinement import confine_worker, own_code
from cutoutd.sandbox.limits import die_with_parent

if TYPE_CHECKING:
    from typing import BinaryIO

    from cutoutd.jobs import Failure
    from cutoutd.pipeline.engine import Engine


TELL_EVERY_S: Final = 0.5


def main() -> int:
    """Run until the channel ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the supervisor
    tasks, reports = channel.worker_ends()
    with suppress(Exception):  # the same fault is raised again below, where it can be reported
        _load_libraries()
    line, _ = tasks.receive()
    if not line:  # the worker was not needed
        return 0
    setup = wire.decode_setup(line)
    die_with_parent(setup.parent)
    try:
        engine, facts = _get_ready(setup, tasks.fileno())
    except Exception as error:  # noqa: BLE001 -- sent to the supervisor, which cannot see it otherwise
        _say(reports, wire.encode_unusable(_why_not(error)))
        return 1
    _say(reports, wire.encode_ready(facts))
    from cutoutd.pipeline import pipeline  # noqa: PLC0415 -- loaded by now

    while True:
        line, descriptors = tasks.receive()
        if not line:
            return 0
        task, files = wire.decode_task(line), wire.decode_files(line, descriptors)
        report = pipeline.run(task, files, engine, _ProgressReporter(reports, task.job))
        channel.close(
            descriptors
        )  # before the report: a file that somebody can still write to is copied by the supervisor
        _say(reports, wire.encode_report(task.job, report))


def _load_libraries() -> None:
    """Load what takes long and does not depend on the set-up, while the supervisor scans its folders."""
    import onnxruntime  # noqa: F401, PLC0415 -- see above

    from cutoutd.pipeline import pipeline  # noqa: F401, PLC0415


def _get_ready(setup: wire.Setup, tasks: int) -> tuple[Engine, WorkerFacts]:
    """Load the models and activate the sandbox.

    Args:
        setup: set-up from the supervisor.
        tasks: descriptor of the channel.
    """
    # Not at the top: a missing library, or one too large for the memory, is reported to the supervisor.
    import cv2  # noqa: PLC0415

    from cutoutd.engine.matting.matte_model import CPU  # noqa: PLC0415
    from cutoutd.pipeline.engine import Engine  # noqa: PLC0415
    from cutoutd.pool.self_test import self_test  # noqa: PLC0415

    cv2.setNumThreads(1)  # one thread a worker; a thread of OpenCV would also escape the sandbox
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
    """Return why this worker cannot work. It has read no picture yet, so the text is trusted."""
    known = error if isinstance(error, CutoutdError) else CutoutdError(f"{type(error).__name__}: {error}")
    failure = failure_of(known)
    cause = failure.cause if known.path is None else f"{to_valid_utf8(str(known.path))}: {failure.cause}"
    if isinstance(error, OSError) and error.errno in (errno.EPERM, errno.ENOSYS):
        cause += "; the sandbox may have refused a system call: `cutoutd doctor` says which are"
    return replace(failure, cause=cause, permanent=True)


class _ProgressReporter:
    """Reports the progress of a task to the supervisor: a new step at once, the same one every `TELL_EVERY_S`."""

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
