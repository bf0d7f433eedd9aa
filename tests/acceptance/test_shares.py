"""The real daemon on a share that disappears, lists nothing, fails or hangs, and on one that two machines use."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.lease import marker
from tests.acceptance.conftest import Bench, Daemon, small_bench_in
from tests.integration.share import Share
from tests.integration.tools import give_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.small_model

POLL_S = 0.5

CONFIG = """
[service]
state_dir = "{state}"
min_free_disk_mb = 0
[pool]
workers = 2
[[folder]]
name = "share"
input = "{share}"
output = "{results}"
settle_s = 0.3
poll_interval_s = {poll_s}
[[folder]]
name = "local"
input = "{input}"
output = "{output}"
settle_s = 0.3
poll_interval_s = {poll_s}
"""


class SharedFolder:
    """A share and a local folder, and a daemon for both."""

    def __init__(self, bench: Bench, share: Share) -> None:
        self.bench = bench
        self.share = share
        (share.far / "in").mkdir()
        (share.far / "out").mkdir()
        self.config = self.config_of(bench)

    def config_of(self, machine: Bench) -> Path:
        """Return the configuration of a machine with this share and a local folder of its own."""
        config = machine.root / "cutoutd.toml"
        config.write_text(
            CONFIG.format(
                state=machine.root / "state-dir",
                share=self.share.mount / "in",
                results=self.share.mount / "out",
                input=machine.input,
                output=machine.output,
                poll_s=POLL_S,
            )
        )
        return config

    def put(self, name: str, hue: int = 0) -> None:
        """Put a picture onto the share from another machine."""
        created = self.bench.drop("../made.jpg", hue)
        created.rename(self.share.far / "in" / name)

    def results(self) -> list[str]:
        """Return the results on the far side of the share, without staged files."""
        out = self.share.far / "out"
        return sorted(path.name for path in out.iterdir() if path.is_file())

    def status(self) -> dict[str, Any]:
        """Return the state of the share's folder."""
        with suppress(OSError, ValueError):
            status = json.loads((self.bench.root / "state-dir" / "status.json").read_text())
            folder: dict[str, Any] = status["folders"]["share"]
            return folder
        return {}

    def stands_by(self, why: str = "") -> bool:
        """Return whether the share's folder stands by for a reason."""
        status = self.status()
        return status.get("watching") == "standing by" and why in status.get("why", "")

    def is_open(self) -> bool:
        """Return whether the share's folder is being worked on."""
        return self.status().get("watching") == "poll"

    def check(self, names: list[str]) -> None:
        """Check that each picture has one complete result with a matching sidecar."""
        assert self.results() == sorted(f"{name}.{end}" for name in names for end in ("png", "png.json"))
        for name in names:
            document = json.loads((self.share.far / "out" / f"{name}.png.json").read_text())
            content = (self.share.far / "out" / f"{name}.png").read_bytes()
            assert document["outputs"][0]["sha256"] == hashlib.sha256(content).hexdigest()

    def jobs_done(self) -> list[str]:
        """Return the sources of the share that the journal has as done, once for each time they were."""
        listed = self.bench.call("jobs", "--config", self.config, "--json")
        assert listed.returncode == 0, listed.stderr
        jobs = json.loads(listed.stdout)["jobs"]
        return sorted(job["path"] for job in jobs if job["folder"] == "share" and job["state"] == "done")


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """A mounted share."""
    created = Share(tmp_path)
    created.attach()
    yield created
    created.detach()


@pytest.fixture
def shared_folder(bench: Bench, share: Share) -> SharedFolder:
    """A daemon's configuration with folders on the share and beside it."""
    return SharedFolder(bench, share)


def until(condition: Callable[[], bool], what: str, patience_s: float) -> None:
    """Wait until a condition holds that may take long."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def timed(bench: Bench, condition: Callable[[], bool], what: str) -> float:
    """Wait until a condition holds. Returns how long it took."""
    started_s = time.monotonic()
    bench.wait_for(condition, what)
    return time.monotonic() - started_s


def hang_and_come_back(
    shared_folder: SharedFolder, start: Callable[..., Daemon], operations: str
) -> tuple[float, float]:
    """Let operations hang while pictures are being cut, until that is noticed, and a while longer.

    Returns:
        How long a picture of the local folder took meanwhile, and how long the share's first one had taken.
    """
    bench = shared_folder.bench
    daemon = start("--config", shared_folder.config)
    shared_folder.put("a.jpg")
    usual_s = timed(bench, lambda: "a.png.json" in shared_folder.results(), "the first cutout")
    shared_folder.share.hang(operations)
    for n in range(4):
        shared_folder.put(f"h{n}.jpg", n)
    time.sleep(
        2 * POLL_S + 1.0
    )  # as many of them as there are workers are in work, where one can get that far
    bench.drop("b.jpg")
    took_s = timed(bench, lambda: "b.png.json" in bench.results(), "the other folder's cutout")
    assert shared_folder.results() == ["a.png", "a.png.json"]
    until(lambda: shared_folder.stands_by("does not answer"), "the folder to stand by", 150.0)
    shared_folder.share.heal()
    bench.wait_for(lambda: len(shared_folder.results()) == 10, "the share's own cutouts")
    assert daemon.end() == 0
    shared_folder.check(["a", *(f"h{n}" for n in range(4))])
    assert len(shared_folder.jobs_done()) == 5
    return took_s, usual_s


@pytest.mark.about_workers
def test_a_share_that_hangs_holds_up_no_other_folder(
    shared_folder: SharedFolder, start: Callable[..., Daemon]
) -> None:
    """The other folder's pictures are cut meanwhile, and its own once it responds again."""
    took_s, usual_s = hang_and_come_back(shared_folder, start, "read")
    assert took_s < 10.0 + 2 * usual_s


