"""The journal at its limits: bursts, damage, many jobs, unfair folders.

    python -m torture.journal                    all parts
    python -m torture.journal scale burst        some of them

Costs are processor time, not wall time, so that a busy machine does not distort them.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import Clock
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import Scan
from cutoutd.jobs import Version
from cutoutd.journal.journal import Journal
from torture.figures import Figures, note, report
from torture.places import Hot, Place, wait_until
from torture.processes import cpu_s, sample
from torture.scale import SIZES, adoption, links, memory, scale
from torture.site import Running, jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

SEED: Final = 20261124
BURST: Final = 100_000
ACCEPTED_WITHIN_S: Final = 60.0
MAX_MIB: Final = 150
READY_WITHIN_S: Final = 5.0
WAITING: Final = 10_000


# ---- the real daemon


def _place(root: Path, *hot: Hot) -> Place:
    return Place(root, list(hot), workers=1)


def _hot(root: Path, name: str, *options: str) -> Hot:
    return Hot(name=name, input=root / name / "in", output=root / name / "out", options=options)


def _rows(place: Place) -> list[tuple[Any, ...]]:
    with closing(
        sqlite3.connect(f"file:{place.state / 'journal.sqlite'}?mode=ro", uri=True, timeout=60)
    ) as c:
        return c.execute("SELECT folder, path, state, accepted_us, finished_us, id FROM job").fetchall()


def _count(place: Place) -> int:
    with closing(
        sqlite3.connect(f"file:{place.state / 'journal.sqlite'}?mode=ro", uri=True, timeout=60)
    ) as c:
        return int(c.execute("SELECT COUNT(*) FROM job").fetchone()[0])


def _pause(place: Place) -> None:
    wait_until((place.state / "journal.sqlite").exists, "the journal", timeout_s=60)
    subprocess.run(place.command("pause"), env=place.environment(), check=True, capture_output=True)
    wait_until(
        lambda: '"paused": true' in (place.state / "status.json").read_text(), "the pause", timeout_s=60
    )


def burst(root: Path) -> Figures:
    """Add 100,000 files at once while the daemon is stopped, so that the kernel's queue of events overflows."""
    place = _place(root, _hot(root, "f", "settle_s = 1.0"))
    running = place.start()
    wrong: list[str] = []
    try:
        _pause(place)
        os.kill(running.pid, signal.SIGSTOP)
        started_s = time.monotonic()
        links(root / "f/in", BURST)
        quiet_s = time.monotonic()
        os.kill(running.pid, signal.SIGCONT)
        before_s = cpu_s(running.pid)
        with suppress(TimeoutError):
            wait_until(lambda: _count(place) >= BURST, "all rows", timeout_s=3 * ACCEPTED_WITHIN_S)
        took_s = time.monotonic() - quiet_s
        spent_s = cpu_s(running.pid) - before_s
        time.sleep(5)  # for anything that might come twice
        seen = sample(running.pid, 0)
        rows = _rows(place)
        paths = {row[1] for row in rows}
        if len(paths) < BURST:
            wrong.append(f"{BURST - len(paths)} of {BURST} have no row")
        if len(rows) > len(paths):
            wrong.append(f"{len(rows) - len(paths)} were accepted twice")
        if took_s > ACCEPTED_WITHIN_S:
            wrong.append(f"it took {took_s:.0f} s")
        counts = {
            "files": BURST,
            "written in s": round(quiet_s - started_s, 1),
            "all accepted after s": round(took_s, 1),
            "supervisor cpu s": round(spent_s, 1),
            "supervisor MiB then": round(seen.rss_kib / 1024, 1) if seen else 0,
            "queue of events": int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()),
        }
    finally:
        running.kill()
    return Figures(
        campaign="journal burst",
        promise="100,000 files in one burst: each has its row within 60 s of being quiet, none twice",
        counts=counts,
        violations=tuple(wrong),
    )


