"""Clients submit pictures to the API of a real daemon; and the API's protection against other clients."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.intake import incoming
from cutoutd.serve.web.answers import HEADERS
from tests.integration.confined import ROOT
from tests.integration.serving import Serving, picture, serving, until
from tests.integration.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PICTURES = "/v1/folders/shop/pictures"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One API for all tests of this module, since the daemon takes some seconds to start."""
    with serving(
        tmp_path_factory.mktemp("api") / "home", "[serve]\nmax_file_mb = 1\nmax_uploads = 20"
    ) as one:
        yield one


def spooled(api: Serving) -> list[str]:
    """Return the names in the directory for uploads."""
    try:
        return [path.name for path in (api.input / incoming.DIRECTORY).iterdir()]
    except FileNotFoundError:
        return []


def raw(api: Serving, request: bytes, *, wait_s: float = 20.0) -> bytes:
    """Send these bytes; return the answer until the other side closes."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=wait_s) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


def test_a_picture_is_submitted_and_its_cutout_returned(api: Serving) -> None:
    """The picture as the body, or in a form; with its name and its options."""
    body = picture(1)
    status, job, headers = api.cut(body, "?name=first.jpg")
    assert (status, job["state"], job["path"]) == (200, "done", "first.jpg")
    assert headers["location"] == f"/v1/jobs/{job['id']}"
    assert headers["preference-applied"] == "wait=60"
    assert (api.input / "first.jpg").read_bytes() == body
    (output,) = job["outputs"]
    status, cutout, headers = api.ask("GET", output["url"])
    assert (status, cutout) == (200, (api.output / "first.png").read_bytes())
    assert headers["content-type"] == "image/png"
    assert headers["etag"] == f'"{output["sha256"]}"'
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''first.png"
    for known in (headers["etag"], f"W/{headers['etag']}", f'"another", {headers["etag"]}'):
        assert api.ask("GET", output["url"], headers={"If-None-Match": known})[0] == 304
    assert api.ask("HEAD", output["url"])[1] == b""
    assert api.ask("GET", f"/v1/jobs/{job['id']}/outputs/1")[0] == 404
    _, again, _ = api.ask("GET", f"/v1/jobs/{job['id']}")
    assert again == job


def test_a_form_brings_a_picture_and_its_options(api: Serving) -> None:
    """The two may be in either order."""
    options = ("options", None, json.dumps({"format": "webp"}).encode())
    orders: tuple[list[tuple[str, str | None, bytes]], ...] = (
        [("file", "form.jpg", picture(2)), options],
        [options, ("file", "form.jpg", picture(3))],
    )
    for parts in orders:
        body = form(parts)
        status, job, _ = api.cut(body, Content_Type="multipart/form-data; boundary=xx")
        assert (status, job["state"]) == (200, "done")
        assert job["outputs"][0]["name"].startswith("form")
        assert job["name"] == "form.jpg"
    for wrong in ([options], [("file", "a", picture()), ("file", "b", picture())], [("file", "a", b"")]):
        status, answer, _ = api.cut(form(wrong), Content_Type="multipart/form-data; boundary=xx")
        assert status == 400, answer
    assert api.cut(form([options])[:-5], Content_Type="multipart/form-data; boundary=xx")[0] == 400
    until(lambda: not spooled(api), "nothing is left of what was refused")


def form(parts: Sequence[tuple[str, str | None, bytes]]) -> bytes:
    """Return a form's body."""
    lines = b""
    for name, filename, content in parts:
        also = f'; filename="{filename}"' if filename is not None else ""
        lines += f'--xx\r\nContent-Disposition: form-data; name="{name}"{also}\r\n\r\n'.encode()
        lines += content + b"\r\n"
    return lines + b"--xx--\r\n"


def test_a_request_that_does_not_wait_is_answered_at_once(api: Serving) -> None:
    """With a job that exists from then on, and can be waited for later."""
    status, job, _ = api.ask("POST", PICTURES, picture(4), {"Content-Type": "image/jpeg"})
    assert (status, job["over"]) == (202, False)
    status, job, _ = api.ask("GET", f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"})
    assert (status, job["state"], job["path"]) == (200, "done", "picture")


@pytest.mark.parametrize("key", ["", "x", "cutoutd_" + "x" * 43, "ä".encode().decode("latin-1"), "a b"])
def test_nothing_is_answered_without_a_key(api: Serving, key: str) -> None:
    """For any request, before any of its body is read; the API's description is public."""
    for method, path in (
        ("GET", "/v1/key"),
        ("POST", PICTURES),
        ("GET", "/v1/jobs/" + "0" * 32),
        ("DELETE", "/v1/jobs/" + "0" * 32),
        ("GET", "/v1/jobs/x/outputs/0"),
        ("GET", "/v1/events"),
    ):
        status, answer, headers = api.ask(method, path, headers={"Content-Type": "image/jpeg"}, key=key)
        assert (status, answer["code"]) == (401, "key"), path
        assert headers["www-authenticate"] == "Bearer"
    assert api.ask("GET", "/v1/openapi.json", key=key)[0] == 200


def test_a_key_is_for_its_folder_and_its_jobs(api: Serving) -> None:
    """Another key's jobs look as if they did not exist, and so does any folder but its own."""
    other = api.call("serve", "keys", "add", "other").stdout.strip()
    job = api.cut(picture(5))[1]
    for path in (f"/v1/jobs/{job['id']}", job["outputs"][0]["url"]):
        assert api.ask("GET", path, key=other)[0] == 404
    assert api.ask("DELETE", f"/v1/jobs/{job['id']}", key=other)[0] == 404
    for folder in ("elsewhere", "..", "shop%2f..", "shop%00"):
        status, answer, _ = api.ask(
            "POST", f"/v1/folders/{folder}/pictures", picture(), {"Content-Type": "image/jpeg"}
        )
        assert (status, answer["code"]) in ((403, "other_folder"), (404, "no_path")), folder
    status, answer, _ = api.ask("GET", "/v1/key", headers={"Authorization": f"Bearer {other}"}, key="")
    assert (status, answer["name"], answer["folder"]) == (200, "other", "shop")


def test_an_upload_whose_key_is_revoked_meanwhile_is_stopped(api: Serving) -> None:
    """No part of the upload is kept."""
    key = api.call("serve", "keys", "add", "short").stdout.strip()
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.putrequest("POST", PICTURES)
    for name, value in (("X-Api-Key", key), ("Content-Type", "image/jpeg"), ("Content-Length", "900000")):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"\xff" * 300_000)
    until(lambda: spooled(api), "its file")
    assert api.call("serve", "keys", "revoke", "short").returncode == 0
    try:
        connection.send(b"\xff" * 600_000)
    except ConnectionError:
        pass
    else:
        assert connection.getresponse().status == 401
    connection.close()
    until(lambda: not spooled(api), "nothing is left of it")


def test_the_same_request_twice_is_one(api: Serving) -> None:
    """By its idempotency key: the same job is returned; another picture or other options are refused."""
    sent = {"Content-Type": "image/jpeg", "Prefer": "wait=60", "Idempotency-Key": '"order-17"'}
    first = api.ask("POST", f"{PICTURES}?name=order.jpg", picture(6), sent)[1]
    count = len(list(api.input.glob("*.jpg")))
    status, again, _ = api.ask("POST", f"{PICTURES}?name=order.jpg", picture(6), sent)
    assert (status, again) == (200, first)
    status, answer, _ = api.ask("POST", f"{PICTURES}?name=order.jpg", picture(7), sent)
    assert (status, answer["code"]) == (422, "idempotency_key")
    options = '&options={"format":"webp"}'.replace('"', "%22")
    assert api.ask("POST", f"{PICTURES}?name=order.jpg{options}", picture(6), sent)[0] == 422
    assert len(list(api.input.glob("*.jpg"))) == count
    until(lambda: not spooled(api), "no second file")
    assert api.ask("POST", PICTURES, picture(6), {**sent, "Idempotency-Key": "x" * 300})[0] == 400