def break_share(shared_folder: SharedFolder, cycle: int) -> Callable[[], None]:
    """Break the share in one of four ways. Returns a function that repairs it."""
    share = shared_folder.share
    match cycle % 4:
        case 0:
            share.detach()
            return share.attach
        case 1:
            share.look_empty()
        case 2:
            share.fail(errno.ESTALE if cycle % 8 < 4 else errno.EIO)
        case _:
            share.hang()
    return share.heal


def one_cycle(shared_folder: SharedFolder, cycle: int) -> float:
    """Break and repair the share while a picture waits. Returns the seconds until work went on."""
    bench = shared_folder.bench
    make_well = break_share(shared_folder, cycle)
    if cycle % 4 == 3:
        time.sleep(2 * POLL_S)  # a look that hangs is given half a minute before it is called so
    else:
        bench.wait_for(shared_folder.stands_by, "the folder to stand by")
    name = f"c{cycle}"
    shared_folder.put(f"{name}.jpg", cycle)
    time.sleep(POLL_S)
    assert f"{name}.png" not in shared_folder.results()
    make_well()
    took_s = timed(bench, shared_folder.is_open, "the folder to be open")
    bench.wait_for(lambda: f"{name}.png.json" in shared_folder.results(), f"cutout {name}")
    return took_s


@pytest.mark.about_workers
def test_a_share_that_comes_and_goes_loses_nothing_and_has_nothing_cut_again(
    shared_folder: SharedFolder, start: Callable[..., Daemon]
) -> None:
    """Unmounted, listing nothing, failing, hanging: each time work goes on within two polls."""
    daemon = start("--config", shared_folder.config)
    shared_folder.put("a.jpg")
    shared_folder.bench.wait_for(lambda: "a.png.json" in shared_folder.results(), "the first cutout")
    for cycle in range(4):
        assert one_cycle(shared_folder, cycle) < 2 * POLL_S + 10.0
    assert daemon.end() == 0
    shared_folder.check(["a", "c0", "c1", "c2", "c3"])
    assert shared_folder.jobs_done() == ["a.jpg", "c0.jpg", "c1.jpg", "c2.jpg", "c3.jpg"]


def test_another_volume_in_the_shares_place_is_refused(
    shared_folder: SharedFolder, start: Callable[..., Daemon]
) -> None:
    """The message names it, and it is not touched; work goes on with the right one."""
    daemon = start("--config", shared_folder.config)
    shared_folder.put("a.jpg")
    shared_folder.bench.wait_for(lambda: "a.png.json" in shared_folder.results(), "the first cutout")
    away, another = shared_folder.share.far / "away", shared_folder.share.far / "another"
    another.mkdir()
    other = marker.text("22222222-2222-4222-8222-222222222222")
    (another / marker.NAME).write_text(other)
    (shared_folder.share.far / "in").rename(away)
    another.rename(shared_folder.share.far / "in")  # with its marker, as a volume comes
    shared_folder.put("theirs.jpg")
    shared_folder.bench.wait_for(lambda: shared_folder.stands_by("22222222"), "the refusal")
    assert sorted(path.name for path in (shared_folder.share.far / "in").iterdir()) == [
        marker.NAME,
        "theirs.jpg",
    ]
    assert (shared_folder.share.far / "in" / marker.NAME).read_text() == other
    shutil.rmtree(shared_folder.share.far / "in")
    away.rename(shared_folder.share.far / "in")
    shared_folder.put("b.jpg", 1)
    shared_folder.bench.wait_for(lambda: "b.png.json" in shared_folder.results(), "the next cutout")
    assert daemon.end() == 0
    shared_folder.check(["a", "b"])


