"""How much slower cutting is with the page open in a browser: the same pictures, cut by the real daemon with and without a tab.

A part of `bench.page`. Pairs of runs follow each other, so that other load on the machine affects both.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from bench import page_library
from bench.page_browser import CHROMIUM, opened
from cutoutd.daemon import status_file
from cutoutd.page import announcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from playwright.sync_api import Browser

PICTURES: Final = 24
SIZE: Final = (4240, 2832)
PATIENCE_S: Final = 600.0
SETTLED_S: Final = 3.0
_WATCH_INBOX: Final = """() => {
  window.came = {};
  document.addEventListener("load", ({ target }) => {
    const name = target.closest?.(".newest .cutout")?.querySelector(".cutout-name")?.textContent;
    if (name) window.came[name] ??= Date.now();
  }, true);
}"""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def measure(say: Callable[[str, str, str], None], pairs: int) -> None:
    """Measure, and report the figures."""
    drawn = [page_library.draw(*SIZE, seed).source for seed in range(page_library.DIFFERENT)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        walls: list[float] = []
        cpus: list[float] = []
        waits: list[float] = []
        for number in range(pairs):
            # The second run finds a warm disk cache, so they alternate.
            order = (None, browser) if number % 2 else (browser, None)
            took = {tab is not None: cut(drawn, tab) for tab in order}
            walls.append(took[True].wall_s / took[False].wall_s - 1)
            cpus.append(took[True].cpu_s / took[False].cpu_s - 1)
            waits += took[True].waits_ms
            said = "; ".join(
                f"{'with' if tab else 'without'} a tab {run.wall_s:.1f} s, {run.cpu_s:.1f} s of CPU"
                for tab, run in sorted(took.items())
            )
            say(f"{PICTURES} x 12 MP, pair {number + 1}", said, "")
        say(
            "cutting slower with the page open, by the clock",
            f"{100 * statistics.median(walls):+.1f} %",
            "2 %",
        )
        say(
            "cutting dearer with the page open, in CPU seconds",
            f"{100 * statistics.median(cpus):+.1f} %",
            "2 %",
        )
        told = (
            f"{statistics.median(waits):.0f} ms, the last one {max(waits):.0f} ms" if waits else "none came"
        )
        say("from a cutout's publication to its picture on the page, while cutting goes on", told, "1,000 ms")
        browser.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredRun:
    """What it took to cut the pictures once.

    Attributes:
        wall_s: by the clock.
        cpu_s: of the supervisor and its workers.
        waits_ms: of each cutout, from its publication to its picture on the page.
    """

    wall_s: float
    cpu_s: float
    waits_ms: tuple[float, ...] = ()


def cut(drawn: Sequence[bytes], browser: Browser | None) -> MeasuredRun:
    """Cut the pictures once."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as tabs:
        root = Path(temporary)
        for name in ("in", "out", "ready"):
            (root / name).mkdir()
        for number in range(PICTURES):
            # Bytes after the end of a JPEG make another file with the same picture.
            content = drawn[number % len(drawn)] + bytes(number + 1)
            (root / "ready" / f"IMG_{number:03}.jpg").write_bytes(content)
        environ = {
            name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")
        }
        environ["XDG_STATE_HOME"] = os.fspath(root / "state")
        me = [sys.executable, "-P", "-m", "cutoutd"]
        pair = ["--input", os.fspath(root / "in"), "--output", os.fspath(root / "out")]
        with (root / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [*me, "run", *pair], env=environ, stdout=log, stderr=log, start_new_session=True
            )
        try:
            state = _wait_for_state(root / "state")
            if browser is not None:
                said = subprocess.run(
                    [*me, "page", *pair], env=environ, capture_output=True, text=True, check=True
                )
                address = re.search(r"http://\S+#\S+", said.stdout)
                assert address is not None  # noqa: S101 -- it was served a moment ago
                page = tabs.enter_context(opened(browser, address[0]))
                page.evaluate(_WATCH_INBOX)
                page.wait_for_timeout(1000 * SETTLED_S)  # to load the page is no part of having it open
            assert announcement.running(state) is not None  # noqa: S101 -- as above
            before_s, started_s = _cpu_s(daemon.pid), time.perf_counter()
            for one in sorted((root / "ready").iterdir()):
                one.rename(root / "in" / one.name)
            # A drawn subject may be held back for review, which counts as cut.
            while len(list((root / "out").rglob("*.json"))) < PICTURES:
                if time.perf_counter() > started_s + PATIENCE_S:
                    raise TimeoutError
                time.sleep(0.05)
            wall_s, cpu_s = time.perf_counter() - started_s, _cpu_s(daemon.pid) - before_s
            waits: tuple[float, ...] = ()
            if browser is not None:
                page.wait_for_timeout(2000)  # the last ones come
                waits = tuple(_waits_ms(root / "out", page.evaluate("window.came")))
            return MeasuredRun(wall_s=wall_s, cpu_s=cpu_s, waits_ms=waits)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


def _waits_ms(outputs: Path, came: Mapping[str, float]) -> Iterator[float]:
    """From each publication to the picture on the page; both clocks are this machine's."""
    for path in outputs.rglob("*.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        published = datetime.fromisoformat(said["published_at"]).timestamp()
        at = came.get(Path(said["source"]["path"]).name)
        if at is not None:
            yield at - 1000 * published


def _wait_for_state(root: Path) -> Path:
    """Wait until the page is served and a worker is ready. Returns the state directory."""
    while True:
        for lock in root.rglob("page/lock"):
            state = lock.parents[1]
            if announcement.running(state) is not None and status_file.read(state).get("worker"):
                return state
        time.sleep(0.1)


def _cpu_s(daemon: int) -> float:
    """Return the CPU seconds so far of the supervisor and its workers, without the page."""
    spent = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            is_worker = (
                int(fields[1]) == daemon and b"cutoutd.pool.worker" in (entry / "cmdline").read_bytes()
            )
        except OSError:
            continue
        if int(entry.name) == daemon or is_worker:
            spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS
