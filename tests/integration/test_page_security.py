"""What protects the page from hostile sites, other programs and other users."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from cutoutd.page import pairing
from cutoutd.page.backend.method import Backend
from cutoutd.page.backend.sessions import BrowserSessions
from cutoutd.page.web.guard import HEADERS
from cutoutd.webserver.backend.method import RefusedError
from tests.integration.served import Browser, Served, served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

pytestmark = pytest.mark.new_interpreters

ROUTES = (
    ("GET", "/"),
    ("GET", "/static/index.html"),
    ("GET", "/lang/en.json"),
    ("POST", "/pair"),
    ("GET", "/api/session"),
    ("POST", "/api/session"),
    ("POST", "/api/decide"),
    ("GET", "/api/events"),
    ("GET", "/img/1/cutout/thumb"),
    ("GET", "/img/1/cutout/0/0/0"),
    ("GET", "/nothing"),
    ("OPTIONS", "/api/decide"),
    ("HEAD", "/"),
    ("DELETE", "/api/decide"),
)
HOSTILE = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example",
    "127.0.0.1@evil.example",
    "[::1].evil.example",
    "0.0.0.0:{port}",
    "127.0.0.2:{port}",
    "127.0.0.1:{port}:80",
    "127.0.0.1:x",
    "",
)


def raw(page: Served, request: str, *, wait_s: float = 10.0) -> bytes:
    """Return the answer to these bytes, until the other side closes."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=wait_s) as connection:
        received = b""
        with suppress(
            ConnectionError
        ):  # what refuses a long request ends in the middle of it, and its answer may be lost
            connection.sendall(request.encode())
            while part := connection.recv(65_536):
                received += part
        return received


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_name_that_is_not_ours_gets_nothing_on_any_route(
    browser: Browser, page: Served, method: str, path: str
) -> None:
    """A hostile name can resolve to this machine; equal Origin and Host prove nothing then."""
    for template in HOSTILE:
        host = template.format(port=page.port)
        headers = {"Host": host, "Origin": f"http://{host}"}
        data: object = {} if method == "POST" else None
        status, answer, named = browser.ask(path, data=data, headers=headers, method=method)
        assert status in (421, 400), host
        assert b"token" not in json.dumps(answer).encode() if isinstance(answer, dict) else True
        assert "set-cookie" not in named
        assert named.get("content-security-policy", HEADERS["Content-Security-Policy"])


def test_this_machines_own_names_are_known_whatever_the_port(browser: Browser, page: Served) -> None:
    """A tunnel has another port at its other end."""
    for host in (f"127.0.0.1:{page.port}", "localhost:8000", "LOCALHOST", "[::1]:1"):
        assert browser.ask("/api/session", headers={"Host": host})[0] == 200


