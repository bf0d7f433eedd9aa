"""The page's settings in Chromium with the real daemon: found, saved, refused, changed by others, and unsaved ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.acceptance.browsing import (
    DESKTOP,
    NOTE_TOASTS,
    ON_TOP,
    PHONE,
    first_of,
    hold_up,
    losing,
    needs_chromium,
)
from tests.acceptance.home import again

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.acceptance.conftest import Bench

pytestmark = needs_chromium()

UPGRADED = "version => new BroadcastChannel('cutoutd').postMessage({ event: 'hello', detail: { version } })"
"""A script that broadcasts, as the listening tab does, that the page's version has changed."""

NOTE_NEWS = """() => {
  window.heard = 0;
  new BroadcastChannel("cutoutd").onmessage = ({ data }) => { window.heard += data.event === "settings"; };
}"""
"""A script that counts the news of a changed configuration, which the listening tab hands to all channels of that name."""

TELL_SETTINGS = "() => new BroadcastChannel('cutoutd').postMessage({ event: 'settings', detail: {} })"
"""A script that broadcasts, as the listening tab does, that the configuration has changed."""

ASK = "() => fetch('/api/folder_settings?folder=to-cut').then((answer) => answer.json())"
"""A script that asks for settings, as a view does that has heard that they changed."""


def open_section(page: Page, name: str) -> None:
    """Open a section of the settings."""
    section = page.locator("details.section", has=page.get_by_role("heading", name=name, exact=True)).first
    if not section.evaluate("(one) => one.open"):
        section.locator("summary").first.click()


def test_a_setting_is_found_without_scrolling_through_all_of_them(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """Each section says what in it is not as by default; a search opens what it finds, and an error what it is in."""
    config = studio.root / "config" / "cutoutd" / "cutoutd.toml"
    former = config.read_text(encoding="utf-8")
    outputs = "".join(f'\n[[folder.rendition]]\nsuffix = "_{one}"\nformat = "webp"\n' for one in range(4))
    with again(browser, kept) as visitor:
        page = visitor.page
        config.write_text(former + outputs, encoding="utf-8")
        visitor.go("settings")
        sections = page.locator(".settings > details.section")
        expect(sections.nth(3).locator("summary").first).to_contain_text("Format: webp · End of the name: _3")
        assert page.evaluate("document.documentElement.scrollHeight") < 3 * DESKTOP[1]
        quality = page.locator("#setting-rendition-4-quality")
        expect(quality).to_be_hidden()
        page.keyboard.press("/")
        page.keyboard.type("QUALITY rendition.4")
        expect(quality).to_be_visible()
        expect(sections.nth(0)).to_be_hidden()
        quality.fill("1000")
        expect(sections.nth(3).locator("summary .chip").first).to_have_text("1 not saved")
        page.get_by_label("Find a setting").fill("no such setting")
        expect(page.get_by_text("0 settings")).to_be_visible()
        expect(quality).to_be_hidden()
        page.get_by_role("button", name="Save").click()
        expect(quality).to_be_focused()
        expect(page.locator("#setting-rendition-4-quality-error")).to_be_visible()
        page.get_by_role("button", name="Discard").click()
        expect(quality).to_be_visible()
        expect(page.locator("#setting-rendition-1-format")).to_be_hidden()
        assert visitor.findings() == []
        config.write_text(former, encoding="utf-8")


def test_settings_are_saved_and_errors_appear_at_their_fields(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """The file keeps its comments; a number out of range and an error of the loader appear at the field; a conflict is reported."""
    config = studio.root / "config" / "cutoutd" / "cutoutd.toml"
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        expect(page.locator("#setting-rendition-crop-help")).to_contain_text("On: cut to the subject")
        expect(page.locator("#setting-rendition-crop-help")).to_contain_text("Off: as large as the picture")
        doubtful = page.get_by_label("Doubtful below")
        doubtful.fill("7")
        doubtful.press("Enter")
        expect(doubtful).to_be_focused()
        expect(page.locator("#setting-doubtful_below-error")).to_have_text("At most 1")
        doubtful.fill("0.25")
        canvas = page.get_by_label("Canvas")
        canvas.fill("a barn door")
        canvas.press("Enter")
        expect(canvas).to_have_attribute("aria-invalid", "true")
        canvas.fill("")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".toast")).to_contain_text("Saved")
        expect(page.get_by_role("heading", level=2).first).to_be_focused()
        assert "doubtful_below = 0.25" in config.read_text(encoding="utf-8")
        assert "# the camera is quick" in config.read_text(encoding="utf-8")
        answer = '{"error": {"code": "config_changed", "text": "changed", "named": {}}}'
        page.route("**/api/change_settings", lambda route: route.fulfill(status=409, body=answer))
        page.get_by_label("Doubtful below").fill("0.2")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Load the new state").click()
        expect(page.get_by_label("Doubtful below")).to_have_value("0.2")
        expect(page.get_by_text("1 change is not saved")).to_be_visible()
        page.get_by_role("button", name="Discard").click()


