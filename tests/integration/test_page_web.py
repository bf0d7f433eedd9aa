"""The page's two processes, with requests of browsers and of other clients."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from cutoutd.webserver import frames
from tests.integration.served import Browser, Served, served

if TYPE_CHECKING:
    from pathlib import Path


def test_a_paired_browser_gets_what_the_backend_answers(browser: Browser) -> None:
    """Through both processes and back."""
    status, answer, headers = browser.ask("/api/session")
    assert (status, answer["configured"]) == (200, False)
    assert headers["cache-control"] == "no-store"


def test_a_browser_that_was_not_paired_gets_the_pages_files_alone(page: Served) -> None:
    """These files are the same for everybody; everything else is refused."""
    stranger = Browser(page=page)
    status, _, headers = stranger.ask("/")
    assert status == 200
    assert stranger.ask("/", headers={"If-None-Match": f"W/{headers['etag']}"})[0] == 304
    for path in ("/api/session", "/api/events", "/img/1/cutout/thumb", "/img/1/cutout/0/0/0"):
        assert stranger.ask(path)[0] == 401, path


@pytest.mark.parametrize(
    ("method", "given", "code"),
    [
        ("retry", {"items": [], "modle": "isnet"}, "unknown_parameter"),
        ("pause", {"paused": True, "Paused": False}, "unknown_parameter"),
        ("session", {"request": "a" * 32}, "unknown_parameter"),
        ("jobs?limit=1&offfset=5", None, "unknown_parameter"),
        ("places?pth=x", None, "unknown_parameter"),
    ],
)
def test_a_parameter_that_a_method_does_not_know_is_refused(
    browser: Browser, method: str, given: dict[str, object] | None, code: str
) -> None:
    """One that is misspelt must not count as left out."""
    status, answer, _ = browser.ask(f"/api/{method}", data=given)
    assert (status, answer["error"]["code"]) == (400, code)


def test_a_tab_of_the_former_version_can_save_its_strokes(browser: Browser) -> None:
    """It says with each correction whether it sends it again: that is no reason to refuse it."""
    given = {"fix": "", "strokes": [], "suggestion": 0, "seen": "", "again": False}
    _, answer, _ = browser.ask("/api/fix_save", data=given)
    assert answer["error"]["code"] != "unknown_parameter"


@pytest.mark.parametrize("body", ['{"paused": true, "paused": false}', '{"changes": {"a": 1, "a": 2}}'])
def test_a_key_that_is_there_twice_is_refused(page: Served, browser: Browser, body: str) -> None:
    """At any depth: programs do not agree on which of the two holds."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    headers = {
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/json",
        "Origin": page.origin,
        "Cookie": browser.cookie,
        "X-Cutoutd-Token": browser.token,
    }
    with closing(connection):
        connection.request("POST", "/api/pause", body, headers)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["error"]["code"]) == (400, "repeated_key")


def test_a_change_has_the_name_that_its_header_gives(browser: Browser) -> None:
    """One that cannot be a name is refused; so is a body that gives another kind of value."""
    for name in ("x", "A" * 32, ""):
        status, answer, _ = browser.ask(
            "/api/pause", data={"paused": True}, headers={"X-Cutoutd-Request": name}
        )
        assert (status, answer["error"]["code"]) == ((400, "parameter") if name else (503, "no_journal"))


def test_a_code_is_good_for_one_browser(browser: Browser, page: Served) -> None:
    """A code that is found in a history later is refused."""
    assert browser.token
    assert Browser(page=page).pair() == 403


def test_an_upgrade_under_a_running_page_restarts_both_processes() -> None:
    """A web process of another version than its backend exits with a special code."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        ours.sendall(frames.pack({"version": "0.0.1"}))
        descriptors = listener.fileno(), theirs.fileno()
        ended = subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "cutoutd.page.web.process",
                str(os.getpid()),
                *map(str, descriptors),
            ],
            pass_fds=descriptors,
            timeout=60,
            check=False,
        )
    assert ended.returncode == frames.UPGRADED


def test_a_page_that_waits_for_another_to_end_takes_over_and_ends_by_a_signal(tmp_path: Path) -> None:
    """The daemon's page waits while another one is served by hand."""
    places = {
        "XDG_STATE_HOME": str(tmp_path / "xdg_state_home"),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg_config_home"),
    }

    def waiting() -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "cutoutd", "page", "--serve-only", "--any-port", "--first-run"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **places})

    with ExitStack() as ending:
        with served(tmp_path):
            first, second = waiting(), waiting()
            for one in (first, second):
                ending.callback(one.kill)  # whatever fails below
                assert one.stderr is not None
                assert "page.waits" in one.stderr.readline()
            first.terminate()
            assert first.wait(20) == 0
            assert first.stderr is not None
            assert "page.ready" not in first.stderr.read()
            first.stderr.close()
        assert second.stderr is not None
        assert "page.ready" in second.stderr.readline()
        second.terminate()
        assert second.wait(20) == 0
        second.stderr.close()