def test_the_same_request_while_the_first_is_in_progress_is_refused(api: Serving) -> None:
    """The second request must not wait for the first."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    body = picture(8)
    connection.putrequest("POST", PICTURES)
    for name, value in (
        ("X-Api-Key", api.key),
        ("Idempotency-Key", "twice"),
        ("Content-Type", "image/jpeg"),
        ("Content-Length", str(len(body))),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[:10])
    until(lambda: spooled(api), "its file")
    sent = {"Content-Type": "image/jpeg", "Idempotency-Key": "twice"}
    status, answer, headers = api.ask("POST", PICTURES, body, sent)
    assert (status, answer["code"]) == (409, "in_flight")
    assert int(headers["retry-after"]) > 0
    connection.send(body[10:])
    assert connection.getresponse().status == 202
    connection.close()


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/x.jpg",
        "/etc/passwd",
        "..\\x.jpg",
        "a\x00b.jpg",
        "a\r\nX-Evil: 1.jpg",
        ".hidden.jpg",
        "x" * 900,
        "\u202egpj.exe",
    ],
)
def test_a_name_leads_nowhere_and_into_no_header(api: Serving, name: str) -> None:
    """The name becomes that of a file in the folder."""
    before = {path for path in api.home.rglob("*") if path.parent not in (api.input, api.output)}
    status, job, headers = api.cut(picture(9), f"?name={quoted(name)}")
    assert (status, job["state"]) == (200, "done")
    assert "/" not in job["path"]
    assert (api.input / job["path"]).is_file()
    assert "x-evil" not in headers
    _, _, headers = api.ask("GET", job["outputs"][0]["url"])
    assert "x-evil" not in headers
    after = {path for path in api.home.rglob("*") if path.parent not in (api.input, api.output)}
    assert {path.name for path in after - before if "in/.cutoutd" not in str(path)} <= {
        "journal.sqlite-journal"
    }


def quoted(text: str) -> str:
    """Escape a text for a URL."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def test_another_file_is_refused_by_the_folder(api: Serving) -> None:
    """By its bytes, not by its name or type; an undecodable picture fails like any other file there."""
    status, job, _ = api.cut(b"MZ" + b"\0" * 5000, "?name=a.exe")
    assert (status, job["state"], job["over"], job["outputs"]) == (200, "refused", True, [])
    assert "not a picture" in job["why"]
    status, job, _ = api.cut(picture()[:400], "?name=torn.jpg", Prefer="wait=1")
    assert (status, job["outputs"]) == (202, [])
    assert api.cut(b"")[0] == 400
    assert api.cut(picture(), "?options=nonsense")[0] == 422
    assert api.cut(picture(), Content_Type="text/html")[0] == 415
    until(lambda: not spooled(api), "nothing is left")


def test_an_upload_that_is_too_large_is_refused_by_its_length_or_while_read(api: Serving) -> None:
    """By its announced size, or once too much has arrived; no part is kept."""
    head = (
        f"POST {PICTURES} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {api.key}\r\nContent-Type: image/jpeg\r\n"
    )
    assert raw(api, f"{head}Content-Length: 99999999999\r\n\r\n".encode()).startswith(b"HTTP/1.1 413")
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(100):
                connection.sendall(chunk)
            received = connection.recv(12)
        except ConnectionError:
            received = b"HTTP/1.1 413"  # ended in the middle of ours, with its answer lost
    assert received == b"HTTP/1.1 413"
    until(lambda: not spooled(api), "nothing is left")


def test_an_upload_that_ends_early_leaves_nothing(api: Serving) -> None:
    """Also if its web process dies."""
    head = f"POST {PICTURES} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {api.key}\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"\xff" * 100)
        until(lambda: spooled(api), "its file")
    until(lambda: not spooled(api), "nothing is left")


def test_names_of_hosts_and_headers(api: Serving) -> None:
    """A hostile site's name may resolve to this machine.

    Every answer has the headers that restrict browsers.
    """
    for host in ("evil.example", "127.0.0.1.evil.example", "", "127.0.0.1:x"):
        request = f"GET /v1/key HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {api.key}\r\nConnection: close\r\n\r\n"
        assert raw(api, request.encode()).startswith((b"HTTP/1.1 421", b"HTTP/1.1 400")), host
    for path in ("/v1/key", "/nothing", "/v1/jobs/x", "/v1/jobs/" + "x" * 5000):
        _, _, headers = api.ask("GET", path)
        for name, value in HEADERS.items():
            assert headers[name.lower()] == value
        assert not {name for name in headers if name.startswith("access-control")}


def test_a_job_is_removed_with_its_picture_and_its_cutout(api: Serving) -> None:
    """Nothing else is removed; a cutout that was retouched meanwhile stays."""
    job = api.cut(picture(10), "?name=gone.jpg")[1]
    kept = api.cut(picture(11), "?name=kept.jpg")[1]
    (api.output / "kept.png").write_bytes(b"retouched")
    for one in (job, kept):
        assert api.ask("DELETE", f"/v1/jobs/{one['id']}")[0] == 204
    assert not (api.input / "gone.jpg").exists()
    assert sorted(path.name for path in api.output.glob("gone*")) == []
    assert (api.output / "kept.png").read_bytes() == b"retouched"
    assert api.ask("GET", job["outputs"][0]["url"])[0] == 404
    assert api.ask("DELETE", f"/v1/jobs/{job['id']}")[0] == 204


def test_events_tell_what_becomes_of_pictures_until_the_key_is_revoked(
    api: Serving,
) -> None:
    """Each client gets the events of its own jobs only."""
    key, other = (api.call("serve", "keys", "add", name).stdout.strip() for name in ("hears", "deaf"))
    heard: dict[str, list[dict[str, Any]]] = {key: [], other: []}
    with ExitStack() as stack:
        threads = []
        for one, into in heard.items():
            connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
            stack.callback(connection.close)
            connection.request("GET", "/v1/events", headers={"X-Api-Key": one})
            answer = connection.getresponse()
            assert answer.readline() == b"event: hello\n"
            threads.append(threading.Thread(target=_hear, args=(answer, into), daemon=True))
            threads[-1].start()
        status, job, _ = api.ask("POST", PICTURES, picture(12), {"Content-Type": "image/jpeg"}, key=key)
        assert status == 202
        until(lambda: any(one["state"] == "done" for one in heard[key]), "its event")
        assert {one["id"] for one in heard[key]} == {job["id"]}
        for name in ("hears", "deaf"):
            api.call("serve", "keys", "revoke", name)
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert heard[other] == []


def test_a_revoked_keys_open_stream_gets_no_more_events(api: Serving) -> None:
    """Its pictures may be cut later, without an event."""
    key = api.call("serve", "keys", "add", "leaves").stdout.strip()
    heard: list[dict[str, Any]] = []
    with ExitStack() as stack:
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
        stack.callback(connection.close)
        connection.request("GET", "/v1/events", headers={"X-Api-Key": key})
        thread = threading.Thread(target=_hear, args=(connection.getresponse(), heard), daemon=True)
        thread.start()
        assert api.call("pause").returncode == 0
        stack.callback(api.call, "resume")
        headers = {"Content-Type": "image/jpeg"}
        assert api.ask("POST", PICTURES + "?name=leaves.jpg", picture(77), headers, key=key)[0] == 202
        until(lambda: heard != [], "that it waits")
        assert api.call("serve", "keys", "revoke", "leaves").returncode == 0
        assert api.call("resume").returncode == 0
        until((api.output / "leaves.png").exists, "its cutout")
        thread.join(30)
        assert not thread.is_alive()
    assert "done" not in {one["state"] for one in heard}


