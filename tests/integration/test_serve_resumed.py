"""Uploads that are interrupted and resumed, and an API whose processes are killed.

Takes half a minute, mostly for starts.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from cutoutd.intake import incoming
from tests.integration.serving import Serving, daemon, picture, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UPLOADS = "/v1/folders/shop/uploads"
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Serving]:
    """An API whose processes a test may kill."""
    with serving(tmp_path / "home", "[serve]\nmax_file_mb = 2") as one:
        yield one


def spooled(api: Serving) -> dict[str, int]:
    """Return the sizes of the files in the directory for uploads, by name."""
    try:
        return {path.name: path.stat().st_size for path in (api.input / incoming.DIRECTORY).iterdir()}
    except FileNotFoundError:
        return {}


def created(api: Serving, body: bytes, name: str = "resumed.jpg") -> str:
    """Create an upload; return its address."""
    encoded = base64.b64encode(name.encode()).decode()
    status, answer, headers = api.ask(
        "POST",
        UPLOADS,
        None,
        {**TUS, "Upload-Length": str(len(body)), "Upload-Metadata": f"filename {encoded}"},
    )
    assert (status, headers["tus-resumable"]) == (201, "1.0.0"), answer
    return headers["location"]


def patch(api: Serving, place: str, offset: int, body: bytes) -> tuple[int, Mapping[str, str]]:
    """Send a part of an upload; return the status and the headers."""
    sent = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    status, _, headers = api.ask("PATCH", place, body, sent)
    return status, headers


def offset(api: Serving, place: str) -> int:
    """Return the number of bytes of an upload that have arrived."""
    status, _, headers = api.ask("HEAD", place, headers=TUS)
    assert status == 200
    return int(headers["upload-offset"])


def test_an_upload_is_resumed_whatever_ended_meanwhile(api: Serving) -> None:
    """The connection, the web process, and the process behind it; the picture is cut once."""
    body = picture(1) + b"\0" * 400_000
    place = created(api, body)
    assert offset(api, place) == 0
    assert patch(api, place, 0, body[:1000])[1]["upload-offset"] == "1000"
    assert patch(api, place, 999, body)[0] == 409
    head = (
        f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {api.key}\r\nTus-Resumable: 1.0.0\r\n"
        f"Upload-Offset: 1000\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 300000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        connection.sendall(head.encode() + body[1000:201_000])
        until(lambda: max(spooled(api).values()) > 1000, "a part of it")
    # What has come is kept when the rest does not, also what was not handed on yet.
    until(lambda: offset(api, place) == 201_000, "what had come")
    os.kill(api.web_process, signal.SIGKILL)

    def answers() -> bool:
        try:
            return offset(api, place) == 201_000
        except (OSError, AssertionError):
            return False

    until(answers, "another process that answers")
    status, headers = patch(api, place, 201_000, body[201_000:])
    assert (status, int(headers["upload-offset"])) == (204, len(body))
    status, job, _ = api.ask("GET", f"/v1/jobs/{headers['upload-job']}", headers={"Prefer": "wait=60"})
    assert (job["id"], job["state"], job["path"]) == (headers["upload-job"], "done", "resumed.jpg")
    assert (api.input / "resumed.jpg").read_bytes() == body
    # Who did not hear of the end asks again.
    _, _, again = api.ask("HEAD", place, headers=TUS)
    assert (again["upload-offset"], again["upload-job"]) == (str(len(body)), headers["upload-job"])
    assert not spooled(api)


def test_an_error_in_an_upload_is_reported(api: Serving) -> None:
    """By the status that tus defines; a terminated upload leaves no file."""
    body = picture(2)
    assert api.ask("POST", UPLOADS, None, {"Upload-Length": "5"})[0] == 412
    assert api.ask("POST", UPLOADS, None, TUS)[0] == 400
    assert api.ask("POST", UPLOADS, None, {**TUS, "Upload-Length": "0"})[1]["code"] == "empty"
    assert api.ask("POST", UPLOADS, None, {**TUS, "Upload-Length": str(1 << 40)})[0] == 413
    assert api.ask("POST", UPLOADS, None, {**TUS, "Upload-Length": "5", "Upload-Metadata": "a ?"})[0] == 400
    wrong = base64.b64encode(b'{"format": "bmp"}').decode()
    refused = api.ask(
        "POST", UPLOADS, None, {**TUS, "Upload-Length": "5", "Upload-Metadata": f"options {wrong}"}
    )
    assert (refused[0], refused[1]["code"]) == (422, "options")
    status, _, headers = api.ask("OPTIONS", UPLOADS)
    assert (status, headers["tus-max-size"]) == (204, str(2 << 20))
    place = created(api, body)
    assert patch(api, place, 0, body + b"more")[0] == 413
    assert api.ask("PATCH", place, body, {**TUS, "Upload-Offset": "0"})[0] == 415
    other = api.call("serve", "keys", "add", "other").stdout.strip()
    for method in ("HEAD", "DELETE"):
        assert api.ask(method, place, headers=TUS, key=other)[0] == 404
    assert api.ask("DELETE", place, headers=TUS)[0] == 204
    assert api.ask("HEAD", place, headers=TUS)[0] == 404
    for wrong in ("0" * 32, "..%2f..%2fkeys", "x"):
        assert api.ask("HEAD", f"/v1/uploads/{wrong}", headers=TUS)[0] == 404
    assert not spooled(api)


def test_submitted_pictures_survive_the_daemon_and_without_one_none_is_accepted(tmp_path: Path) -> None:
    """A waiting client gets 503 by then; the next run cuts what was accepted."""
    home = tmp_path / "home"
    with serving(home, runs=False) as api:
        status, answer, headers = api.ask(
            "POST", "/v1/folders/shop/pictures", picture(), {"Content-Type": "image/jpeg"}
        )
        assert (status, answer["code"]) == (503, "down")
        assert int(headers["retry-after"]) > 0
        sent = {"Content-Type": "image/jpeg", "Idempotency-Key": "once"}
        with daemon(home, api.environment) as process:
            status, job, _ = api.ask("POST", "/v1/folders/shop/pictures", picture(3), sent)
            process.send_signal(signal.SIGKILL)  # wherever it is with that
            process.wait(20)
        assert status == 202, job
        status, again, _ = api.ask("GET", f"/v1/jobs/{job['id']}")
        assert (status, again["running"]) == (200, False)
        with daemon(home, api.environment):
            status, done, _ = api.ask("GET", f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"})
            assert (status, done["state"]) == (200, "done")
            assert api.ask("POST", "/v1/folders/shop/pictures", picture(3), sent)[1]["id"] == job["id"]
        assert len(list(api.input.glob("picture*"))) == 1


def test_a_name_that_the_folder_cannot_take_is_refused_before_the_picture_is_accepted(tmp_path: Path) -> None:
    """With a reason, by each way of submitting."""
    with serving(tmp_path / "home", 'include = ["IMG_*.jpg"]') as api:
        sent = {"Content-Type": "image/jpeg"}
        status, answer, _ = api.ask("POST", "/v1/folders/shop/pictures?name=x.jpg", picture(), sent)
        assert (status, answer["code"]) == (422, "name")
        assert "'x.jpg'" in answer["title"]
        encoded = base64.b64encode(b"x.jpg").decode()
        asked = {**TUS, "Upload-Length": "9", "Upload-Metadata": f"filename {encoded}"}
        status, answer, _ = api.ask("POST", UPLOADS, None, asked)
        assert (status, answer["code"]) == (422, "name")
        file = tmp_path / "x.jpg"
        file.write_bytes(picture())
        submitted = api.call("submit", str(file))
        assert submitted.returncode == 2
        assert "takes no file with a name such as 'x.jpg'" in submitted.stderr
        assert not spooled(api)
        status, job, _ = api.cut(picture(), "?name=IMG_1.jpg")
        assert (status, job["state"], job["path"]) == (200, "done", "IMG_1.jpg")
