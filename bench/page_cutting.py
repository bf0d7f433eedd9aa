"""How much slower cutting is with the page open in a browser: the same pictures, cut by the real daemon with and without a tab.

A part of `bench.page`. Pairs of runs, one after the other, so that what else the machine does falls on both.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from bench import page_library
from bench.page_browser import CHROMIUM, opened
from cutoutd.daemon import status_file
from cutoutd.page import announcement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from playwright.sync_api import Browser

PICTURES: Final = 40
SIZE: Final = (4240, 2832)
PATIENCE_S: Final = 600.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def measure(say: Callable[[str, str, str], None], pairs: int) -> None:
    """Measure and tell."""
    drawn = [page_library.draw(*SIZE, seed).source for seed in range(page_library.DIFFERENT)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        walls, cpus = [], []
        for number in range(pairs):
            # Whichever comes second finds the disk's cache warm: they take turns.
            order = (None, browser) if number % 2 else (browser, None)
            took = {tab is not None: cut(drawn, tab) for tab in order}
            walls.append(took[True][0] / took[False][0] - 1)
            cpus.append(took[True][1] / took[False][1] - 1)
            said = "; ".join(
                f"{'with' if tab else 'without'} a tab {wall_s:.1f} s, {cpu_s:.1f} s of CPU"
                for tab, (wall_s, cpu_s) in sorted(took.items())
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
        browser.close()


def cut(drawn: Sequence[bytes], browser: Browser | None) -> tuple[float, float]:
    """Cut the pictures once; seconds by the clock, and CPU seconds of the supervisor and its workers."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as tabs:
        root = Path(temporary)
        for name in ("in", "out", "ready"):
            (root / name).mkdir()
        for number in range(PICTURES):
            # Bytes after a JPEG's end: another file, the same picture.
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
                tabs.enter_context(opened(browser, address[0]))
            assert announcement.running(state) is not None  # noqa: S101 -- as above
            before_s, begun_s = _cpu_s(daemon.pid), time.perf_counter()
            for one in sorted((root / "ready").iterdir()):
                one.rename(root / "in" / one.name)
            # Drawn subjects may be held back for review: that is cut all the same.
            while len(list((root / "out").rglob("*.json"))) < PICTURES:
                if time.perf_counter() > begun_s + PATIENCE_S:
                    raise TimeoutError
                time.sleep(0.05)
            return time.perf_counter() - begun_s, _cpu_s(daemon.pid) - before_s
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


def _wait_for_state(root: Path) -> Path:
    """Until the page is served and a worker is ready; the state directory."""
    while True:
        for lock in root.rglob("page/lock"):
            state = lock.parents[1]
            if announcement.running(state) is not None and status_file.read(state).get("worker"):
                return state
        time.sleep(0.1)


def _cpu_s(daemon: int) -> float:
    """CPU seconds so far of the supervisor and its workers, and not of the page."""
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
