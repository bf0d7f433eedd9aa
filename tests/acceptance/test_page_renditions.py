"""Review and Fix in Chromium where a cutout is no picture of its source's size: on a square canvas, on white, as a JPEG."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.acceptance.browsing import PATIENCE_MS, PHONE, needs_chromium
from tests.acceptance.conftest import small_bench_in
from tests.acceptance.reviewing import ReviewSetup, configured, reviewing, shown_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium()
expect.set_options(timeout=PATIENCE_MS)

GREENER = 12  # than anything else there is
MARGIN = 8  # that a bar has at least
PICTURES = 3
LISTING = """
[[folder.rendition]]
format = "jpeg"
background = "white"
canvas = "600x600"
scale = "60%"

[[folder.rendition]]
format = "webp"
suffix = "_web"
crop = true
"""


@pytest.fixture(scope="module")
def review_setup(
    tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path, browser: Browser
) -> Iterator[ReviewSetup]:
    """A shop's folder, whose pictures are all held back."""
    bench = small_bench_in(tmp_path_factory.mktemp("shop"), small_models_dir)
    config = configured(bench, 1.0)
    config.write_text(config.read_text(encoding="utf-8") + LISTING, encoding="utf-8")
    for number in range(PICTURES):
        bench.drop(f"ball-{number}.jpg", number)
    with reviewing(bench, config, browser, pictures=PICTURES) as setup:
        yield setup


def fix(page: Page) -> None:
    """Begin to fix the picture that is shown."""
    shown_name(page)
    page.keyboard.press("e")
    expect(page.locator(".fix-note")).to_contain_text("Draw a stroke")
    page.locator(".viewer").focus()


def paint_and_save(page: Page) -> None:
    """Paint in the middle by the keyboard, and save."""
    page.keyboard.press("p")
    for _ in range(2):
        page.keyboard.press("Enter")
    expect(page.locator(".fix-note")).to_contain_text("how it will be")
    page.keyboard.press("Control+Enter")


def leave(page: Page) -> None:
    """End the correction, whose worker others need."""
    page.keyboard.press("Escape")
    page.locator(".view-review").wait_for()


def test_nothing_is_drawn_on_a_result_that_is_laid_out_otherwise(review_setup: ReviewSetup) -> None:
    """What was aimed at there is elsewhere in the picture: the first press brings the picture back, the next one draws."""
    with review_setup.visit("review?q=ball-0") as visitor:
        page = visitor.page
        fix(page)
        paint_and_save(page)
        note = page.locator(".fix-note")
        expect(note).to_contain_text("click the picture first")
        middle = page.locator(".viewer")
        middle.hover()
        expect(page.locator(".brush-ring")).to_be_hidden()
        middle.click()
        expect(note).to_contain_text("Draw a stroke")
        expect(page.locator('[data-action="save"]')).to_have_attribute("aria-disabled", "true")
        middle.click(position={"x": 300, "y": 300})
        expect(page.locator('[data-action="save"]')).to_have_attribute("aria-disabled", "false")
        assert len(review_setup.bench.sidecar("ball-0.jpg.json")["correction"]["strokes"]) == 1
        page.keyboard.press("Control+z")
        leave(page)


def test_keys_bring_the_picture_back_before_they_draw(review_setup: ReviewSetup) -> None:
    """The cursor is not seen on a result, so Enter there shows it, and draws nothing."""
    with review_setup.visit("review?q=ball-1") as visitor:
        page = visitor.page
        fix(page)
        paint_and_save(page)
        note = page.locator(".fix-note")
        expect(note).to_contain_text("click the picture first")
        page.locator(".viewer").focus()
        page.keyboard.press("Enter")
        expect(note).to_contain_text("Draw a stroke")
        expect(page.locator('[data-action="save"]')).to_have_attribute("aria-disabled", "true")
        page.keyboard.press("Control+Shift+z")
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("held back as before")
        assert review_setup.state("ball-1.jpg") == "review"
        leave(page)


def test_beside_the_wipe_the_original_is_not_seen_around_the_cutout(review_setup: ReviewSetup) -> None:
    """A square cutout covers less than its picture; the rest would look like background that was kept."""
    with review_setup.visit("review?q=ball-2") as visitor:
        page = visitor.page
        shown_name(page)
        page.keyboard.press("w")
        page.locator(".layer-source .tile img").first.wait_for()
        wipe = page.locator(".wipe").bounding_box()
        source = page.evaluate(
            """() => {
              const layer = document.querySelector(".layer-source");
              const { left } = layer.getBoundingClientRect();
              const points = [...getComputedStyle(layer).clipPath.matchAll(/(-?[\\d.]+)px (-?[\\d.]+)px/g)];
              return Math.max(...points.map(([, x]) => left + Number(x)));
            }"""
        )
        assert wipe is not None
        assert abs(source - (wipe["x"] + wipe["width"] / 2)) < 2


