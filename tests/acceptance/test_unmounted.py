"""A disk or share of results or originals that is unmounted, while the bare mount point stays: the folder stands by.

Before, cutouts and originals went to the bare mount point, where they are hidden once the disk is mounted again, and originals
were deleted.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.daemon import status_file
from tests.acceptance.conftest import PATIENCE_S, Bench, Daemon, picture
from tests.acceptance.disks import Disks
from tests.outputs import published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.small_model

PLACES = ("output", "sidecars", "kept")


class Mounted:
    """Two hot folders; the places of the first are directories of a disk, mounted each by itself."""

    def __init__(
        self, bench: Bench, disks: Disks, *, originals: str, mounted: str, rescan_interval_s: int = 60
    ) -> None:
        self.bench, self.disks, self.mounted = bench, disks, mounted
        self.disk = bench.root / "disk"
        disks.mount(self.disk, 20_000)
        for name in ("input", "other", "state", *PLACES):
            (bench.root / name).mkdir(exist_ok=True)
            disks.do("mkdir", str(self.disk / name))
        self.at = bench.root / mounted
        self.bind()
        self.config = bench.root / "c.toml"
        kept = f'originals_dir = "{bench.root / "kept"}"\n' if originals == "move" else ""
        self.config.write_text(
            f'[service]\nstate_dir = "{bench.root / "state"}"\nmin_free_disk_mb = 0\n[pool]\nworkers = 1\n'
            f'[[folder]]\nname = "x"\ninput = "{bench.root / "input"}"\noutput = "{bench.root / "output"}"\n'
            f'sidecar_dir = "{bench.root / "sidecars"}"\noriginals = "{originals}"\n{kept}'
            f"settle_s = 0.2\npoll_interval_s = 1\ndoubtful_below = 0.0\nrescan_interval_s = {rescan_interval_s}\n"
            f'[[folder]]\nname = "y"\ninput = "{bench.root / "other"}"\noutput = "{bench.root / "out-y"}"\n'
            "settle_s = 0.2\npoll_interval_s = 1\n",
            encoding="utf-8",
        )
        self.daemon: Daemon | None = None

    def bind(self) -> None:
        """Mount the directory again, with what is in it."""
        self.disks.do("mount", "--bind", str(self.disk / self.mounted), str(self.at))

    def unmount(self) -> None:
        """Unmount it; the bare mount point stays."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.disks.do("umount", str(self.at))
            except subprocess.CalledProcessError as error:
                if b"busy" not in error.stderr or time.monotonic() > end_s:
                    raise
                time.sleep(0.05)
            else:
                return

    def files(self, place: Path) -> list[str]:
        """Return the files in a directory of the namespace, without ours."""
        return sorted(path.name for path in published(self.disks.view(place)))

    def bare(self) -> list[str]:
        """Return all that is on the bare mount point."""
        return sorted(path.name for path in self.at.iterdir())

    def drop(self, name: str, hue: int = 0, *, into: str = "input") -> None:
        """Add a picture, complete and old enough."""
        draft = self.bench.root / "draft.jpg"
        picture(hue).save(draft, format="JPEG", quality=90)
        shutil.copy(draft, self.bench.root / into / f".{name}")
        (self.bench.root / into / f".{name}").rename(self.bench.root / into / name)

    def start(self) -> None:
        """Start the daemon."""
        self.daemon = Daemon(self.bench, "--config", self.config, within=self.disks.inside)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a cutoutd command in the namespace."""
        command = self.bench.command(*arguments, "--config", self.config)
        return self.bench.call_any(self.disks.inside(*command))

    def state(self) -> dict[str, Any]:
        """Return the first folder's state from the file that `cutoutd status` reads."""
        found: dict[str, Any] = status_file.read(self.bench.root / "state").get("folders", {}).get("x", {})
        return {"watching": "", "why": ""} | found

    def wait_until_away(self) -> None:
        """Wait until the folder stands by, and says why."""
        self.bench.wait_for(
            lambda: self.state()["watching"] == "standing by" and str(self.at) in self.state()["why"],
            f"the folder to stand by: {self.state()}",
        )

    def wait_for(self, *stems: str) -> None:
        """Wait until these pictures are published and their originals gone."""
        self.bench.wait_for(
            lambda: {f"{stem}.png" for stem in stems} <= {*self.files(self.bench.root / "output")},
            f"{stems}; {self.state()}",
        )
        self.bench.wait_for(
            lambda: not {f"{stem}.jpg" for stem in stems} & {*self.files(self.bench.root / "input")},
            f"the originals of {stems} to go; {self.state()}",
        )


