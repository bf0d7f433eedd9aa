"""The page in Chromium with the real daemon: its flows, its states, and its accessibility."""

from __future__ import annotations

import io
import json
import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect

from cutoutd.errors import PictureError
from tests.acceptance.browsing import DESKTOP, PHONE, address_of, losing, needs_chromium, visit
from tests.acceptance.conftest import picture
from tests.acceptance.home import CONFIGURATION, again, running, studio_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

    from tests.acceptance.conftest import Bench

pytestmark = needs_chromium()

ZOOMED = (640, 450)
"""A window of a laptop at 200 %."""

CUT_OFF = """(all) => all.filter((one) => {
  const text = document.createRange();
  text.selectNodeContents(one);
  return text.getBoundingClientRect().width > one.getBoundingClientRect().width;
}).map((one) => one.innerText)"""
"""A script that returns the texts of elements that are shorter than their text."""

VIEWS = ("inbox", "failures", "left", "settings", "welcome")


TELL_OVERVIEW = """async () => {
  const detail = await (await fetch("/api/overview")).json();
  new BroadcastChannel("cutoutd").postMessage({ event: "overview", detail });
}"""
"""A script that broadcasts, as the listening tab does, that the overview is another one."""

HOLD_FIRST_LIST = """() => {
  const ask = window.fetch.bind(window);
  window.fetch = async (...given) => {
    const answer = await ask(...given);
    if (!window.release && String(given[0]).includes("/api/jobs")) await new Promise((resolve) => { window.release = resolve; });
    return answer;
  };
}"""
"""A script that has the answer to the first question for pictures come once `release` is called, and answers to later ones before."""

ASK_IN_VAIN = """() => import("/static/js/main.js").then(({ modules }) => modules["core/api.js"].read("prepare")).catch(() => {})"""
"""A script that has the page ask for what it does not get."""

RELEASE = """async (place) => {
  window.release();
  await fetch("/api/overview");
  return document.querySelector(place).innerText;
}"""
"""A script that has the answer come that was held back; returns what an element says then."""


HOSTILE = (
    "<img src=x onerror=document.title=1>.jpg",
    "<script>document.title=1</script>.jpg",
    "'\"><b>bold</b>.jpg",
    "&lt;b&gt;.jpg",
    "javascript:document.title=1.jpg",
    "{name}.jpg",
    "photo\u202egpj.exe",
    "a\u200bb\u2066c\u2069.jpg",
    "\u2028line.jpg",
    "new\nline\ttab.jpg",
    "\x1b[31mred.jpg",
    "bad\udcff\udc80.jpg",
    "x" * 251 + ".jpg",
    "ü" * 125 + ".jpg",
    "שלום עולם.jpg",
    *(
        f"mark{chr(code)}.jpg"
        for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A))
    ),
    *(
        f"control{chr(code)}.jpg"
        for code in (1, 2, 7, 8, 11, 12, 13, 14, 27, 31, 127, 0x80, 0x85, 0xAD, 0x61C, 0xFEFF)
    ),
)


def test_the_first_run_leads_from_nothing_to_the_first_cutout(
    tmp_path: Path, small_models_dir: Path, browser: Browser
) -> None:
    """Choose a folder, choose a format, add a picture, and see it cut; the configuration then exists."""
    bench = studio_in(tmp_path, small_models_dir)
    bench.output.rmdir()
    with running(bench), visit(browser, address_of(bench)) as visitor:
        page = visitor.page
        expect(page.locator("#running")).to_have_text("Not set up yet")
        page.get_by_role("button", name="to-cut").click()
        page.get_by_role("button", name="Watch “to-cut”").click()
        page.get_by_role("radio").first.wait_for()
        expect(page.get_by_role("heading", level=2)).to_be_focused()
        page.get_by_role("radio", name="Transparent").check()
        page.get_by_role("button", name="Start cutting").click()
        page.get_by_text("Put a picture into this folder").wait_for()
        bench.drop("ball.jpg")
        page.locator(".first-cutout img").wait_for()
        expect(page.locator(".first-cutout-line")).to_have_text("Your first cutout: ball.jpg")
        expect(page.locator(".first-cutout img")).not_to_have_js_property("naturalWidth", 0)
        assert page.locator(".first-cutout img").evaluate("one => one.width <= one.naturalWidth")
        assert page.evaluate("scrollY") == 0
        page.get_by_role("link", name="To the inbox", exact=True).click()
        expect(page.locator(".cutout")).to_have_count(1)
        assert (bench.output / "ball.png").is_file()
        assert 'input = "' in (tmp_path / "config" / "cutoutd" / "cutoutd.toml").read_text(encoding="utf-8")


