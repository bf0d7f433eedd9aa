"""Review in Chromium with the real daemon: decisions, undo, comparison, and two people at once."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pytest
from bench.page_journal import FOLDERS, build
from playwright.sync_api import expect

from cutoutd.journal.store import FILE_NAME
from tests.acceptance.browsing import (
    NOTE_TOASTS,
    PATIENCE_MS,
    PHONE,
    address_of,
    first_of,
    hold_up,
    needs_chromium,
    visit,
)
from tests.acceptance.conftest import PATIENCE_S, Bench, Daemon, bench_in, small_bench_in
from tests.acceptance.reviewing import HOSTILE, ReviewSetup, configured, is_settled, lost_answer, shown_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

    from tests.acceptance.browsing import Visitor

pytestmark = needs_chromium()
expect.set_options(timeout=PATIENCE_MS)

THOUSAND = 1000
MOST_ELEMENTS = 60  # of the strip, however long it is
NEXT_FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def find(page: Page, name: str) -> None:
    """Go to a picture by its name, with the keyboard only."""
    page.keyboard.press("/")
    page.keyboard.type(name)
    page.keyboard.press("Escape")
    expect(page.locator(".side-subject h2")).to_have_text(name)
    page.locator(".layer-cutout .tile img").first.wait_for()


def test_pictures_are_accepted_rejected_and_taken_back_by_keys(review_setup: ReviewSetup) -> None:
    """A publishes, X rejects, the next picture follows by itself; Ctrl-Z undoes each decision and shows its picture."""
    bench = review_setup.bench
    with review_setup.visit("review?q=ball-0") as visitor:
        page = visitor.page
        assert shown_name(page) == "ball-0.jpg"
        page.keyboard.press("a")
        bench.wait_for(lambda: review_setup.state("ball-0.jpg") == "done", "the accepted one")
        assert "ball-0.png" in bench.results()
        expect(page.locator(".strip-mark.good")).to_have_count(1)
        page.keyboard.press("Control+z")
        bench.wait_for(lambda: review_setup.state("ball-0.jpg") == "review", "what was taken back")
        expect(page.locator(".strip-mark")).to_have_count(0)
        assert "ball-0.png" not in bench.results()
        page.keyboard.press("x")
        bench.wait_for(lambda: review_setup.state("ball-0.jpg") == "failed", "the rejected one")
        expect(page.locator(".strip-mark.bad")).to_have_count(1)
        about = page.locator(".side-subject")
        expect(about).to_contain_text("choose “Cut again”")
        expect(about).not_to_contain_text("`")
        assert about.inner_text().lower().count("rejected") == 1
        page.keyboard.press("u")
        bench.wait_for(lambda: review_setup.state("ball-0.jpg") == "review", "the undecided one")


NOTE_SAID = """() => {
  window.said = [];
  const places = document.querySelectorAll("[role=status], [role=alert]");
  const note = ([{ target }]) => {
    const text = (target.closest?.("[role]") ?? target.parentElement).textContent.trim();
    if (text) window.said.push(text);
  };
  for (const place of places) new MutationObserver(note).observe(place, { childList: true, subtree: true });
}"""
"""A script that notes all that a screen reader says of changes."""


def test_a_screen_reader_says_each_change_once(review_setup: ReviewSetup) -> None:
    """Which picture it is now, wherever the focus is; what was decided; and where in the list that is. Nothing is said twice."""
    with review_setup.visit("review") as visitor:
        page = visitor.page
        shown_name(page)
        page.evaluate(NOTE_SAID)
        page.keyboard.press("ArrowRight")
        name = page.locator(".side-subject h2").inner_text()
        page.wait_for_function("name => window.said.some((one) => one.startsWith(name))", arg=name)
        page.evaluate("() => { window.said = [] }")
        page.locator("[role=listbox]").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**at=*")
        page.keyboard.press("x")
        page.wait_for_function("() => window.said.some((one) => one.startsWith('Rejected'))")
        page.keyboard.press("Control+z")
        page.wait_for_function("() => window.said.some((one) => one.startsWith('Undone'))")
        said = page.evaluate("window.said")
        assert [one for one, other in pairwise(said) if one == other] == []
        assert [
            one for one in said if re.search(r"\d (decision|decisions) .*not sent", one) and ". " not in one
        ] == []
        assert [one for one in said if "ball" in one and not one.startswith(("Rejected", "Undone"))] == []


STYLES = (
    """([place, property]) => getComputedStyle(document.querySelector(place)).getPropertyValue(property)"""
)


def test_where_the_system_chooses_all_colours_nothing_is_told_by_one_alone(review_setup: ReviewSetup) -> None:
    """What is switched on is seen to be; a backdrop is what it is called, and the brush is there."""
    with review_setup.visit("review?q=ball-2", theme="dark", forced=True) as visitor:
        page = visitor.page

        def style(place: str, name: str) -> str:
            return str(page.evaluate(STYLES, [place, name]))

        shown_name(page)
        assert style(".backdrop", "transition-property") == "none"  # less motion is asked for as well
        page.keyboard.press("w")
        expect(page.locator(".button[aria-pressed=true]").first).to_be_visible()
        pressed = style(".button[aria-pressed=true]", "background-color")
        assert pressed != style(".button:not([aria-pressed=true])", "background-color")
        page.keyboard.press("b")
        page.locator(".backdrop-white").wait_for(state="attached")
        expect(page.locator(".backdrop-white")).to_have_css("background-color", "rgb(255, 255, 255)")
        page.keyboard.press("e")
        expect(page.locator(".fix-note")).to_contain_text("Draw a stroke")
        page.locator(".viewer").hover()
        assert style(".brush-ring", "box-shadow") != "none"
        assert style(".fix-note", "border-top-style") == "solid"
        assert visitor.findings() == []


@pytest.mark.parametrize("held", [True, False], ids=["held up", "as they come"])
@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ("x u", "review"),
        ("a u", "review"),
        ("a x", "failed"),
        ("x Control+z a", "done"),
        ("a Control+z x Control+z a x", "failed"),
        ("x r", "review"),
        ("a r", "review"),
    ],
)
def test_no_key_is_lost_however_fast_they_come(
    review_setup: ReviewSetup,
    keys: str,
    state: str,
    held: bool,  # noqa: FBT001 -- as pytest gives it
) -> None:
    """Decisions that are on their way, or being carried out, are followed by the next ones in order; none is refused."""
    bench = review_setup.bench
    with review_setup.visit("review?q=ball-5") as visitor:
        page = visitor.page
        shown_name(page)
        try:
            waiting = hold_up(page, *(f"**/api/{method}" for method in ("decide", "undo", "retry") if held))
            for key in keys.split():
                page.keyboard.press(key)
            page.evaluate(NOTE_SENT)
            while not page.evaluate(ALL_THERE):
                assert len(waiting) <= 1, "one overtakes the other"
                while waiting:
                    waiting.pop().continue_()
            bench.wait_for(lambda: is_settled(bench), "the daemon")
            expect(page.locator(".toast.bad")).to_have_count(0)
            assert review_setup.state("ball-5.jpg") == state
        finally:
            page.unroute_all()
            page.keyboard.press("u")
            bench.wait_for(
                lambda: review_setup.state("ball-5.jpg") == "review" and is_settled(bench), "the end"
            )


def test_a_key_counts_that_is_pressed_before_the_page_has_heard_of_the_new_cutout(
    review_setup: ReviewSetup,
) -> None:
    """A rejected picture is cut again once that is undone; what is decided about it then is about the cutout that was shown."""
    with review_setup.visit("review?q=ball-4") as visitor:
        page = visitor.page
        shown_name(page)
        for key, state in [("x", "failed"), ("u", "review")] * 10:
            page.keyboard.press(key)
            review_setup.bench.wait_for(partial(review_setup.is_now, "ball-4.jpg", state), f"{key} {state}")


def test_a_published_cutout_is_doubtful_until_it_is_accepted_and_again_once_that_is_undone(
    tmp_path: Path, small_models_dir: Path, browser: Browser
) -> None:
    """The page shows it without a reload, although no job has ended."""
    bench = small_bench_in(tmp_path, small_models_dir)
    config = configured(bench, 0.0)
    config.write_text(config.read_text(encoding="utf-8") + "doubtful_below = 1.0\n", encoding="utf-8")
    bench.drop("ball.jpg")
    daemon = Daemon(bench, "--config", config)
    try:
        bench.wait_for(lambda: bench.states() == {"ball.jpg": "done"}, "the cutout")
        with visit(browser, address_of(bench)) as visitor:
            page = visitor.page
            page.locator(".view-inbox").wait_for()
            visitor.go("review")
            shown_name(page)
            state = page.locator(".side-subject .chip").first
            for key in "ax":
                expect(state).to_have_text("Published, doubtful")
                page.keyboard.press(key)
                expect(state).to_have_text({"a": "Published", "x": "Rejected"}[key])
                page.keyboard.press("Control+z")
            expect(state).to_have_text("Published, doubtful")
            bench.wait_for((bench.output / "ball.png").is_file, "the cutout again")
    finally:
        daemon.end(signal.SIGTERM)


def test_a_range_is_decided_at_once_and_undone_at_once(review_setup: ReviewSetup) -> None:
    """Shift with an arrow selects; all are accepted, and one undo takes all back."""
    names = ("ball-1.jpg", "ball-2.jpg")
    with review_setup.visit("review?q=ball-") as visitor:
        page = visitor.page
        first = shown_name(page)
        page.keyboard.press("Shift+ArrowRight")
        expect(page.locator(".side-subject h2")).to_have_text("2 selected")
        page.keyboard.press("a")
        expect(page.locator(".toast p")).to_have_text("2 accepted.")
        review_setup.bench.wait_for(
            lambda: list(review_setup.bench.states().values()).count("done") == len(names), "two"
        )
        page.keyboard.press("Control+z")
        review_setup.bench.wait_for(lambda: "done" not in review_setup.bench.states().values(), "both back")
        assert shown_name(page) == first


def test_before_and_after_are_compared_on_every_backdrop(review_setup: ReviewSetup) -> None:
    """The slider shows the source on its left, Space shows one of the two, B each backdrop, Z single pixels."""
    with review_setup.visit("review?q=ball-3") as visitor:
        page = visitor.page
        shown_name(page)
        page.keyboard.press("w")
        handle = page.get_by_role("slider")
        expect(handle).to_have_attribute("aria-valuenow", "50")
        page.locator(".layer-source .tile img").first.wait_for()
        assert page.locator(".layer-cutout").evaluate("one => one.style.clipPath").startswith("polygon(")
        handle.focus()
        page.keyboard.press("ArrowRight")
        expect(handle).to_have_attribute("aria-valuenow", "52")
        page.locator(".viewer").focus()
        page.keyboard.press("w")
        expect(page.locator(".layer-source")).to_have_count(0)
        page.keyboard.press(" ")
        page.locator(".layer-source .tile img").first.wait_for()
        expect(page.locator(".backdrop")).to_be_hidden()
        page.keyboard.press(" ")
        seen = []
        for _ in range(6):
            page.keyboard.press("b")
            seen.append(page.locator(".backdrop").get_attribute("class"))
        assert len(set(seen)) == len(seen)
        page.keyboard.press("z")
        expect(page.locator(".zoom")).to_have_text("100 %")


def test_a_picture_that_was_away_while_the_list_was_asked_for_is_shown(review_setup: ReviewSetup) -> None:
    """What is published anew is in no list for a moment; the page and the numbers of a list are two answers."""
    with review_setup.visit("review?state=all&q=ball-2") as visitor:
        page = visitor.page
        shown_name(page)
        page.route(
            lambda url: "/api/jobs?" in url,
            lambda route: route.fulfill(json={"total": 0, "jobs": []}),
            times=1,
        )
        page.reload()
        shown_name(page)
        expect(page.locator(".review-empty")).to_be_hidden()


@pytest.mark.parametrize("reloads", [False, True], ids=["stays", "reloads"])
@pytest.mark.parametrize("arrives", [True, False], ids=["answer-lost", "request-lost"])
def test_a_decision_that_has_no_answer_is_told_as_nobody_elses(
    review_setup: ReviewSetup, *, arrives: bool, reloads: bool
) -> None:
    """It is sent again by itself, also after a reload, and is decided once."""
    bench = review_setup.bench
    with review_setup.visit("review?state=all&q=ball-2") as visitor:
        page = visitor.page
        shown_name(page)
        page.evaluate(NOTE_TOASTS)
        with lost_answer(page, "decide", arrives=arrives):
            page.keyboard.press("a")
        if reloads:
            page.reload()
            shown_name(page)
        bench.wait_for(
            lambda: review_setup.is_now("ball-2.jpg", "done") and is_settled(bench), "the decision"
        )
        expect(page.locator(".review-count .chip.warn")).to_have_count(0)
        expect(page.locator(".side")).not_to_contain_text("Somebody")
        if not reloads:
            assert [one for one in page.evaluate("window.toasts") if "omebody" in one] == []
            with lost_answer(page, "undo", arrives=arrives):
                page.keyboard.press("Control+z")
        else:
            page.keyboard.press("u")
        bench.wait_for(lambda: review_setup.is_now("ball-2.jpg", "review") and is_settled(bench), "the undo")
        expect(page.locator(".toast.bad")).to_have_count(0)


NOTE_SENT = """() => import("/static/js/main.js").then(({ modules }) => {
  window.sent = false;
  modules["review/tab-decisions.js"].decisions.inTurn(async () => { window.sent = true; });
})"""
"""A script that notes when all that was asked for so far has its answer."""

ALL_THERE = "() => fetch('/api/session').then((answer) => answer.ok && window.sent)"
"""A script that says whether it has. Whatever the page has sent before has come."""


def test_a_picture_is_shown_although_the_browser_does_not_say_that_it_is_decoded(
    review_setup: ReviewSetup,
) -> None:
    """As while it draws no frames."""
    with review_setup.visit("review?q=ball-1") as visitor:
        page = visitor.page
        page.add_init_script("HTMLImageElement.prototype.decode = () => new Promise(() => {})")
        page.reload()
        shown_name(page)


def test_a_picture_that_could_not_be_shown_is_asked_for_again(review_setup: ReviewSetup) -> None:
    """Such as one of a share that did not answer: nobody has to go away and come back."""
    with review_setup.visit("review?q=ball-0") as visitor:
        page = visitor.page
        visitor.go("inbox")
        refusal = {
            "error": {"code": "share_hangs", "text": "It does not answer.", "named": {"folder": "studio"}}
        }
        page.route("**/api/look?*", lambda route: route.fulfill(status=503, json=refusal))
        visitor.go("review?q=ball-1")
        message = page.locator(".viewer-message")
        expect(message).to_contain_text("does not answer")
        page.unroute_all()
        shown_name(page)
        expect(message).to_be_hidden()


def test_a_list_that_is_older_than_what_the_page_has_heard_is_made_up_for(review_setup: ReviewSetup) -> None:
    """A cutout is published while the list is under way, and before the page hears of what happens."""

    def age(route: Route) -> None:
        answer = route.fetch()
        said = answer.json()
        for one in said["jobs"]:
            one |= {"state": "working", "seen": "", "outputs": []}
        route.fulfill(response=answer, json=said)

    with review_setup.visit("review?q=ball-0") as visitor:
        page = visitor.page
        visitor.go("inbox")
        page.route("**/api/jobs?*", age)
        visitor.go("review?q=ball-1")
        shown_name(page)
        expect(page.locator(".side-subject .chip").first).to_have_text("Held back")


def test_the_second_of_two_people_is_shown_what_the_first_decided(review_setup: ReviewSetup) -> None:
    """Nothing is decided twice, and the message says what happened."""
    with review_setup.visit("review?q=ball-1") as first, review_setup.visit("review?q=ball-1") as second:
        # The second one's page hears of nothing: as if both decided in the same moment.
        second.page.route("**/api/events", lambda route: route.abort())
        second.page.reload()
        shown_name(first.page)
        shown_name(second.page)
        # What it asks by itself about a picture that is looked at, it has asked.
        expect(second.page.locator(".side-details dl")).to_have_count(1)
        first.page.keyboard.press("a")
        review_setup.bench.wait_for(
            lambda: review_setup.state("ball-1.jpg") == "done", "the first one's decision"
        )
        second.page.keyboard.press("x")
        expect(second.page.locator(".toast")).to_contain_text(
            re.compile("has accepted it|another one by now")
        )
        assert review_setup.state("ball-1.jpg") == "done"
        first.page.keyboard.press("Control+z")
        review_setup.bench.wait_for(
            lambda: review_setup.state("ball-1.jpg") == "review", "what was taken back"
        )


def test_a_hostile_name_is_text_and_nothing_else(review_setup: ReviewSetup) -> None:
    """In the film strip and beside the picture."""
    with review_setup.visit("review?q=onerror") as visitor:
        page = visitor.page
        assert shown_name(page) == HOSTILE.replace("\u202e", "[U+202E]")
        assert "<img src=x" in str(page.locator(".strip-entry").get_attribute("aria-label"))
        page.get_by_text("Details", exact=True).click()
        expect(page.locator(".side-details dl")).to_contain_text("<img src=x")
        assert page.title() != "1"


def test_everybody_can_use_review_and_fix(review_setup: ReviewSetup) -> None:
    """No finding of axe in either theme, with the filter open and on a phone, and nothing is wider than the window."""
    with review_setup.visit("review?q=ball-2", size=PHONE) as visitor:
        page = visitor.page
        shown_name(page)
        assert faults(visitor) == []
        page.set_viewport_size({"width": 1280, "height": 900})
        page.keyboard.press("/")
        assert faults(visitor) == []
        page.keyboard.press("Escape")
        page.keyboard.press("e")
        expect(page.locator(".fix-note")).to_contain_text("Draw a stroke")
        assert faults(visitor) == []
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        assert faults(visitor) == []
        page.keyboard.press("Escape")
        shown_name(page)


def faults(visitor: Visitor) -> list[str]:
    """Return what axe finds in light and dark, and by how much the page is too wide."""
    visitor.page.evaluate(NEXT_FRAME)  # a window whose size was changed has its new layout then
    wide = visitor.overflow()
    found = [f"{wide} pixels too wide"] if wide else []
    for theme in THEMES:
        visitor.page.emulate_media(color_scheme=theme)
        visitor.page.evaluate(NEXT_FRAME)
        found += [f"{theme}: {one}" for one in visitor.findings()]
    return found


def test_a_thousand_are_accepted_in_one_action_and_undone_in_one(tmp_path: Path, browser: Browser) -> None:
    """Without a daemon: the decisions are stored for its next run, and withdrawn; the list responds at once."""
    bench = bench_in(tmp_path)
    config = library(bench)
    with serving(bench, config) as address, visit(browser, address) as visitor:
        page = visitor.page
        page.locator(".view-inbox").wait_for()
        with page.expect_response("**/api/job_ids*") as whole_list:
            visitor.go("review")
        whole_list.value.finished()
        expect(page.locator(".review-count")).to_have_text(f"1 of {THOUSAND:,}")
        assert page.locator(".strip-entry").count() < MOST_ELEMENTS
        page.keyboard.press("Control+a")
        expect(page.locator(".side-subject h2")).to_have_text(f"{THOUSAND:,} selected")
        page.keyboard.press("a")
        expect(page.locator(".toast p")).to_have_text(f"{THOUSAND:,} accepted.")
        bench.wait_for(lambda: len(pending_commands(bench)) == THOUSAND, "what is asked of the daemon")
        page.keyboard.press("End")
        expect(page.locator(".review-count")).to_have_text(f"{THOUSAND:,} of {THOUSAND:,}")
        expect(page.locator(".strip-entry.current .strip-mark.good")).to_be_visible()
        expect(page.locator(".side-note")).to_contain_text("carried out when cutoutd runs again")
        page.keyboard.press("Control+z")
        expect(page.locator(".toast p")).to_contain_text("Undone")
        bench.wait_for(lambda: "accept" not in pending_commands(bench), "that it is withdrawn")
        expect(page.locator(".strip-mark")).to_have_count(0)
        (tmp_path / "library" / FILE_NAME).unlink()  # under the open page, which shows its last state
        expect(page.locator("#notices")).to_contain_text("The journal was damaged, replaced or removed.")


def test_a_key_is_never_about_another_picture_than_the_one_that_was_asked_for(
    tmp_path: Path, browser: Browser
) -> None:
    """While the list is on its way, that picture is shown alone, and a key decides about nothing."""
    bench = bench_in(tmp_path)
    config = library(bench)
    asked: list[str] = []
    with serving(bench, config) as address, visit(browser, address) as visitor:
        page = visitor.page
        page.locator(".view-inbox").wait_for()
        ids = page.evaluate("fetch('/api/job_ids?state=review&sort=doubt').then(one => one.json())")["ids"]
        wanted = ids[-1]  # not on the first page of the list
        page.on("request", lambda one: asked.append(one.url))
        held = hold_up(page, "**/api/job_ids*")
        visitor.go(f"review?state=review&job={wanted}")
        first_of(page, held)
        expect(page.locator(".viewer")).to_have_attribute("aria-label", re.compile(rf"{wanted}\D"))
        assert page.locator(".side-subject h2").count() == 0
        page.keyboard.press("a")
        page.keyboard.press("ArrowRight")
        page.evaluate(NOTE_SENT)
        page.wait_for_function(ALL_THERE)
        assert not [one for one in asked if one.endswith("/decide")]
        while held:
            held.pop().continue_()
        expect(page.locator(".side-subject h2")).to_have_text(re.compile(rf"{wanted}\D"))
        looked_at = [one for one in asked if "/api/look?" in one]
        assert f"job={wanted}&" in looked_at[0]


def library(bench: Bench) -> Path:
    """Return a configuration whose journal has ten thousand pictures, a thousand of them in review; their files do not exist."""
    state = bench.root / "library"
    state.mkdir(mode=0o700)
    build(state / FILE_NAME, 10 * THOUSAND)
    text = f'[service]\nstate_dir = "{state}"\n'
    for name in FOLDERS:
        (bench.root / name).mkdir()
        text += f'[[folder]]\nname = "{name}"\ninput = "{bench.root / name}"\noutput = "{bench.root / name}-out"\n'
    config = bench.root / "cutoutd.toml"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    return config


@contextmanager
def serving(bench: Bench, config: Path) -> Iterator[str]:
    """Start `cutoutd page` where no daemon runs. Returns its address, with a code."""
    for name in ("CUTOUTD_PAGE__ENABLED", "DISPLAY", "WAYLAND_DISPLAY"):
        bench.environment.pop(name, None)
    log = bench.root / "said"
    with log.open("wb") as out:
        process = subprocess.Popen(
            bench.command("page", "--config", config),
            env=bench.environment,
            cwd=bench.root,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = re.compile(r"http://127\.0\.0\.1:\d+/#\S+")
        bench.wait_for(lambda: address.search(log.read_text(encoding="utf-8")) is not None, "the page")
        yield address.findall(log.read_text(encoding="utf-8"))[0]
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def pending_commands(bench: Bench) -> list[str]:
    """Return the commands that wait for the daemon."""
    file = bench.root / "library" / FILE_NAME
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=PATIENCE_S)) as opened:
        return [verb for (verb,) in opened.execute("SELECT verb FROM command WHERE refused IS NULL")]