def test_two_machines_on_one_share_cut_each_picture_once(
    bench: Bench, share: Share, start: Callable[..., Daemon], tmp_path: Path, small_models_dir: Path
) -> None:
    """The second names the machine for which it waits, and takes over at once when that has ended in order."""
    shared_folder = SharedFolder(bench, share)
    other_bench = small_bench_in(tmp_path / "other", small_models_dir)
    other_config = shared_folder.config_of(other_bench)
    first = start("--config", shared_folder.config)
    shared_folder.put("a.jpg")
    bench.wait_for(lambda: "a.png.json" in shared_folder.results(), "the first cutout")
    second = Daemon(other_bench, "--config", other_config)
    try:

        def waits() -> bool:
            output = other_bench.call("status", "--config", other_config).stdout
            return "takes over when that one ends" in output

        bench.wait_for(waits, "the second to stand by")
        for n in range(3):
            shared_folder.put(f"b{n}.jpg", n)
        bench.wait_for(lambda: len(shared_folder.results()) == 8, "the next cutouts")
        shared_folder.check(["a", "b0", "b1", "b2"])
        before = {name: (share.far / "out" / name).stat().st_mtime_ns for name in shared_folder.results()}
        assert first.end() == 0
        shared_folder.put("c.jpg", 1)
        bench.wait_for(lambda: "c.png.json" in shared_folder.results(), "the second's cutout")
        shared_folder.check(
            ["a", "b0", "b1", "b2", "c"]
        )  # what the first has cut is not cut again by the second
        assert (
            before.items()
            <= {
                name: (share.far / "out" / name).stat().st_mtime_ns for name in shared_folder.results()
            }.items()
        )
    finally:
        assert second.end() == 0


@pytest.fixture
def sshfs(bench: Bench) -> Iterator[Path]:
    """The mount by a real sshfs of the folders' parent; its server is the far side."""
    server = next(filter(os.path.exists, ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server")), None)
    if server is None or shutil.which("sshfs") is None or not os.access("/dev/fuse", os.W_OK):
        give_up("sshfs, an SFTP server or FUSE is missing")
    mount = bench.root / "sshfs"
    mount.mkdir()
    ours, theirs = socket.socketpair()
    assert server is not None
    serves = subprocess.Popen([server], stdin=theirs.fileno(), stdout=theirs.fileno())
    # It shows what the far side did once its own copy is as old as that, by default 20 s.
    command = ["sshfs", "-f", "-o", "passive,dcache_timeout=2", f":{bench.root}", os.fspath(mount)]
    mounts = subprocess.Popen(command, stdin=ours.fileno(), stdout=ours.fileno())
    ours.close()
    theirs.close()
    bench.wait_for(mount.is_mount, "sshfs")
    yield mount
    subprocess.run(["fusermount3", "-uz", mount], check=False)
    for process in (mounts, serves):
        with suppress(subprocess.TimeoutExpired):
            process.wait(10.0)
        process.kill()
        process.wait()


def test_the_whole_daemon_works_over_sshfs(bench: Bench, sshfs: Path, start: Callable[..., Daemon]) -> None:
    """For input and output, with files written on the far side; no picture is cut again in the next run."""
    config = bench.root / "cutoutd.toml"
    config.write_text(
        f'[[folder]]\nname = "a"\ninput = "{sshfs / bench.input.name}"\noutput = "{sshfs / bench.output.name}"\n'
        "poll_interval_s = 1\nsettle_s = 1\n"
    )
    names = [f"{n}.jpg" for n in range(3)]
    bench.drop(names[0])
    daemon = start("--config", config)
    bench.wait_for(lambda: "0.png.json" in bench.results(), "the first cutout")
    for n, name in enumerate(names[1:], 1):
        bench.drop(name, n)
    bench.wait_for(lambda: len(bench.published()) == 6, "all cutouts")
    assert daemon.end() == 0
    wrote = {name: (bench.output / name).stat().st_mtime_ns for name in bench.results()}
    again = bench.call("run", "--config", config, "--once")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 cut" in again.stdout
    assert {name: (bench.output / name).stat().st_mtime_ns for name in bench.results()} == wrote
    for n in range(3):
        document = bench.sidecar(f"{n}.png.json")
        assert (
            document["outputs"][0]["sha256"]
            == hashlib.sha256((bench.output / f"{n}.png").read_bytes()).hexdigest()
        )


def test_a_file_that_becomes_whole_without_a_sign_is_cut_in_the_end(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """As over SMB, where size and time may be final before the bytes are."""
    whole = bench.drop("a.jpg", age_s=0.0).read_bytes()
    path = bench.input / "a.jpg"
    path.write_bytes(whole[:2000] + bytes(len(whole) - 2000))
    then = path.stat().st_mtime_ns
    grows = bench.input / "b.jpg"
    grows.write_bytes(whole[:3000])
    daemon = start()
    bench.wait_for(lambda: set(bench.states().values()) == {"retry"}, "the first try")
    bench.wait_for(lambda: bench.results() == [], "the removal of what was staged for it")
    with path.open("r+b") as file:
        file.write(whole)
    os.utime(path, ns=(then, then))
    grows.write_bytes(whole)
    bench.wait_for(lambda: len(bench.published()) == 4, "both cutouts")
    assert daemon.end() == 0
    assert set(bench.states().values()) == {"done"}


def test_a_machine_that_lost_its_journal_does_not_wait_for_its_own_dead_run(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """The lock file of the state directory names the last run."""
    bench.drop("a.jpg")
    daemon = start()
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the cutout")
    daemon.end(signal.SIGKILL)
    for journal in (bench.root / "state").rglob("journal.sqlite*"):
        journal.unlink()
    (bench.input / "a.jpg").unlink()
    bench.drop("b.jpg", 1)
    again = bench.once()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "b.png.json" in bench.results()
