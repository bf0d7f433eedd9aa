"""The page's two processes, asked as a browser asks and as others do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.served import Browser, Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page without any configuration."""
    with served(tmp_path_factory.mktemp("page")) as one:
        yield one


@pytest.fixture(scope="module")
def browser(page: Served) -> Browser:
    """A browser that was paired."""
    one = Browser(page=page)
    assert one.pair() == 200
    return one


def test_a_paired_browser_gets_what_the_backend_answers(browser: Browser) -> None:
    """Through both processes and back."""
    status, said, headers = browser.ask("/api/session")
    assert (status, said["configured"]) == (200, False)
    assert headers["cache-control"] == "no-store"


def test_a_browser_that_was_not_paired_gets_the_pages_files_alone(page: Served) -> None:
    """They are the same for everybody; all else is not."""
    stranger = Browser(page=page)
    assert stranger.ask("/")[0] == 200
    for path in ("/api/session", "/api/events", "/img/1/cutout/thumb", "/img/1/cutout/0/0/0"):
        assert stranger.ask(path)[0] == 401, path


def test_a_code_is_good_for_one_browser(browser: Browser, page: Served) -> None:
    """Whoever finds it in a history comes too late."""
    assert browser.token
    assert Browser(page=page).pair() == 403
