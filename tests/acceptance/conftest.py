"""Runs the real command in processes of its own, on real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import cutoutd
from cutoutd.models import catalog
from tests.integration import small_models
from tests.outputs import every_file, published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from tests.acceptance.reviewing import ReviewSetup

PATIENCE_S = 150.0


def picture(hue: int = 0, *, width: int = 360, height: int = 270) -> Image.Image:
    """Return a ball on a soft background, a subject that the model finds with certainty."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    background = np.stack([200 - 40 * y / height, 205 - 30 * x / width, 210 + 0 * x], axis=-1)
    radius = np.hypot(x - width / 2, y - height / 2) / (0.33 * height)
    light = np.clip(1.2 - np.hypot(x - width * 0.43, y - height * 0.4) / (0.6 * height), 0.2, 1.0)
    colours = np.array([[190, 40, 30], [30, 90, 180], [40, 140, 50], [180, 120, 20]], dtype=np.float32)
    ball = colours[hue % len(colours)] * light[..., None]
    edge = np.clip((1.0 - radius) * 0.33 * height, 0, 1)[..., None]
    return Image.fromarray((ball * edge + background * (1 - edge)).astype(np.uint8), "RGB")


@dataclass(frozen=True, slots=True)
class Bench:
    """A hot folder, its output, and the command that works on them."""

    root: Path
    input: Path
    output: Path
    environment: dict[str, str]

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line."""
        return [sys.executable, "-P", "-m", "cutoutd", *(str(argument) for argument in arguments)]

    def pair(self) -> list[str]:
        """Options that name the two folders."""
        return ["--input", os.fspath(self.input), "--output", os.fspath(self.output)]

    def call(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a cutoutd command to its end."""
        return self.call_any(self.command(*arguments))

    def call_any(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run any command to its end."""
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def once(self) -> subprocess.CompletedProcess[str]:
        """Cut what is in the hot folder."""
        return self.call("run", *self.pair(), "--once")

    def drop(self, name: str, hue: int = 0, *, age_s: float = 60.0) -> Path:
        """Put a picture into the hot folder, whole, and old enough to be taken at once by ``--once``.

        One that is there is overwritten in place: a later version. A file that takes its name while no daemon runs is
        another picture.
        """
        path = self.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root / "draft.jpg"
        picture(hue).save(draft, format="JPEG", quality=90)
        then = time.time() - age_s
        if path.is_file():
            path.write_bytes(draft.read_bytes())
            os.utime(path, (then, then))
            return path
        os.utime(draft, (then, then))
        draft.rename(path)
        return path

    def results(self) -> list[str]:
        """Return all files in the output folder, with what is staged."""
        return [path.relative_to(self.output).as_posix() for path in every_file(self.output)]

    def published(self, pattern: str = "*") -> list[str]:
        """Return the files of a pattern in the output folder that a user sees, as one who waits for their number must."""
        return [path.relative_to(self.output).as_posix() for path in published(self.output, pattern)]

    def sidecar(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the output folder."""
        content: dict[str, Any] = json.loads((self.output / name).read_text(encoding="utf-8"))
        return content

    def jobs(self) -> list[dict[str, Any]]:
        """Return the journal as the command shows it."""
        listed = self.call("jobs", *self.pair(), "--json")
        assert listed.returncode == 0, listed.stderr
        jobs: list[dict[str, Any]] = json.loads(listed.stdout)["jobs"]
        return jobs

    def _journals(self) -> Iterator[Path]:
        """Yield the journals of all state directories; directories may disappear meanwhile."""
        for top in self.root.glob("*state*"):
            for place, _, names in os.walk(top):
                if "journal.sqlite" in names:
                    yield Path(place, "journal.sqlite")

    def states(self) -> dict[str, str]:
        """Return the state of each picture's newest version; empty as long as there is no journal.

        It is read from the journal itself: in a loop that waits, the command would take half a second of a core each time.
        """
        found: dict[str, str] = {}
        for journal in self._journals():
            with closing(
                sqlite3.connect(f"{journal.as_uri()}?mode=rw", uri=True, timeout=PATIENCE_S)
            ) as opened:
                rows = opened.execute("SELECT path, state FROM job WHERE newest = 1").fetchall()
            found.update((os.fsdecode(path), state) for path, state in rows)
        return found

    def finished_us(self, path: str) -> int:
        """Return when the newest version of a picture last ended, was held back or failed; 0 while it waits or is cut."""
        for journal in self.root.glob("*state*/**/journal.sqlite"):
            with closing(
                sqlite3.connect(f"{journal.as_uri()}?mode=rw", uri=True, timeout=PATIENCE_S)
            ) as opened:
                row = opened.execute(
                    "SELECT finished_us FROM job WHERE newest = 1 AND path = ?", (os.fsencode(path),)
                ).fetchone()
            if row:
                return row[0] or 0
        return 0

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}; there is {self.results()}"
            time.sleep(0.05)


def bench_in(root: Path, *, workers: int | None = 1) -> Bench:
    """Return a bench with folders of its own, for a test or for another machine of a test.

    Args:
        root: directory in which they are made.
        workers: number of processes that cut, each of which takes a second to start; None: the default number.
    """
    for name in ("to-cut", "cutouts"):
        (root / name).mkdir(parents=True)
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("CUTOUTD_") and key not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    environment |= {"XDG_STATE_HOME": str(root / "state"), "XDG_CONFIG_HOME": str(root / "config")}
    environment["CUTOUTD_PAGE__ENABLED"] = (
        "false"  # two processes more for each daemon, which few tests are about
    )
    if workers is not None:
        environment["CUTOUTD_POOL__WORKERS"] = str(workers)
    return Bench(root=root, input=root / "to-cut", output=root / "cutouts", environment=environment)