def test_two_names_are_none(page: Served) -> None:
    """A proxy and the page could each use another one of two Host headers."""
    received = raw(
        page, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )
    assert received.startswith((b"HTTP/1.1 421", b"HTTP/1.1 400"))
    assert raw(page, "GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_another_page_cannot_write(browser: Browser, page: Served, headers: dict[str, str]) -> None:
    """Although its requests carry the cookie, and even if it knew the token; another port is another origin."""
    for path in ("/api/session", "/api/pause", "/pair"):
        status, answer, named = browser.ask(path, data={"code": "x"}, headers=headers)
        assert (status, answer["error"]["code"]) == (403, "origin")
        assert "access-control-allow-origin" not in named
    assert browser.ask("/api/session", data={})[0] == 200
    assert page.process.poll() is None


def test_another_page_cannot_read_either(browser: Browser) -> None:
    """As far as a browser sends the origin; no answer may be shared with another origin."""
    for site in ("cross-site", "same-site"):
        assert browser.ask("/api/session", headers={"Sec-Fetch-Site": site})[0] == 403
        assert browser.ask("/img/1/cutout/thumb", headers={"Sec-Fetch-Site": site})[0] == 403
    _, _, named = browser.ask("/api/session", headers={"Origin": "http://evil.example"})
    assert not {name for name in named if name.startswith("access-control")}
    assert named["cross-origin-resource-policy"] == "same-origin"


def test_a_cookie_alone_reads_and_does_not_write(browser: Browser, page: Served) -> None:
    """Browsers send it to every program on this machine, whatever its port."""
    other = Browser(page=page, cookie=browser.cookie)
    assert other.ask("/api/session")[0] == 200
    assert other.ask("/api/session", data={})[0] == 401
    for token in ("", "x", browser.token[:-1], browser.token + "x"):
        assert other.ask("/api/session", data={}, headers={"X-Cutoutd-Token": token})[0] == 401
    bare = Browser(page=page, token=browser.token)
    assert bare.ask("/api/session", data={})[0] == 401


def test_a_token_belongs_to_its_own_cookie(browser: Browser, page: Served) -> None:
    """Two browsers are two sessions."""
    other = Browser(page=page)
    assert other.pair(pairing.offer(page.state_dir)) == 200
    mixed = Browser(page=page, cookie=browser.cookie, token=other.token)
    assert mixed.ask("/api/session", data={})[0] == 401
    assert other.ask("/api/session", data={})[0] == 200


def test_a_get_request_changes_nothing(browser: Browser) -> None:
    """Otherwise the address of an image in a page would suffice."""
    for method in (
        "decide",
        "undo",
        "pause",
        "retry",
        "add_folder",
        "change_settings",
        "fix_save",
        "_pair",
        "x",
    ):
        assert browser.ask(f"/api/{method}")[0] == 405
    assert browser.ask("/api/_pair", data={"code": "x"})[0] == 404


def test_the_cookie_is_for_reading_by_the_browser_alone(page: Served) -> None:
    """No script sees it, no other site gets it sent, and its name contains the instance."""
    browser = Browser(page=page)
    code = pairing.offer(page.state_dir)
    _, _, headers = browser.ask("/pair", data={"code": code})
    name, _, rest = headers["set-cookie"].partition("=")
    assert name.startswith("cutoutd-")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in rest.split(";")}


def test_every_answer_forbids_frames_and_strangers_scripts(browser: Browser) -> None:
    """Error responses do so as well."""
    for path in ("/", "/api/session", "/nothing", "/api/x", "/static/../../etc/passwd", "/img/x"):
        _, _, headers = browser.ask(path)
        for name, value in HEADERS.items():
            assert headers[name.lower()] == value, path
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_a_code_is_used_once_and_in_time(page: Served) -> None:
    """The second of two browsers is refused, and so is anybody who finds it later."""
    code = pairing.offer(page.state_dir)
    assert Browser(page=page).pair(code) == 200
    assert Browser(page=page).pair(code) == 403
    late = pairing.offer(page.state_dir)
    (left,) = (pairing.directory(page.state_dir) / "codes").iterdir()
    os.utime(left, (time.time() - 61, time.time() - 61))
    assert Browser(page=page).pair(late) == 403
    early = pairing.offer(page.state_dir)
    (left,) = (pairing.directory(page.state_dir) / "codes").iterdir()
    os.utime(left, (time.time() + 61, time.time() + 61))
    assert Browser(page=page).pair(early) == 403


def test_secrets_are_in_no_log_and_no_file(browser: Browser, page: Served) -> None:
    """The secrets cannot be computed from what is stored either."""
    code = pairing.offer(page.state_dir)
    other = Browser(page=page)
    assert other.pair(code) == 200
    other.ask("/api/fault", data={"code": "x"})
    secrets = [code, other.token, other.cookie.partition("=")[2], browser.token]
    kept = [path.read_bytes() for path in page.state_dir.rglob("*") if path.is_file()]
    names = [os.fsencode(path) for path in page.state_dir.rglob("*")]
    for secret in secrets:
        assert secret not in page.log
        assert not any(secret.encode() in one for one in (*kept, *names))
    modes = {oct(path.stat().st_mode & 0o777) for path in page.state_dir.rglob("*") if path.is_file()}
    assert modes == {"0o600"}


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to be somebody else")
def test_another_user_of_this_machine_gets_nothing(browser: Browser, page: Served) -> None:
    """Other users can connect, but they see neither codes nor sessions, nor the arguments of the processes."""
    code = pairing.offer(page.state_dir)
    script = f"""
import encodings.idna, http.client, os, pathlib
os.setgid(65534); os.setuid(65534)
connection = http.client.HTTPConnection("127.0.0.1", {page.port})
connection.request("GET", "/api/session", headers={{"Host": "127.0.0.1"}})
print(connection.getresponse().status)
try:
    os.listdir({os.fspath(page.state_dir / "page")!r})
except PermissionError:
    print("closed")
for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        text = process.read_bytes()
    except OSError:
        continue
    if {code!r}.encode() in text and b"-c" not in text:
        print("seen", text)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["401", "closed"]
    assert browser.ask("/api/session")[0] == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to be somebody else")
def test_another_user_of_this_machine_has_nothing_of_a_cookie_and_a_token(
    browser: Browser, page: Served
) -> None:
    """Browsers send the cookie to every port of a name, and both to any program that uses the port while cutoutd does not run."""
    headers = {
        "Host": f"127.0.0.1:{page.port}",
        "Origin": page.origin,
        "Cookie": browser.cookie,
        "X-Cutoutd-Token": browser.token,
        "Content-Type": "application/json",
    }
    script = f"""
