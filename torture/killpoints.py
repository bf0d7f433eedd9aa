"""Kills the daemon before every call by which it changes a disk, one at a time, and checks what the next run makes of it.

    python -m torture.killpoints [--jobs 2] [--scenario NAME ...]

First each scenario runs once under strace, which shows its straight line. Then each call of it is struck by strace's
SIGKILL, in a run of its own from the same beginning; the journal and the folders are looked at as they were left,
the daemon runs to its end untouched, and the invariants are checked. Two ways to be struck: from the start of the
process on ("start"), or in one thread of a daemon that is up ("thread"), so that no other thread reaches the same
count first.

A point counts as distinct by the call, its file, its thread, and the state: of every job, of the journal's
transaction, and which files were staged or had their names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torture.checks import Fate, Kept, Source, named_files_are_whole, safe_originals, violations
from torture.figures import Figures, note, report
from torture.site import Layout, Running, Site, broken, empty_scene, jpeg, session
from torture.trace import CALLS, Call, Strike, alone, calls, killed_at, plain, points, reachable, role_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROMISE = "killed before any call that changes a disk: nothing lost, doubled, torn or left over"
REACH_S = 20.0
"""So long a daemon under strace may take to come to its end."""

AFTERMATH_S = 0.7
"""And to the last call of a job that is over already."""

_NO_RENAMEAT2 = ("-e", "inject=renameat2:error=EINVAL")
_NO_LINK = ("-e", "inject=link,linkat:error=EPERM")
_STRACE = ("strace", "-f", "-qq", "-y")

Drops = tuple[tuple[str, Source], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """What a daemon is doing when it is killed.

    Attributes:
        name: for the report.
        arrivals: what it gets to do.
        before: what earlier runs have done already, one run for each.
        by: whether strace is there from the start, or follows one thread of a daemon that is up.
        roles: whose calls are struck.
        options, tables: of the folder, as TOML.
        kept: what becomes of originals.
        originals, sidecars: where they go to; ``elsewhere`` is on another file system.
        faults: options of strace that make the file system a poorer one.
        crash: an earlier run is killed at the first of these calls, so that the one that is struck repairs it.
    """

    name: str
    arrivals: Drops
    before: tuple[Drops, ...] = ()
    by: Literal["start", "thread"] = "thread"
    roles: tuple[str, ...] = ("delivery",)
    options: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    kept: Kept = Kept.KEEP
    originals: Literal["", "near", "elsewhere"] = ""
    sidecars: bool = False
    faults: tuple[str, ...] = ()
    crash: Strike | None = None

    @property
    def sources(self) -> dict[str, Source]:
        """The last version of each picture."""
        return {name: source for drops in (*self.before, self.arrivals) for name, source in drops}


def _cut(hue: int, quality: int = 90, renditions: int = 1) -> Source:
    return Source(content=jpeg(hue, quality), renditions=renditions)


_ONE: Drops = (("a.jpg", _cut(0)),)
_THREE: Drops = tuple((f"{name}.jpg", _cut(hue)) for hue, name in enumerate("abc"))
_BROKEN: Drops = (("a.jpg", Source(content=broken(), fate=Fate.FAILED)),)
_EMPTY: Drops = (("a.png", Source(content=empty_scene(), fate=Fate.REVIEW)),)
_TWO_FORMS = ("[[folder.rendition]]", "[[folder.rendition]]", 'suffix = "_b"')
_ALL = ("supervisor", "watcher", "worker", "delivery")

SCENARIOS = (
    Scenario(name="first start", by="start", roles=("supervisor", "watcher"), arrivals=_ONE),
    Scenario(name="new picture", roles=_ALL, arrivals=_ONE),
    Scenario(
        name="replacement", roles=("watcher", "delivery"), before=(_ONE,), arrivals=(("a.jpg", _cut(0, 80)),)
    ),
    Scenario(name="sub-folder", sidecars=True, arrivals=(("x/y/a.jpg", _cut(0)),)),
    Scenario(
        name="two forms",
        roles=("worker", "delivery"),
        tables=_TWO_FORMS,
        arrivals=(("a.jpg", _cut(0, 90, 2)),),
    ),
    Scenario(
        name="two forms replaced",
        tables=_TWO_FORMS,
        before=((("a.jpg", _cut(0, 90, 2)),),),
        arrivals=(("a.jpg", _cut(0, 80, 2)),),
    ),
    Scenario(name="review", roles=("worker", "delivery"), arrivals=_EMPTY),
    Scenario(name="failure", arrivals=_BROKEN),
    Scenario(name="failure mended", before=(_BROKEN,), arrivals=_ONE),
    Scenario(name="move", options=('originals = "move"',), kept=Kept.MOVE, originals="near", arrivals=_ONE),
    Scenario(
        name="move elsewhere",
        options=('originals = "move"',),
        kept=Kept.MOVE,
        originals="elsewhere",
        arrivals=_ONE,
    ),
    Scenario(name="delete", options=('originals = "delete"',), kept=Kept.DELETE, arrivals=_ONE),
    Scenario(name="links only", faults=_NO_RENAMEAT2, arrivals=_ONE),
    Scenario(name="no links", faults=(*_NO_RENAMEAT2, *_NO_LINK), arrivals=_ONE),
    Scenario(
        name="recovery of plans",
        by="start",
        roles=("supervisor", "delivery"),
        arrivals=_THREE,
        crash=Strike(call="renameat2", when=2),
    ),
    Scenario(
        name="recovery of a replacement",
        by="start",
        roles=("supervisor", "delivery"),
        before=(_ONE,),
        arrivals=(("a.jpg", _cut(0, 80)),),
        crash=Strike(call="fsync", when=2),
    ),
    Scenario(
        name="recovery of a move",
        by="start",
        roles=("supervisor", "delivery"),
        options=('originals = "move"',),
        kept=Kept.MOVE,
        originals="elsewhere",
        arrivals=_ONE,
        crash=Strike(call="renameat2", when=4),
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A call to be struck.

    Attributes:
        role: of its thread.
        thread: its place among the daemon's threads, by age; for ``by = "thread"``.
        label: for people.
    """

    role: str
    strike: Strike
    thread: int
    label: str


