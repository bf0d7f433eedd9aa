"""A worker process: loads its models, locks itself in, then cuts one picture after the other.

Started by `cutoutd.pool.slot` as ``python -P -m cutoutd.pool.worker`` with a task pipe as its standard
input and a report pipe as its standard output. It must not touch the network, the journal, or any name
outside the staging directories; from `confine_worker` on, the kernel sees to that.
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
from cutoutd.ports import Step, WorkerFacts
from cutoutd.sandbox.limits import die_with_parent
from cutoutd.sandbox.roots import own_code
from cutoutd.sandbox.worker import confine_worker

if TYPE_CHECKING:
    from typing import BinaryIO

    from cutoutd.pipeline import Engine


TELL_EVERY_S: Final = 0.5


def main() -> int:
    """Serve until the task pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the supervisor's to answer
    tasks, reports = _pipes()
    with suppress(Exception):  # what fails here fails again below, where there is somebody to tell
        _load_libraries()
    line = tasks.readline()
    if not line:  # it was never needed
        return 0
    setup = wire.decode_setup(line)
    die_with_parent(setup.parent)
    try:
        engine, facts = _get_ready(setup, reports)
    except Exception as error:  # noqa: BLE001 -- told to the supervisor, which cannot see it otherwise
        _say(reports, wire.encode_unusable(_why_not(error)))
        return 1
    _say(reports, wire.encode_ready(facts))
    from cutoutd import pipeline  # noqa: PLC0415 -- loaded by now

    for line in tasks:
        task = wire.decode_task(line)
        report = pipeline.run(task, engine, _Teller(reports, task.job))
        _say(reports, wire.encode_report(task.job, report))
    return 0


def _load_libraries() -> None:
    """Load what takes long and depends on nothing the set-up says: a supervisor that starts is looking at its folders."""
    import onnxruntime  # noqa: F401, PLC0415 -- see above

    from cutoutd import pipeline  # noqa: F401, PLC0415


def _get_ready(setup: wire.Setup, reports: BinaryIO) -> tuple[Engine, WorkerFacts]:
    """Load what the work takes, and be locked in."""
    # Not at the top: a library that is missing or too large for the memory must have somebody to tell.
    import cv2  # noqa: PLC0415

    from cutoutd import pipeline  # noqa: PLC0415
    from cutoutd.engine.matting import CPU  # noqa: PLC0415
    from cutoutd.pool.rehearsal import rehearse  # noqa: PLC0415

    cv2.setNumThreads(1)  # one thread a worker; and a thread of OpenCV's would escape the sandbox
    engine = pipeline.Engine(
        setup.models,
        provider=setup.provider,
        max_pixels=setup.max_pixels,
        max_file_bytes=setup.max_file_bytes,
        formats=setup.formats,
    )
    _reach(reports, (*setup.read_roots, *setup.write_roots))
    layers = confine_worker(
        read=(*setup.read_roots, *own_code()),
        write=setup.write_roots,
        memory_mb=setup.memory_mb,
        nice=setup.nice,
        graphics=engine.usual.provider != CPU,
        required=setup.sandbox_required,
    )
    if setup.rehearse:
        rehearse(engine)
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


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, moved away from where a library that prints would disturb them."""
    tasks, reports = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
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


def _reach(reports: BinaryIO, roots: tuple[str, ...]) -> None:
    """Touch every root that the sandbox will be bound to, saying which: one may be a share that hangs."""
    for number, root in enumerate(roots):
        _say(reports, wire.encode_binding(number))
        with suppress(OSError):  # what is missing is out of reach
            os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    _say(reports, wire.encode_binding(len(roots)))


def _say(reports: BinaryIO, line: bytes) -> None:
    reports.write(line)
    reports.flush()


if __name__ == "__main__":
    sys.exit(main())
