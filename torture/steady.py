"""Months in an hour: the cost of the daemon while nothing happens, and its drift under load.

    python -m torture.steady                         idle, then a short soak
    python -m torture.steady idle                    processor time of an idle supervisor
    python -m torture.steady soak --minutes 60       mixed work; memory, descriptors and threads of each process

Figures are the kernel's (`/proc`), of the supervisor and of each worker separately.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from tests.acceptance.conftest import picture

from torture.figures import Figures, note, report
from torture.places import Hot, Place, wait_until
from torture.processes import Sample, cpu_s, drift, sample
from torture.site import Running, family

SEED: Final = 20261124
WARM_UP_SHARE: Final = 1 / 6
"""Share of a soak: the first 10 minutes of an hour."""

MAX_DRIFT: Final = 0.05
IDLE_LOCAL: Final = 0.005
IDLE_POLLED: Final = 0.01
POLLED_FILES: Final = 10_000

_SIZES: Final = ((360, 270), (640, 480), (900, 1200), (1600, 1200))
_FORMATS: Final = (("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"), ("webp", "WEBP"))


@cache
def _content(hue: int, size: tuple[int, int], kind: str) -> bytes:
    draft = io.BytesIO()
    picture(hue, width=size[0], height=size[1]).save(draft, format=kind)
    return draft.getvalue()


# ---- idle


def idle(root: Path, *, seconds: float) -> Figures:
    """Measure the processor time of a supervisor with nothing to do."""
    local = [Hot(name=f"f{n}", input=root / f"a/in{n}", output=root / f"a/out{n}") for n in range(3)]
    polled = [
        Hot(
            name="share",
            input=root / "b/in",
            output=root / "b/out",
            options=('watch = "poll"', 'existing = "skip"'),
        )
    ]
    (root / "b/in").mkdir(parents=True)
    for n in range(POLLED_FILES):
        (root / f"b/in/IMG_{n:05d}.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    shares = {
        "local": _idle_share(Place(root / "a", local, workers=1), seconds=seconds, settle_s=10),
        "polled": _idle_share(Place(root / "b", polled, workers=1), seconds=seconds, settle_s=30),
    }
    limits = {"local": IDLE_LOCAL, "polled": IDLE_POLLED}
    return Figures(
        campaign="steady idle",
        promise="an idle supervisor takes at most 0.5 % of a core, 1 % with a polled share of 10,000 files",
        counts={"seconds": seconds} | {f"{name} %": round(100 * share, 3) for name, share in shares.items()},
        violations=tuple(
            f"{name}: {100 * share:.2f} % of a core, at most {100 * limits[name]} are allowed"
            for name, share in shares.items()
            if share > limits[name]
        ),
    )


def _idle_share(place: Place, *, seconds: float, settle_s: float) -> float:
    running = place.start()
    try:
        wait_until((place.state / "status.json").exists, "the daemon", timeout_s=60)
        time.sleep(settle_s)
        before, started_s = cpu_s(running.pid), time.monotonic()
        time.sleep(seconds)
        share = (cpu_s(running.pid) - before) / (time.monotonic() - started_s)
        note(f"idle: {100 * share:.3f} % of a core")
        return share
    finally:
        running.stop()
        running.kill()


# ---- soak


@dataclass(slots=True)
class Soak:
    """Mixed work at a moderate rate, with samples of the processes."""

    root: Path
    seconds: float
    pace_s: float
    workers: int
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    processes: dict[int, list[Sample]] = field(default_factory=dict)
    deeds: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    there: list[tuple[str, str]] = field(default_factory=list)
    bad: set[tuple[str, str]] = field(default_factory=set)
    expected: set[tuple[str, str]] = field(default_factory=set)
    withdrawn: set[tuple[str, str]] = field(default_factory=set)
    folders: dict[str, Hot] = field(default_factory=dict)

    def run(self) -> Figures:
        """Work for the whole time, let it come to rest, and judge."""
        options = {"keep": (), "bin": ('originals = "delete"',), "new": ('order = "newest"',)}
        self.folders = {
            name: Hot(
                name=name, input=self.root / name / "in", output=self.root / name / "out", options=given
            )
            for name, given in options.items()
        }
        place = Place(self.root, list(self.folders.values()), workers=self.workers)
        running = place.start()
        wrong: list[str] = []
        try:
            wait_until((place.state / "status.json").exists, "the daemon", timeout_s=60)
            self._work(running)
            wait_until(lambda: self._rests(place), "the end of all work", timeout_s=600)
            if running.process.poll() is not None:
                wrong.append("the daemon ended")
        except TimeoutError as error:
            wrong.append(str(error))
        finally:
            code = running.process.poll() if running.process.poll() is not None else running.stop()
            running.kill()
        if code != 0:
            wrong.append(f"the daemon ended with code {code}; see {running.log}")
        wrong += self._lost(place)
        wrong += [f"left over: {path}" for path in self.root.glob("*/out/.cutoutd-staging")]
        drifts = self._drifts(running.pid)
        wrong += [
            f"process {name}: memory grew by {100 * value:.1f} % after the warm-up"
            for name, value in drifts.items()
            if value > MAX_DRIFT
        ]
        wrong += self._leaks()
        return Figures(
            campaign="steady soak",
            promise="60 minutes of mixed work: memory drift under 5 % per process after warm-up, nothing lost or left",
            counts={
                "minutes": round(self.seconds / 60, 1),
                "seed": SEED,
                **self.deeds,
                **{f"{state} at the end": count for state, count in sorted(place.states().items())},
                "processes": len(self.processes),
                **{f"drift of {name} %": round(100 * value, 2) for name, value in drifts.items()},
                **self._peaks(running.pid),
            },
            violations=tuple(wrong),
        )

    def _work(self, running: Running) -> None:
        started_s = time.monotonic()
        next_look_s = next_deed_s = started_s
        while (now_s := time.monotonic()) < started_s + self.seconds:
            if running.process.poll() is not None:
                raise TimeoutError(f"the daemon ended with code {running.process.returncode}")
            if now_s >= next_deed_s:
                self._do_something()
                next_deed_s += self.pace_s
            if now_s >= next_look_s:
                for pid in family(running.pid):
                    if (seen := sample(pid, now_s - started_s)) is not None:
                        self.processes.setdefault(pid, []).append(seen)
                next_look_s += max(1.0, self.seconds / 720)
            time.sleep(max(0.01, min(next_deed_s, next_look_s) - time.monotonic()))

    def _do_something(self) -> None:
        deed = self.rng.choices(
            ["new", "replaced", "broken", "deleted", "cutout deleted", "touched"], [70, 10, 6, 6, 4, 4]
        )[0]
        self.deeds[deed] = self.deeds.get(deed, 0) + 1
        if deed in ("new", "broken") or not self.there:
            self._drop_new(broken=deed == "broken")
            return
        folder, name = self.rng.choice(self.there)
        path = self.folders[folder].input / name
        match deed:
            case "replaced":
                self._put(folder, name, broken=False)
            case "deleted":
                path.unlink(missing_ok=True)
                self.there.remove((folder, name))
                self.withdrawn.add((folder, name))
            case "touched" if path.exists():
                os.utime(path)
            case "cutout deleted":
                cutout = self.folders[folder].output / Path(name).with_suffix(".png")
                cutout.unlink(missing_ok=True)

    def _drop_new(self, *, broken: bool) -> None:
        self.dropped += 1
        folder = self.rng.choices(["keep", "bin", "new"], [2, 6, 2])[0]
        below = self.rng.choice(["", "", f"shoot-{self.dropped // 50}/", "a/b/c/"])
        ending = self.rng.choice(_FORMATS)[0]
        self._put(folder, f"{below}IMG_{self.dropped:06d}.{ending}", broken=broken)

    def _put(self, folder: str, name: str, *, broken: bool) -> None:
        kind = next(kind for ending, kind in _FORMATS if name.endswith(ending))
        size = self.rng.choices(_SIZES, [6, 3, 2, 1])[0]
        content = _content(self.rng.randrange(4), size, kind)
        if broken:
            content = content[: len(content) // 3]
        else:
            content += os.urandom(
                8
            )  # another version each time: bytes after the end of a picture are no part of it
        path = self.folders[folder].input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root / "draft"
        draft.write_bytes(content)
        draft.rename(path)
        source = (folder, name)
        self.expected.add(source)
        self.withdrawn.discard(source)
        (self.bad.add if broken else self.bad.discard)(source)
        if source not in self.there:
            self.there.append(source)
        if len(self.there) > 200:
            self.there.pop(0)

    def _rests(self, place: Place) -> bool:
        states = place.states()
        waiting = sum(states.get(state, 0) for state in ("queued", "working", "publishing", "retry"))
        return waiting == 0 and self._accepted(place)

    def _accepted(self, place: Place) -> bool:
        return not {source for source in self.expected - self.withdrawn if source not in place.newest()}

    def _lost(self, place: Place) -> list[str]:
        newest = place.newest()
        wrong = []
        for source in sorted(self.expected - self.withdrawn):
            state = newest.get(source)
            good = {"failed"} if source in self.bad else {"done", "review", "unchanged"}
            if state not in good:
                wrong.append(f"{source[0]}/{source[1]} is {state}, and should be one of {sorted(good)}")
            there = (self.folders[source[0]].input / source[1]).exists()
            if source[0] == "bin" and there and state in ("done", "unchanged"):
                wrong.append(f"{source[0]}/{source[1]}: the original was not deleted")
        return wrong

    def _warm_up_s(self) -> float:
        return self.seconds * WARM_UP_SHARE

    def _drifts(self, leader: int) -> dict[str, float]:
        found = {}
        for pid, samples in self.processes.items():
            # From the worker's own warm-up on: it reaches its size with its first pictures.
            value = drift(samples, max(self._warm_up_s(), samples[0].at_s + self._warm_up_s()))
            if value is not None:
                found["supervisor" if pid == leader else f"worker {pid}"] = value
        return found

    def _leaks(self) -> list[str]:
        """Return leaks of descriptors and threads: the medians of the second and the last sixth are compared."""
        wrong = []
        for pid, samples in self.processes.items():
            late = [one for one in samples if one.at_s >= samples[0].at_s + self._warm_up_s()]
            if len(late) < 20:
                continue
            part = len(late) // 5
            for what in ("descriptors", "threads"):
                before = statistics.median(getattr(one, what) for one in late[:part])
                after = statistics.median(getattr(one, what) for one in late[-part:])
                if after > before + 2:
                    wrong.append(f"process {pid}: {what} grew from {before} to {after}")
        return wrong

    def _peaks(self, leader: int) -> dict[str, float]:
        of_supervisor = self.processes.get(leader, [])
        others = [one for pid, samples in self.processes.items() if pid != leader for one in samples]
        return {
            f"{what} MiB at most": round(max((one.rss_kib for one in those), default=0) / 1024, 1)
            for what, those in (("supervisor", of_supervisor), ("workers", others))
        }


def main(arguments: list[str]) -> int:
    """Run the named parts."""
    parser = argparse.ArgumentParser(prog="python -m torture.steady")
    parser.add_argument("what", nargs="?", choices=["idle", "soak", "all"], default="all")
    parser.add_argument("--minutes", type=float, default=3.0, help="of the soak")
    parser.add_argument("--pace", type=float, default=1.0, help="seconds between two deeds")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each idle measurement")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="work in this directory, and leave it")
    given = parser.parse_args(arguments)
    root = given.keep or Path(tempfile.mkdtemp(prefix="steady-"))
    code = 0
    try:
        if given.what in ("idle", "all"):
            code |= report(idle(root / "idle", seconds=given.seconds))
        if given.what in ("soak", "all"):
            soak = Soak(
                root=root / "soak", seconds=given.minutes * 60, pace_s=given.pace, workers=given.workers
            )
            code |= report(soak.run())
    finally:
        if given.keep is None:
            shutil.rmtree(root, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
