"""Shares that fail over and over, and two machines on one: nothing lost, nothing cut twice, no other folder held up.

    python -m torture.shares [CYCLES]

The last line is the figures as JSON; the exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.acceptance.conftest import Daemon, bench_in
from tests.acceptance.test_idle import written
from tests.acceptance.test_shares import POLL_S, SharedFolder, hang_and_come_back, one_cycle
from tests.integration.share import Share

if TYPE_CHECKING:
    from collections.abc import Callable

CYCLES: Final = 50
SOON_S: Final = 50.0
LATE_S: Final = 100.0
IDLE_S: Final = 60.0
PROMISE: Final = "a share costs its own folder alone; 0 lost, 0 cut again; one owner at a time"
HANGS: Final = ("read", "open", "getattr,readdir", "write", "fsync", "create", "rename")


SILENCES: Final = (signal.SIGSTOP, signal.SIGKILL)


class Campaign:
    """Counts, and what went wrong."""

    def __init__(self) -> None:
        self.counts: dict[str, Any] = {}
        self.violations: list[str] = []

    def check(self, what: str, *, held: bool) -> None:
        """Record a broken promise."""
        if not held:
            self.violations.append(what)


def note(text: str) -> None:
    """Print the progress."""
    sys.stderr.write(f"{text}\n")


def resources(pid: int) -> tuple[int, int]:
    """Return the numbers of descriptors and threads of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), len(list(Path(f"/proc/{pid}/task").iterdir()))


def cycles(campaign: Campaign, shared_folder: SharedFolder, count: int) -> None:
    """Make a share disappear, be empty, fail and hang, again and again."""
    daemon = Daemon(shared_folder.bench, "--config", shared_folder.config)
    try:
        shared_folder.put("a.jpg")
        shared_folder.bench.wait_for(lambda: "a.png.json" in shared_folder.results(), "the first cutout")
        before = resources(daemon.process.pid)
        took = []
        for cycle in range(count):
            took.append(one_cycle(shared_folder, cycle))
            note(f"cycle {cycle}: well again after {took[-1]:.1f} s")
        after = resources(daemon.process.pid)
        campaign.check("the daemon did not end in order", held=daemon.end() == 0)
    finally:
        if daemon.process.poll() is None:
            daemon.end(signal.SIGKILL)
    names = ["a", *(f"c{cycle}" for cycle in range(count))]
    wanted = sorted(f"{name}.{end}" for name in names for end in ("png", "png.json"))
    lost = sorted(set(wanted) - set(shared_folder.results()))
    extra = sorted(set(shared_folder.results()) - set(wanted))
    done = shared_folder.jobs_done()
    again = sorted({name for name in done if done.count(name) > 1})
    late = sum(seconds > 2 * POLL_S + 2.0 for seconds in took)
    campaign.counts |= {
        "cycles": count,
        "lost": len(lost),
        "cut again": len(extra) + len(again),
        "slowest return s": round(max(took), 1),
        "descriptors and threads before": before,
        "after": after,
    }
    campaign.check(f"lost: {lost}", held=not lost)
    campaign.check(f"cut again: {extra} {again}", held=not extra and not again)
    campaign.check(f"{late} returns took longer than two polls", held=late == 0)
    campaign.check(
        f"leaks: {before} became {after}", held=after[0] <= before[0] + 8 and after[1] <= before[1] + 4
    )


def hangs(campaign: Campaign, shared_folder: SharedFolder, operations: str) -> None:
    """Make one kind of hang, with another folder beside it."""
    daemons: list[Daemon] = []

    def start(*arguments: str | Path) -> Daemon:
        daemons.append(Daemon(shared_folder.bench, *arguments))
        return daemons[-1]

    try:
        took_s, usual_s = hang_and_come_back(shared_folder, start, operations)
        campaign.counts[f"other folder while {operations} hangs, s"] = round(took_s, 1)
        campaign.check(
            f"{operations}: the other folder waited {took_s:.1f} s", held=took_s < 5.0 + 2 * usual_s
        )
    except AssertionError as error:
        campaign.check(f"hang in {operations}: {error}", held=False)
    finally:
        shared_folder.share.heal()
        for daemon in daemons:
            if daemon.process.poll() is None:
                daemon.end(signal.SIGKILL)


