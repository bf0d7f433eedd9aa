"""Kills the daemon before every call that changes a disk, one at a time, and checks what the next run makes of it.

    python -m torture.killpoints [--jobs 2] [--scenario NAME ...]

First each scenario runs once under strace, which records its calls. Then strace sends SIGKILL at each of these calls, in a
separate run from the same beginning; the journal and the folders are examined as they were left, the daemon runs to its end
undisturbed, and the invariants are checked. There are two ways to kill: with strace from the start of the process
("start"), or in one thread of a running daemon ("thread"), so that no other thread reaches the same count first.

A point counts as distinct by the call, its file, its thread, and the state: of every job, of the journal's transaction, and
which files were staged or had their names.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torture.checks import Fate, named_files_are_whole, safe_originals, violations
from torture.figures import Figures, note, report
from torture.lane import Lane, Point
from torture.scenarios import SCENARIOS, Scenario
from torture.trace import Strike, alone, killed_at, plain, points, reachable, role_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torture.site import Site

PROMISE = "killed before any call that changes a disk: nothing lost, doubled, torn or left over"


def enumerate_points(lane: Lane) -> Iterator[tuple[str, Point]]:
    """Yield every call of the undisturbed run at which it can be killed, with a key that distinguishes scenarios.

    Raises:
        RuntimeError: a thread whose calls are wanted is not recognised.
    """
    found, threads = lane.straight_line()
    names = role_names(found, {threads[0]: "supervisor", threads[-1]: "worker"} if threads else {})
    if unseen := set(lane.scenario.roles) - set(names.values()):
        message = f"{lane.scenario.name}: no call of {', '.join(sorted(unseen))} is recognised, so nothing would be tried"
        raise RuntimeError(message)
    history = hashlib.sha256(repr((lane.scenario.before, lane.scenario.crash)).encode())
    wanted = points(found)
    for call in found:
        role = names.get(call.tid, "other")
        history.update(f"{role} {call.name} {plain(call.path, str(lane.root))}".encode())
        if call not in wanted or role not in lane.scenario.roles or call.path.endswith("/log"):
            continue
        if lane.scenario.by == "thread":
            strike: Strike | None = alone(call)
            thread = threads.index(call.tid)
        else:
            strike, thread = reachable(call, found), 0
        label = f"{role}: {call.name} {plain(call.path, str(lane.root))} #{call.nth}"
        if strike is None:
            yield "", Point(role=role, strike=Strike(call=call.name, when=0), thread=0, label=label)
        else:
            yield history.hexdigest(), Point(role=role, strike=strike, thread=thread, label=label)


def state_of(site: Site) -> str:
    """Return what a killed daemon left: the journal's transaction, every job's state, the files."""
    with tempfile.TemporaryDirectory() as directory:
        hot = "no transaction"
        for name in ("journal.sqlite", "journal.sqlite-journal"):
            if (site.state / name).exists():
                shutil.copy(site.state / name, directory)
        draft = Path(directory, "journal.sqlite-journal")
        if draft.exists():
            content = draft.read_bytes()
            hot = "transaction begun" if not content[:8].strip(b"\0") else "transaction synced"
        jobs = _jobs(Path(directory, "journal.sqlite"))
    roots = [root for root in (site.output, site.sidecars, site.originals, site.input) if root is not None]
    files = sorted(
        plain(str(path), str(site.root)) + (" empty" if path.stat().st_size == 0 else "")
        for root in dict.fromkeys(roots)
        for path in root.rglob("*")
        if path.is_file()
    )
    return "; ".join([hot, *jobs, *files])


def _jobs(journal: Path) -> list[str]:
    if not journal.exists():
        return ["no journal"]
    with closing(sqlite3.connect(journal)) as connection:
        try:
            rows = connection.execute(
                "SELECT path, state, cleanup_pending, interrupted FROM job ORDER BY id"
            ).fetchall()
        except sqlite3.OperationalError:
            return ["no tables"]
    return [f"{path.decode()} {state} {pending}{interrupted}" for path, state, pending, interrupted in rows]


@dataclass(slots=True)
class Findings:
    """The findings over all scenarios."""

    kills: int = 0
    missed: list[str] = field(default_factory=list)
    distinct: set[tuple[str, str, str]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    by_role: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def try_point(lane: Lane, point: Point, findings: Findings) -> None:
    """Kill the daemon at a point, examine what is left, let it run to its end, and check."""
    where = f"{lane.scenario.name}, {point.label}"
    sources = lane.scenario.sources
    try:
        struck = lane.strike(point)
        at, state = killed_at(lane.root / "strace", str(lane.root)), state_of(lane.site)
        wrong = named_files_are_whole(lane.site) + safe_originals(lane.site, sources)
        code = lane.site.settle()
        failed = any(source.fate is Fate.FAILED for source in sources.values())
        if code not in ((0, 1) if failed else (0,)):
            wrong.append(f"the next run ended with {code}")
        wrong += violations(
            lane.site, sources, kept=lane.scenario.kept, comes_again=bool(lane.scenario.renames)
        )
        wrong += lane.cut_again() + lane.missing_webhooks()
    except (TimeoutError, OSError, sqlite3.Error) as error:
        struck, at, state, wrong = False, "", "", [f"{type(error).__name__}: {error}"]
    if wrong:
        log = Path(tempfile.gettempdir(), f"killpoint-{findings.kills}.log")
        shutil.copy(lane.root / "log", log)
        wrong.append(f"its log is {log}")
    with findings.lock:
        findings.wrong += [f"{where}: {text}" for text in wrong]
        if struck:
            findings.kills += 1
            findings.by_role[point.role] += 1
            findings.distinct.add((point.role, at, state))
        else:
            findings.missed.append(where)


def run(scenarios: Sequence[Scenario], *, jobs: int, base: Path, elsewhere: Path, limit: int = 0) -> Findings:
    """Kill at every point of every scenario.

    Args:
        scenarios: the scenarios.
        jobs: number of parallel lanes.
        base: directory for the lanes.
        elsewhere: directory on another file system.
        limit: greatest number of points of each scenario; 0: all.
    """
    findings = Findings()
    seen: set[str] = set()
    for number, scenario in enumerate(scenarios):
        lanes = [
            Lane(scenario=scenario, root=base / f"{number}-{lane}", elsewhere=elsewhere / f"{number}-{lane}")
            for lane in range(jobs)
        ]
        todo, shadowed = [], 0
        for key, point in enumerate_points(lanes[0]):
            if key and key not in seen:
                seen.add(key)
                todo.append(point)
            shadowed += not key
        if limit:
            todo = todo[:: max(1, len(todo) // limit)][:limit]
        started_s, missed_before = time.monotonic(), len(findings.missed)
        _strike_all(lanes, todo, findings)
        for missed in findings.missed[missed_before:]:
            note(f"not reached: {missed}")
        note(
            f"{scenario.name}: {len(todo)} points in {time.monotonic() - started_s:.0f} s, {shadowed} behind another thread; "
            f"so far {findings.kills} kills, {len(findings.distinct)} distinct, {len(findings.missed)} missed, "
            f"{len(findings.wrong)} violations"
        )
    return findings


def _strike_all(lanes: Sequence[Lane], todo: Sequence[Point], findings: Findings) -> None:
    def work(number: int) -> None:
        for point in todo[number :: len(lanes)]:
            try_point(lanes[number], point, findings)

    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(work, range(len(lanes))))


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="daemons that are killed beside each other")
    parser.add_argument("--scenario", action="append", help="only these")
    parser.add_argument("--limit", type=int, default=0, help="at most so many points of each scenario")
    chosen = parser.parse_args()
    scenarios = [one for one in SCENARIOS if not chosen.scenario or one.name in chosen.scenario]
    memory = Path("/dev/shm")  # noqa: S108 -- fast, and another file system than the temporary directory's
    with (
        tempfile.TemporaryDirectory(prefix="cutoutd-killpoints-", dir=memory) as base,
        tempfile.TemporaryDirectory(prefix="cutoutd-killpoints-") as elsewhere,
    ):
        findings = run(
            scenarios, jobs=chosen.jobs, base=Path(base), elsewhere=Path(elsewhere), limit=chosen.limit
        )
    return report(
        Figures(
            campaign="killpoints",
            promise=PROMISE,
            counts={
                "scenarios": len(scenarios),
                "kills": findings.kills,
                "distinct pairs of call and state": len(findings.distinct),
                "not reached": len(findings.missed),
                **{f"in {role}": count for role, count in sorted(findings.by_role.items())},
            },
            violations=tuple(findings.wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