def test_a_folder_that_left_the_configuration_is_said_to_be_gone(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """Its form stays, with what was typed into it; nobody finds out only by saving."""
    refusal = {"code": "no_folder", "text": "There is no folder of that name.", "named": {"folder": "gone"}}
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        open_section(page, "Timing")
        page.route(
            "**/api/folder_settings*", lambda route: route.fulfill(status=404, json={"error": refusal})
        )
        page.evaluate("() => new BroadcastChannel('cutoutd').postMessage({ up: false })")
        page.evaluate("() => new BroadcastChannel('cutoutd').postMessage({ up: true })")
        expect(page.locator(".toast")).to_contain_text("no folder")
        expect(page.locator("#setting-settle_s")).to_be_visible()


def test_what_is_wrong_with_a_setting_is_seen_beside_its_field(
    browser: Browser, studio: Bench, kept: tuple[str, str, object]
) -> None:
    """Not below the bar with Save; so is that the page may not set a value. "auto" is no number of seconds."""
    assert studio.root.is_dir()
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        default = page.locator(".setting", has=page.locator("#setting-settle_s")).locator(
            ".setting-foot button"
        )
        expect(default).to_have_text("Back to the default: auto")
        for key, value in (("canvas", "99999x99999"), ("background", "/srv/wall.jpg")):
            page.locator(f"#setting-rendition-{key}").fill(value)
            page.evaluate("scrollTo(0, 0)")
            page.get_by_role("button", name="Save").click()
            error = page.locator(f"#setting-rendition-{key}-error")
            expect(error).not_to_be_empty()
            expect(page.locator(f"#setting-rendition-{key}")).to_be_focused()
            assert error.evaluate(ON_TOP)
            page.get_by_role("button", name="Discard").click()


@pytest.mark.parametrize("late", ["change_settings", "folder_settings"])
def test_news_of_ones_own_change_is_not_told_as_somebody_elses(
    browser: Browser, kept: tuple[str, str, object], late: str
) -> None:
    """Whether they come before the answer to the save, or while its result is read; those of another change are told."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        page.get_by_label("Doubtful below").fill("0.31" if late == "change_settings" else "0.32")
        page.evaluate(NOTE_TOASTS)
        page.evaluate(NOTE_NEWS)
        held = hold_up(page, f"**/api/{late}*", times=1)
        page.get_by_role("button", name="Save").click()
        first_of(page, held)
        answer = held[0].fetch()
        page.wait_for_function("() => window.heard > 0")
        page.evaluate(TELL_SETTINGS)
        page.evaluate(ASK)  # whoever asked before has the answer
        held[0].fulfill(response=answer)
        expect(page.locator(".toast")).to_contain_text("Saved")
        page.evaluate(TELL_SETTINGS)
        page.evaluate(ASK)
        assert [one for one in page.evaluate("window.toasts") if "elsewhere" in one] == []
        expect(page.locator(".toast")).to_contain_text("Saved")


@pytest.mark.parametrize("arrives", [True, False], ids=["answer-lost", "request-lost"])
def test_a_setting_whose_saving_had_no_answer_is_nobody_elses(
    browser: Browser, kept: tuple[str, str, object], *, arrives: bool
) -> None:
    """Saved once more, it is saved; where it had arrived, the page finds that out as soon as it is connected."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        page.get_by_label("Doubtful below").fill("0.41" if arrives else "0.42")
        page.evaluate(NOTE_TOASTS)
        page.route("**/api/change_settings", losing(arrives=arrives), times=1)
        page.get_by_role("button", name="Save").click()
        if not arrives:
            expect(page.locator(".toast")).to_contain_text("gives no answer")
            expect(page.locator("#notices")).not_to_contain_text("gives no answer")
            page.get_by_role("button", name="Save").click()
        expect(page.locator(".toast")).to_contain_text("Saved")
        expect(page.locator(".savebar")).to_be_hidden()
        assert [one for one in page.evaluate("window.toasts") if "elsewhere" in one] == []


@pytest.mark.parametrize("arrives", [True, False], ids=["answer-lost", "request-lost"])
def test_a_setting_that_is_set_back_after_its_saving_had_no_answer_stays_as_it_was(
    browser: Browser, studio: Bench, kept: tuple[str, str, object], *, arrives: bool
) -> None:
    """Where it had arrived, it is set back in the file; where it had not, it is never written."""
    config = studio.root / "config" / "cutoutd" / "cutoutd.toml"
    sent: list[object] = []
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        doubtful = page.get_by_label("Doubtful below")
        former = doubtful.input_value()
        value = "0.51" if arrives else "0.52"
        doubtful.fill(value)

        held = hold_up(page, "**/api/change_settings", times=1)
        page.get_by_role("button", name="Save").click()
        first_of(page, held)
        doubtful.fill(former)
        if arrives:
            held[0].fetch()
        held[0].abort()
        if arrives:
            expect(page.get_by_text("1 change is not saved")).to_be_visible()
            expect(page.locator(".toast")).to_contain_text("Saved")
        else:
            expect(page.locator(".toast")).to_contain_text("gives no answer")
            expect(page.locator("#notices")).not_to_contain_text("gives no answer")
        page.on(
            "request",
            lambda one: (
                sent.append(json.loads(one.post_data or "")["changes"])
                if one.url.endswith("change_settings")
                else None
            ),
        )
        open_section(page, "Timing")
        page.get_by_label("Leave a new file alone for").fill("0.2" if arrives else "0.3")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".savebar")).to_be_hidden()
        expect(doubtful).to_have_value(former)
        assert value not in config.read_text(encoding="utf-8")
        assert not [one for one in sent if value in str(one)] or arrives


