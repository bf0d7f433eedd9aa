"""Decisions about doubtful cutouts, with the daemon killed at random moments while it carries them out.

Every accepted result is published once, with the bytes that were reviewed; every rejected one leaves its record and nothing
else; no original is touched. ``ROUNDS`` in the environment sets the number of sessions.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from torture.figures import Figures, note, report
from torture.site import empty_scene

ROUNDS: Final = int(os.environ.get("ROUNDS", "20"))
PICTURES: Final = 12
LONGEST_S: Final = 2.5
"""Time from a start to SIGKILL; workers need a second of it, the decisions the rest."""

PATIENCE_S: Final = 120.0


class Session:
    """One folder with doubtful pictures, and the command."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.input, self.output = root / "in", root / "out"
        self.input.mkdir()
        self.config = root / "cutoutd.toml"
        self.config.write_text(
            f'[service]\nstate_dir = "{root}/state"\nmin_free_disk_mb = 0\n[pool]\nworkers = 1\n'
            f'[[folder]]\nname = "hot"\ninput = "{self.input}"\noutput = "{self.output}"\n',
            encoding="utf-8",
        )
        for number in range(PICTURES):
            path = self.input / f"{number:02d}.png"
            path.write_bytes(empty_scene() + bytes([number]))  # bytes after the end make it another picture
            os.utime(path, (time.time() - 1000,) * 2)
        self.seen: dict[str, str] = {}
        self.kills = 0

    def command(self, *words: str) -> list[str]:
        """Return a command line of ours for this session."""
        return [sys.executable, "-P", "-m", "cutoutd", *words, "--config", str(self.config)]

    def call(self, *words: str) -> str:
        """Run a command to its end. Returns its output."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False).stdout

    def cut(self) -> None:
        """Cut everything, and record the results in review."""
        self.call("run", "--once")
        for path in (self.output / "review").glob("*.png"):
            if not path.stem.endswith("-overlay"):
                self.seen[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()

    def decide(self) -> dict[int, str]:
        """Accept every other result, and reject the others. Returns the decision by job."""
        jobs = json.loads(self.call("review", "list", "--json"))["jobs"]
        for number, job in enumerate(jobs):
            self.call("review", "accept" if number % 2 else "reject", str(job["job"]))
        return {job["job"]: ("accept" if number % 2 else "reject") for number, job in enumerate(jobs)}

    def torment(self, chance: random.Random) -> None:
        """Start and kill the daemon until no decision is open."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            with subprocess.Popen(
                self.command("run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as daemon:
                time.sleep(chance.uniform(0.3, LONGEST_S))
                daemon.send_signal(signal.SIGKILL)
            self.kills += 1
            if not json.loads(self.call("review", "list", "--json"))["jobs"]:
                break
        self.call("run", "--once")  # finishes what was being published

    def judge(self, decided: dict[int, str]) -> list[str]:
        """Return what is wrong."""
        wrong = []
        jobs = {job["job"]: job for job in json.loads(self.call("jobs", "--json"))["jobs"]}
        for number, decision in decided.items():
            job = jobs[number]
            name = job["path"]
            target, record = self.output / name, self.output / "failed" / f"{name}.error.json"
            if decision == "accept":
                if job["state"] != "done" or record.exists():
                    wrong.append(f"{name} was accepted, and is {job['state']}")
                elif hashlib.sha256(target.read_bytes()).hexdigest() != self.seen[name]:
                    wrong.append(f"{name} is not what was seen")
                elif (
                    json.loads((self.output / f"{name}.json").read_text())["outputs"][0]["sha256"]
                    != self.seen[name]
                ):
                    wrong.append(f"{name}: its sidecar says otherwise")
            elif job["state"] != "failed" or target.exists() or not record.exists():
                wrong.append(f"{name} was rejected, and is {job['state']}")
        left = [path.name for path in self.output.rglob("*") if path.is_file() and "review" in path.parts]
        wrong += [f"review/{name} was left" for name in left]
        doubles = [path.name for path in self.output.glob("*-*.png")]
        wrong += [f"{name} was published twice" for name in doubles]
        if len(list(self.input.glob("*.png"))) != PICTURES:
            wrong.append("an original is gone")
        if any((self.output / ".cutoutd-staging").glob("*/*")):
            wrong.append("something was left staged")
        return wrong


def main() -> int:
    """Run all sessions."""
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    wrong: list[str] = []
    decisions = kills = 0
    for number in range(ROUNDS):
        root = Path(tempfile.mkdtemp(prefix="torture-reviews-"))
        session = Session(root)
        session.cut()
        decided = session.decide()
        session.torment(chance)
        found = session.judge(decided)
        decisions, kills = decisions + len(decided), kills + session.kills
        if len(decided) != PICTURES:
            found.append(f"{len(decided)} of {PICTURES} were doubtful")
        wrong += [f"{root}: {one}" for one in found]
        if not found:
            shutil.rmtree(root)
        note(f"{number + 1} of {ROUNDS}: {kills} kills, {len(wrong)} violations")
    promise = "each decision is carried out once, whole, with the bytes that were seen"
    counts = {"sessions": ROUNDS, "decisions": decisions, "kills": kills, "seed": seed}
    return report(Figures(campaign="reviews", promise=promise, counts=counts, violations=tuple(wrong)))


if __name__ == "__main__":
    sys.exit(main())
