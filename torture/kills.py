"""Kills the whole daemon at random moments, again and again, while pictures come, change and go.

    python -m torture.kills [--kills 510] [--seed N] [--jobs 2]

Every process of the daemon is killed at once; now and then only one worker is, and the daemon must go on. After every few kills
a run comes to its end undisturbed, and the invariants are checked.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torture import side_by_side
from torture.checks import Fate, Kept, Source, named_files_are_whole, safe_originals, violations
from torture.figures import Figures, note, report
from torture.site import Layout, Site, broken, empty_scene, family, jpeg

if TYPE_CHECKING:
    from torture.site import Running

PROMISE = "every process killed at any moment: nothing lost, doubled, torn or left over"
KILLS_PER_CHECK = 5
"""A picture over which the daemon died six times is quarantined, as intended."""

KILLS_PER_SITE = 30
REST_S = 600.0
START_S, WORK_S, PATIENCE_S = 1.5, 1.0, 20.0
"""Some kills hit the start; the others come soon after a worker has begun."""

KINDS: tuple[tuple[str, tuple[str, ...], Kept], ...] = (
    ("keep", (), Kept.KEEP),
    ("move", ('originals = "move"',), Kept.MOVE),
    ("delete", ('originals = "delete"',), Kept.DELETE),
)


_BLAMED = "SELECT 1 FROM job WHERE attempts > 0 AND state NOT IN ('done', 'review', 'failed')"


@dataclass(slots=True)
class Findings:
    """The findings over all lanes."""

    kills: int = 0
    busy: int = 0
    publishing: int = 0
    workers: int = 0
    pictures: int = 0
    checks: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class Lane:
    """One site, and the pictures that were put into it."""

    site: Site
    kept: Kept
    chance: random.Random
    findings: Findings
    sources: dict[str, Source] = field(default_factory=dict)
    number: int = 0
    versions: int = 0

    def stir(self) -> None:
        """Add pictures, replace or delete some; some are not pictures or have no subject."""
        for _ in range(self.chance.randint(0, 2)):
            self.number += 1
            self._put(f"{self.chance.choice(('', 'x/', 'x/y/'))}{self.number}")
        names = sorted(name for name, source in self.sources.items() if source.fate is not Fate.WITHDRAWN)
        # Where originals are moved, a new file under a used name is another picture, with a result of its own.
        if names and self.kept is Kept.KEEP and self.chance.random() < 0.5:
            name = self.chance.choice(names)
            if name.endswith(".jpg") and self.sources[name].fate is Fate.CUT:
                self._put(name.removesuffix(".jpg"), always_cut=True)
        if names and self.kept is Kept.KEEP and self.chance.random() < 0.2:
            name = self.chance.choice(names)
            (self.site.input / name).unlink(missing_ok=True)
            self.sources[name] = Source(content=b"", fate=Fate.WITHDRAWN)

    def _put(self, stem: str, *, always_cut: bool = False) -> None:
        draw = self.chance.random() if not always_cut else 1.0
        # Each with bytes of its own, so that two pictures are never identical.
        unique = f"{stem} {self.chance.random()}".encode()
        if draw < 0.1:
            name, source = f"{stem}.jpg", Source(content=broken() + unique, fate=Fate.FAILED)
        elif draw < 0.2:
            name, source = f"{stem}.png", Source(content=empty_scene() + unique, fate=Fate.REVIEW)
        else:
            # With pixels of its own: a file that differs in other bytes only is not cut again.
            name = f"{stem}.jpg"
            source = Source(content=jpeg(self.versions % 4, 55 + self.versions // 4 % 40) + unique)
            self.versions += 1
        self.sources[name] = source
        self.site.drop(name, source.content, age_s=1000.0 + self.chance.random())
        with self.findings.lock:
            self.findings.pictures += 1

    def kill_once(self) -> None:
        """Start the daemon, let it work for a while, and kill it."""
        running, at_once = self.site.start(), False
        if self.chance.random() < 0.3:
            time.sleep(self.chance.uniform(0.1, START_S))
        else:
            self._wait_for_work(running)
            if self.chance.random() < 0.2:
                self._wait_for_a_sidecar()
                at_once = True
            if not at_once and self.chance.random() < 0.3:
                self._kill_a_worker(running)
            if not at_once and self.chance.random() < 0.3:
                self.stir()
            time.sleep(0 if at_once else self.chance.uniform(0, WORK_S))
        running.kill()
        try:
            states = {row["state"] for row in self.site.remains()}
        except sqlite3.Error as error:
            states = set()
            self._blame([f"the journal is damaged: {error}"], "right after a kill")
        with self.findings.lock:
            self.findings.kills += 1
            self.findings.busy += "working" in states
            self.findings.publishing += "publishing" in states
        self._blame(
            named_files_are_whole(self.site) + safe_originals(self.site, self.sources), "right after a kill"
        )

    def _wait_for_work(self, running: Running) -> None:
        """Wait until this run's workers are up, and one has a picture."""
        end = time.monotonic() + PATIENCE_S
        while not self._is_at_work(running) and time.monotonic() < end:
            time.sleep(0.05)

    def _is_at_work(self, running: Running) -> bool:
        try:
            said = json.loads((self.site.state / "status.json").read_text(encoding="ascii"))
            rows = self.site.journal()
        except (OSError, ValueError, sqlite3.Error):
            return False
        is_up = said["pid"] == running.pid and said["worker"] is not None
        return is_up and any(row["session"] == said["run"] for row in rows)

    def _wait_for_a_sidecar(self) -> None:
        """Wait for a staged sidecar: the plan is being recorded, and the renames follow within milliseconds."""
        end = time.monotonic() + PATIENCE_S
        while not any(self.site.output.glob(".cutoutd-staging/*/*.json")) and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(self.chance.uniform(0, 0.02))

    def _kill_a_worker(self, running: Running) -> None:
        workers = [pid for pid in family(running.pid) if pid != running.pid]
        # Two deaths over one picture would be attributed to the picture.
        if workers and not self._has_been_blamed():
            with suppress(ProcessLookupError):
                os.kill(self.chance.choice(workers), signal.SIGKILL)
            with self.findings.lock:
                self.findings.workers += 1

    def _has_been_blamed(self) -> bool:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.site.state / "journal.sqlite")) as journal:
            return bool(journal.execute(_BLAMED).fetchone())
        return True

    def check(self) -> None:
        """Let the daemon finish, and check."""
        try:
            code = self.site.settle(timeout_s=REST_S)
            self._blame([f"the last run ended with {code}"] if code not in (0, 1) else [], "at rest")
            self._blame(violations(self.site, self.sources, kept=self.kept), "at rest")
        except (TimeoutError, OSError, sqlite3.Error) as error:
            self._blame([f"{type(error).__name__}: {error}"], "at rest")
        with self.findings.lock:
            self.findings.checks += 1
            note(
                f"{self.findings.kills} kills, {self.findings.busy} of a busy pool, "
                f"{self.findings.publishing} of a half-published picture, {len(self.findings.wrong)} violations"
            )

    def _blame(self, wrong: list[str], when: str) -> None:
        with self.findings.lock:
            self.findings.wrong += [f"{self.site.root.name} {when}: {text}" for text in wrong]