def ball_in(page: Page) -> tuple[int, ...]:
    """Return the box of the green ball on the screen."""
    pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    box = page.locator(".viewer").bounding_box()
    assert box is not None
    left, top = int(box["x"]), int(box["y"])
    seen = pixels[top : top + int(box["height"]), left : left + int(box["width"])]
    down, across = (seen[..., 1] - np.maximum(seen[..., 0], seen[..., 2]) > GREENER).nonzero()
    return int(across.min()), int(down.min()), int(across.max()), int(down.max())


@pytest.mark.parametrize("zoomed", [False, True], ids=["whole", "zoomed"])
def test_the_subject_lies_in_the_picture_before_where_it_lies_in_the_result(
    review_setup: ReviewSetup, *, zoomed: bool
) -> None:
    """On a canvas it is larger and elsewhere than in the picture; nothing moves when the two are compared."""
    with review_setup.visit("review?q=ball-2") as visitor:
        page = visitor.page
        shown_name(page)
        if zoomed:
            page.locator(".viewer").hover(position={"x": 300, "y": 200})
            page.mouse.wheel(0, 200)
            expect(page.locator(".zoom")).not_to_have_text("100 %")
        page.wait_for_load_state("networkidle")
        after = ball_in(page)
        page.keyboard.press("Space")
        page.locator(".layer-source .tile img").first.wait_for()
        page.wait_for_load_state("networkidle")
        before = ball_in(page)
        assert after[2] - after[0] > 100
        assert max(abs(one - other) for one, other in zip(before, after, strict=True)) <= 4
        page.keyboard.press("Space")


def test_the_toolbar_of_a_phone_stays_in_its_line_at_any_scale(review_setup: ReviewSetup) -> None:
    """The picture would move under two fingers that zoom it, where the words for the scale took a second line."""
    with review_setup.visit("review?q=ball-2", size=PHONE) as visitor:
        page = visitor.page
        shown_name(page)
        zoom = page.locator(".zoom")
        before = zoom.bounding_box()
        page.locator(".viewer").hover()
        for _ in range(3):
            page.mouse.wheel(0, -400)
        expect(zoom).to_contain_text(re.compile(r"\d{3,} %"))
        after = zoom.bounding_box()
        assert before is not None
        assert after is not None
        assert after["height"] == before["height"]
        assert after["x"] + after["width"] <= PHONE[0] - MARGIN


def test_a_reload_and_the_way_back_lead_to_the_picture_that_was_looked_at(review_setup: ReviewSetup) -> None:
    """Not to the first one of thousands."""
    with review_setup.visit("review?state=all") as visitor:
        page = visitor.page
        shown_name(page)
        place = re.compile(r"state=all&at=\d+$")
        page.wait_for_url(place)
        first = page.url
        page.keyboard.press("End")
        expect(page.locator(".review-count")).to_have_text(f"{PICTURES} of {PICTURES}")
        page.wait_for_url(lambda url: place.search(url) is not None and url != first)
        name = shown_name(page)
        page.reload()
        expect(page.locator(".review-count")).to_have_text(f"{PICTURES} of {PICTURES}")
        assert shown_name(page) == name
        visitor.go("inbox")
        page.go_back()
        expect(page.locator(".review-count")).to_have_text(f"{PICTURES} of {PICTURES}")
        assert shown_name(page) == name


def test_keys_stand_within_their_buttons_in_german(review_setup: ReviewSetup) -> None:
    """Its words are longer."""
    with review_setup.visit("review?state=all", language="de-DE") as visitor:
        page = visitor.page
        shown_name(page)
        beyond = page.locator(".side-actions kbd").evaluate_all(
            "all => all.filter((one) => one.getBoundingClientRect().right >= one.parentElement.getBoundingClientRect().right)"
            ".map((one) => one.parentElement.innerText)"
        )
        assert beyond == []


def test_who_saves_while_cutting_is_paused_is_told_so(review_setup: ReviewSetup) -> None:
    """Nobody waits on that screen for a cutout that does not come; it is cut when cutting goes on."""
    bench = review_setup.bench
    with review_setup.visit("review?q=ball-2") as visitor:
        page = visitor.page
        fix(page)
        pause = page.locator(".pause")
        pause.click()
        expect(page.get_by_text("Paused", exact=True)).to_be_visible()
        try:
            page.locator(".viewer").focus()
            paint_and_save(page)
            expect(page.locator("#toasts")).to_contain_text("cutoutd is paused")
            page.locator(".view-review").wait_for()
        finally:
            pause.click()
        bench.wait_for(lambda: review_setup.state("ball-2.jpg") == "done", "the cutout with its stroke")
