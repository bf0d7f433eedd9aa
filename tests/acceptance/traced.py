"""Traces the network calls of a daemon's run with strace, in a namespace without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

_ON_THE_CHANNEL: Final = ("getsockname(", "getsockopt(", "recvmsg(")
_LINE: Final = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<arguments>.*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Traced:
    """A run that was traced.

    Attributes:
        code: exit code.
        log: output on standard error.
        workers: process ids of the workers.
        by_workers: network calls of the workers, refused or not, except those on the one connection that the supervisor has left
            them, which cannot open another one.
        foreign: calls of all other processes that name another family than AF_UNIX.
        unix: number of AF_UNIX sockets that the others have opened.
    """

    code: int
    log: str
    workers: frozenset[int]
    by_workers: tuple[str, ...]
    foreign: tuple[str, ...]
    unix: int


def run_once(bench: Bench, *, timeout_s: float) -> Traced:
    """Cut what is there with `run --once`; CI is unset, since it would switch off onnxruntime's telemetry."""
    for tool in ("strace", "unshare"):
        need(tool)
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode != 0:
        give_up("user namespaces are not allowed here")
    trace = bench.root / "calls"
    bench.environment["CUTOUTD_SERVICE__LOG_LEVEL"] = "debug"  # names the workers
    assert "CI" not in bench.environment
    command = ["unshare", "-rn", "strace", "-f", "-qq", "-e", "trace=%network", "-o", os.fspath(trace)]
    run = subprocess.run(
        [*command, *bench.command("run", *bench.pair(), "--once")],
        env=bench.environment,
        cwd=bench.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    lines = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    workers = frozenset(line["pid"] for line in lines if line["event"] == "worker.ready")
    found = _LINE.finditer(trace.read_text(encoding="utf-8", errors="replace"))
    calls = [(int(one["pid"]), f"{one['call']}({one['arguments']}") for one in found]
    others = [call for pid, call in calls if pid not in workers]
    created = [call for call in others if call.startswith(("socket(", "socketpair("))]
    return Traced(
        code=run.returncode,
        log=run.stderr,
        workers=workers,
        by_workers=tuple(
            call for pid, call in calls if pid in workers and not call.startswith(_ON_THE_CHANNEL)
        ),
        foreign=tuple(call for call in others if re.search(r"\b(?:AF|PF)_(?!UNIX|LOCAL)\w+", call)),
        unix=sum("AF_UNIX" in call for call in created),
    )
