"""Runs a check that may hang in a process of its own. If the process cannot even be killed, it is abandoned.

A thread could not be abandoned: a process cannot end while one of its threads waits for a dead share. It must not know what
is checked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import Countdown
from cutoutd.process import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_BYTES: Final = 1 << 20
"""Size of an answer; a correct one has a few KiB."""

_DEATH_S: Final = 0.5
_LOOK_S: Final = 0.5

_abandoned: list[subprocess.Popen[bytes]] = []
"""Processes stuck in the kernel; each is reaped by a later probe once its share has answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """The result of a probe.

    Attributes:
        documents: one for each line that it printed, as far as it came.
        ended: whether it ended by itself with code 0.
        why: how it ended otherwise.
    """

    documents: tuple[dict[str, Any], ...]
    ended: bool
    why: str = ""

    @property
    def merged(self) -> dict[str, Any]:
        """All documents in one; later ones override earlier ones."""
        return {key: value for document in self.documents for key, value in document.items()}


def run(
    module: str, arguments: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> ProbeResult:
    """Run a module of ours that prints JSON documents, one a line, and wait for it with a timeout.

    Args:
        module: name of the module.
        arguments: arguments of its command line.
        timeout_s: seconds after which it is killed.
        environment: environment of the process; None: that of a process that reads pictures.
    """
    for stuck in [process for process in _abandoned if process.poll() is not None]:
        _abandoned.remove(stuck)
    try:
        process = subprocess.Popen(  # noqa: S603 -- a module of this program's own
            (sys.executable, "-P", "-m", module, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment.for_worker(os.environ) if environment is None else environment,
            start_new_session=True,
        )
    except OSError as error:
        return ProbeResult(documents=(), ended=False, why=f"no process could be started: {error.strerror}")
    try:
        output, error_output = _output_of(process, Countdown(timeout_s, step_s=_LOOK_S))
    except subprocess.TimeoutExpired as expired:
        process.kill()
        try:
            process.wait(_DEATH_S)
        except subprocess.TimeoutExpired:
            _abandoned.append(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return ProbeResult(
            documents=_documents(expired.stdout or b""), ended=False, why=f"no answer within {timeout_s:g} s"
        )
    why = ""
    if process.returncode:
        last = error_output.decode("utf-8", "replace").strip().splitlines()[-1:]
        why = " ".join((f"it ended with code {process.returncode}", *last))
    return ProbeResult(documents=_documents(output), ended=process.returncode == 0, why=why)


def _output_of(process: subprocess.Popen[bytes], left: Countdown) -> tuple[bytes, bytes]:
    """Return all output of a process.

    Raises:
        TimeoutExpired: its time is over; has the output until then.
    """
    while True:
        left_s = left.left_s()
        try:
            return process.communicate(timeout=max(0.0, min(left_s, _LOOK_S)))
        except subprocess.TimeoutExpired:
            if left_s <= 0:
                raise


def _documents(said: bytes) -> tuple[dict[str, Any], ...]:
    documents = []
    for line in said[:MAX_BYTES].splitlines():
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue  # output of a library, or a line that was cut short
        if isinstance(document, dict):
            documents.append(document)
    return tuple(documents)
