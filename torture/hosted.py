"""The hosted route at full speed, and killed again and again: nothing is lost, and nothing is paid twice.

    python -m torture.hosted [--pictures 200] [--kills 20]

A service on loopback takes a second for each picture and accepts 8 at once. First all pictures go through in one run; then the
daemon and its uploader are killed at random moments until everything is done.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.conftest import picture
from tests.hosted_server import HostedServer

from torture.figures import Figures, note, report

SEED: Final = 20261124
SECONDS: Final = 1.0
AT_ONCE: Final = 8
PACE_PROMISE: Final = "a service that takes 1 s and 8 at once: 200 small pictures in under 30 s"
KILL_PROMISE: Final = "killed at any moment: each picture is done or shown as unknown, and none is sent twice"


@dataclass(frozen=True, slots=True)
class Place:
    """The folders and the configuration of one campaign."""

    root: Path
    server: HostedServer

    @property
    def hosted(self) -> Path:
        """The uploader's directory."""
        return self.root / "state/hosted"

    def begin(self, pictures: int) -> None:
        """Write the configuration, and small pictures that all differ."""
        for name in ("in", "out"):
            (self.root / name).mkdir(parents=True)
        (self.root / "cutoutd.toml").write_text(
            f'[service]\nstate_dir = "{self.root}/state"\n'
            f'[hosted]\nenabled = true\nbase_url = "{self.server.url}"\nmax_credits_per_day = 100000\n'
            f"concurrency = {AT_ONCE}\n"
            f'[[folder]]\nname = "shop"\ninput = "{self.root}/in"\noutput = "{self.root}/out"\nroute = "hosted"\n',
            encoding="utf-8",
        )
        for number in range(pictures):
            path = self.root / f"in/IMG_{number:04d}.jpg"
            image = picture(number, width=320, height=240)
            image.putpixel((number % 320, number // 320), (255, 0, number % 256))
            image.save(path, quality=90)
            os.utime(path, (time.time() - 60,) * 2)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the real command."""
        command = [
            sys.executable,
            "-P",
            "-m",
            "cutoutd",
            "run",
            "--once",
            "--config",
            str(self.root / "cutoutd.toml"),
        ]
        with (self.root / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"CUTOUTD_API_KEY": "k"},
            )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill daemon and uploader at once."""
        with suppress(OSError, ValueError, KeyError, TypeError, ProcessLookupError):
            os.kill(json.loads((self.hosted / "status.json").read_text("ascii"))["pid"], signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def states(self) -> Counter[str]:
        """Return the number of jobs by state."""
        connection = sqlite3.connect(self.root / "state/journal.sqlite")
        try:
            return Counter(
                dict(connection.execute("SELECT state, COUNT(*) FROM job WHERE newest = 1 GROUP BY state"))
            )
        finally:
            connection.close()

    def wrong(self, pictures: int) -> list[str]:
        """Return what is wrong at the end."""
        states = self.states()
        results = len(list((self.root / "out").glob("*.png")))
        found = []
        if states["done"] + states["unknown"] != pictures:
            found.append(f"{pictures} pictures, but {dict(states)}")
        if results != states["done"]:
            found.append(f"{states['done']} are done, and {results} results there")
        whole = Counter(seen.picture for seen in self.server.seen if seen.is_whole)
        found += [f"a picture was sent {count} times" for count in whole.values() if count > 1]
        for place in ("outbox", "inbox"):
            found += [f"left over: {path}" for path in (self.hosted / place).iterdir()]
        return found


def pace(root: Path, pictures: int) -> Figures:
    """Upload all pictures in one run."""
    with HostedServer(delay_s=SECONDS, at_once=AT_ONCE) as server:
        place = Place(root / "pace", server)
        place.begin(pictures)
        started_s = time.monotonic()
        code = place.start().wait()
        whole_s = time.monotonic() - started_s
        first_s, last_s = server.seen[0].at_s, max(seen.at_s for seen in server.seen)
        wrong = place.wrong(pictures) + ([f"it ended with {code}"] if code else [])
        if whole_s > 30 * pictures / 200:
            wrong.append(f"it took {whole_s:.1f} s")
        return Figures(
            campaign="hosted pace",
            promise=PACE_PROMISE,
            counts={
                "pictures": pictures,
                "seconds": round(whole_s, 1),
                "from the first upload to the last": round(last_s - first_s, 1),
                "at once": server.most_at_once,
                "connections": server.connections,
            },
            violations=tuple(wrong),
        )


def kills(root: Path, times: int) -> Figures:
    """Kill the processes until everything is done."""
    rng = random.Random(SEED)
    pictures = 15 * times
    with HostedServer(delay_s=0.3) as server:
        place = Place(root / "kills", server)
        place.begin(pictures)
        killed = 0
        while killed < times:
            before = len(server.seen)
            process = place.start()
            end_s = time.monotonic() + 60
            while len(server.seen) == before and process.poll() is None and time.monotonic() < end_s:
                time.sleep(0.01)
            try:
                process.wait(rng.uniform(0.0, 2.0))
            except subprocess.TimeoutExpired:
                place.kill(process)
                killed += 1
                note(
                    f"{killed} kills, {dict(place.states()) if (place.root / 'state/journal.sqlite').exists() else {}}"
                )
            else:
                break
        place.start().wait()
        states = place.states()
        return Figures(
            campaign="hosted kills",
            promise=KILL_PROMISE,
            counts={
                "kills": killed,
                "pictures": pictures,
                **states,
                "uploads": len(server.seen),
                "seed": SEED,
            },
            violations=tuple(place.wrong(pictures)),
        )


def main(arguments: list[str]) -> int:
    """Run both parts."""
    parser = argparse.ArgumentParser(prog="python -m torture.hosted")
    parser.add_argument("--pictures", type=int, default=200, help="of the first part; 0 leaves it out")
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="hosted-"))
    try:
        code = report(pace(root, given.pictures)) if given.pictures else 0
        return code | report(kills(root, given.kills))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
