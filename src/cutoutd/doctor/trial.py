"""Cuts a picture with the network refused: through the pool, a sandboxed worker and the model, as in the daemon.

From the first trial on, this process and all that it starts cannot open a network socket. It must not touch anybody's
folder: the picture and its result are in a temporary directory.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.daemon.assembly import setup_of
from cutoutd.doctor.confinement import process
from cutoutd.doctor.finding import Finding, Question, note, ok, problem
from cutoutd.errors import CutoutdError
from cutoutd.jobs import Cut
from cutoutd.pool.local import LocalPool
from cutoutd.pool.one_task import run_task, task_for
from cutoutd.protocols import Lost, Withdrawn
from cutoutd.sandbox.confinement import confine_supervisor
from cutoutd.sandbox.kernel import call, is_linux
from cutoutd.settings.schema import Folder
from cutoutd.settings.types import Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cutoutd.clock import Clock
    from cutoutd.protocols import ModelSpec, PoolEvent, WorkerFacts
    from cutoutd.settings.schema import Settings

TRIAL_S: Final = 90.0
"""Starting a worker and cutting a small picture takes 2 s; a slow disk at boot may need much longer."""

_AF_INET, _STREAM = 2, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """The result of a trial.

    Attributes:
        why: why it failed; empty if a picture was cut.
        advice: what to do about that.
        seconds: duration, including the start of the worker.
        facts: what the worker reported about itself, if it came up.
        socket: answer of the kernel when this process tried to open a network socket: ``refused``, ``given``, or
            empty where that was not tried.
        filtered: whether the kernel reports that the worker's system calls are filtered; None: it does not report.
    """

    why: str = ""
    advice: str = ""
    seconds: float = 0.0
    facts: WorkerFacts | None = None
    socket: str = ""
    filtered: bool | None = None


def cut(settings: Settings, models: Sequence[ModelSpec], clock: Clock) -> Trial:
    """Cut a picture. Takes the network from this process for good.

    Args:
        settings: pool and provider.
        models: models to load; the first one is tried.
        clock: source of monotonic time.
    """
    started_s = clock.monotonic_s()
    try:
        confine_supervisor()
        answer = _ask_for_socket()
        with tempfile.TemporaryDirectory(prefix="cutoutd-doctor-") as directory:
            return _cut_in(Path(directory), settings, models, clock, started_s=started_s, answer=answer)
    except CutoutdError as error:
        return Trial(why=error.cause, advice=error.advice, seconds=clock.monotonic_s() - started_s)
    except OSError as error:
        return Trial(
            why=f"no place for temporary files: {error}",
            advice="Make room in the temporary directory, or set TMPDIR to another one.",
        )


def _ask_for_socket() -> str:
    if not is_linux():
        return ""
    result = call("socket", _AF_INET, _STREAM, 0)
    if result >= 0:
        os.close(result)
        return "given"
    return "refused" if result == -errno.EPERM else ""


def _cut_in(
    root: Path,
    settings: Settings,
    models: Sequence[ModelSpec],
    clock: Clock,
    *,
    started_s: float,
    answer: str,
) -> Trial:
    source, output = root / "in" / "disc.png", root / "out"
    source.parent.mkdir()
    output.mkdir()
    source.write_bytes(png())
    pool = LocalPool(
        size=1,
        # The picture is our own PNG, which must work even where the format is disabled.
        setup=lambda: replace(setup_of(settings, models), formats=None),
        job_timeout_s=TRIAL_S,
        clock=clock,
    )
    try:
        recipe = Folder(name="doctor", input=source.parent, output=output).recipe()
        task, staging = task_for(source, output, recipe)
        event = run_task(pool, task, staging, clock, started_s + TRIAL_S)
        seen = [one for pid in pool.pids if (one := process(pid)) is not None]
        filtered = all(one.filtered for one in seen) if seen else None
    finally:
        pool.close()
    return Trial(
        why=_fault(event, staging.directory),
        advice="Please report this." if event is not None else "Try again when the machine is less busy.",
        seconds=clock.monotonic_s() - started_s,
        facts=pool.facts,
        socket=answer,
        filtered=filtered,
    )


def _fault(event: PoolEvent | None, staging: Path) -> str:
    """Return what is wrong with the result; empty if it is a cutout."""
    if event is None:
        return f"no picture was cut within {TRIAL_S:g} s"
    if isinstance(event, Lost):
        return event.why
    if isinstance(event, Withdrawn):
        return "there are no workers"
    report = event.report
    if not isinstance(report, Cut):
        return getattr(report, "cause", "") or f"the worker said {type(report).__name__}"
    result = next(one for one in report.staged if one.rendition == 0)
    content = (staging / result.name).read_bytes()
    if hashlib.sha256(content).hexdigest() != result.sha256 or (result.width, result.height) != (SIDE, SIDE):
        return "the result is not what the worker reported"
    return ""


def judge(trial: Trial, settings: Settings) -> Iterator[Finding]:
    """Judge where the model runs, and whether it does so without a network.

    Args:
        trial: result of the trial.
        settings: the configuration, which names the provider.
    """
    yield _offline(trial)
    facts = trial.facts
    wanted = settings.model.provider
    if facts is None:
        yield problem(
            "provider",
            f"no worker started on {wanted}: {trial.why}",
            trial.advice,
            question=Question.RUNS,
        )
        return
    yield ok(
        "provider",
        f"the model runs on this machine, in processes of cutoutd's own, on {facts.provider} "
        f"(onnxruntime {facts.onnxruntime}; asked for: {wanted}){_elsewhere(settings)}",
        question=Question.RUNS,
    )


def _elsewhere(settings: Settings) -> str:
    """Return for which folders it runs on other machines, in words; empty if for none."""
    said = [
        f"{'first ' if folder.route is Route.CLUSTER_THEN_LOCAL else ''}for the pictures of {folder.name}"
        for folder in settings.clustered
    ]
    if not said:
        return ""
    return f"; on the machines of the cluster at {settings.cluster.scheduler} {', '.join(said)}"


def _offline(trial: Trial) -> Finding:
    check, question = "offline-cut", Question.OFFLINE
    if trial.why:
        return problem(check, f"a picture could not be cut: {trial.why}", trial.advice, question=question)
    cut_in = f"a picture was cut in {trial.seconds:.1f} s"
    if trial.socket == "given" or trial.filtered is False:
        return problem(
            check,
            f"{cut_in}, but the kernel did not refuse the network",
            "The filter of this process or of its worker is not in force. Please report this.",
            question=question,
        )
    if trial.socket != "refused" or trial.filtered is None:
        return note(
            check,
            f"{cut_in} without a network library in the process; this system cannot refuse it the network",
            "To see for yourself, pull the cable and run this again.",
            question=question,
        )
    return ok(
        check,
        f"{cut_in} while the kernel refused the network: to this process every socket but local ones (tried), "
        "to the worker every socket (the kernel says that its filter is in force)",
        question=question,
    )


SIDE = 96


def png() -> bytes:
    """Return the test picture (Portable Network Graphics, third edition: 8 bits, grey, no filter)."""
    rows = b"".join(b"\0" + bytes(_grey(x, y) for x in range(SIDE)) for y in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _grey(x: int, y: int) -> int:
    inside = (x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2 < (SIDE / 3) ** 2
    return 60 if inside else 220


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
