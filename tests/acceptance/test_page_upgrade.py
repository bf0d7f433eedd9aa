"""cutoutd is updated while its page is open: other files are served under the same address, by a process of another version."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from cutoutd.settings import reference
from tests.acceptance.browsing import address_of, chromium, needs_chromium, visit
from tests.acceptance.conftest import Daemon, own_installation, small_bench_in
from tests.acceptance.reviewing import configured

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_chromium()


def update(code: Path) -> None:
    """Make an installation another version: its texts are others, and a module of a view has another name."""
    metadata = code.parent / "cutoutd-98.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: cutoutd\nVersion: 98.0\n", encoding="utf-8")
    static = code / "page" / "static"
    texts = static / "lang" / "en.json"
    texts.write_text(
        texts.read_text(encoding="utf-8").replace(
            '"failures.title": "Failures"', '"failures.title": "Not cut"'
        ),
        encoding="utf-8",
    )
    view = static / "js" / "failures" / "failures-view.js"
    view.rename(view.with_name("list-view.js"))
    main = static / "js" / "main.js"
    main.write_text(
        main.read_text(encoding="utf-8").replace("failures/failures-view.js", "failures/list-view.js"),
        encoding="utf-8",
    )


def test_an_open_page_lives_through_an_update(tmp_path: Path, small_models_dir: Path) -> None:
    """A tab without unsaved changes reloads by itself; the other one keeps what was typed, says so, and shows the rest after that."""
    bench = small_bench_in(tmp_path, small_models_dir)
    code = own_installation(bench)
    (code / "config").mkdir()
    (code / "config" / "cutoutd.toml").write_text(reference.text(), encoding="utf-8")
    config = configured(bench, 0.0)
    bench.drop("ball.jpg")
    daemon = Daemon(bench, "--config", config)
    try:
        bench.wait_for(lambda: list(bench.states().values()) == ["done"], "a cutout")
        with chromium() as browser, visit(browser, address_of(bench)) as visitor:
            idle = visitor.page
            idle.locator(".view-inbox").wait_for()
            typing = visitor.context.new_page()
            typing.goto(f"{idle.url.partition('#')[0]}#/settings")
            field = typing.get_by_label("Hold back below")
            field.fill("0.3")
            daemon.end(signal.SIGTERM)
            update(code)
            daemon = Daemon(bench, "--config", config)
            expect(idle.locator("nav").first).to_contain_text("Not cut")
            expect(typing.locator("#notices")).to_contain_text("cutoutd was updated to 98.0")
            expect(field).to_have_value("0.3")
            typing.get_by_role("button", name="Save").click()
            expect(typing.locator(".savebar")).to_be_hidden()
            assert "0.3" in config.read_text(encoding="utf-8")
            typing.evaluate("() => { location.hash = '#/failures' }")
            expect(typing.locator("#main h1")).to_have_text("Not cut")
    finally:
        daemon.end(signal.SIGTERM)
