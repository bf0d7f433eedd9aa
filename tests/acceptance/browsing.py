"""Opens the page in a real Chromium, and checks what every screen must satisfy."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect, sync_playwright

from cutoutd.page import announcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, Route

    from tests.acceptance.conftest import Bench

CHROMIUM: Final = next(
    filter(Path.exists, (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))),
    Path("/usr/bin/chromium"),
)
"""The browser without windows of its own takes a quarter of the time for each window of a test, and the other one will do."""

NOTE_TOASTS = """() => {
  window.toasts = [];
  const place = document.getElementById("toasts");
  new MutationObserver(() => place.innerText && window.toasts.push(place.innerText)).observe(place, { childList: true });
}"""
"""A script that notes every short message, also those that are replaced at once."""

ON_TOP = """(one) => {
  const box = one.getBoundingClientRect();
  return one.contains(document.elementFromPoint(box.left + box.width / 2, box.bottom - 4));
}"""
"""A script that says whether the lower edge of an element is covered by nothing."""

PATIENCE_MS: Final = 30_000
DESKTOP: Final = (1280, 900)
PHONE: Final = (360, 740)


def needs_chromium() -> pytest.MarkDecorator:
    """Skip the test if there is no Chromium."""
    return pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason=f"{CHROMIUM} is not there")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start one browser for all tests of a module."""
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs namespaces that a container may refuse; the page is ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


_MOVES = """() => document.getAnimations().some(
  (one) => one.playState === "running" && one.effect.getComputedTiming().iterations !== Infinity)"""


_KEEP = """if (!sessionStorage.getItem("kept")) {
  sessionStorage.setItem("kept", "once");
  sessionStorage.setItem("cutoutd-token", %s);
}"""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """A person who uses the page.

    Attributes:
        context: browser context with its own cookies.
        page: the tab.
        wrong: complaints of the browser: errors of scripts, and what the content security policy refused.
        refused: requests that were refused, with their status.
    """

    context: BrowserContext
    page: Page
    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def go(self, view: str) -> None:
        """Open a view by its address."""
        self.page.evaluate("where => { location.hash = where }", f"#/{view}")
        self.page.locator(f".view-{view.partition('/')[0].partition('?')[0]} h1").wait_for(state="attached")

    def text(self) -> str:
        """Return all visible text."""
        return self.page.locator("body").inner_text()

    def findings(self) -> list[str]:
        """Return what axe reports about the screen, best practices included."""
        # Colours on their way from one theme to the other are no theme's.
        while self.page.evaluate(_MOVES):
            self.page.wait_for_timeout(50)
        found = Axe().run(self.page, options={"resultTypes": ["violations"]})
        return [
            f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'][:3])}"
            for one in found.response["violations"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(width))


END_CORRECTION = """async () => {
  window.dispatchEvent(new Event("pagehide"));
  await fetch("/api/session", { signal: AbortSignal.timeout(5000) });
}"""
"""A script that ends a correction, as a window does that is closed; with its whole context the request would be lost."""


def end_correction(page: Page) -> None:
    """End the correction of a window, if there is one: two at a time are possible, and the next test may need both."""
    if "#/fix" in page.url:
        with suppress(PlaywrightError):  # nobody answers any more, or the window is closed
            page.evaluate(END_CORRECTION)


@contextmanager
def visit(
    browser: Browser,
    address: str,
    *,
    size: tuple[int, int] = DESKTOP,
    theme: str = "light",
    language: str = "en-GB",
    forced: bool = False,
    kept: Any = None,  # noqa: ANN401 -- as of Playwright
    token: str = "",
) -> Iterator[Visitor]:
    """Open the page in a window of its own.

    Args:
        browser: browser that opens the window.
        address: address of the page, with a pairing code unless cookies are given.
        size: size of the window.
        theme: ``light`` or ``dark``.
        language: language of the browser.
        forced: the system chooses all colours, as with high contrast.
        kept: cookies of an earlier visit.
        token: token of an earlier visit, which its window has from the start, until the page discards it.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        locale=language,
        reduced_motion="reduce",
        forced_colors="active" if forced else "none",
        storage_state=kept,
    )
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visitor = Visitor(context=context, page=context.new_page())
    if token:
        visitor.page.add_init_script(_KEEP % json.dumps(token))
    visitor.page.on("pageerror", lambda error: visitor.wrong.append(str(error)))
    visitor.page.on(
        "console",
        lambda said: visitor.wrong.append(said.text) if "Content Security Policy" in said.text else None,
    )
    visitor.page.on(
        "response",
        lambda response: (
            visitor.refused.append(f"{response.status} {response.url}") if not response.ok else None
        ),
    )
    try:
        visitor.page.goto(address)
        visitor.page.locator("h1").first.wait_for()
        yield visitor
        assert visitor.wrong == []
    except Exception as error:
        # A failure on another machine has nothing else to go by.
        with suppress(PlaywrightError):
            error.add_note(f"Refused: {visitor.refused}\n{visitor.page.url} says:\n{visitor.text()}")
        raise
    finally:
        end_correction(visitor.page)
        context.close()


def address_of(bench: Bench) -> str:
    """Return the address of a daemon's page, with a code for one browser, as `cutoutd page` prints it."""
    state_dir = bench.root / "state" / "cutoutd"
    # Before the daemon's is there, the command would serve one itself.
    bench.wait_for(lambda: state_dir.is_dir() and announcement.running(state_dir) is not None, "the page")
    done = bench.call("page")
    found = re.search(r"http://127\.0\.0\.1:\d+/#\S+", done.stdout)
    assert found, done
    return found[0]


def paired(browser: Browser, bench: Bench) -> tuple[str, str, Any]:
    """Pair a browser with a daemon's page. Returns the page's address without a code, and the browser's token and cookies."""
    address = address_of(bench)
    with visit(browser, address) as visitor:
        visitor.page.locator(".view-inbox").wait_for()
        token = visitor.page.evaluate("sessionStorage.getItem('cutoutd-token')")
        return address.partition("#")[0], str(token), visitor.context.storage_state()


def hold_up(page: Page, *addresses: str, times: int | None = None) -> list[Route]:
    """Hold up requests from now on; returns those that have come, the oldest first, as they come."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    for address in addresses:
        page.route(address, hold, times=times)
    return held


def first_of(page: Page, routes: list[Route]) -> Route:
    """Return the first request that was held up or lost, once there is one."""
    while not routes:
        page.wait_for_timeout(20)
    return routes[0]


def losing(*, arrives: bool = True, lost: list[Route] | None = None) -> Callable[[Route], None]:
    """Return what loses the answer to a request, and the request as well unless it arrives; it is noted among the lost ones."""

    def lose(route: Route) -> None:
        if arrives:
            route.fetch()
        route.abort()
        if lost is not None:
            lost.append(route)

    return lose