def test_a_cutout_is_in_the_inbox_as_soon_as_it_is_published(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """Without a reload of the page; and a pause holds the next one back."""
    with again(browser, kept) as visitor:
        page = visitor.page
        first = page.locator(".cutout").first
        studio.drop("fresh.jpg", 1)
        expect(first).to_contain_text("fresh.jpg")
        page.get_by_role("button", name="Pause cutting").click()
        expect(page.locator(".running-text")).to_have_text("Paused")
        studio.drop("later.jpg", 2)
        expect(page.locator(".figure-waiting dd")).to_have_text("1")
        page.get_by_role("button", name="Resume cutting").click()
        expect(first).to_contain_text("later.jpg")
        expect(page.get_by_role("img", name="Cutouts a minute")).to_be_visible()
        first.get_by_role("link").click()
        expect(page.locator(".side-subject h2")).to_have_text("later.jpg")


def test_a_missing_picture_is_replaced_by_the_reason(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """Such as for a cutout that was deleted since; beside existing pictures there is none. The browser's console has no error of it."""
    picture(2, width=380).save(studio.input / "away.jpg", format="JPEG")  # no other result has its bytes
    studio.wait_for(lambda: studio.states().get("away.jpg") == "done", "the cutout")
    (studio.output / "away.png").unlink()
    (previews,) = studio.root.rglob("page-previews")
    shutil.rmtree(previews)
    with again(browser, kept) as visitor:
        errors: list[str] = []
        visitor.page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        visitor.page.reload()
        first = visitor.page.locator(".cutout").first
        expect(first).to_contain_text("away.jpg")
        expect(first.locator(".picture-word")).to_have_text("Moved or deleted")
        expect(visitor.page.locator(".cutout", has_text="ball-0").locator(".picture-word")).to_be_hidden()
        assert errors == []


def test_more_tabs_than_a_browser_has_connections_hear_of_a_cutout(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """A browser has six per host: one of the tabs listens for all, and another one when it is closed."""
    with again(browser, kept) as visitor:
        tabs = [visitor.page]
        for _ in range(6):
            tabs.append(visitor.context.new_page())
            tabs[-1].goto(kept[0])
            tabs[-1].locator(".cutout").first.wait_for()
        studio.drop("for-seven.jpg", 1)
        for tab in tabs:
            expect(tab.locator(".cutout").first).to_contain_text("for-seven.jpg")
        tabs[0].close()
        studio.drop("for-six.jpg", 2)
        expect(tabs[1].locator(".cutout").first).to_contain_text("for-six.jpg")


def test_a_failure_that_came_again_is_asked_for_anew(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """The answer to the first request was lost, but the picture was cut, and failed once more: the next request is another one."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("failures")
        row = page.get_by_role("listitem").filter(has_text="layers.psd")
        first = row.locator("time").get_attribute("datetime")
        assert first is not None
        page.route("**/api/retry", losing(), times=1)
        first_us = studio.finished_us("layers.psd")
        row.get_by_role("button", name="Cut again").click()
        studio.wait_for(lambda: studio.finished_us("layers.psd") > first_us, "its failure")
        expect(row.locator("time")).not_to_have_attribute("datetime", first)
        second_us = studio.finished_us("layers.psd")
        row.get_by_role("button", name="Cut again").click()
        studio.wait_for(lambda: studio.finished_us("layers.psd") > second_us, "its failure after that")


@contextmanager
def hearing_nothing(page: Page) -> Iterator[None]:
    """Break a page's stream of events, and let it be opened again at the end."""
    opened: list[Route] = []
    page.route("**/api/events", lambda route: opened.append(route))  # noqa: PLW0108 -- Playwright marks what it calls
    page.route("**/api/prepare", lambda route: route.abort())
    page.evaluate(ASK_IN_VAIN)
    while not opened:
        page.wait_for_timeout(20)
    yield
    opened[0].fulfill(content_type="text/event-stream", body=":\n\n")


def test_a_failure_that_came_again_while_the_page_heard_nothing_is_shown(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """A stream of events that was broken is opened again, and the page asks for what it missed: nothing tells of it any more."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("failures")
        time = page.get_by_role("listitem").filter(has_text="layers.psd").locator("time")
        first = time.get_attribute("datetime")
        assert first is not None
        number = page.evaluate(
            "fetch('/api/jobs?state=failed').then((one) => one.json()).then(({ jobs }) => jobs[0].job)"
        )
        first_us = studio.finished_us("layers.psd")
        with hearing_nothing(page):
            assert studio.call("retry", str(number)).returncode == 0
            studio.wait_for(lambda: studio.finished_us("layers.psd") > first_us, "its failure")
        expect(time).not_to_have_attribute("datetime", first)


def test_review_offers_a_picture_that_came_while_the_page_heard_nothing(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """As above: no event tells of the picture any more."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("review?state=all")
        expect(page.get_by_role("option", name="ball-1.jpg")).to_be_visible()
        offer = page.get_by_role("button", name="New pictures")
        expect(offer).to_be_hidden()
        with hearing_nothing(page):
            studio.drop("unheard.jpg", 4)
            studio.wait_for(lambda: studio.states().get("unheard.jpg") == "done", "the picture")
        offer.click()
        expect(page.get_by_role("option", name="unheard.jpg")).to_be_visible()


def test_an_older_answer_does_not_replace_a_newer_one(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """The first answer is held back until that to a later question is shown."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("failures")
        count = page.locator(".view-failures [role=status]").first
        expect(count).to_contain_text("1 picture")
        page.evaluate(HOLD_FIRST_LIST)
        page.evaluate(TELL_OVERVIEW)
        page.wait_for_function("() => window.release")
        other = studio.input / "other.psd"
        other.write_bytes(b"8BPS\x00\x01" + bytes(300))
        expect(count).to_contain_text("2 pictures")
        said = page.evaluate(RELEASE, ".view-failures [role=status]")  # at once: a later answer corrects it
        assert "2 pictures" in said
        picture(3).save(other, format="JPEG")
        expect(count).to_contain_text("1 picture")
        other.unlink()


def test_a_cutout_that_comes_while_the_inbox_is_asked_for_stays(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """It is told of before the answer comes, which was made before it was there."""
    with again(browser, kept) as visitor:
        page = visitor.page
        page.evaluate(HOLD_FIRST_LIST)
        page.evaluate("() => new BroadcastChannel('cutoutd').postMessage({ up: false })")
        page.evaluate("() => new BroadcastChannel('cutoutd').postMessage({ up: true })")
        page.wait_for_function("() => window.release")
        studio.drop("meanwhile.jpg", 3)
        expect(page.locator(".cutout").first).to_contain_text("meanwhile.jpg")
        assert "meanwhile.jpg" in page.evaluate(RELEASE, ".cutout")


def test_cutouts_of_a_journal_that_is_gone_leave_the_inbox(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """Also where one of them has the focus, which then is on the newest one; else it stays on its cutout."""
    with again(browser, kept) as visitor:
        page = visitor.page
        page.locator(".cutout").first.wait_for()
        jobs = page.evaluate("fetch('/api/jobs?state=done&limit=5').then(one => one.json())")["jobs"]
        listed = [{**jobs[0], "job": 5000 + number, "path": f"{number}.jpg"} for number in range(3)]
        page.route("**/api/jobs?*", lambda route: route.fulfill(json={"total": len(listed), "jobs": listed}))
        order = "all => all.map(one => Number(one.dataset.job))"
        for first, focused in ((5000, 5000), (4999, 5000)):
            page.locator(".cutout a").first.focus()
            page.evaluate("() => new BroadcastChannel('cutoutd').postMessage({ up: false })")
            page.evaluate("() => new BroadcastChannel('cutoutd').postMessage({ up: true })")
            expect(page.locator(".cutout").first).to_have_attribute("data-job", str(first))
            assert page.locator(".cutout").evaluate_all(order) == [one["job"] for one in listed]
            expect(page.locator(f'.cutout[data-job="{focused}"] a')).to_be_focused()
            listed.insert(0, {**listed[0], "job": 4999, "path": "newer.jpg"})


def test_a_command_in_an_advice_is_shown_as_code(browser: Browser, kept: tuple[str, str, object]) -> None:
    """As the daemon says it: between backticks. A single one stays what it is."""

    def advise(route: Route) -> None:
        answer = route.fetch()
        said = answer.json()
        for one in said["jobs"]:
            one |= {"advice": "`cutoutd retry` tries `it"}
        route.fulfill(response=answer, json=said)

    with again(browser, kept) as visitor:
        page = visitor.page
        page.route("**/api/jobs?*", advise)
        visitor.go("failures")
        advice = page.locator(".view-failures .row p").first
        expect(advice.locator("code")).to_have_text("cutoutd retry")
        expect(advice).to_have_text("cutoutd retry tries `it")


def test_a_failure_has_advice_and_can_be_cut_again(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """One with its button, all with another that asks for confirmation; pictures that were repaired are cut."""
    with again(browser, kept) as visitor:
        page = visitor.page
        errors: list[str] = []
        page.on(
            "response",
            lambda one: errors.append(one.url) if one.status >= 400 and "/img/" in one.url else None,
        )
        visitor.go("failures")
        row = page.get_by_role("listitem").filter(has_text="layers.psd")
        expect(row.get_by_role("heading")).not_to_be_empty()
        expect(row.locator("img.missing")).to_have_count(
            1
        )  # it cannot be shown, and no error in the console says so
        assert errors == []
        first_us = studio.finished_us("layers.psd")
        row.get_by_role("button", name="Cut again").click()
        expect(page.locator(".row.asked")).to_have_count(1)
        studio.wait_for(lambda: studio.finished_us("layers.psd") > first_us, "its second failure")
        page.get_by_role("button", name="Cut it again").click()
        page.get_by_role("dialog").get_by_role("button", name="Cut it again").click()
        expect(page.locator(".toast")).to_contain_text("1 picture is being cut again")
        picture(1).save(studio.input / "layers.psd", format="JPEG")
        studio.wait_for(lambda: studio.states()["layers.psd"] == "done", "what was put right")
        expect(page.get_by_text("Nothing has failed")).to_be_visible()
        (studio.input / "layers.psd").unlink()


def test_the_page_shows_that_nothing_left_and_answers_four_questions(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """With facts about the running system."""
    with again(browser, kept) as visitor:
        visitor.go("left")
        expect(visitor.page.locator(".left-figure")).to_have_text("0 bytes")
        expect(visitor.page.locator(".question")).to_have_count(4)
        for number in range(4):
            expect(visitor.page.locator(".question").nth(number).locator("li").first).not_to_be_empty()


BOXES = "(frame) => [frame, frame.querySelector('img')].map((one) => one.getBoundingClientRect().toJSON())"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("shape", [(213, 320), (320, 213)], ids=["upright", "wide"])
def test_a_small_picture_is_seen_whole_in_the_inbox(
    browser: Browser, kept: tuple[str, str, object], size: tuple[int, int], shape: tuple[int, int]
) -> None:
    """Its frame is square, and the picture is as high or as wide as that."""
    file = io.BytesIO()
    Image.new("RGBA", shape, "red").save(file, "PNG")
    with again(browser, kept, size=size) as visitor:
        page = visitor.page
        page.route(
            "**/img/*/cutout/thumb?*",
            lambda route: route.fulfill(body=file.getvalue(), content_type="image/png"),
        )
        page.reload()
        expect(page.locator(".cutout-picture img").first).not_to_have_js_property("naturalWidth", 0)
        # Both at once: a picture that comes in between moves the others.
        frame, image = page.locator(".cutout-picture").first.evaluate(BOXES)
        assert image["height"] <= frame["height"]
        assert image["width"] <= frame["width"]
        assert image["y"] >= frame["y"]


def test_a_message_that_came_under_a_resting_pointer_goes_by_itself(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """It says what becomes of pictures that are done; the pointer rests where it appears, as after a click on a button."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        field, toast = page.get_by_label("Doubtful below"), page.locator(".toast")
        former = field.input_value()
        field.fill("0.52")
        field.press("Enter")
        expect(toast).to_contain_text("those that are done stay as they are")
        place = toast.bounding_box()
        assert place is not None
        toast.get_by_role("button").click()
        expect(toast).to_have_count(0)
        page.mouse.move(place["x"] + 60, place["y"] + place["height"] / 2)
        field.fill(former)
        field.press("Enter")
        expect(toast).to_contain_text("Saved")
        expect(toast).to_have_count(0, timeout=18_000)


def test_what_is_tried_again_by_itself_is_told_among_the_failures(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """With its reason: nothing has failed for good, but it does not say that all is well."""
    with again(browser, kept) as visitor:
        page = visitor.page
        (sample,) = page.evaluate("fetch('/api/jobs?limit=1').then(answer => answer.json())")["jobs"]
        resting = {**sample, "state": "resting", "why": "the file may not be complete yet"}

        def answer(route: Route) -> None:
            is_resting = "state=resting" in route.request.url
            route.fulfill(json={"total": int(is_resting), "jobs": [resting] * is_resting})

        page.route("**/api/jobs?*", answer)
        visitor.go("failures")
        expect(page.get_by_role("heading", name="1 picture is tried again by itself")).to_be_visible()
        expect(page.locator(".resting")).to_contain_text("It could not be cut just now")
        expect(page.locator(".resting .row")).to_contain_text(["the file may not be complete yet"])
        expect(page.get_by_text("Nothing has failed")).to_be_hidden()
        assert visitor.findings() == []


def test_everything_is_reached_by_keys_alone(browser: Browser, kept: tuple[str, str, object]) -> None:
    """Views by their numbers, the help by its sign; the focus moves to new content, and the first tab stop skips the navigation."""
    with again(browser, kept) as visitor:
        page = visitor.page
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        for key, heading in (("3", "Failures"), ("4", "What left"), ("5", "Settings"), ("1", "Inbox")):
            page.keyboard.press(key)
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            expect(page.get_by_role("heading", level=1)).to_be_focused()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("Accept")
        page.keyboard.press("3")
        page.keyboard.press("Escape")
        expect(page.get_by_role("heading", level=1)).to_have_text("Inbox")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_screen(browser: Browser, kept: tuple[str, str, object], theme: str) -> None:
    """All views, the help, and the locked page; also on the width of a phone and at twice the size."""
    with again(browser, kept, theme=theme) as visitor:
        found: dict[str, list[str]] = {}
        for view in VIEWS:
            visitor.go(view)
            found[view] = visitor.findings()
        visitor.page.keyboard.press("?")
        found["help"] = visitor.findings()
        visitor.context.clear_cookies()
        visitor.page.reload()
        visitor.page.get_by_text("This page is locked").wait_for()
        found["locked"] = visitor.findings()
        assert {view: findings for view, findings in found.items() if findings} == {}


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_no_screen_is_wider_than_a_phone(
    browser: Browser, kept: tuple[str, str, object], language: str
) -> None:
    """At 360 pixels, which is also a window of 720 at 200%, with names of any length and in both languages."""
    with again(browser, kept, size=PHONE, language=language) as visitor:
        wide = {}
        for view in VIEWS:
            visitor.go(view)
            wide[view] = visitor.overflow()
        assert wide == dict.fromkeys(VIEWS, 0)
        assert visitor.page.locator(".nav-text").evaluate_all(CUT_OFF) == []


@pytest.mark.parametrize("size", [PHONE, ZOOMED], ids=["phone", "zoomed"])
def test_folders_can_be_chosen_in_a_small_window(
    browser: Browser, kept: tuple[str, str, object], size: tuple[int, int]
) -> None:
    """Their list is as high as it is to be, and nothing of it is hidden."""
    with again(browser, kept, size=size) as visitor:
        visitor.go("welcome")
        visitor.page.locator(".place-button").first.wait_for()
        bottom = "getBoundingClientRect().bottom"
        hidden = f"(list) => list.{bottom} - list.parentElement.{bottom}"
        assert visitor.page.locator("ul:has(> li > .place-button)").evaluate(hidden) <= 1


def test_of_two_clicks_on_pause_the_later_one_counts(browser: Browser, kept: tuple[str, str, object]) -> None:
    """The second request is sent once the first one has its answer: they cannot overtake each other."""
    with again(browser, kept) as visitor:
        page = visitor.page
        sent: list[Route] = []

        def answer_late(route: Route) -> None:
            sent.append(route)
            if len(sent) > 1:
                route.continue_()
                return
            answer = route.fetch()
            page.get_by_role("button", name="Resume").click()
            page.evaluate("() => fetch('/api/session').then((answer) => answer.json())")
            assert len(sent) == 1
            route.fulfill(response=answer)

        page.route("**/api/pause", answer_late)
        page.get_by_role("button", name="Pause").click()
        expect(page.locator('#running[data-kind="running"]')).to_be_visible()
        while len(sent) == 1:
            page.wait_for_timeout(20)
        expect(page.locator('#running[data-kind="running"]')).to_be_visible()


def test_a_browser_that_prefers_german_gets_german(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """All words, also the daemon's, the numbers, and the language that is announced to screen readers."""
    unreadable = studio.input / "schichten.psd"
    unreadable.write_bytes(b"8BPS\x00\x01" + bytes(400))
    studio.wait_for(lambda: studio.states().get(unreadable.name) == "failed", "its failure")
    with again(browser, kept, language="de-AT") as visitor:
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Eingang")
        assert visitor.page.evaluate("document.documentElement.lang") == "de"
        visitor.go("left")
        expect(visitor.page.get_by_role("heading", level=2).first).to_have_text(
            "Vier Fragen an jedes solche Programm"
        )
        visitor.go("settings")
        expect(visitor.page.locator("#setting-existing-help")).to_contain_text("wie es die meisten wollen")
        visitor.go("failures")
        expect(visitor.page.locator(".row")).to_contain_text(
            ["Das ist kein Bild, das hier gelesen werden kann"]
        )
        expect(visitor.page.locator(".row")).to_contain_text(
            ["Das Original ist unberührt. Exportieren Sie es"]
        )
    picture(2).save(unreadable, format="JPEG")
    studio.wait_for(lambda: studio.states()[unreadable.name] == "done", "what was put right")
    unreadable.unlink()


def test_what_the_daemon_says_is_german_for_who_prefers_that(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """Why a picture failed, and what to do; a sentence that nobody has foreseen stays as it is."""
    with again(browser, kept, language="de-DE") as visitor:
        page = visitor.page
        (sample,) = page.evaluate("fetch('/api/jobs?limit=1').then(answer => answer.json())")["jobs"]
        why = "it has 200 megapixels (20000 x 10000), more than the limit of 120"
        failed = {**sample, "state": "failed", "why": why, "advice": PictureError.advice}
        other = {**failed, "job": sample["job"] + 1, "why": "something new", "advice": ""}
        answers = {True: {"total": 2, "jobs": [failed, other]}, False: {"total": 0, "jobs": []}}
        page.route(
            "**/api/jobs?*", lambda route: route.fulfill(json=answers["state=failed" in route.request.url])
        )
        visitor.go("failures")
        expect(page.locator(".row-why")).to_have_text(
            ["Das Bild hat 200 Megapixel (20000 x 10000), mehr als die Grenze von 120", "something new"]
        )
        expect(page.locator(".row").first).to_contain_text(
            "Das Original ist unberührt. Exportieren Sie es neu"
        )


def test_hostile_names_are_shown_and_do_nothing(browser: Browser, kept: tuple[str, str, object]) -> None:
    """Markup is text; characters that reverse or hide text are written out; a name of 255 bytes widens nothing."""
    assert len(HOSTILE) >= 50
    with again(browser, kept, size=PHONE) as visitor:
        page = visitor.page
        (sample,) = page.evaluate("fetch('/api/jobs?limit=1').then(answer => answer.json())")["jobs"]
        jobs = [
            {
                **sample,
                "job": number,
                "path": name,
                "name": name,
                "state": "failed",
                "why": name,
                "advice": name,
            }
            for number, name in enumerate(HOSTILE, 1)
        ]
        answers = {True: {"total": len(jobs), "jobs": jobs}, False: {"total": 0, "jobs": []}}
        page.route(
            "**/api/jobs?*",
            lambda route: route.fulfill(
                body=json.dumps(answers["state=failed" in route.request.url]), content_type="application/json"
            ),
        )
        title = visitor.page.title()
        visitor.go("failures")
        expect(page.locator(".row")).to_have_count(len(HOSTILE))
        text = page.locator("main").inner_text()
        assert "<script>document.title=1</script>.jpg" in text
        assert "photo[U+202E]gpj.exe" in text
        assert "bad\\xff\\x80.jpg" in text
        hidden = {
            one
            for one in text
            if one != "\n" and (ord(one) < 32 or 0x200B <= ord(one) <= 0x200F or 0x202A <= ord(one) <= 0x202E)
        }
        assert hidden == set()
        assert page.locator("main b, main script, main img[src='x']").count() == 0
        assert page.title() not in ("1", title)
        assert visitor.overflow() == 0


def test_a_trouble_that_ended_while_nobody_was_there_is_not_shown_any_more(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """Nobody tells of the end of a trouble after cutoutd was started again: the page asks once it answers."""
    with again(browser, kept) as visitor:
        tell = "message => new BroadcastChannel('cutoutd').postMessage(message)"
        trouble = {"code": "moved", "text": "The journal was moved away."}
        visitor.page.evaluate(tell, {"event": "trouble", "detail": trouble})
        expect(visitor.page.locator("#notices")).to_contain_text("The journal was moved away.")
        visitor.page.evaluate(tell, {"up": False})
        visitor.page.evaluate(tell, {"up": True})
        expect(visitor.page.locator("#notices")).not_to_contain_text("The journal was moved away.")


def test_the_page_lives_through_the_end_and_the_return_of_cutoutd(
    tmp_path: Path, small_models_dir: Path, browser: Browser
) -> None:
    """The page says that nothing answers, and continues by itself later; no browser has to pair again."""
    bench = studio_in(tmp_path, small_models_dir)
    config = tmp_path / "config" / "cutoutd" / "cutoutd.toml"
    config.parent.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # one that nobody else takes meanwhile
    page = f'[page]\naddress = "127.0.0.1:{port}"\n'
    config.write_text(f"{CONFIGURATION}\n{page}", encoding="utf-8")
    config.chmod(0o600)
    with running(bench):
        address = address_of(bench)
        opened = visit(browser, address)
        visitor = opened.__enter__()
        expect(visitor.page.locator(".running-text")).to_have_text("Running")
    try:
        expect(visitor.page.locator("#notices")).to_contain_text("gives no answer")
        with running(bench):
            expect(visitor.page.locator(".running-text")).to_have_text("Running")
            bench.drop("ball.jpg")
            expect(visitor.page.locator(".cutout")).to_have_count(1)
    finally:
        opened.__exit__(None, None, None)