import encodings.idna, http.client, os, sys
if sys.argv[1] != "0":
    os.setgid(65534); os.setuid(65534)
for method in ("GET", "POST"):
    connection = http.client.HTTPConnection("127.0.0.1", {page.port})
    connection.request(method, "/api/session", "{{}}" if method == "POST" else None, {headers!r})
    print(connection.getresponse().status)
"""
    for uid, statuses in (("65534", ["401", "401"]), ("0", ["200", "200"])):
        ended = subprocess.run(
            [sys.executable, "-c", script, uid], capture_output=True, text=True, check=True
        )
        assert ended.stdout.split() == statuses, uid


def test_a_body_that_is_too_large_is_refused_before_it_is_read(browser: Browser, page: Served) -> None:
    """By its declared size, or once it has become too large."""
    head = (
        f"POST /api/session HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.origin}\r\n"
        f"Cookie: {browser.cookie}\r\nX-Cutoutd-Token: {browser.token}\r\nContent-Type: application/json\r\n"
    )
    assert raw(page, f"{head}Content-Length: 99999999999\r\n\r\n").startswith(b"HTTP/1.1 413")
    chunk = "10000\r\n" + "x" * 65_536 + "\r\n"
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(400):
                connection.sendall(chunk.encode())
            received = connection.recv(12)
        except ConnectionError:
            received = b"HTTP/1.1 413"  # ended in the middle of ours, with its answer lost
    assert received == b"HTTP/1.1 413"
    long = "x" * 100_000
    assert raw(page, f"GET /{long}")[:12] in {b"HTTP/1.1 400", b""}
    assert browser.ask("/api/session", data=[1])[0] == 400
    assert browser.ask("/api/session", data={}, headers={"Content-Type": "text/plain"})[0] == 415
    assert browser.ask("/api/session")[0] == 200


def test_many_connections_do_not_shut_a_browser_out(browser: Browser, page: Served) -> None:
    """Any program on this machine can open them, and send nothing; the oldest of those are closed."""
    with ExitStack() as idle:
        for _ in range(400):
            idle.enter_context(socket.create_connection(("127.0.0.1", page.port), timeout=60))
        for _ in range(3):
            assert browser.ask("/api/session")[0] == 200
    assert page.process.poll() is None


def test_wrong_codes_are_few(tmp_path: Path) -> None:
    """With its own page; they do not lock out the owner's browser, whose code nobody can guess."""
    with served(tmp_path / "home") as page:
        stranger = Browser(page=page)
        assert [stranger.pair(f"wrong-{number}") for number in range(11)] == [403] * 10 + [429]
        assert Browser(page=page).pair(pairing.offer(page.state_dir)) == 200
        assert stranger.pair("wrong") == 429


def test_after_wrong_passwords_none_is_accepted_for_a_minute(tmp_path: Path, clock: FakeClock) -> None:
    """Not even the right one, or it could be found by trying."""
    tmp_path.chmod(0o700)
    sessions = BrowserSessions(tmp_path, clock, "a long password")
    backend = Backend(
        settings=None, config=None, open_store=lambda: None, clock=clock, cache=tmp_path, tell=lambda *_: None
    )
    for number in range(10):
        with pytest.raises(RefusedError, match="used"):
            sessions.pair(backend, {"code": f"wrong-{number}"})
    with pytest.raises(RefusedError, match="Too many"):
        sessions.pair(backend, {"code": "a long password"})
    clock.advance(61)
    assert sessions.pair(backend, {"code": "a long password"}).data["token"]
