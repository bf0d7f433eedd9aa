"""Results fetched from a real daemon's API, events after a reconnect, and answers when a process ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.serving import Serving, picture, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One API for all tests of this module."""
    with serving(tmp_path_factory.mktemp("api") / "home") as one:
        yield one


def test_a_part_of_a_result_is_fetched(api: Serving) -> None:
    """As a client does that resumes a download; an invalid range gives the whole file."""
    job = api.cut(picture(1), "?name=ranged.jpg")[1]
    url = job["outputs"][0]["url"]
    whole = (api.output / "ranged.png").read_bytes()
    size = len(whole)
    status, body, headers = api.ask("GET", url)
    assert (status, body, headers["accept-ranges"]) == (200, whole, "bytes")
    etag = headers["etag"]
    for answer, begin, end in (
        ("0-9", 0, 10),
        ("10-", 10, size),
        ("-7", size - 7, size),
        (f"5-{size}", 5, size),
    ):
        status, body, headers = api.ask("GET", url, headers={"Range": f"bytes={answer}"})
        assert (status, body) == (206, whole[begin:end]), answer
        assert headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
        assert headers["content-length"] == str(end - begin)
    assert api.ask("GET", url, headers={"Range": "bytes=1-2", "If-Range": etag})[0] == 206
    for other in (
        {"Range": "bytes=1-2", "If-Range": '"another"'},
        {"Range": "bytes=5-2"},
        {"Range": "bytes=-"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=0-1,4-5"},
    ):
        assert api.ask("GET", url, headers=other)[:2] == (200, whole), other
    for none in (f"bytes={size}-", "bytes=-0"):
        status, answer, headers = api.ask("GET", url, headers={"Range": none})
        assert (status, answer["code"], headers["content-range"]) == (416, "range", f"bytes */{size}")
    # Whatever is asked, nothing stays open behind it.
    for _ in range(3):
        api.ask("HEAD", url)
        api.ask("GET", url, headers={"If-None-Match": etag})
    until(lambda: not opened(api, "ranged.png"), "everything to be closed")


def opened(api: Serving, name: str) -> list[str]:
    """Return the open files of the process behind the API that have this name."""
    found = []
    for one in Path(f"/proc/{api.serve.pid}/fd").iterdir():
        try:
            found.append(os.fspath(one.readlink()))
        except OSError:
            continue
    return [one for one in found if one.endswith(name)]


def test_a_result_that_was_changed_is_not_served_as_ours(api: Serving) -> None:
    """By our own API and by the other contracts; nor is an entry that is no file."""
    job = api.cut(picture(2), "?name=changed.jpg")[1]
    url = job["outputs"][0]["url"]
    cutout = api.output / "changed.png"
    ours = cutout.read_bytes()
    cutout.write_bytes(ours[:-1] + b"!")
    for headers in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": f'"{job["outputs"][0]["sha256"]}"'}):
        status, answer, _ = api.ask("GET", url, headers=headers)
        assert (status, answer["code"]) == (409, "changed")
        assert "changed since it was published" in answer["title"]
    cutout.write_bytes(ours)
    assert api.ask("GET", url)[:2] == (200, ours)
    cutout.unlink()
    cutout.mkdir()
    assert api.ask("GET", url)[0] == 404


def test_a_client_gets_the_events_that_it_has_missed(api: Serving) -> None:
    """By the id of the last event that it received; an unknown id is reported."""
    first = api.cut(picture(3), "?name=heard.jpg")[1]
    heard = list(listened(api, "none-such", until_event="missed"))
    assert [event for event, _, _ in heard] == ["hello", "missed"]
    # What is told once it listens: the ids are of this run.
    with closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)) as connection:
        connection.request("GET", "/v1/events", headers={"X-Api-Key": api.key})
        answer = connection.getresponse()
        assert answer.readline() == b"event: hello\n"
        second = api.cut(picture(4), "?name=first.jpg")[1]
        while not (line := answer.readline()).startswith(b"id: "):
            assert line
        last = line[4:].strip().decode()
    third = api.cut(picture(5), "?name=missed.jpg")[1]
    heard = [one for one in listened(api, last, until_event=f"job {third['id']} done") if one[0] == "job"]
    received_ids = {data["id"] for _, _, data in heard}
    assert {third["id"]} <= received_ids <= {second["id"], third["id"]}, (received_ids, first["id"])
    ids = [int(id_.partition("-")[2]) for _, id_, _ in heard]
    assert ids == sorted(set(ids))
    assert min(ids) > int(last.partition("-")[2])


def listened(api: Serving, last: str, *, until_event: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield events, their ids and their data, until one event comes."""
    with closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)) as connection:
        connection.request("GET", "/v1/events", headers={"X-Api-Key": api.key, "Last-Event-ID": last})
        answer = connection.getresponse()
        event = id_ = ""
        while line := answer.readline().decode():
            name, _, value = line.strip().partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                id_ = value
            elif name == "data":
                data = json.loads(value)
                yield event, id_, data
                if f"{event} {data.get('id', '')} {data.get('state', '')}".startswith(until_event):
                    return


FORM = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="%s.jpg"\r\n\r\n%s\r\n--b--\r\n'


def test_a_client_that_waits_when_the_api_ends_is_answered_by_its_contract(tmp_path: Path) -> None:
    """With 503 and Retry-After; the picture is kept. A service manager signals both processes."""
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    asked = {
        "/v1/folders/shop/pictures?name=own.jpg": (
            picture(20),
            {"Content-Type": "image/jpeg", "Prefer": "wait=60"},
        ),
        "/v1.0/removebg": (FORM % (b"image_file", b"removebg", picture(21)), form),
        "/api/remove": (FORM % (b"file", b"rembg", picture(22)), form),
    }
    names = ("own", "removebg", "rembg")
    with serving(tmp_path / "home") as api, ThreadPoolExecutor(len(asked)) as pool:
        assert api.call("pause").returncode == 0
        answers = [pool.submit(api.ask, "POST", path, *what) for path, what in asked.items()]
        until(lambda: all((api.input / f"{name}.jpg").exists() for name in names), "the pictures")
        for process in (api.web_process, api.serve.pid):
            os.kill(process, signal.SIGTERM)
        own, removebg, rembg = (one.result() for one in answers)
        for status, _, headers in (own, removebg, rembg):
            assert status == 503
            assert int(headers["retry-after"]) > 0
        assert (own[1]["code"], own[2]["content-type"]) == ("backend", "application/problem+json")
        assert removebg[1]["errors"][0]["code"] == "backend"
        assert "does not answer" in rembg[1]["detail"]
        assert api.call("resume").returncode == 0
        until(lambda: all((api.output / f"{name}.png").exists() for name in names), "their cutouts")
