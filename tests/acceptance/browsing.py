"""The page in a real Chromium: how it is opened, and what is looked at on every screen."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from cutoutd.page import announcement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.acceptance.conftest import Bench

CHROMIUM: Final = "/usr/bin/chromium"
PATIENCE_MS: Final = 30_000
DESKTOP: Final = (1280, 900)
PHONE: Final = (360, 740)


def needs_chromium() -> pytest.MarkDecorator:
    """Where there is no Chromium, nothing can be said of the page in it."""
    return pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason=f"{CHROMIUM} is not there")


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser, for all tests of a module."""
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs namespaces that a container may refuse; the page is ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


_MOVES = """() => document.getAnimations().some(
  (one) => one.playState === "running" && one.effect.getComputedTiming().iterations !== Infinity)"""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """A person at the page.

    Attributes:
        context: cookies of their own.
        page: the tab.
        wrong: what the browser complained of: errors of scripts, and what the content security policy refused.
    """

    context: BrowserContext
    page: Page
    wrong: list[str] = field(default_factory=list)

    def go(self, view: str) -> None:
        """Look at a view, by its address."""
        self.page.evaluate("where => { location.hash = where }", f"#/{view}")
        self.page.locator(f".view-{view.partition('/')[0].partition('?')[0]} h1").wait_for(state="attached")

    def text(self) -> str:
        """All that can be read."""
        return self.page.locator("body").inner_text()

    def findings(self) -> list[str]:
        """What axe says against the screen; best practices included."""
        # Colours on their way from one theme to the other are no theme's.
        while self.page.evaluate(_MOVES):
            self.page.wait_for_timeout(50)
        found = Axe().run(self.page, options={"resultTypes": ["violations"]})
        return [
            f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'][:3])}"
            for one in found.response["violations"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(width))


@contextmanager
def visit(
    browser: Browser,
    address: str,
    *,
    size: tuple[int, int] = DESKTOP,
    theme: str = "light",
    language: str = "en-GB",
    kept: Any = None,  # noqa: ANN401 -- as of Playwright
) -> Iterator[Visitor]:
    """Open the page in a window of its own.

    Args:
        browser: whose window it is.
        address: with a code, unless cookies are given.
        size: of the window.
        theme: ``light`` or ``dark``.
        language: of the browser.
        kept: cookies of an earlier visit.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        locale=language,
        reduced_motion="reduce",
        storage_state=kept,
    )
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visitor = Visitor(context=context, page=context.new_page())
    visitor.page.on("pageerror", lambda error: visitor.wrong.append(str(error)))
    visitor.page.on(
        "console",
        lambda said: visitor.wrong.append(said.text) if "Content Security Policy" in said.text else None,
    )
    try:
        visitor.page.goto(address)
        visitor.page.locator("h1").first.wait_for()
        yield visitor
        assert visitor.wrong == []
    finally:
        context.close()


def address_of(bench: Bench) -> str:
    """Where the page of a daemon is, with a code for one browser: as `cutoutd page` says it."""
    state_dir = bench.root / "state" / "cutoutd"
    # Before the daemon's is there, the command would serve one itself.
    bench.wait_for(lambda: state_dir.is_dir() and announcement.running(state_dir) is not None, "the page")
    said = bench.call("page")
    found = re.search(r"http://127\.0\.0\.1:\d+/#\S+", said.stdout)
    assert found, said
    return found[0]
