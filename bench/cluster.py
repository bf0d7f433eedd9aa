"""What a cluster costs the coordinator: CPU time, memory and journal commits a picture, and what it gains.

    python -m bench.cluster rate [--pictures 240] [--workers 15] [--seconds 1.0] [--bytes 2500000] [--result-bytes 4700000]
    python -m bench.cluster queued [--pictures 10000]
    python -m bench.cluster names [--workers 100] [--pictures 200]
    python -m bench.cluster scaling [--pictures 12]

Scheduler, gateway, proxies and daemon are the real ones, on loopback with TLS. But for `scaling` the machines are light
(`bench.cluster_workers`): they send back a prepared result, since only the coordinator is measured. CPU seconds are those
of the processes, so that a busy machine changes them little; rates are what this machine gave.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.acceptance.conftest import bench_in, picture
from tests.integration.clustering import Cluster

from bench.speed import HEIGHT, WIDTH, make_photo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S: Final = 1800.0
_MANY: Final = 1000
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_COUNTER: Final = slice(24, 28)
"""Of SQLite's file header: how many transactions have changed the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """CPU seconds and resident MiB of the parts, by name."""

    cpu_s: dict[str, float]
    rss_mib: dict[str, float]


class Setup:
    """A daemon whose one folder goes to a cluster.

    Args:
        root: a directory of its own.
        options: further lines of ``[cluster]``.
        route: of the folder.
        workers: on this machine.
    """

    def __init__(self, root: Path, *, route: str = "cluster", workers: int = 1, **options: object) -> None:
        self.bench = bench_in(root, workers=workers)
        self.slots = int(str(options.get("max_in_flight", workers)))
        self.cluster = Cluster(root, self.bench.environment)
        self.state = root / "own-state"
        self.config = root / "cutoutd.toml"
        table = self.cluster.table(**options) if route != "local" else ""
        self.config.write_text(
            f'[service]\nstate_dir = "{self.state}"\nlog_level = "warning"\n[page]\nenabled = false\n{table}'
            f'[[folder]]\nname = "studio"\ninput = "{root}/to-cut"\noutput = "{root}/cutouts"\nroute = "{route}"\n'
            "settle_s = 0.2\npoll_interval_s = 1\n",
            encoding="utf-8",
        )
        self.daemon: subprocess.Popen[bytes] | None = None
        self.machines: list[subprocess.Popen[bytes]] = []

    def start_daemon(self) -> None:
        """The daemon, which starts its gateway."""
        with (self.bench.root / "log").open("ab") as log:
            self.daemon = subprocess.Popen(
                self.bench.command("run", "--config", self.config),
                env=self.bench.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_light(self, count: int, *, seconds: float, result_bytes: int) -> None:
        """Machines that cut nothing."""
        certs = self.bench.root / "certs"
        options = ("--count", count, "--seconds", seconds, "--result-bytes", result_bytes)
        command = [sys.executable, "-m", "bench.cluster_workers", self.cluster.address, certs]
        machine = subprocess.Popen(
            [*map(str, (*command, *options, "--port", self.cluster.worker_port))], stdout=subprocess.PIPE
        )
        self.machines.append(machine)
        if machine.stdout is None or machine.stdout.readline() != b"joined\n":
            raise RuntimeError("the light machines have not joined")

    def start_real(self, slots: int, root: Path) -> None:
        """A machine that cuts, with so many slots."""
        certs = self.bench.root / "certs"
        tls = [
            f"--{name}={certs / file}"
            for name, file in (
                ("tls-ca-file", "ca.pem"),
                ("tls-cert", "worker.pem"),
                ("tls-key", "worker.key"),
            )
        ]
        options = ["--host", "127.0.0.1", "--port", str(self.cluster.worker_port), "--slots", str(slots)]
        with (root / "worker.log").open("ab") as log:
            self.machines.append(
                subprocess.Popen(
                    self.bench.command("worker", "--scheduler", self.cluster.address, *options, *tls),
                    env=self.bench.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def end(self) -> None:
        """All of it."""
        for process in (self.daemon, *self.machines):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(60)

    def results(self) -> int:
        """How many sidecars there are: the last of what is written of a picture."""
        # By name: path objects of thousands of results would take a good part of a core.
        return sum(name.endswith(".json") for name in os.listdir(self.bench.output))  # noqa: PTH208 -- only the names are needed

    def finished(self, count: int) -> bool:
        """Whether there are so many results. Their pictures are removed meanwhile: those of ten minutes would fill the disk."""
        names = set(os.listdir(self.bench.output))  # noqa: PTH208 -- likewise
        for name in names:
            if name.endswith(".png") and f"{name}.json" in names:
                (self.bench.output / name).unlink()
        return sum(name.endswith(".json") for name in names) >= count

    def commits(self) -> int:
        """Transactions of the journal so far."""
        with (self.state / "journal.sqlite").open("rb") as file:
            return int.from_bytes(file.read(32)[_COUNTER], "big")

    def parts(self) -> Iterator[tuple[str, int]]:
        """Names and process ids."""
        if self.daemon is None:
            return
        for pid in tree(self.daemon.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if pid == self.daemon.pid:
                yield "daemon", pid
            elif b"cluster_proxy" in words:
                yield "proxies", pid
            elif b"\0gateway\0" in words and b"companions" not in words:
                yield "gateway", pid
            elif b"cutoutd.pool.worker" in words:
                yield "workers here", pid
        if self.cluster.scheduler is not None:
            yield "scheduler", self.cluster.scheduler.pid
        for machine in self.machines:
            yield from (("machines", pid) for pid in tree(machine.pid))

    def usage(self) -> Usage:
        """Of all parts, now."""
        cpu_s: dict[str, float] = {}
        rss_mib: dict[str, float] = {}
        for name, pid in self.parts():
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            cpu_s[name] = cpu_s.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS
            rss_mib[name] = rss_mib.get(name, 0.0) + int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
        return Usage(cpu_s=cpu_s, rss_mib=rss_mib)


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield from tree(int(child))


def wait_for(condition: Callable[[], bool], what: str, *, look_s: float = 0.1) -> None:
    """Wait for it, looking that often."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(look_s)


def small_pictures(place: Path, count: int, size: int) -> None:
    """So many JPEGs of a size in bytes, each another by what follows its end."""
    place.mkdir()
    picture(0).save(place / "draft.jpg", quality=90)
    data = (place / "draft.jpg").read_bytes()
    (place / "draft.jpg").unlink()
    for number in range(count):
        path = place / f"{number:05}.jpg"
        path.write_bytes(data + number.to_bytes(4, "big") + os.urandom(16) * max(0, (size - len(data)) // 16))
        old = time.time() - 100
        os.utime(path, (old, old))


def move_in(setup: Setup, place: Path) -> None:
    """All pictures of a place into the hot folder."""
    for path in sorted(place.iterdir()):
        path.rename(setup.bench.input / path.name)


def warm_up(setup: Setup, root: Path) -> None:
    """Pictures there and back, three for each slot, so that every process has started and has loaded its modules."""
    small_pictures(root / "first", 3 * setup.slots, 0)
    for path in (root / "first").iterdir():
        path.rename(setup.bench.input / f"first-{path.name}")
    wait_for(lambda: setup.results() == 3 * setup.slots, "the first pictures")


def measured(setup: Setup, place: Path, count: int) -> str:
    """Have pictures cut; a line for the table."""
    before, commits, started_s = setup.usage(), setup.commits(), time.monotonic()
    done = setup.results()
    move_in(setup, place)
    wait_for(lambda: setup.finished(done + count), "all results", look_s=0.1 if count < _MANY else 1.0)
    took_s, after = time.monotonic() - started_s, setup.usage()
    each = {name: (after.cpu_s[name] - before.cpu_s.get(name, 0.0)) / count for name in after.cpu_s}
    cpu = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in each.items())
    whole = sum(each.values())
    memory = ", ".join(f"{name} {mib:.0f}" for name, mib in after.rss_mib.items())
    return (
        f"{count} pictures in {took_s:.1f} s, {count / took_s:.1f} a second; "
        f"{(setup.commits() - commits) / count:.2f} commits a picture\n"
        f"  CPU ms a picture: {cpu}; all {1000 * whole:.1f}\n  MiB: {memory}"
    )


def rate(chosen: argparse.Namespace, root: Path, stack: ExitStack) -> None:
    """Pictures a second, and what each costs the coordinator."""
    setup = begun(root, stack, max_in_flight=min(chosen.workers + chosen.workers, 32))
    setup.start_light(chosen.workers, seconds=chosen.seconds, result_bytes=chosen.result_bytes)
    setup.start_daemon()
    warm_up(setup, root)
    small_pictures(root / "more", chosen.pictures, chosen.bytes)
    print(
        f"{chosen.bytes / 1e6:.1f} MB in, {chosen.result_bytes / 1e6:.1f} MB out, {chosen.workers} machines"
    )
    print(measured(setup, root / "more", chosen.pictures), flush=True)


def queued(chosen: argparse.Namespace, root: Path, stack: ExitStack) -> None:
    """Memory with a long queue."""
    setup = begun(root, stack, max_in_flight=4)
    setup.start_light(1, seconds=2.0, result_bytes=1000)
    small_pictures(root / "more", chosen.pictures, 20_000)
    setup.start_daemon()
    warm_up(setup, root)
    before = setup.usage()
    move_in(setup, root / "more")
    wait_for(lambda: waiting(setup) + setup.results() >= chosen.pictures, "the queue")
    after = setup.usage()
    print(f"{waiting(setup)} pictures wait; MiB before and now:")
    for name, mib in after.rss_mib.items():
        print(f"  {name}: {before.rss_mib.get(name, 0.0):.0f}, {mib:.0f}")


def names(chosen: argparse.Namespace, root: Path, stack: ExitStack) -> None:
    """Many machines, and what is told of them."""
    setup = begun(root, stack, max_in_flight=16)
    setup.start_light(chosen.workers, seconds=chosen.seconds, result_bytes=chosen.result_bytes)
    setup.start_daemon()
    warm_up(setup, root)
    small_pictures(root / "more", chosen.pictures, chosen.bytes)
    print(measured(setup, root / "more", chosen.pictures))
    for command in (("status",), ("cluster", "status")):
        said = setup.bench.call(*command, "--config", setup.config).stdout
        print(*(line for line in said.splitlines() if " machine" in line), sep="\n", flush=True)


def scaling(chosen: argparse.Namespace, root: Path, _: ExitStack) -> None:
    """Real cuts: here, and on a machine with one, two and four slots, of photos of 12 megapixels."""
    (root / "photos").mkdir()
    for number in range(chosen.pictures):
        source = picture(number, width=1600, height=1200)
        make_photo(source, root / f"photos/{number}.jpg", (WIDTH, HEIGHT), number)
    for slots in (0, 1, 2, 4):
        place = root / f"{slots}"
        place.mkdir()
        with ExitStack() as inner:
            if slots:
                setup = begun(place, inner, max_in_flight=2 * slots)
                setup.start_real(slots, place)
            else:
                setup = Setup(place, route="local", workers=2)
                inner.callback(setup.end)
            setup.start_daemon()
            warm_up(setup, place)
            shutil.copytree(root / "photos", place / "more")
            print(f"{slots} slots elsewhere:" if slots else "2 workers here:")
            print(measured(setup, place / "more", chosen.pictures), flush=True)


def begun(root: Path, stack: ExitStack, **options: object) -> Setup:
    """A set-up with certificates and a scheduler."""
    setup = Setup(root, **options)  # type: ignore[arg-type]
    stack.callback(setup.end)
    stack.enter_context(setup.cluster)
    setup.cluster.start_scheduler()
    wait_for(lambda: "listens" in setup.cluster.log("scheduler"), "the scheduler")
    return setup


def waiting(setup: Setup) -> int:
    """Pictures in the journal that are not done."""
    return sum(state not in ("done", "failed") for state in setup.bench.states().values())


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("rate", "queued", "names", "scaling"))
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--bytes", type=int, default=2_500_000)
    parser.add_argument("--result-bytes", type=int, default=4_700_000)
    chosen = parser.parse_args()
    defaults = {"rate": (240, 15), "queued": (10_000, 1), "names": (200, 100), "scaling": (12, 1)}
    pictures, workers = defaults[chosen.what]
    chosen.pictures = chosen.pictures or pictures
    chosen.workers = chosen.workers or workers
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-cluster-")))
        {"rate": rate, "queued": queued, "names": names, "scaling": scaling}[chosen.what](chosen, root, stack)


if __name__ == "__main__":
    main()
