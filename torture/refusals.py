"""Lets every call that syncs, names, renames or removes fail once, and checks what the daemon makes of it.

    python -m torture.refusals [--jobs 2] [--scenario NAME ...]

A sync fails with EIO; after that nothing may be synced through the same descriptor again, since the kernel counts the lost
pages as clean. (The journal's own file is excepted: SQLite writes all its pages again before the next sync.) A rename, a link, a
directory or a removal fails with EACCES, a rename or link with EXDEV as well. The run may end with an error; the original must
exist, and the next run must repair everything.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torture.checks import named_files_are_whole, safe_originals, violations
from torture.figures import Figures, note, report
from torture.lane import Lane, Point
from torture.scenarios import SCENARIOS, Scenario
from torture.trace import plain, points, reachable, role_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROMISE = "any sync, rename or removal refused: nothing lost, torn or left over, and all is well once it works again"
NAMES = ("replacement", "sub-folder", "failure", "failure mended", "move", "move elsewhere", "delete")
FAULTS = {
    "fsync": ("EIO",),
    "fdatasync": ("EIO",),
    "renameat2": ("EACCES", "EXDEV"),
    "rename": ("EACCES", "EXDEV"),
    "linkat": ("EACCES", "EXDEV"),
    "link": ("EACCES", "EXDEV"),
    "renameat": ("EACCES", "EXDEV"),
    "mkdir": ("EACCES",),
    "mkdirat": ("EACCES",),
    "unlink": ("EACCES",),
    "unlinkat": ("EACCES",),
}
_SEEN = "fsync,fdatasync,openat,close"
_CALL = re.compile(r"(\d+) +(fsync|fdatasync|close)\((\d+)<([^>]*)>.*?(EIO|$)", re.MULTILINE)
_ROLLED_BACK_BY_SQLITE = ("journal.sqlite", "journal.sqlite.new")


@dataclass(slots=True)
class Findings:
    """The findings over all scenarios."""

    faults: int = 0
    hidden: int = 0
    missed: int = 0
    by_call: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def refusals(lane: Lane) -> Iterator[tuple[Point | None, str]]:
    """Yield every call that can be made to fail, and its error; no point if another thread always reaches the count first."""
    found, _ = lane.straight_line()
    names = role_names(found, {})
    for call in points(found):
        for number in FAULTS.get(call.name, ()):
            strike = reachable(call, found)
            label = f"{names.get(call.tid, 'other')}: {call.name} {plain(call.path, str(lane.root))} #{call.nth}: {number}"
            yield (
                Point(role=names.get(call.tid, "other"), strike=strike, thread=0, label=label)
                if strike
                else None,
                number,
            )


def synced_again(log: str) -> list[str]:
    """Return descriptors that were synced although a sync through them had failed."""
    failed: set[tuple[str, str]] = set()
    wrong = []
    for _, call, descriptor, path, fault in _CALL.findall(log):
        key = (descriptor, path)
        if call == "close":
            failed.discard(key)
        elif key in failed and not path.endswith(_ROLLED_BACK_BY_SQLITE):
            wrong.append(f"{path} was synced again through the descriptor that had failed")
        elif fault:
            failed.add(key)
    return wrong


def try_refusal(lane: Lane, point: Point, fault: str) -> list[str] | None:
    """Fail a call once, let the next run repair it, and check. Returns violations; None if the run did not reach the call."""
    sources = lane.scenario.sources
    try:
        seen = lane.refuse(point, f"error={fault}", _SEEN).read_text(encoding="utf-8", errors="replace")
        if "INJECTED" not in seen:
            return None
        wrong = synced_again(seen)
        wrong += named_files_are_whole(lane.site) + safe_originals(lane.site, sources)
        lane.site.settle()
        wrong += violations(lane.site, sources, kept=lane.scenario.kept)
    except (TimeoutError, OSError, sqlite3.Error) as error:
        wrong = [f"{type(error).__name__}: {error}"]
    return [f"{lane.scenario.name}, {point.label}: {text}" for text in wrong]


def run(scenarios: Sequence[Scenario], *, jobs: int, base: Path, elsewhere: Path) -> Findings:
    """Fail every call of every scenario.

    Args:
        scenarios: the scenarios.
        jobs: number of parallel lanes.
        base: directory for the lanes.
        elsewhere: directory on another file system.
    """
    findings = Findings()
    for number, scenario in enumerate(scenarios):
        lanes = [
            Lane(scenario=scenario, root=base / f"{number}-{lane}", elsewhere=elsewhere / f"{number}-{lane}")
            for lane in range(jobs)
        ]
        todo = list(refusals(lanes[0]))
        findings.hidden += sum(point is None for point, _ in todo)
        shown = [(point, fault) for point, fault in todo if point is not None]
        _refuse_all(lanes, shown, findings)
        note(
            f"{scenario.name}: {len(shown)} refusals; so far {findings.faults}, {len(findings.wrong)} violations"
        )
    return findings


def _refuse_all(lanes: Sequence[Lane], todo: Sequence[tuple[Point, str]], findings: Findings) -> None:
    def work(number: int) -> list[tuple[Point, list[str] | None]]:
        return [
            (point, try_refusal(lanes[number], point, fault)) for point, fault in todo[number :: len(lanes)]
        ]

    with ThreadPoolExecutor(len(lanes)) as pool:
        for point, wrong in (one for answers in pool.map(work, range(len(lanes))) for one in answers):
            if wrong is None:
                findings.missed += 1
                note(f"not reached: {lanes[0].scenario.name}, {point.label}")
                continue
            findings.faults += 1
            findings.by_call[point.strike.call] = findings.by_call.get(point.strike.call, 0) + 1
            findings.wrong += wrong


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="daemons beside each other")
    parser.add_argument("--scenario", action="append", help="only these")
    chosen = parser.parse_args()
    scenarios = [
        replace(one, by="start", roles=()) for one in SCENARIOS if one.name in (chosen.scenario or NAMES)
    ]
    memory = Path("/dev/shm")  # noqa: S108 -- fast, and another file system than the temporary directory's
    with (
        tempfile.TemporaryDirectory(prefix="cutoutd-refusals-", dir=memory) as base,
        tempfile.TemporaryDirectory(prefix="cutoutd-refusals-") as elsewhere,
    ):
        findings = run(scenarios, jobs=chosen.jobs, base=Path(base), elsewhere=Path(elsewhere))
    return report(
        Figures(
            campaign="refusals",
            promise=PROMISE,
            counts={
                "scenarios": len(scenarios),
                "refusals": findings.faults,
                **findings.by_call,
                "behind another thread": findings.hidden,
                "not reached": findings.missed,
            },
            violations=tuple(findings.wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