@dataclass(slots=True)
class Lane:
    """One site that is put back to its beginning before each point; lanes run beside each other."""

    scenario: Scenario
    root: Path
    elsewhere: Path
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        for place in (self.root, self.elsewhere, self._saved):
            shutil.rmtree(place, ignore_errors=True)
        self.site = self._make()
        for drops in self.scenario.before:
            self._drop(drops)
            self.site.settle()
        if self.scenario.crash is not None:
            self._drop(self.scenario.arrivals)
            log = self.root / "strace"
            running = self.site.start(
                "--once", prefix=[*_STRACE, "-o", str(log), *self.scenario.crash.options()]
            )
            running.wait()
            running.kill()
        shutil.copytree(self.root, self._saved, symlinks=True)

    @property
    def _saved(self) -> Path:
        return self.root.with_name(f"{self.root.name}.saved")

    def _make(self) -> Site:
        places = {"": None, "near": self.root / "originals", "elsewhere": self.elsewhere}
        return Site(
            Layout(
                root=self.root,
                options=self.scenario.options,
                tables=self.scenario.tables,
                originals_dir=places[self.scenario.originals],
                sidecar_dir=self.root / "sidecars" if self.scenario.sidecars else None,
            )
        )

    def _drop(self, drops: Drops) -> None:
        for name, source in drops:
            self.site.drop(name, source.content)

    def reset(self) -> None:
        """Back to the beginning."""
        shutil.rmtree(self.root)
        shutil.rmtree(self.elsewhere, ignore_errors=True)
        shutil.copytree(self._saved, self.root, symlinks=True)
        if self.scenario.originals == "elsewhere":
            self.elsewhere.mkdir(parents=True)

    def straight_line(self) -> tuple[list[Call], list[int]]:
        """All that one undisturbed run does, and the threads of a daemon that is up."""
        self.reset()
        log = self.root / "strace"
        command = [*_STRACE, "-o", str(log), "-e", f"trace={CALLS}", *self.scenario.faults]
        if self.scenario.by == "start":
            if self.scenario.crash is None:
                self._drop(self.scenario.arrivals)
            self.site.start("--once", prefix=command).wait()
            return calls(log, str(self.root), str(self.elsewhere)), []
        running = self.site.start()
        try:
            threads = _threads_when_ready(self.site, running)
            tracer = _attach(running, command, threads)
            self._drop(self.scenario.arrivals)
            _wait(lambda: _is_over(self.site, self.scenario), "the end of the straight line")
            time.sleep(0.5)
            running.stop()
            tracer.wait()
        finally:
            running.kill()
        return calls(log, str(self.root), str(self.elsewhere)), threads

    def _here(self, strike: Strike) -> Strike:
        """A point of another lane, with this one's path."""
        beneath = strike.only.removeprefix(str(self.root.parent)).lstrip("/").partition("/")[2]
        return replace(strike, only=str(self.root / beneath) if beneath else "")

    def refuse(self, point: Point, fault: str, seen: str) -> Path:
        """Run to the end while one call fails; returns strace's log of the calls that are to be seen."""
        self.reset()
        log = self.root / "strace"
        options = self._here(point.strike).options(fault)
        self._drop(self.scenario.arrivals)
        running = self.site.start(
            "--once", prefix=[*_STRACE, "-o", str(log), "-e", f"trace={seen}", *options]
        )
        try:
            running.wait()
        finally:
            running.kill()
        return log

    def strike(self, point: Point) -> bool:
        """Run until the daemon is killed at a point; whether it was."""
        self.reset()
        log = self.root / "strace"
        command = [
            *_STRACE,
            "-o",
            str(log),
            "-e",
            f"trace={point.strike.call}",
            *self.scenario.faults,
            *self._here(point.strike).options(),
        ]
        if self.scenario.by == "start":
            if self.scenario.crash is None:
                self._drop(self.scenario.arrivals)
            running = self.site.start("--once", prefix=command)
            code = running.wait()
            running.kill()
            return code not in (0, 1)
        running = self.site.start()
        try:
            threads = _threads_when_ready(self.site, running)
            tracer = _attach(running, command, threads[point.thread : point.thread + 1])
            self._drop(self.scenario.arrivals)
            victim = Path(f"/proc/{threads[point.thread]}")

            def is_struck() -> bool:
                return running.process.poll() is not None or not victim.exists()

            _wait(lambda: is_struck() or _is_over(self.site, self.scenario), point.label)
            struck = _holds_within(is_struck, AFTERMATH_S)
            if not struck:
                running.process.terminate()  # the straight line's last calls tidy up
                struck = running.wait(REACH_S) < 0
        finally:
            running.kill()
        tracer.wait()
        return struck


