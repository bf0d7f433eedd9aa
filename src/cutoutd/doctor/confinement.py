"""What the workers can do: tested in a process with their sandbox, and read from the kernel for running ones.

It must not try anything itself; `cutoutd.doctor.sandbox_attempts` does, in its own process.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.doctor.finding import Finding, Question, note, ok, problem
from cutoutd.doctor.sandbox_attempts import DONE, MAY
from cutoutd.process import probe
from cutoutd.sandbox import survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cutoutd.sandbox.survey import Gap

ATTEMPTS_S: Final = 20.0
_FILTER: Final = "2"  # SECCOMP_MODE_FILTER, as in proc(5)
# By name: this module must not import the command line.
_COMPANIONS: Final = ("-P", "-m", "cutoutd.cli.companions")


def layers(gaps: Sequence[Gap], *, required: bool) -> Iterator[Finding]:
    """Report which layers of the sandbox this system has.

    Args:
        gaps: missing layers.
        required: whether the configuration requires all of them.
    """
    check, question = "sandbox", Question.WORKERS
    if not gaps:
        whole = ", ".join(layer.value for layer in (*survey.WORKER, survey.Layer.SECCOMP_NETWORK))
        yield ok(check, f"this system has all layers of the sandbox: {whole}", question=question)
    for gap in gaps:
        seen, advice = f"this system lacks {gap.layer}: {gap.why}", "cutoutd works with the remaining layers."
        if required:
            advice = '[pool] sandbox = "required", so cutoutd does not start here.'
            yield problem(check, seen, advice, question=question)
        else:
            yield note(check, seen, advice, question=question)


def tried(gaps: Sequence[Gap]) -> Iterator[Finding]:
    """Try what a worker must not be able to do.

    Args:
        gaps: layers that this system lacks.
    """
    with tempfile.TemporaryDirectory(prefix="cutoutd-doctor-") as directory:
        root = Path(directory)
        for name in ("input", "staging", "outside"):
            (root / name).mkdir()
        for name in ("picture", "neighbour"):
            (root / "input" / name).write_bytes(b"picture")
        (root / "outside" / "secret").write_bytes(b"secret")
        answer = probe.run("cutoutd.doctor.sandbox_attempts", [directory], timeout_s=ATTEMPTS_S)
    yield judge(answer.merged, gaps, why=answer.why)


def judge(outcomes: dict[str, Any], gaps: Sequence[Gap], *, why: str = "") -> Finding:
    """Judge the outcomes of the attempts.

    Args:
        outcomes: output of `cutoutd.doctor.sandbox_attempts`.
        gaps: layers that this system lacks.
        why: how its process ended, if not normally.
    """
    check, question = "sandbox-tried", Question.WORKERS
    said = {name: outcome for name, outcome in outcomes.items() if name not in ("layers", "refused")}
    if "refused" in outcomes or "layers" not in outcomes:
        reason = outcomes.get("refused") or why or "it gave no answer"
        return problem(
            check, f"a process could not enter the workers' sandbox: {reason}", _REPORT, question=question
        )
    if hindered := [name for name in MAY if said.get(name) != DONE]:
        seen = f"a process in the workers' sandbox could not {' or '.join(hindered)}"
        return problem(check, seen, _REPORT, question=question)
    escaped = [name for name, outcome in said.items() if outcome == DONE and name not in MAY]
    if "start a program" not in said:
        escaped.append("start a program")  # the attempt replaced the process, which so could not report it
    refused = [f"{name} ({outcome})" for name, outcome in said.items() if outcome != DONE]
    seen = f"tried in the workers' sandbox, and refused: {', '.join(refused) or 'nothing'}"
    if not escaped:
        return ok(check, seen, question=question)
    seen = f"{seen}; but it could {', '.join(escaped)}"
    if gaps:
        missing = ", ".join(sorted({gap.layer.value for gap in gaps}))
        return note(check, seen, f"The missing layers would refuse this: {missing}.", question=question)
    return problem(check, seen, _REPORT, question=question)


_REPORT: Final = "Please report this with the kernel's version (`uname -a`)."


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """What the kernel reports about a process.

    Attributes:
        pid: process id.
        filtered: whether a seccomp filter is in force.
        bound: whether it can gain no privileges.
    """

    pid: int
    filtered: bool
    bound: bool


def process(pid: int, proc: Path = Path("/proc")) -> Process | None:
    """Return what the kernel reports about a process; None if it reports nothing.

    Args:
        pid: process id.
        proc: directory of proc(5).
    """
    try:
        text = (proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return Process(pid=pid, filtered=lines.get("Seccomp") == _FILTER, bound=lines.get("NoNewPrivs") == "1")


def children(pid: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Return the running child processes of a process."""
    found: list[int] = []
    try:
        for task in sorted((proc / str(pid) / "task").iterdir()):
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return tuple(found)
    return tuple(found)


def companion(pid: int, daemon: int, proc: Path = Path("/proc")) -> str:
    """Return which part a companion process keeps running: page, serve or uploader; empty if it is no companion.

    Its command line is the evidence. A process can rewrite its own, but cannot get rid of a filter that way.

    Args:
        pid: process id.
        daemon: process id of the daemon, which is an argument of a companion.
        proc: directory of proc(5).
    """
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    return "".join(words[5:6]) if words[1:5] == [*_COMPANIONS, str(daemon)] else ""


def running(pid: int, gaps: Sequence[Gap], proc: Path = Path("/proc")) -> Iterator[Finding]:
    """Report what the kernel says about the running daemon and its workers.

    The companions that keep page, API and uploader running have no filter: they were started before the daemon gave up the
    network, and the processes that they start confine themselves.

    Args:
        pid: process id of the daemon.
        gaps: layers that this system lacks.
        proc: directory of proc(5).
    """
    check, question = "sandbox-running", Question.WORKERS
    started = children(pid, proc)
    kept = {number: name for number in started if (name := companion(number, pid, proc))}
    if kept:
        named = ", ".join(f"{name} ({number})" for number, name in kept.items())
        seen = f"no filter is in force, as intended, in the processes that keep these running: {named}"
        yield ok(check, f"{seen}; it reads no pictures", question=question)
    family = [one for number in (pid, *started) if number not in kept and (one := process(number, proc))]
    if not family:
        yield note(check, "the kernel does not say how the running processes are confined", question=question)
        return
    loose = [str(one.pid) for one in family if not (one.filtered and one.bound)]
    if not loose:
        pids = ", ".join(str(one.pid) for one in family)
        yield ok(
            check,
            f"the kernel says of the running daemon and its workers (processes {pids}): system calls are filtered, "
            "no privileges can be gained",
            question=question,
        )
        return
    seen = f"the kernel says that no filter is in force in these processes of the daemon: {', '.join(loose)}"
    if any(gap.layer in (survey.Layer.SECCOMP, survey.Layer.SECCOMP_NETWORK) for gap in gaps):
        yield note(check, seen, "This system has no such filter.", question=question)
    else:
        yield problem(check, seen, "Restart cutoutd; if it stays so, please report it.", question=question)
