"""Figures of the page in Chromium: first paint, the step from picture to picture, frames, a thousand decisions, memory.

A part of `bench.page`. `cutoutd page` serves the page over a generated library; no daemon runs, so nothing disturbs it.
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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from bench import page_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, CDPSession, Page

    Say = Callable[[str, str, str], None]

CHROMIUM: Final = "/usr/bin/chromium"
PATIENCE_MS: Final = 120_000
WINDOW: Final = {"width": 1280, "height": 800}
NEXT: Final = 25
"""Number of steps from picture to picture, of which the median and the worst are printed."""

PICTURES: Final = 500
"""That are looked at one after the other before the tab's memory is told."""

SETTLED_S: Final = 8.0
IDLE_S: Final = 40.0

LARGE: Final = (8660, 5773)

_CPU_OF_PROCESS: Final = 2  # CPUCLOCK_SCHED of linux/posix-timers.h

_SHOWN: Final = """() => {
  const tiles = [...document.querySelectorAll(".layer-cutout .tile")];
  return tiles.length > 0 && tiles.every((one) => one.querySelector("img")?.complete);
}"""
_ANY_TILE: Final = (
    """() => [...document.querySelectorAll(".layer-cutout .tile img")].some((one) => one.complete)"""
)

_FINE_TILE: Final = (
    """() => [...document.querySelectorAll(".layer-cutout .tile img")]"""
    """.some((one) => /\\/cutout\\/0\\//.test(one.src) && one.complete)"""
)

_WATCH_FRAMES: Final = """() => {
  window.gaps = [];
  let last = performance.now();
  const frame = (now) => { window.gaps.push(now - last); last = now; window.watching = requestAnimationFrame(frame); };
  window.watching = requestAnimationFrame(frame);
}"""
_WORST_GAP: Final = (
    "() => { cancelAnimationFrame(window.watching); return Math.max(...window.gaps.slice(1)); }"
)

_STEP: Final = """() => new Promise((done) => {
  const before = document.querySelector(".side-subject h2").textContent;
  const begun = performance.now();
  const look = () => {
    const tiles = [...document.querySelectorAll(".layer-cutout .tile")];
    const is_new = document.querySelector(".side-subject h2").textContent !== before;
    if (is_new && tiles.length > 0 && tiles.every((one) => one.querySelector("img")?.complete)) done(performance.now() - begun);
    else requestAnimationFrame(look);
  };
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  document.querySelector(".viewer").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  requestAnimationFrame(look);
})"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedPage:
    """A page that is served.

    Attributes:
        address: with a code.
        pid: of the backend.
    """

    address: str
    pid: int


@contextmanager
def served(config: Path) -> Iterator[ServedPage]:
    """`cutoutd page` where no daemon runs."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-P", "-m", "cutoutd", "page", "--config", os.fspath(config)]
        page = subprocess.Popen(command, env=kept, stdout=said, stderr=said, start_new_session=True)
        try:
            yield ServedPage(address=_address(said, page), pid=page.pid)
        finally:
            page.send_signal(signal.SIGTERM)
            page.wait()


def _address(said: Any, page: subprocess.Popen[bytes]) -> str:  # noqa: ANN401 -- an open file
    while True:
        found = re.search(rb"http://127\.0\.0\.1:\d+/#\S+", os.pread(said.fileno(), 1 << 16, 0))
        if found:
            return found[0].decode()
        if page.poll() is not None:
            raise RuntimeError(os.pread(said.fileno(), 1 << 16, 0).decode())
        time.sleep(0.1)


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """Open a paired tab on the inbox."""
    context = browser.new_context(viewport=WINDOW, locale="en-GB")  # type: ignore[arg-type] # as of Playwright
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(address)
    page.locator(".view-inbox h1").wait_for(state="attached")
    try:
        yield page
    finally:
        context.close()


def review(page: Page, query: str = "") -> None:
    """Go to Review, and wait for its first picture."""
    page.evaluate("where => { location.hash = where }", f"#/review{query}")
    page.wait_for_function(_SHOWN)


def first_paint(page: Page) -> float:
    """Return the milliseconds from a reload to the first paint of the first view."""
    page.reload()
    page.locator(".figure-waiting dd").wait_for()
    return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))


def whole_view(page: Page) -> float:
    """Return the milliseconds from a reload until the figures of all jobs are shown."""
    page.reload()
    page.wait_for_function("() => document.querySelector('.figure-waiting dd')")
    return float(page.evaluate("performance.now()"))


def accept_all(page: Page) -> tuple[float, float]:
    """Return the milliseconds until the page shows a thousand accepts as done, and the same for their undo."""
    page.keyboard.press("Control+a")
    accepted = _took(page, "a", "accepted")
    undone = _took(page, "Control+z", "Undone")
    return accepted, undone


def _took(page: Page, key: str, said: str) -> float:
    started_s = time.perf_counter()
    page.keyboard.press(key)
    page.locator(".toast p", has_text=said).wait_for()
    page.wait_for_function("() => document.querySelector('.strip-entry')")
    return 1000 * (time.perf_counter() - started_s)


def first_tile(page: Page, job: int) -> float:
    """Return the milliseconds from opening a picture for the first time to its first tile."""
    started_s = time.perf_counter()
    page.evaluate("job => { location.hash = `#/review?state=all&job=${job}` }", job)
    page.wait_for_function(_ANY_TILE)
    return 1000 * (time.perf_counter() - started_s)


