"""The cluster's route while its parts are killed, stopped and cut off: as many results as sources, none doubled, no attempt counted.

    python -m torture.cluster [--pictures 12] [--rounds 1]

A real daemon with its gateway, a real scheduler and a real worker, over TLS, each in a network namespace of its own. In each round
each part is killed, or stopped for a while, or its cable is cut, or its packets are dropped, while pictures are being cut. Last the
same happens to the network of a folder whose pictures may be cut here. The figures include the number of commits by the journal's header.
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
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.acceptance.conftest import bench_in, picture
from tests.integration import small_models
from tests.integration.networks import COORDINATOR, Cut, Network, NetworkedCluster

from torture.figures import Figures, note, report

if TYPE_CHECKING:
    from collections.abc import Callable

SEED: Final = 20261129
PATIENCE_S: Final = 300.0
STOPPED_S: Final = 40.0
"""A scheduler takes a worker that is silent for 30 s for gone."""

CUT_OFF_S: Final = 45.0
"""Longer than TCP and Dask wait for the other side, so that all connections end."""

FALLBACK_S: Final = 5.0
NOTICED_S: Final = FALLBACK_S + 6.0
"""What a busy machine may add to it."""

PROMISE: Final = (
    "whatever part is killed, stopped or cut off: N sources, N results, none doubled, no attempt counted; "
    "what may be cut here is, once fallback_after_s is over"
)


class Studio:
    """A daemon whose one folder goes to the cluster.

    Args:
        root: a directory of its own.
        cluster: the cluster.
        route: of the folder.
    """

    def __init__(self, root: Path, cluster: NetworkedCluster, route: str) -> None:
        self.bench = bench_in(root)
        self.cluster = cluster
        self.daemon: subprocess.Popen[bytes] | None = None
        self.pictures = 0
        self.config = root / "cutoutd.toml"
        self.state = root / "own-state"
        self.config.write_text(
            f'[service]\nstate_dir = "{self.state}"\n{cluster.table(fallback_after_s=FALLBACK_S)}'
            f'[[folder]]\nname = "studio"\ninput = "{root}/to-cut"\noutput = "{root}/cutouts"\nroute = "{route}"\n'
            "settle_s = 0.2\npoll_interval_s = 0.2\n",
            encoding="utf-8",
        )

    def start(self) -> None:
        """Start the daemon, which starts its gateway."""
        with (self.bench.root / "log").open("ab") as log:
            self.daemon = subprocess.Popen(
                self.cluster.inside(COORDINATOR)(*self.bench.command("run", "--config", self.config)),
                env=self.cluster.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def drop(self, count: int) -> None:
        """Put so many different pictures into the hot folder."""
        for _ in range(count):
            self.pictures += 1
            draft = self.bench.root / "draft.jpg"
            picture(self.pictures, width=360 + self.pictures).save(draft, quality=90)
            draft.rename(self.bench.input / f"{self.pictures:05}.jpg")

    def results(self) -> int:
        """Return the number of published cutouts."""
        return len(list(self.bench.output.glob("*.png")))

    def status(self) -> dict[str, Any]:
        """Return what the gateway says of itself."""
        status: dict[str, Any] = json.loads((self.state / "cluster/status.json").read_text("utf-8"))
        return status

    def is_away(self) -> bool:
        """Return whether pictures that may be cut here are."""
        return (self.state / "cluster/away").exists()

    def sent(self) -> int:
        """Return the number of pictures that were sent."""
        logs = (self.state / "cluster/sent").glob("*.jsonl")
        return sum(path.read_text("utf-8").count("\n") for path in logs)

    def commits(self) -> int:
        """Return the number of the journal's transactions: SQLite counts those that change its file in its header."""
        with (self.state / "journal.sqlite").open("rb") as file:
            return int.from_bytes(file.read(28)[24:], "big")

    def rows(self) -> list[tuple[str, int]]:
        """Return state and attempts of each job."""
        with closing(
            sqlite3.connect(f"{(self.state / 'journal.sqlite').as_uri()}?mode=ro", uri=True)
        ) as opened:
            return opened.execute("SELECT state, attempts FROM job").fetchall()

    def end(self) -> None:
        """Stop the daemon in order."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(60)


def wait_for(condition: Callable[[], bool], what: str) -> str:
    """Wait until a condition holds. Returns what is wrong if it does not hold in time; empty otherwise."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            return f"waited in vain for {what}"
        time.sleep(0.1)
    return ""


