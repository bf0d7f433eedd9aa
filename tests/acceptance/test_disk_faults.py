"""Disks that are full, read-only or gone, with the real command: work waits, says why, and continues by itself."""

from __future__ import annotations

import json
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.daemon import status_file
from cutoutd.folder_trouble import FolderTrouble
from tests.acceptance.conftest import Bench, Daemon, picture
from tests.acceptance.disks import Disks, cpu_s, empty, fill

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.small_model

SIZE_KB = 3000
WATCHED_S = 2.0
BUSY = 0.7
"""Share of a core that a daemon uses that cuts in vain repeatedly; a waiting daemon uses far less."""


class SmallDisks:
    """A hot folder whose directories are small disks, with its daemon."""

    def __init__(
        self, bench: Bench, disks: Disks, *, originals: str = "keep", floor_mb: int = 0, folder: str = ""
    ) -> None:
        self.bench = bench
        self.disks = disks
        self.originals = originals
        self.at = {name: bench.root / name for name in ("input", "output", "sidecars", "kept", "state")}
        self.view = {name: disks.mount(path, SIZE_KB) for name, path in self.at.items()}
        self._config = bench.root / "c.toml"
        self._config.write_text(
            f'[service]\nstate_dir = "{self.at["state"]}"\nmin_free_disk_mb = {floor_mb}\n'
            "[pool]\nworkers = 1\n"
            f'[[folder]]\nname = "x"\ninput = "{self.at["input"]}"\noutput = "{self.at["output"]}"\n'
            f'sidecar_dir = "{self.at["sidecars"]}"\noriginals = "{originals}"\n'
            + (f'originals_dir = "{self.at["kept"]}"\n' if originals == "move" else "")
            + f"settle_s = 0.2\npoll_interval_s = 1\n{folder}",
            encoding="utf-8",
        )
        self.daemon: Daemon | None = None
        self.dropped: dict[str, bytes] = {}

    def start(self) -> Daemon:
        """Start the daemon."""
        self.daemon = Daemon(self.bench, "--config", self._config, within=self.disks.inside)
        return self.daemon

    def drop(self, name: str, hue: int = 0) -> None:
        """Add a picture, complete."""
        draft = self.bench.root / "draft.jpg"
        picture(hue).save(draft, format="JPEG", quality=90)
        self.dropped[name] = draft.read_bytes()
        shutil.copy(draft, self.view["input"] / f".{name}")
        (self.view["input"] / f".{name}").rename(self.view["input"] / name)

    def folder_state(self) -> dict[str, Any]:
        """Return the folder's state from the file that `cutoutd status` reads."""
        found: dict[str, Any] = status_file.read(self.view["state"]).get("folders", {}).get("x", {})
        return {"watching": "", "why": "", "trouble": None} | found

    def status(self) -> str:
        """Return the output of `cutoutd status`."""
        command = self.bench.command("status", "--config", self._config)
        return self.bench.call_any(self.disks.inside(*command)).stdout

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a cutoutd command beside the daemon."""
        command = self.bench.command(*arguments, "--config", self._config)
        return self.bench.call_any(self.disks.inside(*command))

    def wait_for_pause(self, trouble: FolderTrouble, word: str) -> None:
        """Wait until the folder is paused for a reason that has this code and contains this word."""

        def is_paused() -> bool:
            found = self.folder_state()
            return found["watching"] == "paused" and found["trouble"] == trouble and word in found["why"]

        self.bench.wait_for(is_paused, f"a pause because of {word!r}; there is {self.folder_state()}")

    def done(self) -> set[str]:
        """Return the stems of the published pictures."""
        return {path.stem for path in self.view["output"].glob("*.png")}

    def wait_for(self, *stems: str) -> None:
        """Wait until these pictures are published together with their sidecars."""
        self.bench.wait_for(lambda: set(stems) <= self.done(), f"{stems} in {self.log()[-3000:]}")
        self.bench.wait_for(
            lambda: (
                {f"{stem}.png.json" for stem in stems} <= {p.name for p in self.view["sidecars"].iterdir()}
            ),
            f"the sidecars of {stems}",
        )

    def log(self) -> str:
        """Return the log of the daemon."""
        return (self.bench.root / "log").read_text(encoding="utf-8")

    def untouched(self) -> bool:
        """Return whether every original still has its bytes."""
        return all(
            (self.view["input"] / name).read_bytes() == content for name, content in self.dropped.items()
        )

    def staged(self) -> list[Path]:
        """Return the files in all staging directories."""
        return [
            path
            for view in self.view.values()
            for path in view.rglob(".cutoutd-staging/**/*")
            if path.is_file()
        ]

    def end(self) -> None:
        """Stop in order, and check that nothing is left."""
        assert self.daemon is not None
        assert self.daemon.end() == 0
        assert self.staged() == []


@pytest.fixture
def build(bench: Bench) -> Iterator[Callable[..., SmallDisks]]:
    """A function that builds sites; they are removed with their daemons."""
    sites: list[SmallDisks] = []
    with Disks() as disks:

        def make(**given: Any) -> SmallDisks:  # noqa: ANN401 -- as of Site
            sites.append(SmallDisks(bench, disks, **given))
            return sites[-1]

        yield make
        for small_disks in sites:
            if small_disks.daemon is not None and small_disks.daemon.process.poll() is None:
                small_disks.daemon.end(signal.SIGKILL)


def load(small_disks: SmallDisks) -> float:
    """Return the CPU seconds per second over a while."""
    assert small_disks.daemon is not None
    before, begun = cpu_s(small_disks.daemon.process.pid), time.monotonic()
    time.sleep(WATCHED_S)
    return (cpu_s(small_disks.daemon.process.pid) - before) / (time.monotonic() - begun)


def pauses_and_resumes(
    small_disks: SmallDisks, place: str, trouble: FolderTrouble, word: str, names: list[str]
) -> None:
    """Check that pictures that arrive while a disk is full are cut once it is not, and not before."""
    before = small_disks.done()
    fill(small_disks.view[place])
    for name in names:
        small_disks.drop(f"{name}.jpg")
    small_disks.wait_for_pause(trouble, word)
    assert str(small_disks.at[place]) in small_disks.folder_state()["why"]
    assert "PAUSED" in small_disks.status()
    assert load(small_disks) < BUSY
    assert small_disks.done() == before
    assert small_disks.untouched()
    empty(small_disks.view[place])
    small_disks.wait_for(*names)
    small_disks.bench.wait_for(lambda: small_disks.folder_state()["watching"] == "native", "the pause to end")


def test_an_output_that_is_full_or_read_only_pauses_with_a_reason_and_resumes_by_itself(
    build: Callable[..., SmallDisks],
) -> None:
    """Waiting pictures are not cut in vain, no incomplete file appears or stays; the disk becomes read-only as after an error."""
    small_disks = build()
    daemon = small_disks.start()
    small_disks.drop("first.jpg")
    small_disks.wait_for("first")
    pauses_and_resumes(small_disks, "output", FolderTrouble.DISK_FULL, "No space", ["a", "b", "c"])
    small_disks.disks.remount(small_disks.at["output"], "ro")
    small_disks.drop("d.jpg", 1)
    small_disks.wait_for_pause(FolderTrouble.READ_ONLY, "Read-only")
    assert small_disks.untouched()
    small_disks.disks.remount(small_disks.at["output"], "rw")
    small_disks.wait_for("d")
    assert daemon.process.poll() is None
    small_disks.end()
    assert small_disks.untouched()
    assert "Traceback" not in small_disks.log()


def test_accepts_and_renames_wait_for_free_space_and_report_it(build: Callable[..., SmallDisks]) -> None:
    """The folder is paused with its reason, the command answers with it, and one line is logged.

    Before, `status` said "watching" with no reason, the command ended with 0, and each picture logged an error every 5 s.
    """
    small_disks = build(folder="review_below = 1.0\n")
    for hue, name in enumerate("ab"):
        small_disks.drop(f"{name}.jpg", hue)
    small_disks.start()
    review = small_disks.view["output"] / "review"
    small_disks.bench.wait_for(
        lambda: {"a.png", "b.png"} <= {path.name for path in review.glob("*")}, "the doubtful ones"
    )
    small_disks.bench.wait_for(
        lambda: small_disks.call("review", "list").stdout.count("overlay.png") == 2,
        "what can be decided about",
    )
    fill(small_disks.view["output"])
    answer = small_disks.call("review", "accept", "--all")
    assert answer.returncode == 1, answer.stdout
    assert answer.stdout.count("not yet: ") == 2, answer.stdout
    assert "No space" in answer.stdout
    small_disks.wait_for_pause(FolderTrouble.DISK_FULL, "No space")
    empty(small_disks.view["output"])
    small_disks.wait_for("a", "b")
    small_disks.bench.wait_for(lambda: small_disks.folder_state()["watching"] == "native", "the pause to end")
    fill(small_disks.view["output"])
    for before, after in (("a", "c"), ("b", "d")):
        (small_disks.view["input"] / f"{before}.jpg").rename(small_disks.view["input"] / f"{after}.jpg")
    small_disks.wait_for_pause(FolderTrouble.DISK_FULL, "No space")
    empty(small_disks.view["output"])
    small_disks.bench.wait_for(
        lambda: small_disks.done() == {"c", "d"}, "the two under their new names alone"
    )
    small_disks.bench.wait_for(lambda: small_disks.folder_state()["watching"] == "native", "the pause to end")
    assert small_disks.log().count("folder.rests") == 2
    assert "delivery.refused" not in small_disks.log()
    small_disks.end()


def test_a_full_state_disk_is_waited_for_at_the_start_and_later(build: Callable[..., SmallDisks]) -> None:
    """SQLite refuses every write; no thread dies of that."""
    small_disks = build()
    small_disks.drop("first.jpg")
    fill(small_disks.view["state"])
    daemon = small_disks.start()
    small_disks.bench.wait_for(lambda: "daemon.waits" in small_disks.log(), "the reason")
    empty(small_disks.view["state"])
    small_disks.wait_for("first")
    pauses_and_resumes(small_disks, "state", FolderTrouble.JOURNAL_FULL, "full", ["a", "b"])
    assert daemon.process.poll() is None
    small_disks.end()
    assert small_disks.untouched()
    assert "Traceback" not in small_disks.log()


def test_a_start_that_waits_for_a_full_state_disk_can_be_stopped(build: Callable[..., SmallDisks]) -> None:
    """It ends in order, and the next start goes on. Before, only a second signal ended it, or the service manager's SIGKILL."""
    small_disks = build()
    small_disks.drop("first.jpg")
    small_disks.start()
    small_disks.wait_for("first")
    small_disks.end()
    small_disks.drop("second.jpg", 1)
    fill(small_disks.view["state"])
    daemon = small_disks.start()
    small_disks.bench.wait_for(lambda: "daemon.waits" in small_disks.log(), "the reason")
    assert daemon.end() == 0
    empty(small_disks.view["state"])
    small_disks.start()
    small_disks.wait_for("first", "second")
    small_disks.end()
    assert small_disks.untouched()
    assert "Traceback" not in small_disks.log()


