"""Fix in Chromium with the real daemon: strokes, what becomes of them, and two people at once."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.browsing import ON_TOP, PATIENCE_MS, PHONE, first_of, hold_up, needs_chromium
from tests.acceptance.reviewing import ReviewSetup, is_settled, lost_answer, shown_name

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

    from tests.acceptance.conftest import Bench

pytestmark = needs_chromium()
expect.set_options(timeout=PATIENCE_MS)

STROKES = 2
LAPTOP = (1366, 600)  # what a browser leaves of 768
ZOOMED = ((640, 450), (683, 300))  # windows of 1280 by 900, and of a laptop, at 200 %
LOWEST = 400  # a window that has room for the bars and a picture
WITHIN = """(one) => {
  const style = getComputedStyle(one.parentElement);
  const right = one.parentElement.getBoundingClientRect().right - Number.parseFloat(style.paddingRight);
  return right - Math.max(...[...one.children].map((child) => child.getBoundingClientRect().right));
}"""
"""A script that says how far the elements of a bar are from its padding; below 0 they are in it."""

HOLD_FIRST_BITMAP = """() => {
  const make = window.createImageBitmap.bind(window);
  window.createImageBitmap = async (...given) => {
    const made = await make(...given);
    if (!window.release) await new Promise((resolve) => { window.release = resolve; });
    return made;
  };
}"""
"""A script that has the first preview take longer to decode than those after it."""

MATTE = "() => new Promise((done) => requestAnimationFrame(() => done(document.querySelector('canvas.overlay').toDataURL())))"
"""A script that returns what is laid over the picture."""


def open_fix(page: Page) -> Locator:
    """Correct the picture that Review shows; return the element that says what to do, once it is open."""
    shown_name(page)
    page.keyboard.press("e")
    note = page.locator(".fix-note")
    expect(note).to_contain_text("Draw a stroke")
    return note


def middle(page: Page) -> tuple[float, float]:
    """Return the middle of the picture in the window."""
    box = page.locator(".viewer").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def draw_by_keys(page: Page) -> None:
    """Draw a line and a point with the cursor keys; the preview shows what becomes of them."""
    note = page.locator(".fix-note")
    page.locator(".viewer").focus()
    for key in ("d", "ArrowRight", "Shift+Enter", *["Shift+ArrowRight"] * 2, "Enter"):
        page.keyboard.press(key)
    expect(note).to_contain_text(re.compile("how it will be|Nothing changed"))
    for key in ("p", "Enter"):
        page.keyboard.press(key)
    expect(note).to_contain_text("how it will be")


def test_two_strokes_become_a_new_version_and_undo_brings_the_former_back(review_setup: ReviewSetup) -> None:
    """Without a mouse: the cursor keys draw, the preview shows the result, and that is what is published."""
    bench = review_setup.bench
    cutout = bench.output / "review" / "ball-4.png"
    former = hashlib.sha256(cutout.read_bytes()).hexdigest()
    with review_setup.visit("review?q=ball-4") as visitor:
        page = visitor.page
        note = open_fix(page)
        draw_by_keys(page)
        page.keyboard.press("Control+Enter")
        expect(page.locator('[data-state="saved"]')).to_be_visible()
        assert hashlib.sha256((bench.output / "ball-4.png").read_bytes()).hexdigest() != former
        assert len(bench.sidecar("ball-4.png.json")["correction"]["strokes"]) == STROKES
        page.keyboard.press("Control+z")
        expect(note).to_contain_text("previous version is restored")
        assert hashlib.sha256(cutout.read_bytes()).hexdigest() == former
        page.keyboard.press("Escape")
        assert shown_name(page) == "ball-4.jpg"


@pytest.mark.parametrize("arrives", [True, False], ids=["answer-lost", "request-lost"])
def test_a_save_that_has_no_answer_is_published_once_and_undone_as_a_whole(
    review_setup: ReviewSetup, *, arrives: bool
) -> None:
    """The strokes are sent again by themselves, and make one new version; an undo whose answer is lost is shown as an undo."""
    bench = review_setup.bench
    cutout = bench.output / "review" / "ball-3.png"
    former = hashlib.sha256(cutout.read_bytes()).hexdigest()
    with review_setup.visit("review?q=ball-3") as visitor:
        page = visitor.page
        note = open_fix(page)
        draw_by_keys(page)
        with lost_answer(page, "fix_save", arrives=arrives):
            page.keyboard.press("Control+Enter")
        expect(page.locator('[data-state="saved"]')).to_be_visible()
        expect(note).to_contain_text("Published as a new version")
        with lost_answer(page, "fix_undo", arrives=arrives):
            page.keyboard.press("Control+z")
        expect(note).to_contain_text("previous version is restored")
        assert hashlib.sha256(cutout.read_bytes()).hexdigest() == former


def test_a_click_of_the_exact_brush_has_a_result_also_after_saving_and_out_of_order(
    review_setup: ReviewSetup,
) -> None:
    """A preview that is decoded later does not replace a newer one; after saving, the next click draws on."""
    bench = review_setup.bench
    with review_setup.visit("review?q=ball-3") as visitor:
        page = visitor.page
        note = open_fix(page)
        x, y = middle(page)
        page.keyboard.press("p")
        expect(page.locator(".fix-busy")).to_be_hidden()
        page.evaluate(HOLD_FIRST_BITMAP)
        page.mouse.click(x - 60, y)
        page.wait_for_function("() => window.release")
        page.mouse.click(x + 60, y)
        expect(note).to_contain_text("how it will be")
        expect(page.locator(".fix-busy")).to_be_hidden()
        before = page.evaluate(MATTE)
        page.evaluate("window.release()")
        page.evaluate("fetch('/api/overview').then((answer) => answer.json())")
        assert page.evaluate(MATTE) == before
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("Published as a new version")
        page.mouse.click(x, y - 60)
        expect(page.locator('[data-state="drawing"]')).to_be_visible()
        expect(note).to_contain_text("how it will be")
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("Published as a new version")
        page.keyboard.press("Control+z")
        expect(note).to_contain_text("previous version is restored")
        page.keyboard.press("Control+z")
        bench.wait_for(
            lambda: review_setup.is_now("ball-3.jpg", "review") and is_settled(bench), "the first version"
        )


def test_a_correction_is_not_called_published_when_another_result_was(review_setup: ReviewSetup) -> None:
    """News of another result come while the saving of strokes has no answer, which refuses it: the strokes are still there."""
    with review_setup.visit("review?q=ball-3") as visitor:
        page = visitor.page
        note = open_fix(page)
        page.locator(".viewer").focus()
        for key in ("p", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        expect(note).to_contain_text("how it will be")
        held = hold_up(page, "**/api/fix_save", times=1)
        page.keyboard.press("Control+Enter")
        first_of(page, held)
        job = int(page.url.rpartition("/")[2])
        news = page.evaluate("job => fetch(`/api/job?job=${job}`).then((answer) => answer.json())", job)
        ended = {
            "event": "jobs",
            "detail": {"folders": [], "ended": [{**news, "seen": "0" * 64}], "more": False},
        }
        page.evaluate("message => new BroadcastChannel('cutoutd').postMessage(message)", ended)
        page.evaluate("job => fetch(`/api/job?job=${job}`).then((answer) => answer.json())", job)
        expect(page.locator('[data-state="saving"]')).to_be_visible()
        refusal = {
            "code": "cutout_changed",
            "text": "The cutout was replaced by another one meanwhile.",
            "named": {},
        }
        held[0].fulfill(status=409, json={"error": refusal})
        expect(note).to_contain_text("replaced by another one")
        expect(page.locator('[data-state="drawing"]')).to_be_visible()
        expect(page.get_by_role("button", name="Save", exact=False)).to_be_enabled()


@pytest.mark.parametrize("size", [LAPTOP, PHONE, *ZOOMED], ids=["laptop", "phone", "zoomed", "zoomed low"])
def test_what_fix_says_and_save_are_seen_while_drawing(
    review_setup: ReviewSetup, size: tuple[int, int]
) -> None:
    """In a low window as well, where the tools do not fit; and they cover nothing of the picture where there is room for it."""
    with review_setup.visit("review?q=ball-5", size=size) as visitor:
        page = visitor.page
        note = open_fix(page)
        page.keyboard.press("p")
        expect(note).to_be_in_viewport(ratio=1)
        assert note.evaluate(ON_TOP)
        save = page.locator(".side [data-action=save]")
        expect(save).to_be_in_viewport(ratio=1)
        assert save.evaluate(ON_TOP)
        assert page.locator(".stage").evaluate(ON_TOP) or size[1] < LOWEST
        toolbar = page.locator(".view-toolbar")
        assert toolbar.evaluate("(one) => one.scrollWidth - one.clientWidth") == 0
        assert toolbar.evaluate(WITHIN) >= 0


def test_a_stroke_that_ends_after_saving_has_begun_is_not_lost(review_setup: ReviewSetup) -> None:
    """It is no part of what is being saved: it stays unsaved, also over a reload, until it is saved itself."""
    with review_setup.visit("review?q=ball-3") as visitor:
        page = visitor.page
        note = open_fix(page)
        x, y = middle(page)
        page.keyboard.press("p")
        page.mouse.click(x - 60, y)
        expect(note).to_contain_text("how it will be")
        saved: dict[str, int] = {}  # what became of a save is asked for under its own name

        def note_save(one: Request) -> None:
            if one.url.endswith("fix_save"):
                drawn = json.loads(one.post_data or "")["strokes"]
                saved.setdefault(one.headers["x-cutoutd-request"], len(drawn))

        page.on("request", note_save)
        held = hold_up(page, "**/api/fix_save", times=1)
        page.mouse.move(x + 60, y)
        page.mouse.down()
        page.mouse.move(x + 60, y + 20)
        page.keyboard.press("Control+Enter")
        first_of(page, held)
        page.mouse.up()
        held[0].continue_()
        expect(page.locator('[data-state="drawing"]')).to_be_visible()
        expect(page.get_by_role("button", name="Save", exact=False)).to_be_enabled()
        page.reload()
        expect(page.locator('[data-state="drawing"]')).to_be_visible()
        expect(note).to_contain_text("how it will be")
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("Published as a new version")
        first, second = saved.values()
        assert second == first + 1


def test_a_question_is_closed_without_an_answer_when_its_view_is_left(review_setup: ReviewSetup) -> None:
    """What it asks about is not there any more."""
    with review_setup.visit("review?q=ball-5") as visitor:
        page = visitor.page
        open_fix(page)
        page.locator(".viewer").focus()
        for key in ("ArrowRight", "Enter", "Escape"):
            page.keyboard.press(key)
        expect(page.get_by_role("dialog")).to_be_visible()
        visitor.go("inbox")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_another_suggestion_alone_is_saved_and_undo_goes_back_by_one_version(
    review_setup: ReviewSetup,
) -> None:
    """After an undo the strokes and the suggestion are those of the version that is published again."""
    bench = review_setup.bench

    def suggestion() -> int:
        return int(bench.sidecar("ball-3.png.json")["correction"]["suggestion"])

    with review_setup.visit("review?q=ball-3&state=all") as visitor:
        page = visitor.page
        shown_name(page)
        page.keyboard.press("e")
        note, save = page.locator(".fix-note"), page.get_by_role("button", name="Save", exact=False)
        expect(note).to_contain_text("how it will be")
        expect(save).to_be_disabled()
        page.locator(".viewer").focus()
        page.keyboard.press("Tab")
        expect(save).to_be_enabled()
        page.reload()
        expect(save).to_be_enabled()
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("Published as a new version")
        assert suggestion() == 1
        for key in ("p", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        expect(note).to_contain_text("how it will be")
        page.keyboard.press("Control+Enter")
        expect(note).to_contain_text("Published as a new version")
        assert suggestion() == 0
        page.keyboard.press("Control+z")
        expect(note).to_contain_text("previous version is restored")
        assert suggestion() == 1
        page.keyboard.press("k")
        expect(page.locator('[data-state="drawing"]')).to_be_visible()
        expect(save).to_be_disabled()
        expect(page.locator('[data-action="suggestion"][aria-pressed="true"]')).to_be_visible()
        page.keyboard.press("Escape")
        shown_name(page)


def test_unsaved_strokes_need_a_confirmation_and_survive_a_reload(review_setup: ReviewSetup) -> None:
    """Escape asks; a reload keeps them and the suggestion that was chosen; each can be undone."""
    with review_setup.visit("review?q=ball-5") as visitor:
        page = visitor.page
        open_fix(page)
        page.mouse.click(*middle(page))
        expect(page.locator('[data-action="undo"]')).to_have_attribute("aria-disabled", "false")
        page.keyboard.press("Tab")
        second = page.locator('[data-action="suggestion"][aria-pressed="true"]')
        expect(second).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Cancel").click()
        page.once("dialog", lambda dialog: dialog.accept())
        page.reload()
        expect(page.locator('[data-action="undo"]')).to_have_attribute("aria-disabled", "false")
        expect(second).to_be_visible()
        page.keyboard.press("Control+z")
        expect(page.locator('[data-action="undo"]')).to_have_attribute("aria-disabled", "true")
        page.keyboard.press("Escape")
        shown_name(page)


def strokes_of(bench: Bench, stem: str) -> list[Any]:
    """Return the strokes in the sidecar of a published cutout; none where it is held back."""
    sidecar = bench.output / f"{stem}.png.json"
    found = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.exists() else {}
    return list((found.get("correction") or {}).get("strokes", []))


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one after the other"])
def test_of_two_people_who_correct_one_cutout_nobody_loses_strokes(
    review_setup: ReviewSetup, *, at_once: bool
) -> None:
    """The second one is told, gets the strokes on top of the first one's cutout, and saves again."""
    name = "ball-4" if at_once else "ball-5"
    with review_setup.visit(f"review?q={name}") as visitor, review_setup.visit(f"review?q={name}") as other:
        first, second = visitor.page, other.page
        for page, away in ((first, -40), (second, 40)):
            shown_name(page)
            page.keyboard.press("e")
            expect(page.locator('[data-state="drawing"]')).to_be_visible()
            x, y = middle(page)
            page.keyboard.press("p")
            page.locator("#brush-alpha").fill("0")  # so that each changes the cutout
            page.mouse.click(x + away, y + away)
            expect(page.locator('[data-action="save"][aria-disabled="false"]')).to_be_visible()
        before = len(strokes_of(review_setup.bench, name))
        with first.expect_response("**/api/fix_save"):
            first.keyboard.press("Control+Enter")
        if not at_once:
            expect(first.locator('[data-state="saved"]')).to_be_visible()
        second.keyboard.press("Control+Enter")
        expect(second.locator("#toasts")).to_contain_text("on top of the new one")
        expect(second.locator('[data-state="drawing"]')).to_be_visible()
        assert len(strokes_of(review_setup.bench, name)) == before + 1
        second.keyboard.press("Control+Enter")
        expect(second.locator('[data-state="saved"]')).to_be_visible()
        assert len(strokes_of(review_setup.bench, name)) == before + 2
        expect(first.locator('[data-state="drawing"]')).to_be_visible()  # with the strokes of both
        first.keyboard.press("Control+z")
        expect(first.locator('[data-action="undo"]')).to_have_attribute("aria-disabled", "false")