def zoomed(page: Page) -> float:
    """Milliseconds from the key for single pixels to the first tile of them."""
    started_s = time.perf_counter()
    page.keyboard.press("z")
    page.wait_for_function(_FINE_TILE)
    return 1000 * (time.perf_counter() - started_s)


def memory_mb(session: CDPSession) -> tuple[int, int]:
    """Return the private memory of the largest renderer, and the decoded images that Chromium may drop at any time; MB."""
    found = []
    for process in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        if process["type"] == "renderer":
            status = Path(f"/proc/{process['id']}/status").read_text(encoding="ascii")
            own, shared = (re.search(rf"{name}:\s+(\d+)", status) for name in ("RssAnon", "RssShmem"))
            assert own is not None  # noqa: S101 -- proc(5)
            assert shared is not None  # noqa: S101 -- proc(5)
            found.append((int(own[1]) // 1024, int(shared[1]) // 1024))
    return max(found, key=sum)


def measure(say: Say, jobs: int) -> None:
    """Measure and tell: what, how much, and what was asked for."""
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        root = Path(temporary)
        config = page_library.make(root, jobs, real=PICTURES)
        large = page_library.add_large(root, LARGE)
        # Chromium's own sandbox needs namespaces that a container may refuse; the page is ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with served(config) as serving, opened(browser, serving.address) as page:
            paints = [first_paint(page) for _ in range(5)]
            say(f"first paint with {jobs:,} jobs", f"{statistics.median(paints):.0f} ms", "300 ms")
            views = [whole_view(page) for _ in range(3)]
            say("until its figures are there", f"{statistics.median(views):.0f} ms", "")
            processes(say, serving.pid)
            say("first tile of a cold 50 MP cutout", f"{first_tile(page, large):.0f} ms", "300 ms")
            say("single pixels of it", f"{zoomed(page):.0f} ms", "")
            steps(say, page)
            own, images = memory_mb(browser.new_browser_cdp_session())
            told = f"{own} MB, and {images} MB of images that it may drop"
            say(f"the tab's memory after {PICTURES} pictures", told, "400 MB")
            long_list(say, page)
        thousand(say, browser, root / "thousand")
        browser.close()


def processes(say: Say, backend: int) -> None:
    """What the page's two processes take while a tab is open and nothing happens."""
    pids = {"backend": backend, "web process": _web_process(backend)}
    time.sleep(SETTLED_S)  # the pictures of the inbox come
    before = {name: _cpu_s(pid) for name, pid in pids.items()}
    time.sleep(IDLE_S)
    for name, pid in pids.items():
        share = (_cpu_s(pid) - before[name]) / IDLE_S
        say(
            f"{name}: memory, and share of a core when idle",
            f"{_mb(pid)} MiB, {100 * share:.3f} %",
            "80 MiB, 0.1 %",
        )


def steps(say: Say, page: Page) -> None:
    """From picture to picture by a key."""
    review(page)
    page.wait_for_timeout(3000)  # neighbours are fetched ahead
    page.evaluate(_WATCH_FRAMES)
    took = []
    for _ in range(NEXT):
        took.append(float(page.evaluate(_STEP)))
        page.wait_for_timeout(400)  # as a person looks
    gap = float(page.evaluate(_WORST_GAP))
    say("key to next picture, median", f"{statistics.median(took):.0f} ms", "100 ms")
    say("key to next picture, worst", f"{max(took):.0f} ms", "")
    say("longest gap between two frames", f"{gap:.0f} ms", "100 ms")
    for _ in range(PICTURES - NEXT - 1):  # the last of those that have files
        page.evaluate(_STEP)


def long_list(say: Say, page: Page) -> None:
    """To the end of all pictures that there are."""
    page.evaluate("location.hash = '#/review?state=all'")
    page.wait_for_function("() => /of \\d\\d,/.test(document.querySelector('.review-count').textContent)")
    page.evaluate(_WATCH_FRAMES)
    started_s = time.perf_counter()
    page.keyboard.press("End")
    page.locator(".strip-entry.current").wait_for()
    say("to the end of all of them", f"{1000 * (time.perf_counter() - started_s):.0f} ms", "")
    say("longest gap there", f"{float(page.evaluate(_WORST_GAP)):.0f} ms", "100 ms")


def thousand(say: Say, browser: Browser, root: Path) -> None:
    """Accept a thousand pictures in one action, and take that back."""
    root.mkdir()
    config = page_library.make(root, 10_000, real=20)
    with served(config) as serving, opened(browser, serving.address) as page:
        review(page)
        page.wait_for_function(
            "() => document.querySelector('.review-count').textContent.includes('of 1,000')"
        )
        accepted, undone = accept_all(page)
        say("1,000 accepted in one action", f"{accepted:.0f} ms", "")
        say("and undone in one", f"{undone:.0f} ms", "")


def _web_process(backend: int) -> int:
    """That it has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            is_web = b"cutoutd.page.web.process" in (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == backend and is_web:
            return int(entry.name)
    raise ProcessLookupError


def _cpu_s(pid: int) -> float:
    return time.clock_gettime(
        ~pid << 3 | _CPU_OF_PROCESS
    )  # in nanoseconds, where /proc has hundredths of a second


def _mb(pid: int) -> int:
    """Of a process's memory what is in no other, and its part of what is; MiB."""
    said = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+)", said, re.MULTILINE)
    assert found is not None  # noqa: S101 -- proc(5)
    return int(found[1]) // 1024
