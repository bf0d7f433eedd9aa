"""A studio whose cutouts are held back, for tests of Review and Fix in Chromium."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutoutd.journal.store import FILE_NAME
from tests.acceptance.browsing import first_of, losing, paired, visit
from tests.acceptance.conftest import Bench, Daemon, small_bench_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

    from tests.acceptance.browsing import Visitor


HOSTILE = "<img src=x onerror=document.title=1>\u202e.jpg"
NAMES = (*(f"ball-{number}.jpg" for number in range(6)), HOSTILE)

CONFIGURATION = """\
[service]
min_free_disk_mb = 1

[page]
address = "127.0.0.1:{port}"

[[folder]]
name = "studio"
input = "{input}"
output = "{output}"
settle_s = 0.1
review_below = {review_below}
"""


def is_settled(bench: Bench) -> bool:
    """Whether the daemon has nothing left to carry out."""
    (path,) = bench.root.joinpath("state").rglob(FILE_NAME)
    with closing(sqlite3.connect(path)) as journal:
        (left,) = journal.execute("SELECT count(*) FROM command WHERE refused IS NULL").fetchone()
        (decided,) = journal.execute(
            "SELECT count(*) FROM job WHERE json_extract(detail, '$.decision') IS NOT NULL OR wanted IS NOT NULL"
        ).fetchone()
    is_over = {"queued", "working", "publishing", "retry"}.isdisjoint(bench.states().values())
    return left == 0 and decided == 0 and is_over


@dataclass(frozen=True, kw_only=True)
class ReviewSetup:
    """A folder whose cutouts are all held back, a daemon, and a paired browser."""

    bench: Bench
    config: Path
    browser: Browser
    address: str
    token: str
    cookies: Any

    @contextmanager
    def visit(self, view: str = "review", **window: Any) -> Iterator[Visitor]:  # noqa: ANN401 -- as of `visit`
        """Yield the paired browser in a window of its own."""
        address = f"{self.address}#/{view}"
        with visit(self.browser, address, kept=self.cookies, token=self.token, **window) as visitor:
            visitor.page.locator(".picture-view h1").wait_for(state="attached")
            yield visitor

    def put_back(self) -> None:
        """Put every picture into review, once what was decided last is carried out."""
        self.bench.wait_for(lambda: is_settled(self.bench), "the last decision")
        if elsewhere := [name for name, state in self.bench.states().items() if state != "review"]:
            done = self.bench.call("review", "hold", *elsewhere)
            assert done.returncode == 0, done
            self.bench.wait_for(
                lambda: set(self.bench.states().values()) == {"review"} and is_settled(self.bench),
                "all in review",
            )

    def state(self, name: str) -> str:
        """Return the state of a picture in the journal."""
        return self.bench.states().get(name, "")

    def is_now(self, name: str, state: str) -> bool:
        """Whether a picture has a state in the journal."""
        return self.state(name) == state


def configured(bench: Bench, review_below: float) -> Path:
    """Write the configuration of a bench; its page takes the next free port from its own on."""
    bench.environment.pop("CUTOUTD_PAGE__ENABLED", None)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        bench.environment.pop(name, None)
    config = bench.root / "config" / "cutoutd" / "cutoutd.toml"
    config.parent.mkdir(parents=True)
    text = CONFIGURATION.format(port=7979, input=bench.input, output=bench.output, review_below=review_below)
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    return config


@contextmanager
def reviewing(bench: Bench, config: Path, browser: Browser, *, pictures: int) -> Iterator[ReviewSetup]:
    """Run a daemon until all pictures of a bench are held back, and pair a browser."""
    daemon = Daemon(bench, "--config", config)
    try:
        bench.wait_for(lambda: list(bench.states().values()) == ["review"] * pictures, "all in review")
        address, token, cookies = paired(browser, bench)
        yield ReviewSetup(
            bench=bench, config=config, browser=browser, address=address, token=token, cookies=cookies
        )
    finally:
        daemon.end(signal.SIGTERM)


@contextmanager
def studio_in_review(root: Path, models: Path, browser: Browser) -> Iterator[ReviewSetup]:
    """Run a studio in which all pictures are cut and held back.

    Args:
        root: directory in which it is made.
        models: directory of `small_models_dir`.
        browser: browser that is paired.
    """
    bench = small_bench_in(root, models)
    config = configured(bench, 1.0)
    for number, name in enumerate(NAMES):
        bench.drop(name, number)
    with reviewing(bench, config, browser, pictures=len(NAMES)) as setup:
        yield setup


def shown_name(page: Page) -> str:
    """Return the name of the large picture, once it is shown."""
    page.locator(".layer-cutout .tile img").first.wait_for()
    return page.locator(".side-subject h2").inner_text()


@contextmanager
def lost_answer(page: Page, method: str, *, arrives: bool) -> Iterator[None]:
    """Lose the answer to the next request of a method, and the request as well unless it `arrives`."""
    lost: list[Route] = []
    page.route(f"**/api/{method}", losing(arrives=arrives, lost=lost), times=1)
    yield
    first_of(page, lost)