def idle(campaign: Campaign, shared_folder: SharedFolder) -> None:
    """Check that nothing is written while there is nothing to do and no other machine."""
    daemon = Daemon(shared_folder.bench, "--config", shared_folder.config)
    try:
        shared_folder.put("a.jpg")
        shared_folder.bench.wait_for(lambda: "a.png.json" in shared_folder.results(), "the first cutout")
        time.sleep(5.0)
        roots = (
            shared_folder.share.far,
            shared_folder.bench.input,
            shared_folder.bench.output,
            shared_folder.bench.root / "state-dir",
        )
        before, used_s = written(*roots), cpu_s(daemon.process.pid)
        time.sleep(IDLE_S)
        after = written(*roots)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        campaign.counts["files written while idle"] = len(changed)
        campaign.counts["supervisor's share of a core while idle, %"] = round(
            100 * (cpu_s(daemon.process.pid) - used_s) / IDLE_S, 2
        )
        campaign.check(f"written while idle: {changed}", held=not changed)
        campaign.check("the daemon did not end in order", held=daemon.end() == 0)
    finally:
        if daemon.process.poll() is None:
            daemon.end(signal.SIGKILL)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def silence(campaign: Campaign, shared_folder: SharedFolder, number: signal.Signals) -> None:
    """Stop the owner; the other machine takes over, and the first notices when it continues."""
    bench = shared_folder.bench
    other = bench_in(bench.root / "other", workers=None)
    other_config = shared_folder.config_of(other)
    first, second = Daemon(bench, "--config", shared_folder.config), None
    try:
        shared_folder.put("a.jpg")
        bench.wait_for(lambda: "a.png.json" in shared_folder.results(), "the first cutout")
        second = Daemon(other, "--config", other_config)
        time.sleep(10.0)
        os.killpg(first.process.pid, number)
        started_s = time.monotonic()
        shared_folder.put("b.jpg", 1)
        while "b.png.json" not in shared_folder.results() and time.monotonic() < started_s + 150.0:
            time.sleep(0.2)
        took_s = time.monotonic() - started_s
        campaign.counts[f"taken over after {number.name}, s"] = round(took_s)
        campaign.check(f"{number.name}: taken over after {took_s:.0f} s", held=SOON_S < took_s < LATE_S)
        if number is signal.SIGSTOP:
            os.killpg(first.process.pid, signal.SIGCONT)
            bench.wait_for(lambda: shared_folder.stands_by("takes over"), "the first to stand by")
            shared_folder.put("c.jpg", 2)
            bench.wait_for(lambda: "c.png.json" in shared_folder.results(), "the next cutout")
        time.sleep(3.0)
        names = ["a", "b"] + (["c"] if number is signal.SIGSTOP else [])
        wanted = sorted(f"{name}.{end}" for name in names for end in ("png", "png.json"))
        campaign.check(f"{number.name}: {shared_folder.results()}", held=shared_folder.results() == wanted)
    finally:
        for daemon in (first, second):
            if daemon is not None and daemon.process.poll() is None:
                daemon.end(signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run the campaign, and print the figures."""
    count = int(arguments[0]) if arguments else CYCLES
    campaign = Campaign()
    root = Path(tempfile.mkdtemp(prefix="torture-shares-"))
    steps: list[tuple[str, Callable[[SharedFolder], None]]] = [
        ("idle", partial(idle, campaign)),
        ("cycles", partial(cycles, campaign, count=count)),
        *((f"hang in {one}", partial(hangs, campaign, operations=one)) for one in HANGS),
        *((f"silence by {one.name}", partial(silence, campaign, number=one)) for one in SILENCES),
    ]
    for number, (name, step) in enumerate(steps):
        note(name)
        place = root / str(number)
        bench = bench_in(place, workers=None)
        share = Share(place)
        share.attach()
        try:
            step(SharedFolder(bench, share))
        except AssertionError as error:
            campaign.check(f"{name}: {error}", held=False)
        finally:
            share.detach()
    shutil.rmtree(root, ignore_errors=True)
    for violation in campaign.violations:
        note(f"VIOLATION shares: {violation}")
    figures = {"counts": campaign.counts, "violations": campaign.violations}
    sys.stdout.write(json.dumps({"campaign": "shares", "promise": PROMISE} | figures) + "\n")
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