def _hear(answer: http.client.HTTPResponse, into: list[dict[str, Any]]) -> None:
    """Collect the jobs in a stream of events until the stream ends."""
    event = b""
    while line := answer.readline():
        if line.startswith(b"event: "):
            event = line.strip()
        elif line.startswith(b"data: ") and event == b"event: job":
            into.append(json.loads(line[6:]))


def test_a_thousand_connections_shut_no_client_out(api: Serving) -> None:
    """Any client can open them and send nothing; the oldest idle ones are closed."""
    with ExitStack() as idle:
        for _ in range(800):
            idle.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=60))
        for _ in range(3):
            assert api.ask("GET", "/v1/key")[0] == 200
    assert api.serve.poll() is None


def test_more_uploads_than_allowed_are_asked_to_retry(api: Serving) -> None:
    """At once, and uploads in progress are not affected."""
    body = picture(13)
    head = f"POST {PICTURES} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {api.key}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        begun = []
        for _ in range(20):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=60))
            connection.sendall(head.encode() + body[:5])
            begun.append(connection)
        until(lambda: len(spooled(api)) == 20, "twenty uploads")
        status, answer, headers = api.ask("POST", PICTURES, body, {"Content-Type": "image/jpeg"})
        assert (status, answer["code"]) == (503, "busy")
        assert int(headers["retry-after"]) > 0
        for connection in begun:
            connection.sendall(body[5:])
        for connection in begun:
            assert connection.recv(12) in (b"HTTP/1.1 202", b"HTTP/1.1 200")  # waiting, or done by now


def test_fifty_at_once_are_all_cut(api: Serving) -> None:
    """Each exactly once, however often its client has to retry."""

    def one(number: int) -> str:
        while True:
            status, job, _ = api.cut(picture(100 + number, side=48), f"?name=many-{number}.jpg")
            if status != 503:
                while not job["over"]:
                    _, job, _ = api.ask("GET", f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"})
                assert job["state"] == "done", job
                return str(job["path"])
            time.sleep(0.1)

    with ThreadPoolExecutor(25) as pool:
        paths = list(pool.map(one, range(50)))
    assert sorted(paths) == sorted(f"many-{number}.jpg" for number in range(50))
    assert not spooled(api)


def test_the_commands_of_the_documentation_work(api: Serving, tmp_path: Path) -> None:
    """With curl, one after the other, except the line that listens without an end."""
    need("curl")
    text = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    lines = [
        line
        for line in text.splitlines()
        if line.startswith("curl ") and "/v1/" in line and " -N " not in line
    ]
    assert len(lines) == 5
    (tmp_path / "photo.jpg").write_bytes(picture(15))
    job = ""
    for line in lines:
        done = subprocess.run(
            [
                "bash",
                "-c",
                f"{line.replace('/folders/to-cut/', '/folders/shop/')} --silent --show-error --fail-with-body",
            ],
            env={
                **os.environ,
                "API": f"http://127.0.0.1:{api.port}",
                "AUTH": f"X-Api-Key: {api.key}",
                "JOB": job,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        if done.stdout:
            document = json.loads(done.stdout)
            assert document["state"] == "done", line
            job = document["id"]
    assert (tmp_path / "cutout.png").stat().st_size > 0
    assert api.ask("GET", f"/v1/jobs/{job}/outputs/0")[0] == 404


def test_keys_are_in_no_log_and_no_file(api: Serving) -> None:
    """The keys cannot be computed from what is stored either."""
    api.cut(picture(14))
    kept = [path for path in api.home.rglob("*") if path.is_file()]
    assert api.log
    found = []
    for path in kept:
        with suppress(FileNotFoundError):  # of a picture that an earlier test did not wait for
            found += [path] if api.key.encode() in path.read_bytes() else []
    assert not found
