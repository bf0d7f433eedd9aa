"""The cost of one file in a journal of 1,000, 10,000 and 100,000, and the time to adopt 10,000 sidecars.

It uses parts of the daemon in this process; `torture.journal` runs it with the rest.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.integration.test_adoption import EarlierInstallation

from cutoutd.clock import Clock
from cutoutd.folder.adoption import Adoption
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import Scan
from cutoutd.jobs import JobState, Published, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from torture.figures import Figures, note
from torture.site import jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES: Final = (1_000, 10_000, 100_000)
MAX_GROWTH: Final = 3.0
"""Limit of the ratio of the cost at 100,000 to that at 1,000: trees get deeper, and caches miss, but nothing is searched."""

ADOPTED: Final = 10_000


def memory(prefix: str) -> Path:
    """Make a directory in memory, where possible, so that the disk is not measured."""
    shared = Path("/dev/shm")  # noqa: S108 -- directories of our own are made in it
    return Path(tempfile.mkdtemp(prefix=prefix, dir=shared if shared.is_dir() else None))


def links(directory: Path, count: int, *, named: str = "IMG") -> None:
    """Make so many names for one small picture, which is old enough to be taken."""
    directory.mkdir(parents=True, exist_ok=True)
    first = directory.parent / f".{named}"
    first.write_bytes(jpeg(0))
    os.utime(first, (time.time() - 1000,) * 2)
    for n in range(count):
        (directory / f"{named}_{n:06d}.jpg").hardlink_to(first)


# ---- costs that must not grow


class Stopwatch:
    """Processor time of this process, by operation."""

    def __init__(self) -> None:
        self.us: dict[str, float] = {}

    def time(self, what: str, times: int, work: Callable[[], object]) -> None:
        """Run an operation, and record its cost per file."""
        started_s = time.process_time()
        work()
        self.us[what] = round((time.process_time() - started_s) / times * 1e6, 1)


def costs(root: Path, count: int) -> dict[str, float]:  # noqa: C901 -- one small step after the other
    """Return the cost of one file in a journal of so many, in microseconds; `status` and a page of `jobs` by the call."""
    state, source = root / "state", root / "in"
    state.mkdir(parents=True)
    links(source, count)
    journal = Journal(state, session="a" * 32, clock=Clock())
    watch = Stopwatch()
    there = [
        Version(path=seen.path, size=seen.size, mtime_ns=seen.mtime_ns) for seen in Scan(str(source), Rules())
    ]
    probe = min(500, count)

    def accept() -> None:
        for at in range(0, count, 500):
            journal.sources.accept("f", there[at : at + 500])

    def begin() -> None:
        for _ in range(probe):
            job = journal.queue.next_in("f", newest_first=False)
            assert job is not None  # noqa: S101 -- there are enough
            journal.queue.claim(job)

    def finish() -> None:
        for job in list(Reader(journal.store).jobs(state=JobState.WORKING)):
            result = Published(rendition=0, path=f"{job.path}.png", sha256="o" * 64, review=False)
            key = f"/out/{job.path}".encode()
            journal.reservations.reserve("f", job.path, [key])
            journal.begin_publishing(job, sha256="s" * 64, claims=[key], detail={"plan": "x" * 1500})
            journal.finish_publishing(job, JobState.DONE, sha256="s" * 64, published=[result], detail={})

    def look() -> None:
        for seen in Scan(str(source), Rules()):
            version = Version(path=seen.path, size=seen.size, mtime_ns=seen.mtime_ns)
            assert journal.sources.is_known("f", version)  # noqa: S101 -- otherwise another path is measured

    def tick() -> None:
        for _ in range(100):
            journal.store.data_version()
            journal.queue.queue_due()

    def status() -> None:
        reader = Reader(journal.store)
        reader.counts()
        reader.last_done("f")
        reader.done_since("f", 0)

    watch.time("accept", count, accept)
    watch.time("claim", probe, begin)
    watch.time("finish", probe, finish)
    watch.time("scan", count, look)
    watch.time("tick", 100, tick)
    watch.time("status call", 1, status)
    watch.time("jobs page call", 1, lambda: next(Reader(journal.store).jobs()))
    journal.close()
    size = (state / "journal.sqlite").stat().st_size
    watch.us["bytes in the file"] = round(size / count)
    return watch.us


def scale(root: Path) -> Figures:
    """Measure 1,000, 10,000 and 100,000 files."""
    table = {count: costs(root / str(count), count) for count in SIZES}
    wrong = []
    note(f"{'microseconds':>20} " + " ".join(f"{count:>10}" for count in SIZES))
    for what in table[SIZES[0]]:
        row = [table[count][what] for count in SIZES]
        note(f"{what:>20} " + " ".join(f"{value:>10}" for value in row))
        if what in ("accept", "claim", "finish", "scan", "tick") and row[-1] > MAX_GROWTH * max(row[0], 1.0):
            wrong.append(f"{what} costs {row[0]} µs a file at {SIZES[0]} and {row[-1]} at {SIZES[-1]}")
    counts = {f"{what} at {count}": us for count in SIZES for what, us in table[count].items()}
    return Figures(
        campaign="journal scale",
        promise="costs a file do not grow with the number of files (µs of processor time)",
        counts=counts,
        violations=tuple(wrong),
    )


# ---- adoption


def adoption(root: Path) -> Figures:
    """Measure the adoption of 10,000 sidecars that the journal does not know."""
    root.mkdir(parents=True)
    installation = EarlierInstallation(root)
    for n in range(100):
        installation.cut(f"{n // 100}/{n:05d}.jpg", jpeg(0))
    # The rest are copies: publishing 10,000 takes minutes of syncing, and is not measured here.
    first = (installation.folder.output / "0/00000.png.json").read_text(encoding="utf-8")
    status = (installation.folder.input / "0/00000.jpg").stat()
    for n in range(100, ADOPTED):
        below = f"{n // 100}"
        source = installation.folder.input / below / f"{n:05d}.jpg"
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(jpeg(0))
        os.utime(source, ns=(status.st_mtime_ns, status.st_mtime_ns))
        sidecar = installation.folder.output / below / f"{n:05d}.png.json"
        sidecar.parent.mkdir(exist_ok=True)
        sidecar.write_text(first.replace("0/00000", f"{below}/{n:05d}"), encoding="utf-8")
    work = Adoption(installation.folder, rules=Rules(), sources=installation.journal.sources)
    started_s, wall_s = time.process_time(), time.monotonic()
    work.carry_out(lambda: True)
    took_s = time.process_time() - started_s
    wall_s = time.monotonic() - wall_s
    done = Reader(installation.journal.store).counts()[installation.folder.name].get(JobState.DONE, 0)
    installation.journal.close()
    return Figures(
        campaign="journal adoption",
        promise="10,000 sidecars are adopted in seconds, none is cut again",
        counts={"sidecars": ADOPTED, "adopted": done, "cpu s": round(took_s, 2), "wall s": round(wall_s, 2)},
        violations=() if done == ADOPTED else (f"{ADOPTED - done} were not adopted",),
    )
