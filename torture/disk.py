"""Disks that fail, by kind of fault, place, and setting for originals; prints a table.

    python -m torture.disk [--fault read-only]

Each combination has its own daemon on small disks of its own. Pictures come while the fault lasts; then it is removed, and
nothing else is done. What must hold: the daemon lives, pauses meanwhile, cuts every picture once, leaves nothing staged, no
original is removed before its cutout is published, and a webhook gets a message about each picture. Exits with 1 on any
violation.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.acceptance.conftest import Bench
from tests.acceptance.disks import Disks, cpu_s, empty, fill
from tests.acceptance.test_disk_faults import SmallDisks
from tests.webhook_receiver import WebhookReceiver

from torture import webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACES: Final = ("output", "sidecars", "state", "kept", "output+sidecars+state+kept")
# The journal is open for writing, so its file system cannot be made read-only.
PLACES_BY_KIND: Final = {
    "full": PLACES,
    "one block free": PLACES,
    "read-only": ("output", "sidecars", "kept", "output+sidecars+kept"),
}
ORIGINALS: Final = ("keep", "move", "delete")
PICTURES: Final = 4
FAULT_S: Final = 20.0
PATIENCE_S: Final = 120.0
LOAD: Final = 0.7
"""Share of a core while the fault lasts; a daemon that cuts in vain takes all it can get."""


class Violation(Exception):  # noqa: N818 -- a finding, not an error of ours
    """A broken promise."""


def main() -> int:
    """Run the campaign. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fault", choices=PLACES_BY_KIND, action="append", help="only these")
    kinds = parser.parse_args().fault or PLACES_BY_KIND
    violations = 0
    print(f"{'fault':<16}{'place':<28}{'originals':<11}{'load':>6}{'resumed after':>15}  result")
    combinations = [
        (kind, place, one) for kind in kinds for place in PLACES_BY_KIND[kind] for one in ORIGINALS
    ]
    for kind, place, originals in combinations:
        if place == "kept" and originals != "move":
            continue
        result, load, resumed_s = "ok", 0.0, 0.0
        root = Path(tempfile.mkdtemp(prefix="cutoutd-disk-"))
        try:
            with Disks() as disks, WebhookReceiver() as receiver:
                small_disks = _small_disks(root, disks, originals, receiver)
                load, resumed_s = _one(small_disks, kind, place.split("+"), receiver)
        except (Violation, AssertionError) as found:
            result = f"VIOLATION: {found}"
            violations += 1
        finally:
            shutil.rmtree(root, ignore_errors=True)
        print(f"{kind:<16}{place:<28}{originals:<11}{load:>6.2f}{resumed_s:>13.1f} s  {result}", flush=True)
    print(f"{violations} violations")
    return 1 if violations else 0


def _small_disks(root: Path, disks: Disks, originals: str, receiver: WebhookReceiver) -> SmallDisks:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CUTOUTD_")}
    environment["XDG_CONFIG_HOME"] = str(root / "config")
    bench = Bench(root=root, input=root / "input", output=root / "output", environment=environment)
    folder = "\n".join((*webhooks.tables(receiver, root), *webhooks.ENABLED, ""))
    return SmallDisks(bench, disks, originals=originals, folder=folder)


def _one(
    small_disks: SmallDisks, kind: str, places: list[str], receiver: WebhookReceiver
) -> tuple[float, float]:
    """Run one fault. Returns the load while it lasts, and how long after its end everything is done."""
    daemon = small_disks.start()
    try:
        small_disks.drop("first.jpg")
        small_disks.wait_for("first")
        for place in places:
            _cause(small_disks, kind, place)
        for number in range(PICTURES):
            small_disks.drop(f"{number}.jpg", number)
        begun, used_s = time.monotonic(), cpu_s(daemon.process.pid)
        for absent in _while(
            FAULT_S, lambda: {n for n in map(str, range(PICTURES)) if not _is_there(small_disks, n)}
        ):
            gone = absent - small_disks.done()
            _demand(not gone, f"originals went before their cutouts were there: {gone}")
            _demand(daemon.process.poll() is None, "the daemon ended")
        load = (cpu_s(daemon.process.pid) - used_s) / (time.monotonic() - begun)
        _demand(load < LOAD, f"it used {load:.2f} of a core meanwhile")
        for place in places:
            _end(small_disks, kind, place)
        begun = time.monotonic()
        stems = {"first", *map(str, range(PICTURES))}
        while not (small_disks.done() == stems and _all_disposed(small_disks)):
            _demand(
                time.monotonic() - begun < PATIENCE_S, f"only {small_disks.done()} after {PATIENCE_S:.0f} s"
            )
            _demand(daemon.process.poll() is None, "the daemon ended")
            time.sleep(0.2)
        while len({one.document["data"]["source"]["path"] for one in receiver.seen}) < len(stems):
            _demand(time.monotonic() - begun < PATIENCE_S, "some ends had no webhook")
            time.sleep(0.2)
        resumed_s = time.monotonic() - begun
        small_disks.end()
        _demand(_kept_whole(small_disks), "an original was altered or lost")
        _demand("Traceback" not in small_disks.log(), "there is a traceback in the log")
        sidecars = {path.name for path in small_disks.view["sidecars"].glob("*.json")}
        _demand(sidecars == {f"{stem}.png.json" for stem in stems}, f"sidecars: {sorted(sidecars)}")
        return load, resumed_s
    finally:
        if daemon.process.poll() is None:
            daemon.end(9)


def _cause(small_disks: SmallDisks, kind: str, place: str) -> None:
    if kind == "read-only":
        small_disks.disks.remount(small_disks.at[place], "ro")
    else:
        fill(small_disks.view[place], leave=4096 if kind == "one block free" else 0)


def _end(small_disks: SmallDisks, kind: str, place: str) -> None:
    if kind == "read-only":
        small_disks.disks.remount(small_disks.at[place], "rw")
    else:
        empty(small_disks.view[place])


def _while(seconds: float, look: Callable[[], set[str]]) -> Iterator[set[str]]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield look()
        time.sleep(0.1)


def _is_there(small_disks: SmallDisks, stem: str) -> bool:
    return (small_disks.view["input"] / f"{stem}.jpg").exists()


def _all_disposed(small_disks: SmallDisks) -> bool:
    left = list(small_disks.view["input"].glob("*.jpg"))
    return len(left) == (PICTURES + 1 if small_disks.originals == "keep" else 0)


def _kept_whole(small_disks: SmallDisks) -> bool:
    """Whether every original is where it belongs, with its own bytes."""
    if small_disks.originals == "delete":
        return True
    where = small_disks.view["kept" if small_disks.originals == "move" else "input"]
    return all((where / name).read_bytes() == content for name, content in small_disks.dropped.items())


def _demand(holds: bool, what: str) -> None:  # noqa: FBT001 -- reads like an assertion
    if not holds:
        raise Violation(what)


if __name__ == "__main__":
    sys.exit(main())