@pytest.fixture
def build(bench: Bench) -> Iterator[Callable[..., Mounted]]:
    """A function that sets up folders; they are removed with their daemons."""
    made: list[Mounted] = []
    with Disks() as disks:

        def make(**given: Any) -> Mounted:  # noqa: ANN401 -- as of Mounted
            made.append(Mounted(bench, disks, **given))
            return made[-1]

        yield make
        for one in made:
            if one.daemon is not None and one.daemon.process.poll() is None:
                one.daemon.end(signal.SIGKILL)


CASES = [("delete", "output"), ("move", "output"), ("move", "kept"), ("delete", "sidecars")]


@pytest.mark.parametrize(("originals", "mounted"), CASES)
def test_a_disk_that_is_unmounted_while_the_daemon_runs(
    build: Callable[..., Mounted], originals: str, mounted: str
) -> None:
    """No original goes, nothing is written to the bare mount point, the other folder goes on; mounted again, all resumes."""
    case = build(originals=originals, mounted=mounted)
    case.start()
    case.drop("a.jpg", 0)
    case.wait_for("a")
    case.unmount()
    case.drop("b.jpg", 1)
    case.wait_until_away()
    case.drop("n.jpg", 2, into="other")
    case.bench.wait_for(
        lambda: "n.png" in case.files(case.bench.root / "out-y"), "the other folder's picture"
    )
    assert "b.jpg" in case.files(case.bench.root / "input")
    assert case.bare() == []
    assert "STANDING BY" in case.call("status").stdout
    checked = case.call("check")
    assert checked.returncode == 1
    # `doctor` tries so much besides that it is asked about one place; tests/unit/test_doctor.py has the others.
    examined = [case.call("doctor").stdout] if (originals, mounted) == CASES[0] else []
    for said in (checked.stdout, *examined):
        assert f"{case.at} was on a disk or share that was mounted there" in " ".join(
            said.replace("\n#", " ").split()
        )
    case.bind()
    case.wait_for("a", "b")
    assert case.daemon is not None
    assert case.daemon.end() == 0
    case.unmount()
    assert case.bare() == []


@pytest.mark.parametrize(("originals", "mounted"), CASES)
def test_a_disk_that_is_unmounted_between_two_runs(
    build: Callable[..., Mounted], originals: str, mounted: str
) -> None:
    """What the mount was is remembered."""
    case = build(originals=originals, mounted=mounted)
    case.drop("a.jpg", 0)
    assert case.call("run", "--once").returncode == 0
    case.unmount()
    case.drop("b.jpg", 1)
    once = case.call("run", "--once")
    assert once.returncode == 1
    assert f"{case.at} was on a disk or share" in once.stdout
    case.start()
    case.wait_until_away()
    assert case.files(case.bench.root / "input") == ["b.jpg"]
    assert case.bare() == []
    case.bind()
    case.wait_for("a", "b")
    assert case.daemon is not None
    assert case.daemon.end() == 0


@pytest.mark.parametrize("is_running", [True, False])
def test_a_place_that_is_meant_to_be_without_its_disk(
    build: Callable[..., Mounted], *, is_running: bool
) -> None:
    """Its owner says so, with or without a daemon."""
    case = build(originals="delete", mounted="output")
    case.drop("a.jpg", 0)
    assert case.call("run", "--once").returncode == 0
    assert "nothing is to be done" in case.call("adopt", "x").stdout
    case.unmount()
    case.drop("b.jpg", 1)
    if is_running:
        case.start()
        case.wait_until_away()
    said = case.call("adopt", "x")
    assert said.returncode == 0, said.stderr
    assert f"output {case.at} without what was mounted at {case.at}" in said.stdout
    if not is_running:
        case.start()
    case.wait_for("b")
    assert "b.png" in case.bare()
    assert case.daemon is not None
    assert case.daemon.end() == 0
    case.drop("c.jpg", 2)
    assert case.call("run", "--once").returncode == 0
    assert "c.png" in case.bare()


def test_a_mount_that_shows_what_is_there_anyway_is_not_missed(build: Callable[..., Mounted]) -> None:
    """A service manager makes such mounts for its service; a command of the same user sees the directory without it."""
    case = build(originals="delete", mounted="output")
    case.unmount()
    case.disks.do("mount", "--bind", str(case.at), str(case.at))
    case.drop("a.jpg", 0)
    assert case.call("run", "--once").returncode == 0
    case.unmount()
    case.drop("b.jpg", 1)
    assert case.call("run", "--once").returncode == 0
    assert {"a.png", "b.png"} <= {*case.bare()}


def test_a_disk_that_is_unmounted_while_nothing_happens(build: Callable[..., Mounted]) -> None:
    """It is noticed without a picture, by the next full scan."""
    case = build(originals="delete", mounted="output", rescan_interval_s=3)
    case.start()
    case.drop("a.jpg", 0)
    case.wait_for("a")
    case.unmount()
    case.wait_until_away()
    assert case.bare() == []