def small_bench_in(root: Path, models: Path, *, workers: int | None = 1) -> Bench:
    """Return a bench whose folders are cut by a small model.

    Args:
        root: as in `bench_in`.
        models: directory of `small_models_dir`.
        workers: as in `bench_in`.
    """
    bench = bench_in(root, workers=workers)
    bench.environment.update({"XDG_DATA_HOME": str(models), "CUTOUTD_MODEL__NAME": "darkness"})
    return bench


def own_installation(bench: Bench) -> Path:
    """Make the commands of a bench run from a copy of the code, with its model.

    Compiled files are copied as well: workers may not write any, so each would compile all modules at its start.

    Returns:
        The directory of the package.
    """
    home = bench.root / "code" / "cutoutd"
    half_written = shutil.ignore_patterns("*.pyc.*")
    shutil.copytree(Path(cutoutd.__file__).parent, home, ignore=half_written)
    if not (home / "weights").is_dir():
        shutil.copytree(catalog.home(), home / "weights")
    bench.environment["PYTHONPATH"] = str(home.parent)
    return home


def alter_model(bench: Bench) -> None:
    """Make the commands of a bench run from a copy of the code whose model is one byte short."""
    (model,) = (own_installation(bench) / "weights").glob("*.onnx")
    model.write_bytes(model.read_bytes()[:-1])
    bench.environment.pop("CUTOUTD_MODEL__NAME", None)  # the model of the code, and no small one


@pytest.fixture(scope="session", autouse=True)
def commands_as_usual() -> None:
    """Restores signals that this process ignores, as under nohup, since child processes inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def small_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a user whose small model finds dark or strongly coloured things, as here balls."""
    return small_models.data_directory(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest, small_models_dir: Path) -> Bench:
    """A bench for one test."""
    is_about_workers = request.node.get_closest_marker("about_workers") is not None
    workers = None if is_about_workers else 1
    if request.node.get_closest_marker("small_model") is not None:
        return small_bench_in(tmp_path, small_models_dir, workers=workers)
    return bench_in(tmp_path, workers=workers)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a module."""
    from tests.acceptance.browsing import chromium  # noqa: PLC0415 -- few modules need it, and not its imports

    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path) -> Bench:
    """A configured home with a few pictures, for all tests of a module; `kept` runs its daemon."""
    from tests.acceptance.home import configured_studio  # noqa: PLC0415 -- as above

    return configured_studio(tmp_path_factory.mktemp("studio"), small_models_dir)


@pytest.fixture(scope="module")
def kept(browser: Browser, studio: Bench) -> Iterator[tuple[str, str, object]]:
    """A browser that is paired with the studio's page, once all pictures are done: its address, the token and the cookies."""
    from tests.acceptance.browsing import paired  # noqa: PLC0415 -- as above
    from tests.acceptance.home import running  # noqa: PLC0415 -- as above

    with running(studio):
        ended = ["done"] * 4 + ["failed"]
        studio.wait_for(lambda: sorted(studio.states().values()) == ended, "five pictures")
        yield paired(browser, studio)


@pytest.fixture(scope="module")
def review_studio(
    tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path, browser: Browser
) -> Iterator[ReviewSetup]:
    """A studio in which all pictures are cut and held back, for all tests of a module."""
    from tests.acceptance.reviewing import studio_in_review  # noqa: PLC0415 -- as above

    with studio_in_review(tmp_path_factory.mktemp("studio"), small_models_dir, browser) as setup:
        yield setup


@pytest.fixture
def review_setup(review_studio: ReviewSetup) -> Iterator[ReviewSetup]:
    """The studio; whatever becomes of a test, the next one finds all pictures held back, and nothing under way."""
    yield review_studio
    review_studio.put_back()


def _as_it_is(*command: str) -> list[str]:
    """Return the command line unchanged."""
    return list(command)


class Daemon:
    """A running daemon.

    Args:
        bench: folders and environment of the daemon.
        arguments: arguments of `cutoutd run`; empty: the two folders.
        within: turns the command line into another one.
        environment: variables in addition to those of the bench.
    """

    def __init__(
        self,
        bench: Bench,
        *arguments: str | Path,
        within: Callable[..., list[str]] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.log = (bench.root / "log").open("ab")
        environment = bench.environment | (environment or {})
        words = ["run", *(str(argument) for argument in arguments or bench.pair())]
        self.process = subprocess.Popen(
            (within or _as_it_is)(*bench.command(*words)),
            env=environment,
            cwd=bench.root,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it does not end; its threads:\n{threads_of(self.process.pid)}") from error
        self.log.close()
        return code


def threads_of(pid: int) -> str:
    """Return what each thread of a process waits for, and which signals it has pending or blocked, for a failure's message."""
    lines = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
        status = (task / "status").read_text()
        told = [
            line.replace("\t", " ")
            for line in status.splitlines()
            if line.startswith(("Name", "State", "SigPnd", "ShdPnd", "SigBlk"))
        ]
        lines.append(
            f"{task.name}: {', '.join(told)}; {(task / 'wchan').read_text()}; {(task / 'syscall').read_text().strip()}"
        )
    return "\n".join(lines)


@pytest.fixture
def start(bench: Bench) -> Iterator[Callable[..., Daemon]]:
    """A function that starts daemons; they are ended with the test."""
    daemons: list[Daemon] = []

    def begin(*arguments: str | Path, **given: Any) -> Daemon:  # noqa: ANN401 -- as of Daemon
        daemons.append(Daemon(bench, *arguments, **given))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.end(signal.SIGKILL)
        daemon.log.close()