def start(root: Path) -> Figures:
    """Start with 100,000 jobs in the journal and as many files in the folder."""
    place = _place(root, _hot(root, "f"))
    count = SIZES[-1]
    links(root / "f/in", count)
    place.state.mkdir()
    journal = Journal(place.state, session="b" * 32, clock=Clock())
    there = [
        Version(path=seen.path, size=seen.size, mtime_ns=seen.mtime_ns)
        for seen in Scan(str(root / "f/in"), Rules())
    ]
    journal.sources.accept("f", there)
    with journal.store.transaction():
        write = journal.store.write
        write("UPDATE job SET state = 'done', finished_us = accepted_us, sha256 = hex(randomblob(32))")
        write("INSERT INTO published (folder, path, sha256) SELECT folder, path, sha256 FROM job")
        write(
            "INSERT INTO output (folder, path, rendition, review, target, sha256) "
            "SELECT folder, path, 0, 0, path, sha256 FROM job"
        )
        write("INSERT INTO reservation (key, folder, path) SELECT path, folder, path FROM job")
    journal.close()
    started_s = time.monotonic()
    running = place.start()
    try:
        wait_until(lambda: _is_ready(place), "readiness", timeout_s=60)
        wall_s, spent_s = time.monotonic() - started_s, cpu_s(running.pid)
        time.sleep(5)
        seen = sample(running.pid, 0)
        rss = round(seen.rss_kib / 1024, 1) if seen else 0.0
    finally:
        running.stop()
        running.kill()
    wrong = []
    if spent_s > READY_WITHIN_S:
        wrong.append(f"it took {spent_s:.1f} s of processor time until it was ready")
    if rss > MAX_MIB:
        wrong.append(f"the supervisor has {rss} MiB")
    again = _count(place) - count
    if again:
        wrong.append(f"{again} were accepted again")
    return Figures(
        campaign="journal start",
        promise="with 100,000 jobs: ready within 5 s, supervisor at most 150 MiB",
        counts={
            "jobs": count,
            "wall s": round(wall_s, 1),
            "cpu s": round(spent_s, 1),
            "supervisor MiB": rss,
            "journal MB": round((place.state / "journal.sqlite").stat().st_size / 1e6, 1),
        },
        violations=tuple(wrong),
    )


def _is_ready(place: Place) -> bool:
    with suppress(OSError):
        return '"scanned": true' in (place.state / "status.json").read_text()
    return False


def fairness(root: Path) -> Figures:
    """Check fairness: 10,000 wait in one folder; a file in another, and the newest in a third, are cut within two jobs' time."""
    crowd, other, newest = _hot(root, "crowd"), _hot(root, "other"), _hot(root, "newest", 'order = "newest"')
    place = _place(root, crowd, other, newest)
    wrong: list[str] = []
    running = place.start()
    counts: dict[str, Any] = {"waiting": WAITING}
    try:
        _pause(place)
        links(crowd.input, WAITING)
        links(newest.input, 50)
        wait_until(lambda: _count(place) >= WAITING + 50, "their rows", timeout_s=120)
        subprocess.run(place.command("resume"), env=place.environment(), check=True, capture_output=True)
        wait_until(lambda: place.states().get("done", 0) >= 6, "some results", timeout_s=120)
        for hot in (other, newest):
            (hot.input / "urgent.jpg").write_bytes(jpeg(1))
            wait_until(lambda hot=hot: _finished(place, hot.name) is not None, "its result", timeout_s=120)  # type: ignore[misc]
            accepted_us, finished_us = _finished(place, hot.name) or (0, 0)
            between = sum(
                1 for row in _rows(place) if row[4] is not None and accepted_us < row[4] < finished_us
            )
            counts[f"jobs that ended before the one in {hot.name}"] = between
            # It waits for a turn of its own folder, and of two others.
            allowed = 2 + (hot is newest)
            if between > allowed:
                wrong.append(
                    f"{between} jobs ended between the acceptance and the end of the one in {hot.name}"
                )
    finally:
        running.kill()
    return Figures(
        campaign="journal fairness",
        promise="with 10,000 waiting in one folder, a file in another is cut within two jobs' time",
        counts=counts,
        violations=tuple(wrong),
    )


