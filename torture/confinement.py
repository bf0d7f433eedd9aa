"""What a hostile folder and a compromised worker can do: probes from inside, layouts of input, output and state, false reports.

python -m torture.confinement [PART...]     probes, input, output, state, lies; without a name, all

It runs as root, so that permissions prevent nothing. In each layout, no file of another user's directory may be read into a
result, created, changed or removed; a canary picture in the same folder is still cut, or the daemon reports why it does not
work there; the daemon ends in time, and no exception is unforeseen.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from torture import batches
from torture.confinement_ground import SOMEBODY, Found, Ground
from torture.confinement_layouts import (
    BEFORE_START,
    BESIDE_MARKER,
    LINKS,
    NODES,
    OBJECTS,
    Plant,
    plant_all_in_input,
)
from torture.confinement_lies import HONEST, PROGRAM
from torture.confinement_probes import probe
from torture.figures import Figures, note, report
from torture.site import empty_scene, jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

LIES: Final = 120
LIES_S: Final = 1800.0
"""Most false reports cost their worker, twice."""
_PLACES: Final = ("", "/a.png", "/a.png.json")
_SETTLED: Final = {"done", "review", "failed", "unchanged", "gone", "skipped"}


def _in_turn(
    place: Path, layouts: dict[str, Callable[[Ground], None]], found: Found, *, options: tuple[str, ...] = ()
) -> None:
    """Run each layout on a new ground."""
    for number, (what, plant) in enumerate(layouts.items()):
        ground = Ground(place / f"{number}", options)
        plant(ground)
        ground.begin()
        before = len(found.violations)
        ground.run(what, found)
        found.counts["layouts"] += 1
        if len(found.violations) == before:
            ground.close()
        note(
            f"confinement: {what}: {'well' if len(found.violations) == before else found.violations[before:]}"
        )


def inputs(place: Path) -> Found:
    """Put everything beside a canary, then something else in place of the marker, then a sub-folder that is exchanged."""
    found = Found()
    ground = Ground(place / "all")
    planted = plant_all_in_input(ground.site.input, ground.victim, jpeg(1))
    ground.begin()
    ground.run("all kinds of files in the input", found)
    found.counts["layouts"] += len(planted)
    linked = {"second name"}
    for job in ground.site.journal():
        if job["state"] not in _SETTLED and job["state"] != "retry":
            found.violations.append(f"input: {os.fsdecode(job['path'])!r} is {job['state']}")
    note(f"confinement: {len(planted)} things in one input, {sorted(linked)} are pictures of their folder")
    _in_turn(
        place / "marker",
        {
            f"{name} is a {what}": partial(_in_input, name=name, plant=plant)
            for name in BESIDE_MARKER
            for what, plant in OBJECTS.items()
            if name == BESIDE_MARKER[0] or what in ("link to a file", "FIFO", "directory", "1 TiB")
        },
        found,
    )
    _flip(place / "flip", "in/sub", found)
    return found


def outputs(place: Path) -> Found:
    """Put everything in place of results, sidecars, records and their directories; then of our own directories."""
    found = Found()
    ground = Ground(place / "all", options=("review_below = 0.0",))
    expected = 0
    for number, (what, plant) in enumerate(OBJECTS.items()):
        for kind, below in enumerate(
            (*(f"{{}}{end}" for end in _PLACES), "failed/{}/b.jpg.error.json", "review/{}/g.png", "failed/{}")
        ):
            name = f"d{number:02}{kind}"
            for source, content in (
                ("a.jpg", jpeg(number % 4)),
                ("b.jpg", jpeg(0)[:200]),
                ("g.png", empty_scene()),
            ):
                ground.drop(f"{name}/{source}", content)
            target = ground.site.output / below.format(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            plant(target, ground.victim)
            expected += 1
            found.counts[f"a {what}"] += 1
    ground.begin()
    ground.run("all kinds of things in the output", found)
    found.counts["layouts"] += expected
    for job in ground.site.journal():
        if job["state"] not in _SETTLED and job["state"] != "retry":
            found.violations.append(f"output: {os.fsdecode(job['path'])} is {job['state']}: {job['detail']}")
    _in_turn(
        place / "own",
        {
            f"the output's {name} is a {what}": partial(_with_all_ends, name=name, plant=plant)
            for name in ("review", "failed", ".cutoutd-staging")
            for what, plant in (LINKS | NODES).items()
        },
        found,
    )
    for name in ("out/sub", "out/review", "out/failed", "out/.cutoutd-staging"):
        _flip(place / name.replace("/", "-"), name, found)
    return found


def _in_input(ground: Ground, *, name: str, plant: Plant) -> None:
    plant(ground.site.input / name, ground.victim)


def _as_state(ground: Ground, *, plant: Plant) -> None:
    plant(ground.site.state, ground.victim)


def _with_all_ends(ground: Ground, *, name: str, plant: Plant) -> None:
    for source, content in (("a.jpg", jpeg(1)), ("b.jpg", jpeg(0)[:200]), ("g.png", empty_scene())):
        ground.drop(source, content)
    plant(ground.site.output / name, ground.victim)


def _flip(place: Path, name: str, found: Found) -> None:
    """Exchange a directory with a link to a foreign one again and again, while pictures with every outcome are cut."""
    ground = Ground(place)
    for number in range(20):
        for source, content in (
            ("a.jpg", jpeg(number % 4)),
            ("b.jpg", jpeg(0)[:200]),
            ("g.png", empty_scene()),
        ):
            ground.drop(f"sub/{number}{source}", content)
    there = ground.site.root / name
    there.mkdir(exist_ok=True)
    aside = ground.root / "aside"
    aside.symlink_to(ground.victim.root)
    ground.begin()
    over = threading.Event()

    def flip() -> None:
        exchanged = 0
        while not over.wait(0.002):
            with suppress(OSError):
                _exchange(there, aside)
                exchanged += 1
        found.counts["flips"] += exchanged

    thread = threading.Thread(target=flip)
    thread.start()

    def rest() -> None:
        over.set()
        thread.join()

    ground.run(f"{name} flips", found, at_end=rest)
    found.counts["layouts"] += 1


def _exchange(one: Path, other: Path) -> None:
    from cutoutd.fs.tree import Entry  # noqa: PLC0415 -- likewise
    from cutoutd.publish.rename import exchange  # noqa: PLC0415 -- for this alone

    exchange(Entry.at(one), Entry.at(other))


def states(place: Path) -> Found:
    """Put everything in place of the files of a state directory, of the directory itself, and of its parents."""
    found = Found()
    layouts: dict[str, Callable[[Ground], None]] = {
        f"the state's {name} is a {what}": partial(_in_state, name=name, plant=plant)
        for name in BEFORE_START
        for what, plant in (LINKS | NODES).items()
        if what not in ("link to a picture", "relative link")
    }
    layouts |= {
        f"the state directory is a {what}": partial(_as_state, plant=plant)
        for what, plant in (LINKS | NODES).items()
        if what != "directory"
    }
    layouts |= {
        "the state directory is somebody's": partial(_own, owner=SOMEBODY),
        "everybody may write in the state directory": partial(_own, mode=0o777),
        "a group may write in the state directory": partial(_own, group=SOMEBODY, mode=0o2775),
        "the lock is somebody's": partial(_foreign, name="lock"),
        "the journal is somebody's": partial(_foreign, name="journal.sqlite"),
        "everybody may write above the state": lambda ground: ground.site.root.chmod(0o777),
        "what is above the state is somebody's": lambda ground: os.chown(ground.site.root, SOMEBODY, -1),
    }
    _in_turn(place, layouts, found)
    return found


def _in_state(ground: Ground, *, name: str, plant: Plant) -> None:
    ground.site.state.mkdir(mode=0o777)
    plant(ground.site.state / name, ground.victim)


def _own(ground: Ground, *, owner: int = 0, group: int = 0, mode: int = 0o700) -> None:
    ground.site.state.mkdir()
    os.chown(ground.site.state, owner, group)
    ground.site.state.chmod(mode)


def _foreign(ground: Ground, *, name: str) -> None:
    ground.site.state.mkdir()
    (ground.site.state / name).touch()
    os.chown(ground.site.state / name, SOMEBODY, -1)


def lies(place: Path) -> Found:
    """Run one worker that sends false reports, except about every eighth job, and goes on reading."""
    found = Found()
    ground = Ground(place / "lies")
    front = ground.root / "front"
    front.mkdir()
    (front / "sitecustomize.py").write_text(PROGRAM, encoding="utf-8")
    told = (
        LIES * HONEST // (HONEST - 1) // HONEST * HONEST + HONEST - 1
    )  # the canary after them is reported truthfully
    for number in range(told):
        ground.site.drop(f"{number:03}.jpg", jpeg(number % 4), age_s=2000.0 - number)
    ground.begin()
    ground.run("a worker that lies", found, environment={"PYTHONPATH": os.fspath(front)}, end_s=LIES_S)
    jobs = {int(job["id"]): job for job in ground.site.journal()}
    for number, job in jobs.items():
        if number % HONEST == 0 and job["state"] not in ("done", "review"):
            found.violations.append(f"lies: the honest job {number} is {job['state']}: {job['detail']}")
        if job["state"] not in _SETTLED and job["state"] != "retry":
            found.violations.append(f"lies: job {number} is {job['state']}: {job['detail']}")
        found.counts[f"lies {job['state']}"] += 1
    found.counts["lies"] = sum(number % HONEST != 0 for number in jobs)
    return found


def probes(place: Path) -> Found:
    """Test what each kind of process reaches from inside."""
    counts, wrong = probe(place)
    return Found(counts=counts, violations=wrong)


PARTS: Final = {"probes": probes, "input": inputs, "output": outputs, "state": states, "lies": lies}


def main() -> int:
    """Run the named parts, or all."""
    if os.geteuid():
        note("confinement: only root can plant all of it")
        return 2
    root = Path(tempfile.mkdtemp(prefix="torture-confinement-"))
    batches.add_small_model(root)
    started_s = time.monotonic()
    counts: dict[str, int] = {}
    wrong: list[str] = []
    for name in sys.argv[1:] or PARTS:
        found = PARTS[name](root / name)
        counts |= {f"{name}: {what}": count for what, count in found.counts.items()}
        wrong += found.violations
    if not wrong:
        shutil.rmtree(root)
    return report(
        Figures(
            campaign="confinement",
            promise="a hostile folder or worker reaches nothing outside, and costs nobody else's picture",
            counts=counts | {"seconds": round(time.monotonic() - started_s)},
            violations=tuple(wrong),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