def torture(number: int, kills: int, seed: int, base: Path, findings: Findings) -> None:
    """Make so many kills in one lane, with a new site now and then."""
    chance = random.Random(seed * 1000 + number)
    done = 0
    while done < kills:
        name, options, kept = KINDS[(done // KILLS_PER_SITE + number) % len(KINDS)]
        root = base / f"{name}-{number}-{done}"
        site = Site(
            Layout(
                root=root,
                options=options,
                originals_dir=root / "originals" if kept is Kept.MOVE else None,
                pool=("workers = 2",),
            )
        )
        lane = Lane(site=site, kept=kept, chance=chance, findings=findings)
        before = len(findings.wrong)
        for _ in range(min(KILLS_PER_SITE, kills - done) // KILLS_PER_CHECK or 1):
            for _ in range(KILLS_PER_CHECK):
                lane.stir()
                lane.kill_once()
                done += 1
            lane.check()
        if len(findings.wrong) > before:
            kept_log = Path(tempfile.gettempdir(), f"kills-{root.name}.log")
            kept_log.write_bytes((root / "log").read_bytes())
            note(json.dumps({"log": str(kept_log), "violations": findings.wrong[before:]}))


def main() -> int:
    """Run the campaign."""
    findings = Findings()
    seed = side_by_side.run(
        "kills",
        "kills",
        510,
        partial(torture, findings=findings),
        counts="of the whole daemon",
        draws="of moments and pictures",
    )
    return report(
        Figures(
            campaign="kills",
            promise=PROMISE,
            counts={
                "seed": seed,
                "kills": findings.kills,
                "of a busy pool": findings.busy,
                "of a half-published picture": findings.publishing,
                "single workers killed besides": findings.workers,
                "pictures": findings.pictures,
                "checks at rest": findings.checks,
            },
            violations=tuple(findings.wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
