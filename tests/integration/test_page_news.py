"""What is sent to browsers while they listen, and what that costs while nothing changes."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.jobs import JobState
from cutoutd.journal.state import StateDirectory
from cutoutd.page.backend import news
from cutoutd.page.backend.overview import Room, daemon_status
from tests.integration.page_backend import PageBackend
from tests.integration.parts import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend
    from tests.conftest import FakeClock

REST_S = 2.5
HOUR_US = 3_600_000_000


@pytest.fixture
def page_backend(tmp_path: Path, clock: FakeClock) -> Iterator[PageBackend]:
    """A page's backend, with a listening browser no longer than the test."""
    made = PageBackend(tmp_path, clock)
    yield made
    made.backend.watched.clear()
    made.close()


def test_a_page_that_is_looked_at_does_nothing_while_nothing_changes(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was four looks at the journal a second, a tenth of a percent of a core. What changes is sent at once all the same."""
    if sys.platform != "linux":
        pytest.skip("elsewhere it looks four times a second")
    looks: list[float] = []
    open_store = page_backend.backend.open_store

    def looked() -> Store | None:
        looks.append(time.monotonic())
        return open_store()

    page_backend.backend.open_store = looked
    monkeypatch.setattr(news, "OVERVIEW_S", 0.5)
    page_backend.backend.watched.set()
    news.start(page_backend.backend)
    until(lambda: "overview" in [event for event, _ in page_backend.events], "an overview")
    until(lambda: time.monotonic() > looks[-1] + REST_S, "it to rest")
    looks.clear()
    page_backend.events.clear()
    began_s = time.monotonic()
    page_backend.cut("a.jpg")
    until(lambda: "jobs" in [event for event, _ in page_backend.events], "what has ended")
    assert looks[0] < began_s + 1.0


def test_a_daemon_that_begins_or_ends_is_told(page_backend: PageBackend) -> None:
    """Also one that is killed, which writes nothing: its lock is released."""
    page_backend.backend.watched.set()
    news.start(page_backend.backend)
    until(lambda: page_backend.events, "the first state")

    def said_last() -> bool | None:
        return next(
            (data["running"] for event, data in reversed(page_backend.events) if event == "overview"), None
        )

    with StateDirectory(page_backend.state_dir):
        until(lambda: said_last() is True, "that it runs")
    until(lambda: said_last() is False, "that it has ended")


def test_a_daemon_that_begins_while_an_overview_is_made_is_told_to_have_ended(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told last is compared with, and not what was read before that."""
    monkeypatch.setattr(news, "OVERVIEW_S", 0.0)
    daemon = ExitStack()
    first: list[StateDirectory] = []

    def begins_after(backend: Backend) -> tuple[bool, Mapping[str, Any]]:
        found = daemon_status(backend)
        if not first:
            first.append(daemon.enter_context(StateDirectory(page_backend.state_dir)))
        return found

    monkeypatch.setattr(news, "daemon_status", begins_after)
    sent = news.News(page_backend.backend)
    sent.poll()
    daemon.close()

    def end_is_told() -> bool:
        sent.poll()
        return not running(page_backend)

    until(end_is_told, "the end to be told")


def told(page_backend: PageBackend, sent: news.News) -> list[str]:
    """Look for news; return the names of the pictures that were told of."""
    page_backend.events.clear()
    sent.poll()
    return [job["name"] for event, data in page_backend.events if event == "jobs" for job in data["ended"]]


@pytest.mark.parametrize("is_open", [True, False], ids=["while it is open", "before it is opened"])
def test_what_ends_after_the_clock_was_set_back_is_told_of_once(
    page_backend: PageBackend, clock: FakeClock, *, is_open: bool
) -> None:
    """As after a wrong clock was put right: else nothing would come to the page until that time is reached again."""
    sent = news.News(page_backend.backend)
    if is_open:
        sent.poll()
    page_backend.cut("early.jpg")
    page_backend.cut("same.jpg", JobState.REVIEW)
    assert told(page_backend, sent) == (["early.jpg", "same.jpg"] if is_open else [])
    page_backend.cut("unseen.jpg")
    clock.wall_us -= 7 * HOUR_US
    page_backend.cut("back.jpg")
    assert sorted(told(page_backend, sent)) == ["back.jpg", "unseen.jpg"]
    clock.wall_us += 7 * HOUR_US
    page_backend.end("again.jpg", JobState.FAILED)
    assert told(page_backend, sent) == ["again.jpg"]
    clock.wall_us += 7 * HOUR_US
    page_backend.cut("late.jpg")
    assert told(page_backend, sent) == ["late.jpg"]
    assert told(page_backend, sent) == []


def running(page_backend: PageBackend) -> bool:
    """Whether a daemon runs, as it was told last."""
    return bool(next(data["running"] for event, data in reversed(page_backend.events) if event == "overview"))


def test_where_the_system_tells_of_no_changes_they_are_looked_for(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Mac, or where all instances of inotify are in use."""

    def refuse(_path: object) -> None:
        raise OSError

    monkeypatch.setattr(news, "DirectoryEvents", refuse)
    page_backend.backend.watched.set()
    news.start(page_backend.backend)
    until(lambda: page_backend.events, "the first state")
    page_backend.events.clear()
    page_backend.cut("a.jpg")
    until(lambda: "jobs" in [event for event, _ in page_backend.events], "what has ended")


def test_news_go_on_after_an_error_that_was_not_foreseen(
    page_backend: PageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the thread, and no browser was told of anything any more."""
    tell = page_backend.backend.tell
    failed = threading.Event()

    def fail_once(event: str, data: object) -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        tell(event, data)

    page_backend.backend.tell = fail_once
    monkeypatch.setattr(page_backend.clock, "monotonic_s", time.monotonic)
    page_backend.backend.watched.set()
    news.start(page_backend.backend)
    until(failed.is_set, "the error")
    page_backend.cut("a.jpg")
    until(lambda: "jobs" in [event for event, _ in page_backend.events], "what has ended")


def test_room_is_measured_again_after_there_was_no_thread_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as being measured for ever."""
    room, place = Room(), str(tmp_path)

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        assert room.of((place,), 0.0) == {}
    until(lambda: room.of((place,), 0.0).get(place), "the free space")