def test_a_state_disk_that_cannot_be_written_is_shown(build: Callable[..., SmallDisks]) -> None:
    """With what to do, though nothing can be written down there: full, and read-only as after an error. Before, all seemed well."""
    small_disks = build()
    small_disks.drop("first.jpg")
    small_disks.start()
    small_disks.wait_for("first")
    assert json.loads(small_disks.call("status", "--json").stdout)["state_trouble"] is None
    fill(small_disks.view["state"])
    output = small_disks.status()
    assert (
        f"The disk of the state directory, {small_disks.at['state']}, is full. Free some space there."
        in output
    )
    empty(small_disks.view["state"])
    assert "state directory" not in small_disks.status()
    small_disks.drop("second.jpg", 1)
    small_disks.wait_for("second")
    small_disks.end()  # which has a file open for writing there
    small_disks.disks.remount(small_disks.at["state"], "ro")
    output = small_disks.status()
    assert (
        f"The disk of the state directory, {small_disks.at['state']}, is read-only. Check the disk" in output
    )
    trouble = json.loads(small_disks.call("status", "--json").stdout)["state_trouble"]
    assert trouble["why"].endswith("is read-only")
    assert "mount it writable again" in trouble["advice"]


def test_the_floor_pauses_before_a_disk_is_full(build: Callable[..., SmallDisks]) -> None:
    """`min_free_disk_mb` counts for the output and for the state directory."""
    small_disks = build(floor_mb=1)
    fill(small_disks.view["output"], leave=512 << 10)
    small_disks.drop("a.jpg")
    small_disks.start()
    small_disks.wait_for_pause(FolderTrouble.DISK_FULL, "min_free_disk_mb")
    assert small_disks.done() == set()
    empty(small_disks.view["output"])
    small_disks.wait_for("a")
    small_disks.end()


def test_no_original_is_touched_before_its_cutout_is_published(build: Callable[..., SmallDisks]) -> None:
    """First the output, then the folder for originals is full, across file systems; a kill in between changes nothing."""
    small_disks = build(originals="move")
    daemon = small_disks.start()
    fill(small_disks.view["output"])
    small_disks.drop("a.jpg")
    small_disks.wait_for_pause(FolderTrouble.DISK_FULL, "No space")
    assert small_disks.untouched()
    fill(small_disks.view["kept"])
    empty(small_disks.view["output"])
    small_disks.wait_for("a")
    small_disks.bench.wait_for(lambda: "original.stays" in small_disks.log(), "the reason")
    assert small_disks.untouched()
    daemon.end(signal.SIGKILL)
    empty(small_disks.view["kept"])
    small_disks.start()
    small_disks.bench.wait_for(
        lambda: not (small_disks.view["input"] / "a.jpg").exists(), "the original to go"
    )
    assert (small_disks.view["kept"] / "a.jpg").read_bytes() == small_disks.dropped["a.jpg"]
    small_disks.end()
