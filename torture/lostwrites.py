"""Cuts the power: every process dies, and of data that was not synced nothing, some, or torn pages remain.

    python -m torture.lostwrites [--crashes 210] [--seed N] [--jobs 2]

State directory, hot folder, output, sidecars and originals are on `torture.forgetful`. Each round on a site: pictures arrive,
the power is cut before a random change to the disk, what is left is compared with what the daemon had logged by then, the
daemon runs to its end, and the invariants are checked.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from torture import side_by_side
from torture.checks import Fate, Kept, Source, named_files_are_whole, safe_originals, torn, violations
from torture.figures import Figures, note, report
from torture.forgetful import Mode
from torture.site import Layout, Site, broken, jpeg

PROMISE = "power cut at any change, unsynced writes lost: accepted pictures survive, published ones are whole, none lost"
ROUNDS = 5
"""Rounds on one site, before the next begins with a first start."""

CHANGES = 330
"""Approximate number of changes of a run with two pictures; one with a single picture makes half as many."""

KINDS = {
    "plain": (),
    "sidecars elsewhere": (),
    "two forms": (),
    "move": ('originals = "move"',),
    "delete": ('originals = "delete"',),
}
_KEPT = {"move": Kept.MOVE, "delete": Kept.DELETE}
_TWO_FORMS = ("[[folder.rendition]]", "[[folder.rendition]]", 'suffix = "_b"')


class Disk:
    """A forgetful file system, mounted while the object is open."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        mountpoint.mkdir(parents=True)
        self._server = subprocess.Popen(
            [sys.executable, "-B", "-m", "torture.forgetful", str(mountpoint)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + 20
        while not mountpoint.is_mount():
            if time.monotonic() > end or self._server.poll() is not None:
                self._server.kill()
                raise TimeoutError("the file system was not mounted")
            time.sleep(0.02)

    def say(self, command: str) -> str:
        """Send a command. Returns the answer."""
        if self._server.stdin is None or self._server.stdout is None:
            raise RuntimeError("it was started without pipes")
        self._server.stdin.write(f"{command}\n")
        self._server.stdin.flush()
        return self._server.stdout.readline().strip()

    def state(self) -> tuple[int, bool]:
        """Return the number of changes so far, and whether the power is cut."""
        count, state = self.say("state").split()
        return int(count), state == "cut"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["fusermount3", "-uz", str(self.mountpoint)], check=False)  # noqa: S607 -- found on the path
        self._server.kill()
        self._server.wait()


@dataclass(slots=True)
class Findings:
    """The findings over all lanes."""

    crashes: int = 0
    at_rest: int = 0
    accepted: int = 0
    published: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class Lane:
    """One disk, with one site after the other on it."""

    disk: Disk
    root: Path
    chance: random.Random
    site: Site = field(init=False)
    kind: str = "plain"
    sources: dict[str, Source] = field(default_factory=dict)
    round: int = 0
    drawn: int = 0

    def begin(self, kind: str) -> None:
        """Make an empty disk with a new site, without anything that the daemon makes itself."""
        self.kind, self.sources, self.round = kind, {}, 0
        self.disk.say("reset")
        shutil.rmtree(self.root, ignore_errors=True)
        place = self.disk.mountpoint
        self.site = Site(
            Layout(
                root=self.root,
                state=place / "deep" / "state",
                input=place / "in",
                output=place / "out",
                sidecar_dir=place / "sidecars" if kind == "sidecars elsewhere" else None,
                originals_dir=place / "originals" if kind == "move" else None,
                options=KINDS[kind],
                tables=_TWO_FORMS if kind == "two forms" else (),
                pool=("workers = 1",),
                service=('log_level = "debug"', 'log_format = "json"'),
            )
        )
        (place / "out").rmdir()
        self.disk.say("sync")

    def arrive(self) -> None:
        """Add a new picture, and usually another version of an old one; some are broken."""
        self.round += 1
        names = [f"{'sub/' if self.round % 2 else ''}{self.round}.jpg"]
        # Where originals are moved, a new file under a used name is another picture.
        if self.sources and self.kind not in _KEPT and self.chance.random() < 0.7:
            names.append(self.chance.choice(sorted(self.sources)))
        for name in names:
            bad = self.chance.random() < 0.15
            content = broken() if bad else self._new_picture()
            fate = Fate.FAILED if bad else Fate.CUT
            self.sources[name] = Source(content=content, fate=fate, renditions=1 + (self.kind == "two forms"))
            self.site.drop(name, content, age_s=1000.0 + self.chance.random())
        self.disk.say("sync")

    def _new_picture(self) -> bytes:
        """Return a picture with unique bytes: an original that was moved twice must differ from two equal ones."""
        drawn = jpeg(
            self.drawn % 4, 55 + self.drawn // 4 % 40
        )  # with pixels of its own: another comment alone is no new version
        self.drawn += 1
        note_ = f"{self.chance.randrange(1 << 62):016x}".encode("ascii")
        return drawn[:2] + b"\xff\xfe" + (len(note_) + 2).to_bytes(2, "big") + note_ + drawn[2:]

    def crash(self, mode: Mode, findings: Findings) -> None:
        """Cut the power once, recover, and check."""
        # Half of the cuts come late, when pictures are published, and a few after the end.
        at = self.chance.randint(self.chance.choice((1, CHANGES // 2)), CHANGES)
        seed = self.chance.randrange(1 << 30)
        where = f"{self.kind}, round {self.round}, {mode}, change {at}, seed {seed}"
        log = self.root / "log"
        log.unlink(missing_ok=True)
        before = len(self.site.remains())
        self.disk.say(f"arm {at} {mode} {seed}")
        running = self.site.start("--once")
        end = time.monotonic() + 60
        while running.process.poll() is None and not self.disk.state()[1] and time.monotonic() < end:
            time.sleep(0.02)
        running.kill()
        _, was_cut = self.disk.state()
        self.disk.say("crash")
        said = _said(log)
        wrong = self.left(said, before)
        try:
            code = self.site.settle()
            wrong += [f"the next run ended with {code}"] if code not in (0, 1) else []
            wrong += violations(self.site, self.sources, kept=_KEPT.get(self.kind, Kept.KEEP))
        except (TimeoutError, sqlite3.Error, OSError) as error:
            wrong.append(f"{type(error).__name__}: {error}")
        with findings.lock:
            findings.crashes += 1
            findings.at_rest += not was_cut
            findings.accepted += sum(one["count"] for one in said if one["event"] == "files.accepted")
            findings.published += sum(one["event"] == "job.published" for one in said)
            findings.modes[mode] += 1
            findings.wrong += [f"{where}: {text}" for text in wrong]
        if wrong:
            note(f"{where}: {wrong}")
            kept = Path(tempfile.gettempdir(), f"lostwrites-{seed}.log")
            shutil.copy(log, kept)
            self.begin(self.kind)

    def left(self, said: list[dict[str, Any]], before: int) -> list[str]:
        """Return what is wrong with what is left, given what the daemon had logged."""
        wrong = named_files_are_whole(self.site) + safe_originals(self.site, self.sources)
        try:
            rows = self.site.remains()
        except sqlite3.Error as error:
            return [*wrong, f"the journal does not open: {error}"]
        accepted = sum(one["count"] for one in said if one["event"] == "files.accepted")
        if len(rows) < before + accepted:
            wrong.append(f"{accepted} files were accepted, and {len(rows) - before} are in the journal")
        states = {row["id"]: row["state"] for row in rows}
        for one in said:
            if one["event"] == "job.published":
                if states.get(one["job"]) not in ("done", "review"):
                    wrong.append(f"job {one['job']} was published, and is {states.get(one['job'])} now")
                wrong += self._published(one)
            if one["event"] == "job.failed" and states.get(one["job"]) != "failed":
                wrong.append(f"job {one['job']} had failed, and is {states.get(one['job'])} now")
        return wrong

    def _published(self, said: dict[str, Any]) -> list[str]:
        first = Path(said["outputs"][0])
        sidecar = self.site.sidecars / f"{first.relative_to(self.site.output)}.json"
        try:
            document = json.loads(sidecar.read_bytes())
        except (OSError, ValueError) as error:
            return [f"{said['path']} was published, and its sidecar is gone or torn: {error}"]
        fault = torn(self.site, document)
        return [f"{said['path']} was published: {fault}"] if fault else []


def _said(log: Path) -> list[dict[str, Any]]:
    """Return what the daemon had logged, one event each."""
    said = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and "event" in one:
            said.append(one)
    return said


def torture(number: int, crashes: int, seed: int, root: Path, findings: Findings) -> None:
    """Make so many crashes in one lane."""
    chance = random.Random(seed * 1000 + number)
    with Disk(root / f"disk-{number}") as disk:
        lane = Lane(disk=disk, root=root / f"site-{number}", chance=chance)
        kinds = list(KINDS)
        for done in range(crashes):
            if done % ROUNDS == 0:
                lane.begin(kinds[(done // ROUNDS + number) % len(kinds)])
            lane.arrive()
            lane.crash(list(Mode)[done % len(Mode)], findings)
            if findings.crashes % 10 == 0:
                note(f"{findings.crashes} crashes, {len(findings.wrong)} violations")


def main() -> int:
    """Run the campaign."""
    findings = Findings()
    seed = side_by_side.run(
        "lostwrites",
        "crashes",
        210,
        partial(torture, findings=findings),
        counts="power cuts in all",
        draws="of moments, pictures and losses",
    )
    return report(
        Figures(
            campaign="lostwrites",
            promise=PROMISE,
            counts={
                "seed": seed,
                "crashes": findings.crashes,
                "of them at rest": findings.at_rest,
                **{f"losing {mode}": count for mode, count in sorted(findings.modes.items())},
                "acceptances that had been said": findings.accepted,
                "publications that had been said": findings.published,
            },
            violations=tuple(findings.wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
