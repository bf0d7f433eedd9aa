"""Strokes that are saved while a disk is full, in Chromium and with the real daemon: nothing is lost, and the page says what is to be done."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.acceptance.browsing import chromium, needs_chromium, visit
from tests.acceptance.conftest import Daemon, small_bench_in
from tests.acceptance.disks import Disks, empty, fill
from tests.acceptance.reviewing import configured
from tests.integration.parts import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = needs_chromium()

SIZE_KB = 40 << 10


@contextmanager
def drawn(root: Path, models: Path, place: str) -> Iterator[tuple[Page, Path, Path]]:
    """Yield a page where somebody has painted on a cutout, a small disk at a place of the studio, and the cutout's sidecar."""
    bench = small_bench_in(root, models)
    config = configured(bench, 0.0)
    bench.drop("ball.jpg")
    with Disks() as disks:
        views = {
            name: disks.mount(path, SIZE_KB)
            for name, path in (("state", bench.root / "state"), ("output", bench.output))
        }
        daemon = Daemon(bench, "--config", config, within=disks.inside)
        try:
            bench.wait_for(lambda: any(views["output"].glob("*.json")), "a cutout")
            (sidecar,) = views["output"].glob("*.json")
            said = bench.call_any(disks.inside(*bench.command("page"))).stdout
            address = re.search(r"http://127\.0\.0\.1:\d+/#\S+", said)
            assert address
            with chromium() as browser, visit(browser, address[0]) as visitor:
                page = visitor.page
                page.locator(".view-inbox").wait_for()
                page.evaluate("() => { location.hash = '#/fix/1' }")
                expect(page.locator(".fix-note")).to_contain_text("Draw a stroke")
                page.locator(".viewer").focus()
                for key in ("p", "Enter", "Enter"):
                    page.keyboard.press(key)
                expect(page.locator(".fix-note")).to_contain_text("how it will be")
                yield page, views[place], sidecar
        finally:
            daemon.end(signal.SIGTERM)


def strokes_in(sidecar: Path) -> int:
    """Return how many strokes a published cutout follows."""
    return sidecar.read_text(encoding="utf-8").count('"points"')


def test_strokes_that_the_journal_has_no_room_for_are_kept_in_the_tab(
    tmp_path: Path, small_models_dir: Path
) -> None:
    """Also over a reload; saved again when there is room, they are followed."""
    with drawn(tmp_path, small_models_dir, "state") as (page, disk, sidecar):
        note = page.locator(".fix-note")
        fill(disk)
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("The disk is full. Your strokes are kept")
        page.reload()
        expect(note).to_contain_text("how it will be")
        empty(disk)
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("Published as a new version")
        assert strokes_in(sidecar) == 1


def test_whoever_saves_while_the_cutouts_disk_is_full_is_told_that_it_waits(
    tmp_path: Path, small_models_dir: Path
) -> None:
    """The strokes are saved; the page does not say for ever that the picture is being cut. When there is room, it is."""
    with drawn(tmp_path, small_models_dir, "output") as (page, disk, sidecar):
        fill(disk)
        page.keyboard.press("Control+Enter")
        expect(page.locator(".toast")).to_contain_text("Saved for later: the folder is standing by")
        page.locator(".view-review").wait_for()
        empty(disk)
        until(lambda: strokes_in(sidecar) == 1, "the cutout that follows the strokes")
