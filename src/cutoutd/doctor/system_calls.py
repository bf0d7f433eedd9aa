"""Finds system calls of this machine's libraries that the workers' list does not have.

A newer C library, Python or onnxruntime may make other calls; this reports them before a picture fails. `collect` starts
``python -P -m cutoutd.doctor.system_calls``, and `judge` interprets its output. That module starts a process which loads the
model, enters the workers' filter and cuts a picture of each kind, while its parent records the refused calls.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from cutoutd.doctor.finding import Finding, Question, note, ok
from cutoutd.pool import wire
from cutoutd.pool.slot import ENVIRONMENT
from cutoutd.process import child_environment, probe
from cutoutd.sandbox import recording

if TYPE_CHECKING:
    from cutoutd.process.probe import ProbeResult
    from cutoutd.protocols import ModelSpec
    from cutoutd.settings.schema import Settings

LOOK_S: Final = 60.0

MODULE: Final = "cutoutd.doctor.system_calls"

KINDS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "BMP", "GIF")
"""Names of formats that Pillow can write."""

_DONE_WITHOUT: Final = frozenset({"clone3", "openat2"})
"""Every C library tries these calls, and falls back to an older one."""

_MAX_SAID: Final = 200


def collect(settings: Settings, models: list[ModelSpec]) -> ProbeResult:
    """Run the trial in a separate process.

    Args:
        settings: pool and provider.
        models: the first one is tried.
    """
    setup = wire.Setup(
        parent=os.getpid(),
        models=tuple(models[:1]),
        provider=settings.model.provider,
        memory_mb=settings.pool.worker_memory_mb,
        nice=0,
        max_pixels=settings.pool.max_pixels,
        max_file_bytes=0,
    )
    environment = child_environment.for_worker(os.environ) | ENVIRONMENT
    return probe.run(
        MODULE, [wire.encode_setup(setup).decode("ascii")], timeout_s=LOOK_S, environment=environment
    )


def judge(answer: ProbeResult) -> Finding:
    """Judge the result of the trial.

    Args:
        answer: output of the module.
    """
    check, question = "system-calls", Question.WORKERS
    said = answer.merged
    refused = [str(name) for name in said.get("refused", [])]
    unusual = [name for name in refused if name not in _DONE_WITHOUT]
    kinds = ", ".join(map(str, said.get("kinds", [])))
    if "unknown" in said or not answer.ended:
        why = said.get("unknown") or answer.why
        return note(
            check, f"which system calls are refused cannot be found out here: {why}", question=question
        )
    told = f"cutting a picture behind the workers' list of system calls (decoded: {kinds})"
    if why := str(said.get("failed", "")):
        asked = f"refused: {', '.join(refused) or 'none'}"
        return note(check, f"{told} failed ({why}); {asked}", _REPORT, question=question)
    if unusual:
        seen = f"{told} works, but libraries tried other calls, which were refused: {', '.join(unusual)}"
        return note(check, seen, _REPORT, question=question)
    return ok(check, f"{told} needs no others", question=question)


_REPORT: Final = (
    "Please report this with the output of `cutoutd doctor` and the versions of Python and the C library."
)


def main(setup: wire.Setup) -> None:
    """Run the process that cuts, and print the calls that were refused."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        os._exit(_cut(setup, theirs))
    theirs.close()
    refused: dict[str, None] = {}
    try:
        message, listeners, _, _ = socket.recv_fds(ours, 65536, 1)
        if listeners:
            for name in recording.answer(listeners[0], ours.fileno()):
                refused[name] = None
            message, _, _, _ = socket.recv_fds(ours, 65536, 0)
        said = json.loads(message) if message else {"failed": "its process died"}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        ours.close()
    print(json.dumps(said | {"refused": list(refused)}), flush=True)  # noqa: T201 -- that is what it is for


def _cut(setup: wire.Setup, channel: socket.socket) -> int:
    """Run in the process that cuts."""
    said: dict[str, Any] = {}
    try:
        # Not in the parent, which must answer whatever a library does.
        from PIL import Image, features  # noqa: F401, PLC0415

        from cutoutd.engine.formats import decode  # noqa: PLC0415
        from cutoutd.pipeline import pipeline  # noqa: F401, PLC0415 -- as workers do
        from cutoutd.pipeline.engine import Engine  # noqa: PLC0415
        from cutoutd.pool.self_test import self_test  # noqa: PLC0415

        engine = Engine(
            setup.models,
            provider=setup.provider,
            max_pixels=setup.max_pixels,
            max_file_bytes=setup.max_file_bytes,
        )
        pictures = _pictures()
        listener = recording.install_reporting_filter(channel.fileno())
        if listener is None:
            said["unknown"] = (
                "the kernel has no filter with a listener (Linux 5.5), or another filter has one already"
            )
        else:
            socket.send_fds(channel, [b" "], [listener])
            for data in pictures.values():
                decode.decode(data, max_pixels=setup.max_pixels)
            self_test(engine)
            said["kinds"] = list(pictures)
    except Exception as error:  # noqa: BLE001 -- part of the result
        said["failed"] = f"{type(error).__name__}: {error}"[:_MAX_SAID]
    socket.send_fds(channel, [json.dumps(said).encode("ascii")], [])
    return 0


def _pictures() -> dict[str, bytes]:
    """Make a small picture of each kind that can be written here."""
    from PIL import Image  # noqa: PLC0415 -- as above

    made: dict[str, bytes] = {}
    for kind in KINDS:
        data = io.BytesIO()
        try:
            Image.effect_noise((96, 64), 40).convert("RGB").save(data, format=kind)
        except (KeyError, OSError):
            continue  # this Pillow has no such encoder
        made[kind] = data.getvalue()
    return made


if __name__ == "__main__":
    main(wire.decode_setup(sys.argv[1].encode("ascii")))