def _finished(place: Place, folder: str) -> tuple[int, int] | None:
    found = [
        row for row in _rows(place) if row[0] == folder and row[1] == b"urgent.jpg" and row[4] is not None
    ]
    return (found[0][3], found[0][4]) if found else None


def damage(root: Path) -> Figures:
    """Flip bytes of the journal while the real daemon runs or not, again and again: no result is made twice, none lost."""
    place = _place(root, _hot(root, "f", "settle_s = 0.1", "rescan_interval_s = 2"))
    source, output = root / "f/in", root / "f/out"
    draw = random.Random(SEED)
    links(source, 12)
    wrong: list[str] = []
    rounds, ended = 24, {"stopped by itself": 0, "noticed at the start": 0, "not noticed": 0}
    _once(place)
    before = _contents(output)
    if len(before) != 24:
        wrong.append(f"{len(before)} files after the first run, and should be 24")
    for number in range(rounds):
        path = place.state / "journal.sqlite"
        aside = len(list(place.state.glob("*damaged*")))
        running = place.start() if number % 2 else None
        if running is not None:
            wait_until(lambda: _is_ready(place), "readiness", timeout_s=60)
        raw = bytearray(path.read_bytes())
        for _ in range(draw.choice([1, 16, 256])):
            raw[draw.randrange(len(raw))] ^= draw.randrange(1, 256)
        with path.open("r+b") as file:
            file.write(raw)
        if running is not None:
            (source / f"{number:03d}.jpg").write_bytes(jpeg(number % 4, 50 + number))
            ended["stopped by itself"] += _stops_by_itself(running)
        code = _once(place)
        if code != 0:
            wrong.append(f"round {number}: the next run ended with code {code}")
        noticed = len(list(place.state.glob("*damaged*"))) > aside
        ended["noticed at the start" if noticed else "not noticed"] += 1
        now = _contents(output)
        changed = [name for name, content in before.items() if now.get(name) != content]
        if changed:
            wrong.append(f"round {number}: {changed} were made again, or are lost")
        wanted = 2 * len(list(source.glob("*.jpg")))
        if len(now) != wanted:
            wrong.append(f"round {number}: {len(now)} files, and should be {wanted}: {sorted(now)}")
        before = now
    return Figures(
        campaign="journal damage",
        promise="a damaged journal is set aside and rebuilt: nothing cut twice, nothing lost",
        counts={"seed": SEED, "rounds": rounds, **ended},
        violations=tuple(wrong),
    )


def _once(place: Place) -> int:
    running = place.start("--once")
    try:
        return running.wait(300)
    finally:
        running.kill()


def _stops_by_itself(running: Running) -> bool:
    """Give it time to meet the damage; if it does not, stop it."""
    with suppress(TimeoutError):
        return running.wait(6) == 5
    running.process.send_signal(signal.SIGTERM)
    with suppress(TimeoutError):
        running.wait(30)
    running.kill()
    return False


def _contents(output: Path) -> dict[str, bytes]:
    return {
        path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()
    }


CAMPAIGNS: Final[dict[str, Callable[[Path], Figures]]] = {
    "scale": scale,
    "adoption": adoption,
    "start": start,
    "burst": burst,
    "fairness": fairness,
    "damage": damage,
}


def main(names: list[str]) -> int:
    """Run the named parts, or all, and print one line of figures at the end."""
    violations: list[str] = []
    counts: dict[str, Any] = {}
    for name in names or CAMPAIGNS:
        note(f"-- {name}")
        root = memory(f"journal-{name}-")
        try:
            found = CAMPAIGNS[name](root / "place")
        finally:
            shutil.rmtree(root, ignore_errors=True)
        for what, value in found.counts.items():
            note(f"   {what}: {value}")
        counts |= {f"{name}: {what}": value for what, value in found.counts.items()}
        violations += found.violations
    promise = "bursts, damage, 100,000 jobs, and 10,000 waiting: nothing lost, nothing twice, nobody waits"
    return report(Figures(campaign="journal", promise=promise, counts=counts, violations=tuple(violations)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