def test_a_save_that_was_made_up_for_before_its_turn_says_nothing_more(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """Save is pressed again while the page, which has heard of a change, sends anew what had no answer."""
    with again(browser, kept) as visitor:
        page = visitor.page
        visitor.go("settings")
        page.get_by_label("Doubtful below").fill("0.61")
        page.evaluate(NOTE_TOASTS)
        held = hold_up(page, "**/api/change_settings", times=1)
        page.route("**/api/change_settings", losing(), times=1)
        page.get_by_role("button", name="Save").click()
        first_of(page, held)
        page.get_by_role("button", name="Save").click()
        held[0].continue_()
        expect(page.locator(".savebar")).to_be_hidden()
        page.evaluate(ASK)
        expect(page.locator(".toast")).to_contain_text("Saved")
        assert [
            one for one in page.evaluate("window.toasts") if "Saved" not in one and "no answer" not in one
        ] == []


@pytest.mark.parametrize("words", ["", "doubtful below"], ids=["all", "found"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_message_covers_what_saves(
    browser: Browser, kept: tuple[str, str, object], size: tuple[int, int], words: str
) -> None:
    """A message says why saving was refused, and the button that saves is there to be pressed again, also below a short list."""
    refusal = {
        "error": {
            "code": "busy",
            "text": "There are too many requests at once. Try again in a moment.",
            "named": {},
        }
    }
    with again(browser, kept, size=size) as visitor:
        page = visitor.page
        visitor.go("settings")
        page.get_by_role("searchbox").fill(words)
        page.get_by_label("Doubtful below").fill("0.51")
        page.route("**/api/change_settings", lambda route: route.fulfill(status=503, json=refusal))
        page.get_by_role("button", name="Save").click()
        toast = page.locator(".toast")
        expect(toast).to_contain_text("too many requests")
        message, bar = toast.bounding_box(), page.locator(".savebar").bounding_box()
        assert message is not None
        assert bar is not None
        assert message["y"] + message["height"] <= bar["y"]
        page.get_by_role("button", name="Discard").click()


def test_a_former_versions_tab_reloads_itself_and_loses_nothing(
    browser: Browser, kept: tuple[str, str, object]
) -> None:
    """The page is open during an upgrade: it reloads at once if nothing is unsaved, else once that is saved or discarded."""
    with again(browser, kept) as visitor:
        page = visitor.page
        page.evaluate("() => { window.former = true }")
        page.evaluate(UPGRADED, "97.0")
        page.wait_for_function("() => !window.former && document.querySelector('#main h1')")
        visitor.go("settings")
        open_section(page, "Which pictures")
        field = page.locator("#setting-exclude")
        field.fill("drafts/")
        field.blur()
        page.evaluate("() => { window.former = true }")
        page.evaluate(UPGRADED, "98.0")
        expect(page.locator("#notices")).to_contain_text(
            "cutoutd was updated to 98.0. Save what you are doing"
        )
        expect(page.locator("#notices button")).to_have_text("Reload")
        expect(field).to_have_value("drafts/")
        page.get_by_role("button", name="Discard").click()
        assert page.evaluate("window.former")
        visitor.go("inbox")
        page.wait_for_function("() => !window.former && document.querySelector('#main h1')")