def running(process: subprocess.Popen[bytes] | None) -> subprocess.Popen[bytes]:
    """Return a process that was started.

    Raises:
        RuntimeError: it was not started.
    """
    if process is None:
        raise RuntimeError("it was not started")
    return process


def kill_worker(studio: Studio) -> None:
    """Kill a worker machine, and start it again."""
    studio.cluster.kill_worker()
    studio.cluster.start_worker()


def stop_worker(studio: Studio) -> None:
    """Stop a worker machine for longer than the scheduler waits."""
    pid = running(studio.cluster.worker).pid
    os.killpg(pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.killpg(pid, signal.SIGCONT)


def kill_slot(studio: Studio) -> None:
    """Kill the processes that cut on a worker machine."""
    pid = running(studio.cluster.worker).pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text(encoding="ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


def kill_scheduler(studio: Studio) -> None:
    """Kill the scheduler, and start another."""
    scheduler = running(studio.cluster.scheduler)
    os.killpg(scheduler.pid, signal.SIGKILL)
    scheduler.wait(20)
    time.sleep(2)
    studio.cluster.start_scheduler()


def kill_gateway(studio: Studio) -> None:
    """Kill the gateway; the companion that watches it starts another."""
    os.kill(studio.status()["pid"], signal.SIGKILL)


def kill_daemon(studio: Studio) -> None:
    """Kill the daemon, and start the next one, which takes over."""
    daemon = running(studio.daemon)
    daemon.kill()
    daemon.wait(20)
    studio.start()


def stop_scheduler(studio: Studio) -> None:
    """Stop the scheduler for a while, as if its cable were cut. With the route "cluster" pictures wait."""
    pid = running(studio.cluster.scheduler).pid
    os.killpg(pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.killpg(pid, signal.SIGCONT)


def cut_off(studio: Studio, name: str, how: Cut) -> None:
    """Take a machine from the network for a while."""
    network = studio.cluster.network
    network.cut(name, how)
    time.sleep(CUT_OFF_S)
    network.mend(name)


def cut_worker(studio: Studio) -> None:
    """Pull the worker's cable. With the route "cluster" pictures wait."""
    cut_off(studio, "worker", Cut.LINK_DOWN)


def drop_worker(studio: Studio) -> None:
    """Drop all packets from and to the worker."""
    cut_off(studio, "worker", Cut.DROPPED)


def cut_scheduler(studio: Studio) -> None:
    """Pull the scheduler's cable: neither coordinator nor worker reach it."""
    cut_off(studio, "scheduler", Cut.LINK_DOWN)


def drop_scheduler(studio: Studio) -> None:
    """Drop all packets from and to the scheduler."""
    cut_off(studio, "scheduler", Cut.DROPPED)


FAULTS: Final = (
    kill_worker,
    kill_slot,
    kill_gateway,
    kill_daemon,
    kill_scheduler,
    stop_worker,
    stop_scheduler,
    cut_worker,
    drop_worker,
    cut_scheduler,
    drop_scheduler,
)
CUTS: Final = tuple((name, how) for name in ("worker", "scheduler") for how in Cut)
COSTS_AN_ATTEMPT: Final = frozenset({kill_slot})
"""Faults that count as an attempt, as they do in a local worker: the worker dies over the picture."""


def row(studio: Studio, fault: Callable[[Studio], None], pictures: int, moments: random.Random) -> list[str]:
    """Cause one fault while pictures are being cut. Returns what went wrong."""
    before = studio.sent()
    studio.drop(pictures)
    if wrong := wait_for(lambda: studio.sent() > before, "a picture that was sent"):
        return [wrong]
    time.sleep(moments.uniform(0, 1.0))
    began_s = time.monotonic()
    fault(studio)
    wrong = wait_for(lambda: studio.results() == studio.pictures, f"all results after {fault.__name__}")
    note(
        f"{fault.__name__}: {studio.results()} of {studio.pictures}, {time.monotonic() - began_s:.1f} s after it"
    )
    return [wrong] if wrong else []


def row_here(studio: Studio, name: str, how: Cut, pictures: int) -> list[str]:
    """Cut a machine off while pictures that may be cut here are being cut. Returns what went wrong."""
    what = f"{how.value} at the {name}"
    network = studio.cluster.network
    before = studio.sent()
    studio.drop(pictures)
    if wrong := wait_for(lambda: studio.sent() > before, "a picture that was sent"):
        return [wrong]
    network.cut(name, how)
    began_s = time.monotonic()
    wrong = wait_for(studio.is_away, f"the time to cut here, {what}")
    noticed_s = time.monotonic() - began_s
    wrong = wrong or wait_for(lambda: studio.results() == studio.pictures, f"all results, {what}")
    note(f"{what}: cut here after {noticed_s:.1f} s; {studio.results()} of {studio.pictures}")
    network.mend(name)
    wrong = wrong or wait_for(lambda: studio.status()["route"] == "open", f"the cluster's return, {what}")
    late = [f"{what}: cut here after {noticed_s:.1f} s only"] if noticed_s > NOTICED_S else []
    return [wrong, *late] if wrong else late


def judged(studio: Studio, allowed: int) -> list[str]:
    """Return what is wrong with the journal and the exchange directory of a daemon that has ended.

    Args:
        studio: the daemon.
        allowed: number of attempts that may have been counted.
    """
    violations = []
    states = studio.rows()
    done = sum(state == "done" for state, _ in states)
    attempts = sum(count for _, count in states)
    if len(states) != studio.pictures or done != studio.pictures:
        violations.append(f"{studio.pictures} sources, {len(states)} jobs, {done} done")
    if studio.results() != studio.pictures:
        violations.append(f"{studio.pictures} sources, {studio.results()} results")
    if attempts > allowed:
        violations.append(f"{attempts} attempts were counted")
    if left := [
        *(studio.state / "cluster/outbox").glob("*.json"),
        *(studio.state / "cluster/inbox").iterdir(),
    ]:
        violations.append(f"{len(left)} files are left in the exchange directory")
    return violations


def campaign(root: Path, pictures: int, rounds: int) -> Figures:
    """Cause all faults, one after the other."""
    moments = random.Random(SEED)
    data = small_models.data_directory(root / "data")
    environment = bench_in(root / "cluster").environment
    environment |= {"XDG_DATA_HOME": str(data), "CUTOUTD_MODEL__NAME": "darkness"}
    violations: list[str] = []
    with (
        Network() as network,
        NetworkedCluster(root=root / "cluster", environment=environment, network=network) as cluster,
    ):
        cluster.start()
        cluster.wait_for_worker()
        there = Studio(root / "there", cluster, "cluster")
        here = Studio(root / "here", cluster, "cluster-then-local")
        there.start()
        try:
            for _ in range(rounds):
                for fault in FAULTS:
                    violations += row(there, fault, pictures, moments)
        finally:
            there.end()
        here.start()
        try:
            for _ in range(rounds):
                for name, how in CUTS:
                    violations += row_here(here, name, how, pictures)
        finally:
            here.end()
    violations += judged(there, rounds * len(COSTS_AN_ATTEMPT)) + judged(here, 0)
    return Figures(
        campaign="cluster",
        promise=PROMISE,
        counts={
            "faults": rounds * (len(FAULTS) + len(CUTS)),
            "pictures": there.pictures + here.pictures,
            "sent": there.sent() + here.sent(),
            "attempts": sum(count for studio in (there, here) for _, count in studio.rows()),
            "commits": there.commits() + here.commits(),
            "seed": SEED,
        },
        violations=tuple(violations),
    )


def main() -> int:
    """Run the campaign, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="torture-cluster-"))
    figures = campaign(root, chosen.pictures, chosen.rounds)
    if figures.violations:
        note(f"left for looking: {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