def _threads_when_ready(site: Site, running: Running) -> list[int]:
    """The daemon's threads, the oldest first, and its worker at the end."""

    def is_ready() -> bool:
        try:
            said = json.loads((site.state / "status.json").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False
        scanned = all(folder["scanned"] for folder in said["folders"].values())
        return said["pid"] == running.pid and said["worker"] is not None and scanned

    _wait(is_ready, "the daemon to be ready")
    tasks = sorted(int(entry.name) for entry in Path(f"/proc/{running.pid}/task").iterdir())
    return [*tasks, *sorted(pid for pid in session(running.pid) if pid != running.pid)]


def _attach(running: Running, command: Sequence[str], threads: Sequence[int]) -> Running:
    """Have strace follow threads of a daemon that is up."""
    chosen = [word for thread in threads for word in ("-p", str(thread))]
    without_children = [word for word in command if word != "-f"]
    tracer = Running([*without_children, *chosen], environment=os.environ, log=running.log)

    def is_attached() -> bool:
        states = [Path(f"/proc/{thread}/status").read_text(encoding="latin-1") for thread in threads]
        return all("TracerPid:\t0\n" not in state for state in states)

    _wait(is_attached, "strace to attach, which needs the right to")
    return tracer


def _holds_within(condition: Callable[[], bool], limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def _is_over(site: Site, scenario: Scenario) -> bool:
    """Whether the journal says of every arrival that it is over; never disturbs the daemon's commits for long."""
    try:
        rows = site.journal()
    except sqlite3.Error:
        return False
    newest = {row["path"].decode(): row for row in rows if row["newest"]}
    return all(
        name in newest
        and newest[name]["state"] in ("done", "review", "failed")
        and newest[name]["size"] == len(source.content)
        and not newest[name]["undisposed"]
        for name, source in scenario.arrivals
    )


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)


def enumerate_points(lane: Lane) -> Iterator[tuple[str, Point]]:
    """Every call of the straight line that can be struck, with what tells it from those of other scenarios."""
    found, threads = lane.straight_line()
    names = role_names(found, {threads[0]: "supervisor", threads[-1]: "worker"} if threads else {})
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
    """What a killed daemon left: the journal's transaction, every job's state, the files."""
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
                "SELECT path, state, undisposed, interrupted FROM job ORDER BY id"
            ).fetchall()
        except sqlite3.OperationalError:
            return ["no tables"]
    return [
        f"{path.decode()} {state} {undisposed}{interrupted}" for path, state, undisposed, interrupted in rows
    ]


@dataclass(slots=True)
class Findings:
    """What was found, over all scenarios."""

    kills: int = 0
    missed: list[str] = field(default_factory=list)
    distinct: set[tuple[str, str, str]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    by_role: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def try_point(lane: Lane, point: Point, findings: Findings) -> None:
    """Kill there, look, let it run to its end, check."""
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
        wrong += violations(lane.site, sources, kept=lane.scenario.kept)
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
    """Strike every point of every scenario.

    Args:
        scenarios: which.
        jobs: how many lanes run beside each other.
        base: a directory for the lanes,
        elsewhere: and one on another file system.
        limit: at most so many points of each; 0: all.
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
        begun_s, missed_before = time.monotonic(), len(findings.missed)
        _strike_all(lanes, todo, findings)
        for missed in findings.missed[missed_before:]:
            note(f"not reached: {missed}")
        note(
            f"{scenario.name}: {len(todo)} points in {time.monotonic() - begun_s:.0f} s, {shadowed} behind another thread; "
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
    memory = Path("/dev/shm")  # noqa: S108 -- quick, and another file system than the temporary directory's
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
