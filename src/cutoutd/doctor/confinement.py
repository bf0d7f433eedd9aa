"""What the workers may do: tried in a process that is locked in as they are, and asked of the kernel about those that run.

It must not try anything itself; `cutoutd.doctor.sandbox_attempts` does, in a process of its own.
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
_FILTER: Final = "2"  # SECCOMP_MODE_FILTER, as proc(5) has it
_COMPANIONS: Final = ("-P", "-m", "cutoutd.cli.companions")  # its name: this must not import the command line


def layers(gaps: Sequence[Gap], *, required: bool) -> Iterator[Finding]:
    """Which layers of the sandbox this system has.

    Args:
        gaps: those that it has not.
        required: the configuration does without none.
    """
    check, question = "sandbox", Question.WORKERS
    if not gaps:
        whole = ", ".join(layer.value for layer in (*survey.WORKER, survey.Layer.SECCOMP_NETWORK))
        yield ok(check, f"this system has all layers of the sandbox: {whole}", question=question)
    for gap in gaps:
        seen, advice = f"this system lacks {gap.layer}: {gap.why}", "Work goes on behind the other layers."
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
    """What the attempts come to.

    Args:
        outcomes: as `cutoutd.doctor.sandbox_attempts` printed them.
        gaps: layers that this system lacks.
        why: how its process ended, if not well.
    """
    check, question = "sandbox-tried", Question.WORKERS
    said = {name: outcome for name, outcome in outcomes.items() if name not in ("layers", "refused")}
    if "refused" in outcomes or "layers" not in outcomes:
        reason = outcomes.get("refused") or why or "it said nothing"
        return problem(
            check, f"a process could not be locked in as workers are: {reason}", _REPORT, question=question
        )
    if hindered := [name for name in MAY if said.get(name) != DONE]:
        seen = f"a process locked in as workers are could not {' or '.join(hindered)}"
        return problem(check, seen, _REPORT, question=question)
    escaped = [name for name, outcome in said.items() if outcome == DONE and name not in MAY]
    if "start a program" not in said:
        escaped.append("start a program")  # it became that program before it could say so
    refused = [f"{name} ({outcome})" for name, outcome in said.items() if outcome != DONE]
    seen = f"tried by a process locked in as workers are, and refused: {', '.join(refused) or 'nothing'}"
    if not escaped:
        return ok(check, seen, question=question)
    seen = f"{seen}; but it could {', '.join(escaped)}"
    if gaps:
        missing = ", ".join(sorted({gap.layer.value for gap in gaps}))
        return note(
            check, seen, f"That is what the missing layers would refuse: {missing}.", question=question
        )
    return problem(check, seen, _REPORT, question=question)


_REPORT: Final = "Please report this with the kernel's version (`uname -a`)."


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """What the kernel says of a process.

    Attributes:
        pid: its id.
        filtered: a seccomp filter is in force.
        bound: it can gain no privileges.
    """

    pid: int
    filtered: bool
    bound: bool


def process(pid: int, proc: Path = Path("/proc")) -> Process | None:
    """What the kernel says of a process; None if it says nothing.

    Args:
        pid: its id.
        proc: where the kernel says so.
    """
    try:
        text = (proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return Process(pid=pid, filtered=lines.get("Seccomp") == _FILTER, bound=lines.get("NoNewPrivs") == "1")


def children(pid: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """The processes that a process has started and that are running."""
    found: list[int] = []
    try:
        for task in sorted((proc / str(pid) / "task").iterdir()):
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return tuple(found)
    return tuple(found)


def companion(pid: int, daemon: int, proc: Path = Path("/proc")) -> str:
    """What a process keeps running beside the daemon: page, serve or uploader; empty if it is no such process.

    Its command line says so. A process can write its own anew, but none that has a filter gets rid of it thereby.

    Args:
        pid: its id.
        daemon: the daemon's, which a companion was told.
        proc: where the kernel says so.
    """
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    return "".join(words[5:6]) if words[1:5] == [*_COMPANIONS, str(daemon)] else ""


def running(pid: int, gaps: Sequence[Gap], proc: Path = Path("/proc")) -> Iterator[Finding]:
    """What the kernel says of the running daemon and its workers.

    What keeps page, API and uploader running beside the daemon has no filter: it was started before the daemon gave the
    network up, and what it starts confines itself.

    Args:
        pid: the daemon's.
        gaps: layers that this system lacks.
        proc: where the kernel says so.
    """
    check, question = "sandbox-running", Question.WORKERS
    started = children(pid, proc)
    kept = {number: name for number in started if (name := companion(number, pid, proc))}
    if kept:
        named = ", ".join(f"{name} ({number})" for number, name in kept.items())
        seen = f"no filter is in force, as intended, in what keeps these running beside the daemon: {named}"
        yield ok(check, f"{seen}; it reads no pictures", question=question)
    family = [one for number in (pid, *started) if number not in kept and (one := process(number, proc))]
    if not family:
        yield note(
            check, "the kernel does not tell how the running processes are locked in", question=question
        )
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
